"""What of the errors are tones: syllables taken apart into base and tone, and aligned by their bases."""

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from steps.results.errors import EPS, Pair

TONES = "12345"
_BASE_ERROR, _TONE_ERROR, _SUBSTITUTION = 10**10, 10**5, 1  # one of the left outweighs all of the right


class ToneCounts(NamedTuple):
    """How a set fares without tones, and on tones alone."""

    ref_tokens: int
    base_errors: int  # insertions, deletions and substitutions of base syllables
    right_bases: int  # aligned pairs whose bases are equal
    wrong_tones: int  # those of them whose tones differ
    confusion: Counter[tuple[str, str]]  # (reference tone, hypothesis tone) of the right bases

    @property
    def matrix(self) -> list[list[int]]:
        """`confusion` as rows of reference tones 1 to 5, columns of hypothesis tones 1 to 5."""
        return [[self.confusion[ref, hyp] for hyp in TONES] for ref in TONES]


@functools.cache
def split_tone(syllable: str) -> tuple[str, str]:
    """(base, tone): `zhong1` → (`zhong`, `1`). What has no tone digit is all base."""
    return (syllable[:-1], syllable[-1]) if syllable[-1:] in TONES and len(syllable) > 1 else (syllable, "")


def align_bases(ref: Sequence[str], hyp: Sequence[str]) -> list[Pair]:
    """Align syllables by base: as few base errors as can be; among those, few wrong tones; then few substitutions.

    A plain alignment of the bases leaves it to chance which of two equal bases stands opposite a single one (of `ma1
    ma5` opposite `ma5`), and would count tone errors that nobody made. Returns pairs of whole syllables.
    """
    width = len(hyp) + 1
    costs = [[column * _BASE_ERROR for column in range(width)]]
    for row, syllable in enumerate(ref, 1):
        above, here = costs[-1], [row * _BASE_ERROR]
        for column in range(1, width):
            here.append(min(above[column - 1] + _cost(syllable, hyp[column - 1]),
                            above[column] + _BASE_ERROR, here[-1] + _BASE_ERROR))
        costs.append(here)
    return _trace(costs, ref, hyp)


def _cost(ref: str, hyp: str) -> int:
    if ref == hyp:
        return 0
    return _TONE_ERROR if split_tone(ref)[0] == split_tone(hyp)[0] else _BASE_ERROR + _SUBSTITUTION


def _trace(costs: list[list[int]], ref: Sequence[str], hyp: Sequence[str]) -> list[Pair]:
    row, column = len(ref), len(hyp)
    pairs: list[Pair] = []
    while row or column:
        cost = costs[row][column]
        if row and column and cost == costs[row - 1][column - 1] + _cost(ref[row - 1], hyp[column - 1]):
            row, column = row - 1, column - 1
            pairs.append((ref[row], hyp[column]))
        elif row and cost == costs[row - 1][column] + _BASE_ERROR:
            row -= 1
            pairs.append((ref[row], EPS))
        else:
            column -= 1
            pairs.append((EPS, hyp[column]))
    return pairs[::-1]


def count_tones(refs_and_hyps: Iterable[tuple[Sequence[str], Sequence[str]]]) -> ToneCounts:
    """Count base and tone errors over (reference, hypothesis) utterances, each aligned by `align_bases`."""
    ref_tokens = base_errors = 0
    confusion: Counter[tuple[str, str]] = Counter()
    for ref, hyp in refs_and_hyps:
        ref_tokens += len(ref)
        pairs = [(syllable, syllable) for syllable in ref] if ref == hyp else align_bases(ref, hyp)
        for ref_syllable, hyp_syllable in pairs:
            ref_base, ref_tone = split_tone(ref_syllable)
            hyp_base, hyp_tone = split_tone(hyp_syllable)
            if ref_base == hyp_base:
                confusion[ref_tone, hyp_tone] += 1
            else:
                base_errors += 1
    wrong = sum(number for (ref_tone, hyp_tone), number in confusion.items() if ref_tone != hyp_tone)
    return ToneCounts(ref_tokens, base_errors, confusion.total(), wrong, confusion)


def add_tones(counts: Iterable[ToneCounts]) -> ToneCounts:
    """The sum of counts."""
    counts = list(counts)
    confusion: Counter[tuple[str, str]] = Counter()
    for one in counts:
        confusion.update(one.confusion)
    return ToneCounts(*(sum(one[place] for one in counts) for place in range(4)), confusion)


def confusion_kind(ref: str, hyp: str) -> str:
    """What a substitution got wrong: `tone`, `base`, or `both`."""
    (ref_base, ref_tone), (hyp_base, hyp_tone) = split_tone(ref), split_tone(hyp)
    if ref_base == hyp_base:
        return "tone"
    return "base" if ref_tone == hyp_tone else "both"
