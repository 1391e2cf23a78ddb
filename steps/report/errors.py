"""Errors of a decoding: aligned pairs, counts, rates, tones, confidence intervals."""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import kaldialign
import numpy as np

from steps.common.errors import UserError, counted

One, Other = TypeVar("One"), TypeVar("Other")
EPS = "<eps>"  # as Kaldi's align-text writes the missing side of an insertion or deletion

Pair = tuple[str, str]  # (reference syllable, hypothesis syllable), one of them perhaps EPS


class Counts(NamedTuple):
    """Edit operations, in the order of Kaldi's #csid."""

    correct: int
    substitutions: int
    insertions: int
    deletions: int

    @property
    def errors(self) -> int:
        return self.substitutions + self.insertions + self.deletions

    @property
    def ref_tokens(self) -> int:
        return self.correct + self.substitutions + self.deletions


def edit_alignment(ref: Sequence[str], hyp: Sequence[str]) -> list[Pair]:
    """A cheapest alignment of two sequences under the costs 1, 1, 1."""
    return kaldialign.align(ref, hyp, EPS)


def operation(pair: Pair) -> str:
    """C, S, I or D."""
    ref, hyp = pair
    if ref == hyp:
        return "C"
    if ref == EPS:
        return "I"
    return "D" if hyp == EPS else "S"


def count(pairs: Iterable[Pair]) -> Counts:
    """The operations of an alignment, counted."""
    operations = [operation(pair) for pair in pairs]
    return Counts(*(operations.count(name) for name in "CSID"))


def total(counts: Iterable[Counts]) -> Counts:
    """The sum of counts."""
    columns = list(zip(*counts, strict=True)) or [(0,)] * 4
    return Counts(*map(sum, columns))


def rate(errors: float, of: float) -> float:
    """`errors / of`. If `of` is 0, it is 0 without errors, and infinite with some."""
    if of:
        return errors / of
    return float("inf") if errors else 0.0


def syllable_error_rate(refs: Mapping[str, Sequence[str]], hyps: Mapping[str, Sequence[str]]) -> float:
    """Insertions, deletions and substitutions per reference syllable, over all utterances; a fraction.

    Args:
        refs, hyps: utterance → syllables. Raises UserError unless both hold the same utterances.
    """
    check_same_utterances(refs, hyps, "the references", "the hypotheses")
    return kaldialign.batch_error_rate(refs.values(), [hyps[utt] for utt in refs])["err_rate"]


def check_same_utterances(refs: Iterable[str], hyps: Iterable[str], ref_name: str, hyp_name: str) -> None:
    """Raise UserError if one side has utterances that the other lacks, saying how many and the first of them."""
    refs, hyps = set(refs), set(hyps)
    for missing, where, other in ((refs - hyps, hyp_name, ref_name), (hyps - refs, ref_name, hyp_name)):
        if missing:
            examples = ", ".join(sorted(missing)[:3])
            raise UserError(f"{where}: lacks {counted(len(missing), 'utterance')} that {other} has, such as "
                            f"{examples}; decode the set again from the same data")


REPLICATIONS = 10_000
SEED = 0
_AT_ONCE = 100  # replications; bounds the memory


def rate_intervals(errors: Sequence[Sequence[float]], of: Sequence[Sequence[float]]) -> list[list[float]]:
    """[low, high] of each of several rates, 95 %, as `steps.report.scores.confidence_interval` has it, seed fixed.

    1.96 standard deviations of 10,000 replications either side of their mean, cut at 0 (Kaldi's compute-wer-bootci),
    and at 1 if no utterance has more errors than there are chances of one. A replication in which there was nothing
    to get wrong counts as 0.

    Args:
        errors, of: (utterances, rates): a rate is its column's sum of `errors` by that of `of`.
    """
    errors, of = np.asarray(errors, float), np.asarray(of, float)
    utterances, width = errors.shape
    both = np.hstack([errors, of])
    draws = np.random.default_rng(SEED)
    first = np.arange(_AT_ONCE)[:, None] * utterances
    rates = []
    for _ in range(REPLICATIONS // _AT_ONCE):
        drawn = draws.integers(0, utterances, (_AT_ONCE, utterances)) + first
        times = np.bincount(drawn.ravel(), minlength=_AT_ONCE * utterances).reshape(_AT_ONCE, utterances)
        sums = times @ both
        rates.append(np.divide(sums[:, :width], sums[:, width:], out=np.zeros((_AT_ONCE, width)),
                               where=sums[:, width:] > 0))
    rates = np.concatenate(rates)
    mean, reach = rates.mean(axis=0), 1.96 * rates.std(axis=0, ddof=1)
    highest = np.where((errors <= of).all(axis=0), 1.0, np.inf)
    return np.stack([np.maximum(0, mean - reach), np.minimum(highest, mean + reach)], axis=1).tolist()


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
    ma5` opposite `ma5`), and would count tone errors that were not made. Returns pairs of whole syllables.
    """
    return [(EPS if row is None else ref[row], EPS if column is None else hyp[column])
            for row, column in cheapest_alignment(ref, hyp, _cost, _BASE_ERROR)]


def _cost(ref: str, hyp: str) -> int:
    if ref == hyp:
        return 0
    return _TONE_ERROR if split_tone(ref)[0] == split_tone(hyp)[0] else _BASE_ERROR + _SUBSTITUTION


def cheapest_alignment(ref: Sequence[One], hyp: Sequence[Other], cost: Callable[[One, Other], float],
                       gap: float) -> list[tuple[int | None, int | None]]:
    """The pairs of positions that cost the least in all. Position None, for what is left out or inserted, costs `gap`.
    """
    costs = [[column * gap for column in range(len(hyp) + 1)]]
    for row, one in enumerate(ref, 1):
        above, here = costs[-1], [row * gap]
        for column, other in enumerate(hyp):
            here.append(min(above[column] + cost(one, other), above[column + 1] + gap, here[-1] + gap))
        costs.append(here)
    pairs, row, column = [], len(ref), len(hyp)
    while row or column:
        here = costs[row][column]
        if row and column and here == costs[row - 1][column - 1] + cost(ref[row - 1], hyp[column - 1]):
            row, column = row - 1, column - 1
            pairs.append((row, column))
        elif row and here == costs[row - 1][column] + gap:
            row -= 1
            pairs.append((row, None))
        else:
            column -= 1
            pairs.append((None, column))
    return pairs[::-1]


def count_tones(ref: Sequence[str], hyp: Sequence[str]) -> ToneCounts:
    """The base and tone errors of an utterance, aligned by `align_bases`."""
    pairs = zip(ref, ref, strict=True) if ref == hyp else align_bases(ref, hyp)
    split = [(split_tone(one), split_tone(other)) for one, other in pairs]
    confusion = Counter((ref_tone, tone) for (ref_base, ref_tone), (base, tone) in split if ref_base == base)
    wrong = sum(number for (ref_tone, tone), number in confusion.items() if ref_tone != tone)
    return ToneCounts(len(ref), len(split) - confusion.total(), confusion.total(), wrong, confusion)


def add_tones(counts: Sequence[ToneCounts]) -> ToneCounts:
    """The sum of counts."""
    confusion = sum((one.confusion for one in counts), Counter())
    return ToneCounts(*(sum(one[place] for one in counts) for place in range(4)), confusion)


def confusion_kind(ref: str, hyp: str) -> str:
    """The wrong part of a substitution: `tone`, `base`, or `both`."""
    (ref_base, ref_tone), (hyp_base, hyp_tone) = split_tone(ref), split_tone(hyp)
    if ref_base == hyp_base:
        return "tone"
    return "base" if ref_tone == hyp_tone else "both"
