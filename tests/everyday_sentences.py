"""tests/everyday.tsv: sentences of everyday Mandarin with the syllables that 现代汉语词典 gives them."""

import itertools
from pathlib import Path
from typing import NamedTuple

from steps.config.schema import Pinyin

TABLE = Path(__file__).parent / "everyday.tsv"


class Sentence(NamedTuple):
    """A sentence and what is right for it."""

    kind: str
    text: str
    readings: list[list[set[str]]]  # whole readings, each a list of the syllables that are right at a place

    @property
    def policy(self) -> Pinyin:
        """How it is read."""
        return Pinyin(sandhi="spoken" if self.kind == "spoken" else "citation")

    def is_right(self, syllables: list[str]) -> bool:
        """Whether the syllables are one of the sentence's readings."""
        return any(len(reading) == len(syllables) and all(map(set.__contains__, reading, syllables))
                   for reading in self.readings)


def everyday_sentences() -> list[Sentence]:
    """The sentences in the order of the file."""
    lines = itertools.dropwhile(lambda line: line.startswith("#"), TABLE.read_text(encoding="utf-8").splitlines())
    rows = [line.split("\t") for line in lines]
    return [Sentence(kind, text, [[_right_at(place) for place in reading.split()] for reading in gold.split("||")])
            for kind, text, gold in rows]


def _right_at(place: str) -> set[str]:
    """zhong4 itself, hou4/hou5 either, yi in any tone."""
    return {syllable for written in place.split("/")
            for syllable in ([written] if written[-1].isdigit() else [f"{written}{tone}" for tone in "12345"])}
