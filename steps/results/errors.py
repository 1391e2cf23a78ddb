"""Syllable errors: alignment of reference and hypothesis, and its counts. kaldialign does the work."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import kaldialign

from steps.common.errors import UserError

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
        """All that is wrong."""
        return self.substitutions + self.insertions + self.deletions

    @property
    def ref_tokens(self) -> int:
        """Length of the reference."""
        return self.correct + self.substitutions + self.deletions


def align(ref: Sequence[str], hyp: Sequence[str]) -> list[Pair]:
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
    """The operations of an alignment."""
    operations = [operation(pair) for pair in pairs]
    return Counts(*(operations.count(name) for name in "CSID"))


def total(counts: Iterable[Counts]) -> Counts:
    """The sum of counts."""
    columns = list(zip(*counts, strict=True)) or [(0,)] * 4
    return Counts(*map(sum, columns))


def rate(errors: float, of: float) -> float:
    """`errors / of`; of nothing it is 0, and where there should have been nothing but errors came, infinite."""
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
    """Raise UserError where one side has utterances that the other lacks, saying how many and the first of them."""
    refs, hyps = set(refs), set(hyps)
    for missing, where, other in ((refs - hyps, hyp_name, ref_name), (hyps - refs, ref_name, hyp_name)):
        if missing:
            examples = ", ".join(sorted(missing)[:3])
            raise UserError(f"{where}: lacks {len(missing)} utterances that {other} has, such as {examples}; "
                            "decode the set again from the same data")
