"""Words that nobody said: syllables cut out of several utterances of a speaker, one behind the other.

A network that has heard a few thousand words learns them by heart. Of spliced ones, made anew every epoch, it can learn
the syllables alone (after Lam et al. 2021, "On-the-fly aligned data augmentation").
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from steps.search.ctc import BLANK
from steps.search.ctm import Timed

SILENCE_S = 0.15  # before the first syllable and behind the last, at the most


class Segment(NamedTuple):
    """A stretch of an utterance, in frames."""

    utt: str
    begin: int
    end: int


class Take(NamedTuple):
    """What is trained as one utterance: segments one behind the other, and the tokens they say."""

    segments: list[Segment]
    labels: list[int]

    @property
    def frames(self) -> int:
        """Its length."""
        return sum(segment.end - segment.begin for segment in self.segments)

    def feats(self, feats: Mapping[str, np.ndarray]) -> np.ndarray:
        """Its features, (frames, bins)."""
        parts = [feats[segment.utt][segment.begin:segment.end] for segment in self.segments]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class _Pool:
    """Segments of one place in an utterance, by token. A token is drawn in proportion to the square root of their
    number: rare ones come more often than they were said."""

    def __init__(self, by_token: dict[int, list[Segment]]):
        self._tokens = sorted(by_token)
        self._segments = [by_token[token] for token in self._tokens]
        weights = np.cumsum(np.sqrt([len(some) for some in self._segments]))
        self._upto = weights / weights[-1]

    def draw(self, rng: np.random.Generator) -> tuple[int, Segment]:
        """A token and a segment that says it."""
        at = int(np.searchsorted(self._upto, rng.random(), side="right"))
        segments = self._segments[at]
        return self._tokens[at], segments[rng.integers(len(segments))]


class Splicer:
    """Puts spliced utterances in the place of others of as many syllables.

    The first syllable comes from the beginning of some utterance, the last from an end.

    Args:
        takes: the utterances that are cut up, a segment a token.
        speakers: by utterance.
        share: of utterances of several syllables, that is spliced.
        unfit: whether a token followed by another does not sound like itself, and so must not be cut out there.
    """

    def __init__(self, takes: Mapping[str, Take], speakers: Mapping[str, str], share: float,
                 unfit: Callable[[int, int], bool]):
        found = defaultdict(lambda: defaultdict(list))
        for utt, take in takes.items():
            syllables = zip(take.segments, take.labels, [*take.labels[1:], BLANK], strict=True)
            for number, (segment, token, following) in enumerate(syllables):
                if not unfit(token, following):
                    found[speakers[utt], _place(number, len(take.labels))][token].append(segment)
        self._pools = {key: _Pool(by_token) for key, by_token in found.items()}
        self._speakers = speakers
        self._share = share

    def splice(self, takes: Mapping[str, Take], rng: np.random.Generator) -> list[Take]:
        """The takes of an epoch: of those by utterance, some are spliced."""
        return [self._spliced(self._speakers[utt], take, rng) if rng.random() < self._share else take
                for utt, take in takes.items()]

    def _spliced(self, speaker: str, take: Take, rng: np.random.Generator) -> Take:
        count = len(take.labels)
        places = [(speaker, _place(number, count)) for number in range(count)]
        if count == 1 or not all(place in self._pools for place in places):
            return take
        drawn = [self._pools[place].draw(rng) for place in places]
        return Take([segment for _, segment in drawn], [token for token, _ in drawn])


def _place(number: int, count: int) -> tuple[bool, bool]:
    """Whether a syllable is its utterance's first, and whether its last."""
    return number == 0, number == count - 1


def cut(syllables: list[Timed], frames: int, frame_shift_s: float) -> list[tuple[int, int]]:
    """Where to cut an utterance of `frames` into its syllables: (begin, end) in frames for each.

    The first and the last keep some of the silence beside them, which else would be half of a short word.
    """
    begin = max(0.0, syllables[0].begin - SILENCE_S)
    end = syllables[-1].begin + syllables[-1].duration + SILENCE_S
    edges = [begin, *(one.begin for one in syllables[1:]), end]
    return list(itertools.pairwise(min(frames, round(edge / frame_shift_s)) for edge in edges))
