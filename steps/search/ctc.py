"""A network's output over features of any length, and CTC in it: emissions, greedy decoding, alignment, edits."""

import itertools
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
SURE = 0.98  # probability of a blank that changes nothing if another such frame stands before it


def greedy(log_probs: np.ndarray) -> list[Emission]:
    """The best path of one utterance.

    Args:
        log_probs: float (frames, tokens), natural logarithms of probabilities, token 0 the blank. Of equally likely
            tokens the lowest number wins. May have no frames.
    """
    return greedy_in_parts([log_probs])


def greedy_in_parts(parts: Iterable[np.ndarray]) -> list[Emission]:
    """As `greedy`, of log-probabilities in parts, float (frames, tokens), one after the other; one is in memory."""
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

    Returns infinity if `labels` have no path through so few frames.
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
    """The likeliest path that spells `labels`, as an emission for each; None if there is no path.

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
    runs = [(token, np.flatnonzero(states == 2 * number + 1)) for number, token in enumerate(labels)]
    return [Emission(token, int(frames[0]), int(frames[-1]), float(np.exp(log_probs[frames, token].max())))
            for token, frames in runs]


Part = tuple[np.ndarray, np.ndarray]  # some of the network's input, (frames, bins), and output, (out_frames, tokens)


class Network(NamedTuple):
    """What running a network in windows takes. Output frame i sees so much before and after i × subsampling_factor."""

    one: Callable[[np.ndarray], np.ndarray]  # features to log-probabilities
    frame_shift_s: float  # seconds per output frame
    subsampling_factor: int  # input frames per output frame
    left_context: int  # input frames
    right_context: int


def windows(model, feats: Iterable[np.ndarray], window_s: float) -> Iterator[Part]:
    """The network's output over features that come in parts: what it is over all of them at once, bit by bit.

    Args:
        model: a Network, or a model with its attributes.
        feats: float32 (frames, bins) each.
        window_s: seconds of new frames in a window.

    Yields:
        Features and log-probabilities, float32 (frames, bins) and (out_frames, tokens), that lie one after the other;
        nothing if there is no frame.
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


FLOOR = -100.0  # nats: what is less likely counts as this likely, so that any two texts can be compared
NEGLIGIBLE = 100.0  # nats: frames at which a run is this much less likely to begin or end than at the best are left out
LEAST = 1e-300  # of the best: what underflows counts as this


class Edits(NamedTuple):
    """Log-probabilities, over all paths, of a text of N syllables and of all texts that are one edit away.

    So a pronunciation is judged without segmentation (Cao et al., arXiv 2507.16838): no alignment can be wrong.
    """

    total: float  # of the text
    instead: np.ndarray  # float64 (N, tokens): with token q in the place of syllable i; q = 0: with nothing there
    between: np.ndarray  # float64 (N + 1, tokens): with q in front of syllable i; q = 0: with nothing there, `total`


def edits(log_probs: np.ndarray, labels: list[int]) -> Edits:
    """All texts one edit away from `labels`, by the forward algorithm; they share prefixes and suffixes.

    Args:
        log_probs: float (frames, tokens), natural logarithms of probabilities, token 0 the blank; at least one frame.
        labels: token ids without blanks; may be empty.

    A text that has no path through so few frames has minus infinity.
    """
    log_probs = np.maximum(np.asarray(log_probs, np.float64), FLOOR)
    before = _prefixes(log_probs, labels)
    behind = _Ends(*(ends[::-1, ::-1] for ends in _prefixes(log_probs[::-1], labels[::-1])))
    emitted = np.exp(log_probs)
    count = len(labels)
    instead = [_fillings(before, behind, emitted, labels, place, place + 1) for place in range(count)]
    between = [_fillings(before, behind, emitted, labels, place, place) for place in range(count + 1)]
    tokens = log_probs.shape[1]
    return Edits(float(between[0][BLANK]), np.reshape(instead, (count, tokens)), np.stack(between))


class _Ends(NamedTuple):
    """Log-probabilities of the frames before frame t to spell the first i labels, (labels + 1, frames + 1) both."""

    blank: np.ndarray  # the last of them a blank (or none of either yet)
    label: np.ndarray  # the last of them the i-th label


def _prefixes(log_probs: np.ndarray, labels: list[int]) -> _Ends:
    """Forward variables of every prefix of `labels`. Those of reversed frames and labels, reversed, are the suffixes':
    at [i, t] the frames from t on, which spell the labels from i on."""
    frames, count = len(log_probs), len(labels)
    emitted = log_probs[:, labels]
    repeats = np.array([False, *(a == b for a, b in itertools.pairwise(labels))])[:count]
    blank, label = np.full((2, frames + 1, count + 1), -np.inf)
    blank[0, 0] = 0.0
    for frame in range(frames):
        either = np.logaddexp(blank[frame], label[frame])
        blank[frame + 1] = log_probs[frame, BLANK] + either
        entering = np.where(repeats, blank[frame, :-1], either[:-1])
        label[frame + 1, 1:] = emitted[frame] + np.logaddexp(label[frame, 1:], entering)
    return _Ends(blank.T, label.T)


def _fillings(before: _Ends, behind: _Ends, emitted: np.ndarray, labels: list[int], first: int,
              rest: int) -> np.ndarray:
    """Log-probability (tokens,) of labels[:first], then each token (0: nothing), then labels[rest:].

    `emitted` are probabilities (frames, tokens). A token that equals its neighbour must be parted from it by a blank,
    so that its runs begin after blanks alone, or end before blanks alone.
    """
    last = labels[first - 1] if first else None
    following = labels[rest] if rest < len(labels) else None
    enter = np.logaddexp(before.blank[first], before.label[first])
    leave = np.logaddexp(behind.blank[rest], behind.label[rest])
    filled = _through(enter, leave, emitted)
    for token in {last, following} - {None}:
        filled[token] = _through(before.blank[first] if token == last else enter,
                                 behind.blank[rest] if token == following else leave, emitted[:, [token]])[0]
    if following is None:
        filled[BLANK] = enter[-1]
    else:
        joining = before.blank[first] if last == following else enter
        filled[BLANK] = np.logaddexp.reduce(joining + behind.label[rest])
    return filled


def _through(enter: np.ndarray, leave: np.ndarray, emitted: np.ndarray) -> np.ndarray:
    """Log of the sum over all runs of frames s..t of each token: enter[s], the run's probability, leave[t + 1].

    Logarithms are slow, so that sums are of probabilities, each times leave[t + 1] and relative to the greatest that
    there can be. None then overflows, and what underflows has no weight.
    """
    best, window = _where_it_matters(enter, leave, emitted)
    if best == -np.inf:
        return np.full(emitted.shape[1], -np.inf)
    enter, leave, emitted = enter[window.start:window.stop], leave[window.start:window.stop + 1], emitted[window]
    begins = np.exp(enter + leave[:-1] - best)
    with np.errstate(invalid="ignore"):
        steps = np.nan_to_num(np.exp(np.diff(leave)))  # minus infinity stays what it is
    run, total = np.zeros((2, emitted.shape[1]))
    for frame, begin, step in zip(emitted, begins, steps, strict=True):
        run = (run + begin) * (frame * step)
        total += run
    return np.log(np.maximum(total, LEAST)) + best


def _where_it_matters(enter: np.ndarray, leave: np.ndarray, emitted: np.ndarray) -> tuple[float, slice]:
    """The greatest log-probability that a run (or none) can have, and the frames where it is not negligible.

    Minus infinity if no run can be.
    """
    heights = np.log(emitted[:, 1:].max(axis=1) if emitted.shape[1] > 1 else emitted[:, 0])
    highest = np.append(0.0, heights.cumsum())
    entered = enter[:-1] - highest[:-1]
    left = highest[1:] + leave[1:]
    by_begin = entered + np.maximum.accumulate(left[::-1])[::-1]
    by_end = np.maximum.accumulate(entered) + left
    best = by_end.max(initial=-np.inf)  # a recording of one frame may have no run
    if best == -np.inf:
        return best, slice(0, 0)
    first = int(np.argmax(by_begin >= best - NEGLIGIBLE))
    last = len(by_end) - 1 - int(np.argmax(by_end[::-1] >= best - NEGLIGIBLE))
    return float(max(best, (enter + leave)[first:last + 2].max())), slice(first, last + 1)
