"""Pinyin to hanzi: lines of syllables, with tones or without, from a file or stdin; lines of hanzi to stdout.

The graph of the general word list is made at first use, in half a minute, and kept in exp/hanzi. Words of your own and
a text of sentences (hanzi, one a line) make it better where they are like what is to be written.
"""

import argparse
import contextlib
import importlib.metadata
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from steps.common.errors import UserError, run
from steps.common.files import sha256, stdin_lines, utf8_lines, write_json
from steps.config.schema import Pinyin
from steps.search.arpa import write_arpa
from steps.search.graph import IMPOSSIBLE, Graph, GraphSearch, build_graph
from steps.search.lm import Sentences, read_model, word_lm
from steps.search.words import general_words, only_hanzi, read_own_words, readings_of
from steps.text.syllables import BLANK, all_syllables, normalize
from steps.text.transcripts import transcribe_file

FOLDER = Path("exp/hanzi")
VERSION = 2  # to be raised where the same sources make another graph
HELD_OUT = 20  # of a text, one sentence in so many weighs it against the word list


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
        """The likeliest words of tonal syllables (zhong1), or of syllables without tones (zhong)."""
        matrix = np.full((len(syllables), len(self._tokens)), IMPOSSIBLE, np.float32)
        for frame, syllable in enumerate(syllables):
            matrix[frame, self._ids[syllable]] = 0
        return [word for word, _ in self._search(matrix).words]


def parse(line: str) -> list[str]:
    """The syllables of a line in the recipe's spelling. Without a digit in the whole line they are without tones;
    otherwise one without a digit has the neutral tone. Raises UserError for what is no syllable."""
    tonal = any(char.isdigit() for char in line)
    syllables = [normalize(written) for written in line.split()]
    return syllables if tonal else [syllable[:-1] for syllable in syllables]


def general_graph(folder: Path, own: Path | None, text: Path | None, lm: Path | None = None) -> None:
    """Make the graph in `folder` unless it is there, made from the same sources."""
    sources = {name: path for name, path in (("words", own), ("text", text), ("lm", lm)) if path and path.exists()}
    made_of = {"version": VERSION, **{name: importlib.metadata.version(name) for name in ("jieba", "pypinyin")},
               **{name: sha256(path) for name, path in sources.items()}}
    path = folder / "made_of.json"
    with contextlib.suppress(OSError, ValueError):  # not there, or damaged: it is made anew
        if json.loads(path.read_text(encoding="utf-8")) == made_of:
            return
    path.unlink(missing_ok=True)
    print("making the graph of the general word list, for this and later runs", file=sys.stderr)
    own_words = read_own_words(own) if own else None
    sentences = read_sentences(text) if text else []
    models = {str(lm): read_model(lm)} if lm else {}
    found = (*sentences, *(only_hanzi(model.words) for model in models.values()))
    counts = dict.fromkeys((word for words in found for word in words), 1) | general_words()
    if own_words:
        counts |= own_words.counts
    lexicon = readings_of(counts, own=own_words.readings if own_words else None)
    texts = {"text": [sentence for number, sentence in enumerate(sentences) if number % HELD_OUT]}
    mixed = word_lm(lexicon, counts, texts, sentences[::HELD_OUT], 3, models)
    write_arpa(folder / "words.arpa", mixed.model)
    build_graph(folder, folder / "words.arpa", lexicon, [BLANK, *all_syllables()], ctc=False)
    write_json(path, made_of)


def read_sentences(path: Path) -> Sentences:
    """A text file's sentences as words. Raises UserError where it is missing or nothing in it can be read."""
    return [[word.written for word in reading.words] for reading in transcribe_file(path, Pinyin())]


def parsed(lines: Iterable[str], name: str) -> Iterator[list[str]]:
    """The syllables of each line. Raises UserError that names the file and line."""
    for number, line in enumerate(lines, 1):
        try:
            yield parse(line)
        except UserError as error:
            raise UserError(f"{name}:{number}: {error}") from None


def main() -> None:
    args = parse_args()
    lines = parsed(stdin_lines(), "stdin")
    if args.pinyin:  # read whole before the graph is made
        lines = utf8_lines(args.pinyin, encoding="utf-8-sig", if_not_utf8="; save it as UTF-8")
        lines = list(parsed(lines, args.pinyin))
    general_graph(FOLDER, args.words, args.text, args.lm)
    writer = Writer(FOLDER)
    for syllables in lines:
        print("".join(writer(syllables)), flush=True)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.hanzi", description=__doc__.split("\n")[0])
    parser.add_argument("pinyin", nargs="?", type=Path, help="a file of lines such as `wo3 men5` or `wo men`; or stdin")
    parser.add_argument("--words", type=Path, help="words of your own: lines of hanzi, pinyin, frequency in a million")
    parser.add_argument("--text", type=Path, help="sentences of your own, hanzi, one a line: a language model is made")
    parser.add_argument("--lm", type=Path, help="a language model over words of your own: ARPA, or KenLM's binary trie")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
