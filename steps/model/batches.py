"""Batches of utterances: padded lengths (buckets), and the order of an epoch.

Every batch has one of a few shapes, and the network is compiled once for each. An utterance's padded length depends on
its own length alone, so its result does not depend on the other utterances of its batch.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from steps.common.errors import UserError
from steps.common.files import utf8_text
from steps.config.schema import Model, Train
from steps.model.augment import Segment, Splicer, Take, augment, draw_time_factors, warped_frames
from steps.model.network import frames_needed, out_frames

ROUND = 16  # padded lengths are multiples of this, so that pooling leaves no remainder
BEYOND = 1.25  # lengths above the longest bucket grow by this factor


def choose_buckets(lengths: np.ndarray, count: int) -> list[int]:
    """Padded lengths, at most `count` of them, that pad `lengths` (frames) by the least in all. Ascending."""
    rounded, weights = np.unique(np.ceil(np.asarray(lengths) / ROUND).astype(int) * ROUND, return_counts=True)
    if len(rounded) <= count:
        return rounded.tolist()
    before = np.concatenate([[0], np.cumsum(weights)])
    cost = np.full((count + 1, len(rounded) + 1), np.inf)
    origin = np.zeros((count + 1, len(rounded) + 1), int)
    cost[0, 0] = 0
    for used in range(1, count + 1):
        for end in range(1, len(rounded) + 1):
            total = cost[used - 1, :end] + rounded[end - 1] * (before[end] - before[:end])
            origin[used, end] = np.argmin(total)
            cost[used, end] = total[origin[used, end]]
    chosen, end = [], len(rounded)
    for used in range(count, 0, -1):
        chosen.append(int(rounded[end - 1]))
        end = origin[used, end]
    return chosen[::-1]


def padded_length(frames: int, buckets: list[int]) -> int:
    """The length that an utterance of `frames` is padded to: its bucket's, or one of a coarse grid beyond them."""
    if frames <= buckets[-1]:
        return next(bucket for bucket in buckets if frames <= bucket)
    longest = float(buckets[-1])
    while longest < frames:
        longest *= BEYOND
    return int(-(-longest // ROUND) * ROUND)


def batch_size(length: int, most_utts: int, most_frames: int) -> int:
    """Utterances in a batch padded to `length` frames."""
    return max(1, min(most_utts, most_frames // length))


def plan_epoch(lengths: np.ndarray, buckets: list[int], most_utts: int, most_frames: int,
               rng: np.random.Generator, parts: int = 1, short_first: bool = False) -> list[tuple[int, list[int]]]:
    """The batches of one epoch, as (padded length, positions in `lengths`), in random order or the short ones first.

    `lengths` are the utterances' frames, int (utterances,). Every utterance is in exactly one batch. What does not fill
    a batch of its bucket moves to the next longer one; the last batch is filled up with utterances drawn again. A batch
    is made of `parts` equal ones, each of at most `most_utts` utterances and `most_frames` padded frames.
    """
    order = rng.permutation(len(lengths))
    padded = np.array([padded_length(int(frames), buckets) for frames in lengths])
    batches = []
    left: list[int] = []
    for length in np.unique(padded).tolist():
        left += [int(i) for i in order if padded[i] == length]
        size = parts * batch_size(length, most_utts, most_frames)
        full = len(left) // size * size
        batches += [(length, left[begin:begin + size]) for begin in range(0, full, size)]
        left = left[full:]
    if left:
        again = rng.integers(len(lengths), size=size - len(left)).tolist()
        batches.append((length, left + again))
    if short_first:
        return batches
    return [batches[i] for i in rng.permutation(len(batches))]


LONGEST = 10**7  # frames of an utterance, a day
BUCKETS = TypeAdapter(Annotated[list[Annotated[int, Field(gt=0, lt=LONGEST)]], Field(min_length=1)])


def read_buckets(exp_dir: Path) -> list[int]:
    """The padded lengths (frames) that the experiment was trained with. Raises UserError if they are not there."""
    path = exp_dir / "buckets.json"
    try:
        return BUCKETS.validate_json(utf8_text(path, if_not_utf8="; train again"), strict=True)
    except ValidationError:
        raise UserError(f"{path}: not the lengths of a training's batches; train again") from None


class Batch(NamedTuple):
    """feats float32 (batch, frames, bins); out_lengths, label_lengths int32 (batch,); labels int32 (batch, most)."""

    feats: np.ndarray
    out_lengths: np.ndarray
    labels: np.ndarray
    label_lengths: np.ndarray


def labels_fit(frames: int, labels: list[int], model: Model) -> bool:
    """Whether the network leaves enough of `frames` input frames for CTC to have a path."""
    return len(labels) > 0 and frames_needed(labels) <= out_frames(model, frames)


class TrainingBatches:
    """The batches of any epoch: a function of the seed and the epoch's number alone.

    Each makes one update. Worker `rank` of `train.workers` gets every `train.workers`-th of its utterances: as many as
    the others, of the same padded length. Those are again `train.accum_grad` equal micro-batches, one after the other.

    Args:
        feats: normalised features by utterance, float32 (frames, bins).
        frames: their lengths.
        labels: token ids by utterance; the utterances of an epoch.
        most_labels: width of the label matrix.
        splicer: what makes spliced utterances, if any.
        speakers: by utterance; needed if `train.balance` is set.
        copies: changed copies of all utterances, features and lengths of each; an utterance is drawn from one of them.
    """

    def __init__(self, feats: Mapping[str, np.ndarray], frames: Mapping[str, int], labels: dict[str, list[int]],
                 model: Model, train: Train, seed: int, most_labels: int, rank: int = 0,
                 splicer: Splicer | None = None, speakers: Mapping[str, str] | None = None,
                 copies: Sequence[tuple[Mapping[str, np.ndarray], Mapping[str, int]]] = ()):
        self._copies = [feats, *(features for features, _ in copies)]
        self._frames = [frames, *(lengths for _, lengths in copies)]
        self._takes = {utt: Take([Segment(utt, 0, frames[utt])], labels[utt]) for utt in sorted(labels)}
        self._splicer = splicer
        self._model = model
        self._train = train
        self._seed = seed
        self._most_labels = most_labels
        self._rank = rank
        self._counts = balanced(list(self._takes), speakers, frames, train.balance) if train.balance else []
        lengths = np.array([max(lengths[utt] for lengths in self._frames) for utt in self._takes])
        self.buckets = choose_buckets(lengths * max(train.augment.time_warp), train.buckets)
        self.steps_per_epoch = self._count_steps(int(lengths.max() * max(1, *train.augment.time_warp)))

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The `steps_per_epoch` batches of epoch `epoch`, counted from 1, without the first `skip`."""
        plan, takes, frames = self._plan(epoch)
        missing = self.steps_per_epoch - len(plan)
        again = np.random.default_rng([self._seed, epoch, 0, 3]).integers(len(plan), size=missing)
        for length, positions in [*plan, *(plan[i] for i in again)][skip:]:
            yield self._batch(epoch, length, self._share(positions), takes, frames)

    def _count_steps(self, longest: int) -> int:
        """Batches of the epoch that has the most: if `batch_frames` is the limit, a batch has fewer of the utterances
        that are stretched. Other epochs have some batches twice, since MindSpore's dataset has one length for all."""
        train = self._train
        if self._splicer is None and padded_length(longest, self.buckets) * train.batch_size <= train.batch_frames:
            return len(self._plan(1)[0])
        return max(len(self._plan(epoch)[0]) for epoch in range(1, train.epochs + 1))

    def _share(self, positions: list[int]) -> list[int]:
        mine = positions[self._rank::self._train.workers]
        micros = self._train.accum_grad
        return [position for number in range(micros) for position in mine[number::micros]]

    def _plan(self, epoch: int) -> tuple[list[tuple[int, list[int]]], list[Take], np.ndarray]:
        """(padded length and positions of each batch, the takes at all positions, the lengths they are stretched to)"""
        takes = self._in_copies(epoch, self._spliced(epoch, self._chosen(epoch)))
        rng = np.random.default_rng([self._seed, epoch])
        factors = draw_time_factors(self._train.augment, len(takes), rng)
        frames = warped_frames(np.array([take.frames for take in takes]), factors)
        for i, take in enumerate(takes):
            if not labels_fit(frames[i], take.labels, self._model):
                frames[i] = take.frames
        parts = self._train.workers * self._train.accum_grad
        plan = plan_epoch(frames, self.buckets, self._train.batch_size, self._train.batch_frames, rng, parts,
                          short_first=epoch <= self._train.sortagrad)
        return plan, takes, frames

    def _chosen(self, epoch: int) -> list[str]:
        """The utterances of an epoch: each once, or as many of each speaker as `train.balance` says."""
        if not self._counts:
            return list(self._takes)
        rng = np.random.default_rng([self._seed, epoch, 0, 2])
        chosen = []
        for utts, count in self._counts:
            chosen += utts * (count // len(utts)) + [utts[at] for at in rng.permutation(len(utts))[:count % len(utts)]]
        return chosen

    def _spliced(self, epoch: int, utts: list[str]) -> list[Take]:
        takes = [self._takes[utt] for utt in utts]
        if self._splicer is None:
            return takes
        spliced = self._splicer.splice(utts, takes, np.random.default_rng([self._seed, epoch, 0, 0]))
        return [new if labels_fit(new.frames, new.labels, self._model) else take
                for take, new in zip(takes, spliced, strict=True)]

    def _in_copies(self, epoch: int, takes: list[Take]) -> list[Take]:
        if len(self._copies) == 1:
            return takes
        drawn = np.random.default_rng([self._seed, epoch, 0, 1]).integers(len(self._copies), size=len(takes)).tolist()
        moved = [take.in_copy(copy, self._frames[0], self._frames[copy]) if copy else take
                 for take, copy in zip(takes, drawn, strict=True)]
        return [new if labels_fit(new.frames, new.labels, self._model) else take
                for take, new in zip(takes, moved, strict=True)]

    def _batch(self, epoch: int, length: int, positions: list[int], takes: list[Take], frames: np.ndarray) -> Batch:
        variants = []
        for i in positions:
            rng = np.random.default_rng([self._seed, epoch, i])
            variants.append(augment(takes[i].feats(self._copies), int(frames[i]), self._train.augment, rng))
        return make_batch(variants, [takes[i].labels for i in positions], length, self._most_labels, self._model)


def balanced(utts: list[str], speakers: Mapping[str, str], frames: Mapping[str, int], balance: float
             ) -> list[tuple[list[str], int]]:
    """(utterances of a speaker, how many of them an epoch has) for each speaker.

    A speaker's share of the epoch's frames is in proportion to its share of all, to the power of 1 - `balance`. The
    epoch is as long as all `utts` together.
    """
    by_speaker = defaultdict(list)
    for utt in utts:
        by_speaker[speakers[utt]].append(utt)
    has = {speaker: sum(frames[utt] for utt in own) for speaker, own in by_speaker.items()}
    scale = sum(has.values()) / sum(count ** (1 - balance) for count in has.values())
    return [(own, max(1, round(len(own) * scale * has[speaker] ** -balance))) for speaker, own in by_speaker.items()]


def make_batch(feats: list[np.ndarray], labels: list[list[int]], length: int, most_labels: int, model: Model) -> Batch:
    """Pad features, float32 (frames, bins) each, to `length` frames with zeros, their mean; pad labels with 0."""
    label_matrix = np.zeros((len(labels), most_labels), np.int32)
    for row, ids in zip(label_matrix, labels, strict=True):
        row[:len(ids)] = ids
    return Batch(stack(feats, length, len(feats)),
                 np.array([out_frames(model, len(matrix)) for matrix in feats], np.int32),
                 label_matrix,
                 np.array([len(ids) for ids in labels], np.int32))


def stack(feats: list[np.ndarray], length: int, size: int) -> np.ndarray:
    """Features as one float32 (size, length, bins), zeros if there is nothing."""
    out = np.zeros((size, length, feats[0].shape[1]), np.float32)
    for row, matrix in zip(out, feats, strict=False):
        row[:len(matrix)] = matrix
    return out


def inference_batches(utts: Iterable[tuple[str, np.ndarray]], lengths: list[int], most_utts: int,
                      most_frames: int, behind: int) -> Iterator[tuple[list[str], list[np.ndarray], int, int]]:
    """Group utterances by padded length, as they come: (utts, features, padded length, batch size).

    A group may hold fewer utterances than the batch size, which depends on the length alone.

    Args:
        behind: the frames of padding that each utterance has at least. If the network sees no further, the
            padded length never changes a result.
    """
    waiting: defaultdict[int, list[tuple[str, np.ndarray]]] = defaultdict(list)  # by padded length

    def batch(length: int) -> tuple[list[str], list[np.ndarray], int, int]:
        names, feats = zip(*waiting.pop(length), strict=True)
        return list(names), list(feats), length, batch_size(length, most_utts, most_frames)

    for utt, feats in utts:
        length = padded_length(len(feats) + behind, lengths)
        waiting[length].append((utt, feats))
        if len(waiting[length]) == batch_size(length, most_utts, most_frames):
            yield batch(length)
    for length in list(waiting):
        yield batch(length)
