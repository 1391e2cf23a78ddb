"""Augmentation, drawn at random in every epoch: changes of an utterance's features, and new utterances by splicing.

Splicing puts syllables cut out of several utterances of a speaker one after the other. A network that is trained on
a few thousand words learns these words whole. From spliced words, which are new in every epoch, it can only learn the
syllables (after Lam et al. 2021, "On-the-fly aligned data augmentation"; of sentences: Min et al. 2022).
"""

import itertools
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from steps.common.checksums import check_sums
from steps.common.errors import UserError
from steps.config.load import Resolved
from steps.config.schema import Augment
from steps.corpus.table import read_speakers
from steps.search.alignment import Timed, read_ctm
from steps.search.ctc import BLANK
from steps.text.tones import sounds_otherwise

FILTER_KNOTS = 3, 7  # of a filter's curve, ends included


def draw_time_factors(config: Augment, count: int, rng: np.random.Generator) -> np.ndarray:
    """How much longer each of `count` utterances becomes: float64 (count,)."""
    return rng.uniform(*config.time_warp, size=count)


def warped_frames(frames: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Lengths `frames`, int (count,), after stretching by `factors`, float (count,): int64 (count,), at least 1."""
    return np.maximum(1, np.rint(frames * factors)).astype(np.int64)


def resample(feats: np.ndarray, frames: int, bin_factor: float, bin_shift: float) -> np.ndarray:
    """Stretch (frames_in, bins) to `frames` frames, and its frequency axis by `bin_factor` after shifting it.

    Linear interpolation; beyond the edges the last bin repeats. float32 in and out.
    """
    if frames != len(feats):
        feats = _interpolate(feats, np.linspace(0, len(feats) - 1, frames), axis=0)
    if bin_factor != 1 or bin_shift != 0:
        feats = _interpolate(feats, np.arange(feats.shape[1]) / bin_factor - bin_shift, axis=1)
    return feats


def augment(feats: np.ndarray, frames: int, config: Augment, rng: np.random.Generator) -> np.ndarray:
    """One random variant of `feats` (frames_in, bins), `frames` long: float32 (frames, bins)."""
    shift = float(rng.integers(-config.freq_shift, config.freq_shift + 1))
    feats = resample(feats, frames, rng.uniform(*config.freq_warp), shift)
    feats = feats + np.float32(rng.uniform(-config.level, config.level))
    if config.filter:
        feats += draw_filter(feats.shape[1], config.filter, rng)
    for _ in range(config.time_masks):  # together at most a third: a word must not be hidden as a whole
        _mask(feats, min(config.time_mask_frames, len(feats) // (3 * config.time_masks)), rng)
    for _ in range(config.freq_masks):
        _mask(feats.T, config.freq_mask_bins, rng)
    return feats


def draw_filter(bins: int, most: float, rng: np.random.Generator) -> np.ndarray:
    """The response of a random microphone, added to each of `bins`, at most `most` up or down: float32 (bins,).

    Straight lines between a few random points (the linear kind of FilterAugment, Nam et al. 2022).
    """
    knots = int(rng.integers(FILTER_KNOTS[0], FILTER_KNOTS[1] + 1))
    places = np.concatenate([[0], np.sort(rng.uniform(0, bins - 1, knots - 2)), [bins - 1]])
    return np.interp(np.arange(bins), places, rng.uniform(-most, most, knots)).astype(np.float32)


def _interpolate(feats: np.ndarray, positions: np.ndarray, axis: int) -> np.ndarray:
    positions = np.clip(positions, 0, feats.shape[axis] - 1)
    low = np.minimum(positions.astype(np.int64), max(0, feats.shape[axis] - 2))
    high = np.minimum(low + 1, feats.shape[axis] - 1)
    weight = (positions - low).astype(np.float32)
    weight = weight[:, None] if axis == 0 else weight
    return feats.take(low, axis) * (1 - weight) + feats.take(high, axis) * weight


def _mask(feats: np.ndarray, widest: int, rng: np.random.Generator) -> None:
    width = int(rng.integers(0, widest + 1))
    begin = int(rng.integers(0, max(1, len(feats) - width + 1)))
    feats[begin:begin + width] = 0  # the mean, since features are normalised


SILENCE_S = 0.15  # before the first syllable and after the last, at most


class Segment(NamedTuple):
    """A stretch of an utterance, in frames."""

    utt: str
    begin: int
    end: int
    copy: int = 0  # of the training set: 0 as recorded, else the number of one in the features' `copies`


class Take(NamedTuple):
    """One utterance of a training: segments one after the other, and the tokens they say."""

    segments: list[Segment]
    labels: list[int]

    @property
    def frames(self) -> int:
        return sum(segment.end - segment.begin for segment in self.segments)

    def feats(self, copies: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
        """Its features, (frames, bins). `copies` are the features by utterance, as recorded and of each copy."""
        parts = [copies[segment.copy][segment.utt][segment.begin:segment.end] for segment in self.segments]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def in_copy(self, copy: int, frames: Mapping[str, int], copy_frames: Mapping[str, int]) -> "Take":
        """The same as a copy of the training set says it, perhaps faster or slower; `frames` are those as recorded."""
        moved = []
        for utt, begin, end, _ in self.segments:
            ratio = copy_frames[utt] / frames[utt]
            moved.append(Segment(utt, round(begin * ratio), max(round(begin * ratio) + 1, round(end * ratio)), copy))
        return Take(moved, self.labels)


class _Cut(NamedTuple):
    """A syllable of an utterance that is cut up."""

    utt: str
    number: int


class _Pool:
    """Syllables of one place in an utterance, by token. A token is drawn in proportion to the square root of their
    number: rare ones come more often than they were said."""

    def __init__(self, by_token: dict[int, list[_Cut]]):
        self._cuts = [by_token[token] for token in sorted(by_token)]
        weights = np.cumsum(np.sqrt([len(some) for some in self._cuts]))
        self._upto = weights / weights[-1]

    def draw(self, rng: np.random.Generator) -> _Cut:
        cuts = self._cuts[int(np.searchsorted(self._upto, rng.random(), side="right"))]
        return cuts[rng.integers(len(cuts))]


class Splicer:
    """Puts spliced utterances in the place of others.

    Each begins with as many syllables as the one that it replaces has. The first of them comes from the beginning of
    some utterance, the last from an end. Between them come runs of syllables as they were said together. Others of the
    same speaker follow, up to the length of an utterance that is drawn, the speaker first: words become sentences.

    Args:
        takes: the utterances that are cut up, a segment a token.
        speakers: by utterance.
        share: of utterances of several syllables, that is spliced.
        unfit: whether a token followed by another does not sound like itself, and so must not be cut off there.
        run: syllables that are cut out together, at most.
    """

    def __init__(self, takes: Mapping[str, Take], speakers: Mapping[str, str], share: float,
                 unfit: Callable[[int, int], bool], run: int = 1):
        self._takes = takes
        self._ends: set[_Cut] = set()  # behind which a cut is fit
        found = defaultdict(lambda: defaultdict(list))
        for utt, take in takes.items():
            for number, (token, following) in enumerate(zip(take.labels, [*take.labels[1:], BLANK], strict=True)):
                if not unfit(token, following):
                    self._ends.add(_Cut(utt, number))
                    found[speakers[utt], _place(number, len(take.labels))][token].append(_Cut(utt, number))
        self._pools = {key: _Pool(by_token) for key, by_token in found.items()}
        self._speakers = speakers
        self._by_speaker: dict[str, list[Take]] = {}
        for utt, take in takes.items():
            self._by_speaker.setdefault(speakers[utt], []).append(take)
        self._names = list(self._by_speaker)
        self._most = max((len(take.labels) for take in takes.values()), default=0)
        self._share = share
        self._run = run

    def splice(self, utts: Sequence[str], takes: Sequence[Take], rng: np.random.Generator) -> list[Take]:
        """The takes of an epoch, those of `utts`; some are spliced."""
        return [self._several(self._speakers[utt], take, rng) if rng.random() < self._share else take
                for utt, take in zip(utts, takes, strict=True)]

    def _several(self, speaker: str, take: Take, rng: np.random.Generator) -> Take:
        new = self._spliced(speaker, take, rng)
        if new is take:
            return take
        frames = self._any_of(self._names[rng.integers(len(self._names))], rng).frames
        while True:
            more = self._spliced(speaker, self._any_of(speaker, rng), rng)
            if new.frames + more.frames > frames or len(new.labels) + len(more.labels) > self._most:
                return new
            new = Take(new.segments + more.segments, new.labels + more.labels)

    def _any_of(self, speaker: str, rng: np.random.Generator) -> Take:
        takes = self._by_speaker[speaker]
        return takes[rng.integers(len(takes))]

    def _spliced(self, speaker: str, take: Take, rng: np.random.Generator) -> Take:
        count = len(take.labels)
        if count == 1 or not all((speaker, _place(number, count)) in self._pools for number in range(count)):
            return take
        drawn: list[_Cut] = []
        while len(drawn) < count:
            first = self._pools[speaker, _place(len(drawn), count)].draw(rng)
            drawn += self._run_from(first, count - 1 - len(drawn), rng)
        return Take([self._takes[utt].segments[number] for utt, number in drawn],
                    [self._takes[utt].labels[number] for utt, number in drawn])

    def _run_from(self, first: _Cut, room: int, rng: np.random.Generator) -> list[_Cut]:
        """`first` and perhaps what follows it, at most `room` syllables and not its utterance's last."""
        if self._run == 1 or room < 2:
            return [first]
        room = min(room, int(rng.integers(1, self._run + 1)), len(self._takes[first.utt].labels) - 1 - first.number)
        while room > 1 and _Cut(first.utt, first.number + room - 1) not in self._ends:
            room -= 1
        return [_Cut(first.utt, first.number + behind) for behind in range(max(1, room))]


def _place(number: int, count: int) -> tuple[bool, bool]:
    """Whether a syllable is its utterance's first, and whether its last."""
    return number == 0, number == count - 1


def cut(syllables: list[Timed], frames: int, frame_shift_s: float) -> list[tuple[int, int]]:
    """Where to cut an utterance of `frames` into its syllables: (begin, end) in frames for each.

    The first and the last keep some of the silence beside them, which would otherwise be half of a short word.
    """
    begin = max(0.0, syllables[0].begin - SILENCE_S)
    end = syllables[-1].begin + syllables[-1].duration + SILENCE_S
    edges = [begin, *(one.begin for one in syllables[1:]), end]
    return list(itertools.pairwise(min(frames, round(edge / frame_shift_s)) for edge in edges))


def load_splicer(labels: Mapping[str, list[int]], frames: Mapping[str, int], tokens: list[str],
                 config: Resolved) -> Splicer | None:
    """The splicer of training utterances, which cuts where the alignment `train.ali` says; None if the config has none.

    Says how many are spliced, if not all are. Raises UserError if the alignment is not there, or is of other
    utterances.
    """
    path = config.ali_ctm
    if path is None:
        return None
    check_sums(path.parent, f"align again (doit align:{config.experiment.train.ali})", [path.name])
    shift = config.features.frame_shift_ms / 1000
    takes = {}
    for utt, timed in read_ctm(path).items():
        if utt in labels and [one.syllable for one in timed] == [tokens[token] for token in labels[utt]]:
            pieces = cut(timed, frames[utt], shift)
            if all(begin < end for begin, end in pieces):
                takes[utt] = Take([Segment(utt, begin, end) for begin, end in pieces], labels[utt])
    if len(takes) * 2 < len(labels):
        raise UserError(f"{path}: has {len(takes)} of the {len(labels)} training utterances with the syllables that "
                        f"{config.data_dir}/train/pinyin gives them; align the same corpus (doit align)")
    if len(takes) < len(labels):
        print(f"{path}: {len(takes)} of the {len(labels)} training utterances are spliced; the others are not in it, "
              f"or with other syllables", file=sys.stderr)
    speakers = read_speakers(config.data_dir / "train" / "utt2spk", takes)
    return Splicer(takes, speakers, config.experiment.train.augment.splice,
                   lambda token, following: sounds_otherwise(tokens[token], tokens[following]),
                   config.experiment.train.augment.splice_run)
