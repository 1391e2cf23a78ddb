"""Forced alignment by CTC: which output frames emit the syllables of a known text (Viterbi's algorithm)."""

import numpy as np

from steps.model.ctc import extended
from steps.search.emission import Emission


def align(log_probs: np.ndarray, labels: list[int]) -> list[Emission] | None:
    """The likeliest path that spells `labels`, as an emission for each; None where there is no path.

    Args:
        log_probs: float (frames, tokens), natural logarithms of probabilities, token 0 the blank.
        labels: token ids without blanks, at least one.
    """
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
