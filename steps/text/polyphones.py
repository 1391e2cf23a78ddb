"""Characters of several readings by what stands around them, where no phrase of a dictionary decides.

First contexts.txt: readings by the characters beside. Then a bidirectional LSTM over characters: g2pM's (Park and Lee,
Interspeech 2020; github.com/kakaobrain/g2pM, Apache-2.0), which learnt from sentences in which rare readings are as
common as frequent ones. Its odds are therefore multiplied by how much commoner a reading is in running text.
polyphones.npz holds both; local/polyphones.py makes it.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from steps.common.errors import UserError

FILE = Path(__file__).parent / "contexts.txt"
ITSELF = "{同}"  # in a pattern, the character that it is about
BEHIND = 10  # characters before and after that a pattern sees


class Context(NamedTuple):
    """Where a character has a reading."""

    syllable: str
    left: re.Pattern[str]
    right: re.Pattern[str]

    def fits(self, text: str, at: int) -> bool:
        """Whether the character at `at` of `text`, which ^ and $ enclose, stands in this context."""
        return bool(self.right.match(text, at + 1)) and bool(self.left.search(text, max(0, at - BEHIND), at))


class Contexts:
    """The contexts by character; `strong` ones win over phrases of a dictionary, too."""

    def __init__(self, path: Path = FILE):
        self.weak: defaultdict[str, list[Context]] = defaultdict(list)
        self.strong: defaultdict[str, list[Context]] = defaultdict(list)
        classes: dict[str, str] = {}
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if line.startswith("{"):
                name, _, pattern = line.partition(" = ")
                classes[name] = f"(?:{_written_out(pattern, classes)})"
            elif line and not line.startswith("#"):
                table = self.strong if line.startswith("!") else self.weak
                fields = line.removeprefix("!").split()
                patterns = [field for field in fields if "_" in field]
                try:
                    for char, *syllable in fields[: -len(patterns)]:
                        table[char] += [_context("".join(syllable), pattern.replace(ITSELF, char), classes)
                                        for pattern in patterns]
                except (re.error, ValueError) as error:
                    raise UserError(f"{path}:{number}: {error}") from None


def find(contexts: list[Context], text: str, at: int) -> str | None:
    """The reading that the first fitting context gives the character at `at` of `text`, which ^ and $ enclose."""
    return next((context.syllable for context in contexts if context.fits(text, at)), None)


@functools.cache
def contexts() -> Contexts:
    return Contexts()


def weak_reading(text: str, at: int) -> str | None:
    """The reading that contexts give the character at `at` of a clause, where it is in no phrase."""
    known = contexts().weak
    return find(known[text[at]], f"^{text}$", at + 1) if text[at] in known else None


def strong_readings(text: str) -> dict[int, str]:
    """The readings, by position, that contexts give characters of a clause in phrases, too."""
    known = contexts().strong
    found = {at: find(known[char], f"^{text}$", at + 1) for at, char in enumerate(text) if char in known}
    return {at: syllable for at, syllable in found.items() if syllable}


def _context(syllable: str, pattern: str, classes: dict[str, str]) -> Context:
    left, right = (_expanded(side, classes) for side in pattern.split("_"))
    return Context(syllable, re.compile(f"(?:{left})\\Z"), re.compile(right))


def _expanded(pattern: str, classes: dict[str, str]) -> str:
    return re.sub(r"(?<!\[)\^", r"\^", _written_out(pattern, classes)).replace("$", r"\$")


def _written_out(pattern: str, classes: dict[str, str]) -> str:
    """A pattern with its classes written out; within brackets a class of single characters loses its own brackets."""
    for name, written in classes.items():
        inner = written.removeprefix("(?:").removesuffix(")")
        if inner.startswith("["):
            pattern = re.sub(rf"(\[[^\]]*){re.escape(name)}", rf"\g<1>{inner[1:-1]}", pattern)
        pattern = pattern.replace(name, written)
    return pattern


DATA = Path(__file__).parent / "polyphones.npz"
UNKNOWN, BEGIN, END = 1, 2, 3  # ids of the network; 0 pads
BATCH = 256  # texts that are computed at once

Odds = dict[str, float]  # the logarithm of a probability, up to a constant, by reading


class Polyphones:
    """The network and what it reads."""

    def __init__(self, path: Path = DATA):
        with np.load(path, allow_pickle=False) as data:
            weights = {name: data[name] for name in data.files}
        self._ids = {char: number for number, char in enumerate(str(weights["characters"]), END + 1)}
        self._embedding = _unpacked(weights, "embedding")
        self._forward, self._backward = (
            (_unpacked(weights, f"{way}_input"), _unpacked(weights, f"{way}_state"), weights[f"{way}_bias"])
            for way in ("forward", "backward"))
        self._hidden = _unpacked(weights, "hidden"), weights["hidden_bias"]
        self._output = _unpacked(weights, "output"), weights["output_bias"]
        self._readings = _readings(weights)

    def __contains__(self, char: str) -> bool:
        return char in self._readings

    def prior(self, char: str) -> Odds:
        """How much commoner each reading of a polyphone is in running text than where the network learnt."""
        syllables, _, prior = self._readings[char]
        return dict(zip(syllables, prior.tolist(), strict=True))

    def log_odds(self, texts: Sequence[str]) -> list[dict[int, Odds]]:
        """For each text the odds of the readings of its polyphones, by position."""
        found: list[dict[int, Odds]] = [{} for _ in texts]
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            places = [(row, at) for row, index in enumerate(batch)
                      for at, char in enumerate(texts[index]) if char in self._readings]
            if places:
                logits = self._logits([texts[index] for index in batch], places)
                for (row, at), scores in zip(places, logits, strict=True):
                    found[batch[row]][at] = self._odds(texts[batch[row]][at], scores)
        return found

    def _odds(self, char: str, logits: np.ndarray) -> Odds:
        syllables, columns, prior = self._readings[char]
        return dict(zip(syllables, (logits[columns] + prior).tolist(), strict=True))

    def _logits(self, texts: list[str], places: list[tuple[int, int]]) -> np.ndarray:
        """The network's outputs, (places, readings), at (text, position)."""
        ids = np.zeros((max(map(len, texts)) + 2, len(texts)), np.int32)  # (time, text), as the LSTM walks
        for column, text in enumerate(texts):
            ids[: len(text) + 2, column] = [BEGIN, *(self._ids.get(char, UNKNOWN) for char in text), END]
        inputs, real = self._embedding[ids], (ids > 0)[..., None]
        forward = _lstm(inputs, real, *self._forward)
        backward = _lstm(inputs[::-1], real[::-1], *self._backward)[::-1]
        rows, positions = np.array(places).T
        states = np.concatenate([forward, backward], axis=2)[positions + 1, rows]
        hidden = np.maximum(states @ self._hidden[0].T + self._hidden[1], 0)
        return hidden @ self._output[0].T + self._output[1]


@functools.cache
def polyphones() -> Polyphones:
    return Polyphones()


def _readings(weights: dict[str, np.ndarray]) -> dict[str, tuple[list[str], np.ndarray, np.ndarray]]:
    """By character its readings, their outputs of the network, and the logarithm of their prior."""
    classes = str(weights["classes"]).split()
    table: dict[str, tuple[list[str], np.ndarray, np.ndarray]] = {}
    start = 0
    for entry in str(weights["readings"]).split():
        char, written = entry[0], entry[1:].split(",")
        columns = np.array([classes.index(syllable) for syllable in written])
        table[char] = (written, columns, weights["prior"][start : start + len(written)].astype(np.float32))
        start += len(written)
    return table


def _unpacked(weights: dict[str, np.ndarray], name: str) -> np.ndarray:
    """A matrix that is kept as int8 with a scale a row."""
    return weights[name].astype(np.float32) * weights[f"{name}_scale"].astype(np.float32)[:, None]


def _lstm(inputs: np.ndarray, real: np.ndarray, weight: np.ndarray, recurrent: np.ndarray,
          bias: np.ndarray) -> np.ndarray:
    """The states (time, text, units) of an LSTM over `inputs` (time, text, features); gates in the order i, f, g, o.

    If `real` (time, text, 1) is false, the state stays.
    """
    gates = inputs @ weight.T + bias
    units = recurrent.shape[1]
    state = cell = np.zeros((inputs.shape[1], units), np.float32)
    states = np.empty((*inputs.shape[:2], units), np.float32)
    for time, gate in enumerate(gates):
        gate = gate + state @ recurrent.T
        enter, forget, leave = (_sigmoid(gate[:, part * units : (part + 1) * units]) for part in (0, 1, 3))
        candidate = forget * cell + enter * np.tanh(gate[:, 2 * units : 3 * units])
        cell = np.where(real[time], candidate, cell)
        state = np.where(real[time], leave * np.tanh(candidate), state)
        states[time] = state
    return states


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
