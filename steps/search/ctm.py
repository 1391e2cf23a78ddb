"""NIST's ctm format: decoded syllables with their times."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from steps.common.errors import UserError
from steps.common.files import utf8_lines


class Timed(NamedTuple):
    """A decoded syllable, where it was heard."""

    begin: float  # seconds
    duration: float  # seconds
    syllable: str
    confidence: float  # its highest probability


def timed_words(times: list[Timed], words: list[tuple[str, int]]) -> list[Timed]:
    """Words, each given with the number of its syllables, from its first syllable to its last."""
    found, at = [], 0
    for word, syllables in words:
        own = times[at:at + syllables]
        at += syllables
        if own:
            end = own[-1].begin + own[-1].duration
            found.append(Timed(own[0].begin, end - own[0].begin, word, min(one.confidence for one in own)))
    return found


def ctm_lines(times: Mapping[str, list[Timed]]) -> Iterator[str]:
    """The lines of some utterances, in the order of time."""
    return (ctm_line(utt, one) for utt, found in times.items() for one in found)


def ctm_line(utt: str, one: Timed) -> str:
    """The line `utt 1 begin duration syllable confidence`, times in seconds."""
    return f"{utt} 1 {one.begin:.3f} {one.duration:.3f} {one.syllable} {one.confidence:.3f}"


def read_ctm(path: Path) -> dict[str, list[Timed]]:
    """A ctm file by utterance; utterances without output are not in it.

    Raises UserError where it is missing or damaged.
    """
    by_utt: dict[str, list[Timed]] = {}
    lines = utf8_lines(path, "; run stage 5 (decode) first", if_not_utf8="; decode again")
    for number, line in enumerate(lines, 1):
        try:
            utt, _, begin, duration, syllable, confidence = line.split()
            one = Timed(float(begin), float(duration), syllable, float(confidence))
        except ValueError:
            one = None
        if one is None or not (0 <= one.begin < math.inf and 0 <= one.duration < math.inf):
            raise UserError(f"{path}:{number}: not `utt 1 begin duration syllable confidence`; decode again")
        by_utt.setdefault(utt, []).append(one)
    return by_utt
