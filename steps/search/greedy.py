"""Best-path decoding of CTC: the likeliest token of every frame, repeats collapsed, blanks removed (Graves 2006)."""

import numpy as np

from steps.search.emission import Emission

BLANK = 0


def greedy(log_probs: np.ndarray) -> list[Emission]:
    """The best path of one utterance.

    Args:
        log_probs: float (frames, tokens), natural logarithms of probabilities, token 0 the blank. Of equally likely
            tokens the lowest number wins. May have no frames.
    """
    if len(log_probs) == 0:
        return []
    path = log_probs.argmax(axis=1)
    best = log_probs[np.arange(len(path)), path]
    firsts = np.flatnonzero(np.diff(path, prepend=-1))
    lasts = np.append(firsts[1:], len(path)) - 1
    peaks = np.exp(np.maximum.reduceat(best, firsts))
    runs = zip(path[firsts].tolist(), firsts.tolist(), lasts.tolist(), peaks.tolist(), strict=True)
    return [Emission(*run) for run in runs if run[0] != BLANK]
