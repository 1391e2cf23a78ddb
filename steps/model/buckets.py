"""Which utterances share a batch, and how far they are padded.

Every batch has one of a few shapes, for each of which the network is compiled once. An utterance's padded length
depends on its own length alone, so its result does not depend on its company.
"""

import json
from pathlib import Path

import numpy as np

from steps.common.files import write_json

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
    chosen = []
    end = len(rounded)
    for used in range(count, 0, -1):
        chosen.append(int(rounded[end - 1]))
        end = origin[used, end]
    return chosen[::-1]


def padded_length(frames: int, buckets: list[int]) -> int:
    """The length that an utterance of `frames` is padded to: its bucket's, or one of a coarse grid beyond them."""
    for bucket in buckets:
        if frames <= bucket:
            return bucket
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

    Every utterance is in exactly one batch. What does not fill a batch of its bucket moves to the next longer one;
    the last batch is filled up with utterances drawn again. A batch is made of `parts` equal ones, each of at most
    `most_utts` utterances and `most_frames` padded frames.
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


def read_buckets(exp_dir: Path) -> list[int]:
    """The padded lengths (frames) that the experiment was trained with."""
    return json.loads((exp_dir / "buckets.json").read_text(encoding="utf-8"))


def write_buckets(exp_dir: Path, buckets: list[int]) -> None:
    """Keep the padded lengths beside the model."""
    write_json(exp_dir / "buckets.json", buckets)
