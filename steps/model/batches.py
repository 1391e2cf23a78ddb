"""Batches for training and inference: numpy arrays of a few fixed shapes."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from steps.config.schema import Model, Train
from steps.model import augment as aug
from steps.model import buckets as bk
from steps.model.geometry import frames_needed, out_frames
from steps.model.splice import Segment, Splicer, Take


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

    Each makes one update. Of its utterances, worker `rank` of `train.workers` gets every `train.workers`-th: as many as
    the others, of the same padded length. Those are again `train.accum_grad` equal micro-batches, one behind the other.

    Args:
        feats: normalised features by utterance, float32 (frames, bins).
        frames: their lengths.
        labels: token ids by utterance; the utterances of an epoch.
        most_labels: width of the label matrix.
        splicer: what makes spliced utterances, if any.
    """

    def __init__(self, feats: Mapping[str, np.ndarray], frames: Mapping[str, int], labels: dict[str, list[int]],
                 model: Model, train: Train, seed: int, most_labels: int, rank: int = 0,
                 splicer: Splicer | None = None):
        self._feats = feats
        self._takes = {utt: Take([Segment(utt, 0, frames[utt])], labels[utt]) for utt in sorted(labels)}
        self._splicer = splicer
        self._model = model
        self._train = train
        self._seed = seed
        self._most_labels = most_labels
        self._rank = rank
        lengths = np.array([take.frames for take in self._takes.values()])
        self.buckets = bk.choose_buckets(lengths * max(train.augment.time_warp), train.buckets)
        self.steps_per_epoch = len(self._plan(1)[0])

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of epoch `epoch`, counted from 1."""
        plan, takes, frames = self._plan(epoch)
        for length, positions in plan:
            yield self._batch(epoch, length, self._share(positions), takes, frames)

    def _share(self, positions: list[int]) -> list[int]:
        mine = positions[self._rank::self._train.workers]
        micros = self._train.accum_grad
        return [position for number in range(micros) for position in mine[number::micros]]

    def _plan(self, epoch: int) -> tuple[list[tuple[int, list[int]]], list[Take], np.ndarray]:
        """(padded length and positions of each batch, the takes at all positions, the lengths they are stretched to)"""
        takes = list(self._takes.values())
        if self._splicer is not None:
            spliced = self._splicer.splice(self._takes, np.random.default_rng([self._seed, epoch, 0, 0]))
            takes = [new if labels_fit(new.frames, new.labels, self._model) else take
                     for take, new in zip(takes, spliced, strict=True)]
        rng = np.random.default_rng([self._seed, epoch])
        factors = aug.draw_time_factors(self._train.augment, len(takes), rng)
        frames = aug.warped_frames(np.array([take.frames for take in takes]), factors)
        for i, take in enumerate(takes):
            if not labels_fit(frames[i], take.labels, self._model):
                frames[i] = take.frames
        parts = self._train.workers * self._train.accum_grad
        plan = bk.plan_epoch(frames, self.buckets, self._train.batch_size, self._train.batch_frames, rng, parts,
                             short_first=epoch <= self._train.sortagrad)
        return plan, takes, frames

    def _batch(self, epoch: int, length: int, positions: list[int], takes: list[Take], frames: np.ndarray) -> Batch:
        variants = []
        for i in positions:
            rng = np.random.default_rng([self._seed, epoch, i])
            variants.append(aug.augment(takes[i].feats(self._feats), int(frames[i]), self._train.augment, rng))
        return make_batch(variants, [takes[i].labels for i in positions], length, self._most_labels, self._model)


def make_batch(feats: list[np.ndarray], labels: list[list[int]], length: int, most_labels: int, model: Model) -> Batch:
    """Pad features with zeros (the mean, since they are normalised) to `length` frames, labels with 0."""
    label_matrix = np.zeros((len(labels), most_labels), np.int32)
    for row, ids in zip(label_matrix, labels, strict=True):
        row[:len(ids)] = ids
    return Batch(stack(feats, length, len(feats)),
                 np.array([out_frames(model, len(matrix)) for matrix in feats], np.int32),
                 label_matrix,
                 np.array([len(ids) for ids in labels], np.int32))


def stack(feats: list[np.ndarray], length: int, size: int) -> np.ndarray:
    """Features as one float32 (size, length, bins), zeros where there is nothing."""
    out = np.zeros((size, length, feats[0].shape[1]), np.float32)
    for row, matrix in zip(out, feats, strict=False):
        row[:len(matrix)] = matrix
    return out


def inference_batches(utts: Iterable[tuple[str, np.ndarray]], lengths: list[int], most_utts: int,
                      most_frames: int) -> Iterator[tuple[list[str], list[np.ndarray], int, int]]:
    """Group utterances by padded length, as they come: (utts, features, padded length, batch size).

    A group may hold fewer utterances than the batch size, which depends on the length alone.
    """
    waiting: dict[int, list[tuple[str, np.ndarray]]] = {}
    for utt, feats in utts:
        length = bk.padded_length(len(feats), lengths)
        size = bk.batch_size(length, most_utts, most_frames)
        group = waiting.setdefault(length, [])
        group.append((utt, feats))
        if len(group) == size:
            yield [name for name, _ in group], [matrix for _, matrix in group], length, size
            del waiting[length]
    for length, group in waiting.items():
        size = bk.batch_size(length, most_utts, most_frames)
        yield [name for name, _ in group], [matrix for _, matrix in group], length, size
