"""Goodness of pronunciation without segmentation: how likely a text is with one syllable exchanged, left out or added.

After Cao et al., arXiv 2507.16838: the probability that CTC gives to a whole text, over all paths, is compared with
that of the text with another syllable in one place. No alignment is made, so that none can be wrong. Prefixes in front
of the place and suffixes behind it are shared by all syllables that may stand there.
"""

import itertools
from typing import NamedTuple

import numpy as np

BLANK = 0
FLOOR = -100.0  # nats: what is less likely counts as this likely, so that any two texts can be compared
NEGLIGIBLE = 100.0  # nats: frames at which a run is this much less likely to begin or end than at the best are left out
LEAST = 1e-300  # of the best: what underflows counts as this


class Edits(NamedTuple):
    """Log-probabilities, over all paths, of a text of N syllables and of all texts that are one edit away."""

    total: float  # of the text
    instead: np.ndarray  # float64 (N, tokens): with token q in the place of syllable i; q = 0: with nothing there
    between: np.ndarray  # float64 (N + 1, tokens): with q in front of syllable i; q = 0: with nothing there, `total`


def edits(log_probs: np.ndarray, labels: list[int]) -> Edits:
    """All texts one edit away from `labels`, by the forward algorithm.

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
    so that its runs begin behind blanks alone, or end before blanks alone.
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

    Minus infinity where no run can be.
    """
    heights = np.log(emitted[:, 1:].max(axis=1) if emitted.shape[1] > 1 else emitted[:, 0])
    highest = np.append(0.0, heights.cumsum())
    entered = enter[:-1] - highest[:-1]
    left = highest[1:] + leave[1:]
    by_begin = entered + np.maximum.accumulate(left[::-1])[::-1]
    by_end = np.maximum.accumulate(entered) + left
    best = by_end.max(initial=-np.inf)  # of a recording of a frame, there may be none
    if best == -np.inf:
        return best, slice(0, 0)
    first = int(np.argmax(by_begin >= best - NEGLIGIBLE))
    last = len(by_end) - 1 - int(np.argmax(by_end[::-1] >= best - NEGLIGIBLE))
    return float(max(best, (enter + leave)[first:last + 2].max())), slice(first, last + 1)
