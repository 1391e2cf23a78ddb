"""CTC in float64 numpy: the cost that the operators of a device are held against (Graves et al. 2006, section 4.1)."""

import numpy as np


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
    path, may_skip = extended(labels, blank)
    emitted = log_probs[:, path]
    alpha = np.full(len(path), -np.inf)
    alpha[:2] = emitted[0, :2]
    for frame in emitted[1:]:
        stepped = np.concatenate([[-np.inf], alpha[:-1]])
        skipped = np.where(may_skip, np.concatenate([[-np.inf, -np.inf], alpha])[:len(path)], -np.inf)
        alpha = np.logaddexp(np.logaddexp(alpha, stepped), skipped) + frame
    return float(-np.logaddexp.reduce(alpha[-2:]))
