"""Characters of several readings by the sentence around them, where no phrase of a dictionary decides.

A bidirectional LSTM over characters: g2pM's (Park and Lee, Interspeech 2020; github.com/kakaobrain/g2pM, Apache-2.0),
which learnt from sentences in which rare readings are as common as frequent ones. Its odds are therefore multiplied by
how much commoner a reading is in running text. polyphones.npz holds both; local/polyphones.py makes it.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

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
    """The network of this directory."""
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

    Where `real` (time, text, 1) is false, the state stays.
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
