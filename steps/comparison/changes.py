"""What changed from one experiment to another: by utterance, by speaker, by syllable."""

from collections.abc import Callable
from typing import NamedTuple

from steps.results.errors import EPS, Pair, count
from steps.results.experiment import Scored


class Change(NamedTuple):
    """Errors of something in both experiments."""

    key: str  # utterance, speaker or syllable
    of: int  # reference syllables
    errors_a: int
    errors_b: int

    @property
    def fixed(self) -> int:
        """Errors that b has not any more; negative where it has new ones."""
        return self.errors_a - self.errors_b


class Place(NamedTuple):
    """A reference syllable in a set."""

    utt: str
    index: int  # among the utterance's reference syllables


def most_fixed(changes: list[Change], number: int) -> list[Change]:
    """Those with most errors less."""
    return _most(changes, number, lambda change: change.fixed)


def most_broken(changes: list[Change], number: int) -> list[Change]:
    """Those with most errors more."""
    return _most(changes, number, lambda change: -change.fixed)


def _most(changes: list[Change], number: int, gain: Callable[[Change], int]) -> list[Change]:
    return sorted((one for one in changes if gain(one) > 0), key=lambda one: (-gain(one), one.of, one.key))[:number]


def by_utterance(a: Scored, b: Scored) -> list[Change]:
    """A change for every utterance; both must hold the same."""
    return [Change(utt, count(pairs).ref_tokens, count(pairs).errors, count(b.alignments[utt]).errors)
            for utt, pairs in a.alignments.items()]


def by_speaker(a: Scored, b: Scored) -> list[Change]:
    """A change for every speaker. Raises UserError where per_spk is missing or damaged."""
    theirs = b.speakers.set_index("spk")["err"]
    return [Change(spk, int(of), int(errors), int(theirs[spk]))
            for spk, of, errors in zip(a.speakers["spk"], a.speakers["ref_tokens"], a.speakers["err"], strict=True)
            if spk in theirs]


def by_syllable(a: Scored, b: Scored) -> list[Change]:
    """A change for every syllable of the references: how often it was not heard as itself."""
    counts: dict[str, list[int]] = {}
    for utt in a.alignments:
        for (ref, hyp_a), (_, hyp_b) in zip(heard(a.alignments[utt]), heard(b.alignments[utt]), strict=True):
            one = counts.setdefault(ref, [0, 0, 0])
            for place, number in enumerate((1, hyp_a != ref, hyp_b != ref)):
                one[place] += number
    return [Change(ref, *numbers) for ref, numbers in sorted(counts.items())]


def example(wrong: Scored, right: Scored, syllable: str) -> Place:
    """The first place where `syllable` was heard rightly in the one and not in the other."""
    for utt in wrong.alignments:
        both = zip(heard(wrong.alignments[utt]), heard(right.alignments[utt]), strict=True)
        for index, ((ref, bad), (_, good)) in enumerate(both):
            if ref == good == syllable != bad:
                return Place(utt, index)
    raise KeyError(syllable)


def heard(pairs: list[Pair]) -> list[Pair]:
    """An alignment without its insertions: what was heard for each reference syllable."""
    return [pair for pair in pairs if pair[0] != EPS]
