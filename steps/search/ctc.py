"""A network's output over features of any length, and CTC paths in it: emissions, greedy decoding, forced alignment."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np


class Acoustic(Protocol):
    """What decoding needs of `steps.model.acoustic.AcousticModel`."""

    tokens: list[str]
    frame_shift_s: float  # seconds per output frame

    def log_probs(self, utts: Iterator[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]: ...

    def parts(self, feats: np.ndarray) -> Iterator[np.ndarray]: ...  # log_probs of one utterance, piece by piece


class Emission(NamedTuple):
    """One token of a decoded utterance."""

    token: int
    first: int  # output frame where its run begins
    last: int  # output frame where its run ends, inclusive
    posterior: float  # its highest probability within the run


BLANK = 0
SURE = 0.98  # probability of a blank that changes nothing where another such frame stands before it


def greedy(log_probs: np.ndarray) -> list[Emission]:
    """The best path of one utterance.

    Args:
        log_probs: float (frames, tokens), natural logarithms of probabilities, token 0 the blank. Of equally likely
            tokens the lowest number wins. May have no frames.
    """
    return greedy_in_parts([log_probs])


def greedy_in_parts(parts: Iterable[np.ndarray]) -> list[Emission]:
    """As `greedy`, of log-probabilities that come in parts, one behind the other, of which one at a time is held."""
    paths, tops = [], []
    for log_probs in parts:
        paths.append(log_probs.argmax(axis=1))
        tops.append(log_probs[np.arange(len(log_probs)), paths[-1]])
    path, best = np.concatenate(paths), np.concatenate(tops)
    if len(path) == 0:
        return []
    firsts = np.flatnonzero(np.diff(path, prepend=-1))
    lasts = np.append(firsts[1:], len(path)) - 1
    peaks = np.exp(np.maximum.reduceat(best, firsts))
    runs = zip(path[firsts].tolist(), firsts.tolist(), lasts.tolist(), peaks.tolist(), strict=True)
    return [Emission(*run) for run in runs if run[0] != BLANK]


def without_sure_blanks(log_probs: np.ndarray) -> np.ndarray:
    """The frames that matter to a search, int64: of every run of sure blanks the first alone.

    Args:
        log_probs: float (frames, tokens), natural logarithms of probabilities. May have no frames.
    """
    sure = log_probs[:, BLANK] > np.log(SURE)
    return np.flatnonzero(~(sure & np.concatenate([[False], sure])[:-1]))


def extended(labels: list[int], blank: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The states that a path goes through: `labels` with blanks around them, int64 (2 × labels + 1,); and which of them
    may follow the last but one, bool."""
    path = np.full(2 * len(labels) + 1, blank)
    path[1::2] = labels
    may_skip = np.zeros(len(path), bool)
    may_skip[3::2] = path[3::2] != path[1:-2:2]
    return path, may_skip


def ctc_cost(log_probs: np.ndarray, labels: list[int], blank: int = 0) -> float:
    """The negative logarithm of the probability of `labels`, in nats, by the forward algorithm.

    Args:
        log_probs: (frames, tokens), natural logarithms of probabilities.
        labels: token ids without blanks; may be empty.

    Returns infinity where `labels` have no path through so few frames.
    """
    log_probs = np.asarray(log_probs, np.float64)
    if len(log_probs) == 0:
        return np.inf if labels else 0.0
    path, may_skip = extended(labels, blank)
    emitted = log_probs[:, path]
    alpha = np.full(len(path), -np.inf)
    alpha[:2] = emitted[0, :2]
    for frame in emitted[1:]:
        stepped = np.concatenate([[-np.inf], alpha[:-1]])
        skipped = np.where(may_skip, np.concatenate([[-np.inf, -np.inf], alpha])[:len(path)], -np.inf)
        alpha = np.logaddexp(np.logaddexp(alpha, stepped), skipped) + frame
    return float(-np.logaddexp.reduce(alpha[-2:]))


def align(log_probs: np.ndarray, labels: list[int]) -> list[Emission] | None:
    """The likeliest path that spells `labels`, as an emission for each; None where there is no path.

    Args:
        log_probs: float (frames, tokens), natural logarithms of probabilities, token 0 the blank.
        labels: token ids without blanks, at least one.
    """
    if len(log_probs) == 0:
        return None
    path, may_skip = extended(labels)
    emitted = log_probs[:, path]
    score = np.full(len(path), -np.inf)
    score[:2] = emitted[0, :2]
    steps_back = np.zeros(emitted.shape, np.int8)
    for frame in range(1, len(emitted)):
        origins = np.full((3, len(path)), -np.inf)  # from the same state, the last, the last but one
        origins[0] = score
        origins[1, 1:] = score[:-1]
        origins[2, may_skip] = score[:-2][may_skip[2:]]
        steps_back[frame] = origins.argmax(axis=0)
        score = origins.max(axis=0) + emitted[frame]
    state = len(path) - 2 + int(score[-1] >= score[-2])
    if score[state] == -np.inf:
        return None
    states = np.empty(len(emitted), np.int64)
    for frame in range(len(emitted) - 1, -1, -1):
        states[frame] = state
        state -= steps_back[frame, state]
    return [_emission(log_probs[:, token], np.flatnonzero(states == 2 * number + 1), token)
            for number, token in enumerate(labels)]


def _emission(log_probs: np.ndarray, frames: np.ndarray, token: int) -> Emission:
    return Emission(token, int(frames[0]), int(frames[-1]), float(np.exp(log_probs[frames].max())))


Part = tuple[np.ndarray, np.ndarray]  # some of the network's input, (frames, bins), and output, (out_frames, tokens)


class Windowed(Protocol):
    """What running a network in windows takes: input frames per output frame, and how many of them output frame i sees
    before and behind i × subsampling_factor; `one` maps features to log-probabilities."""

    subsampling_factor: int
    left_context: int
    right_context: int
    frame_shift_s: float  # seconds per output frame
    one: Callable[[np.ndarray], np.ndarray]


class Network(NamedTuple):
    """A network as `Windowed`."""

    one: Callable[[np.ndarray], np.ndarray]
    frame_shift_s: float
    subsampling_factor: int
    left_context: int
    right_context: int


def windows(model: Windowed, feats: Iterable[np.ndarray], window_s: float) -> Iterator[Part]:
    """The network's output over features that come in parts: what it is over all of them at once, bit by bit.

    Args:
        feats: float32 (frames, bins) each.
        window_s: seconds of new frames in a window.

    Yields:
        Features and log-probabilities, float32 (frames, bins) and (out_frames, tokens), that lie one behind the other;
        nothing where there is no frame.
    """
    factor = model.subsampling_factor
    before = -(-model.left_context // factor) * factor  # aligned to the strides
    count = max(1, round(window_s / model.frame_shift_s))
    start = done = 0  # the buffer's first frame; output frames that were given
    buffer: np.ndarray | None = None
    for part in feats:
        buffer = part if buffer is None else np.concatenate([buffer, part])
        while start + len(buffer) >= (done + count) * factor + model.right_context:
            frame = done * factor - start
            log_probs = model.one(buffer[:frame + count * factor + model.right_context])
            yield buffer[frame:frame + count * factor], log_probs[frame // factor:][:count]
            done += count
            drop = max(0, done * factor - before) - start
            buffer, start = buffer[drop:], start + drop
    if buffer is None or not start + len(buffer):
        return
    frame = done * factor - start
    yield buffer[frame:], model.one(buffer)[frame // factor:]
