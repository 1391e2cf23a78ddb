"""Estimation of n-gram models by interpolated modified Kneser-Ney, and their pruning.

Chen and Goodman 1998 describe the smoothing; the treatment of `<s>`, `</s>` and `<unk>` is that of KenLM's lmplz
(Heafield et al. 2013).
"""

from collections.abc import Iterable, Sequence

import numpy as np

from steps.search.ngram import BOS, EOS, NEVER, UNK, Level, NGram, cut, suffixes, windows_in

FALLBACK = (0.5, 1.0, 1.5)  # discounts where the counts allow no estimate, as lmplz --discount_fallback has them
BUFFERED = 4_000_000  # n-grams that are collected before they are added up


class Counts:
    """How often n-grams occur in a text, which may be larger than memory; the different n-grams may not."""

    def __init__(self, words: list[str], order: int):
        self.words = words
        self.order = order
        self._windows = np.zeros((0, order), np.int64)
        self._counts = np.zeros(0, np.int64)

    def add(self, sentences: Iterable[Sequence[str]]) -> "Counts":
        """Count sentences. Unknown words count as <unk>."""
        ids = {word: number for number, word in enumerate(self.words)}
        lines, size = [], 0
        for sentence in sentences:
            lines.append([-1] * (self.order - 2) + [BOS, *(ids.get(word, UNK) for word in sentence), EOS])
            size += len(sentence) + 1
            if size > BUFFERED:
                self._take(lines)
                lines, size = [], 0
        self._take(lines)
        return self

    def _take(self, lines: list[list[int]]) -> None:
        if not lines:
            return
        skipped = max(1, self.order - 1)  # symbols at the begin of a line, up to <s>, that no n-gram ends with
        ends = np.cumsum([len(line) for line in lines])
        flat = np.concatenate([np.full(self.order - 1, -1), np.concatenate([np.array(line) for line in lines])])
        windows = np.lib.stride_tricks.sliding_window_view(flat, self.order)
        begins = np.concatenate([[0], ends[:-1]])
        wanted = np.ones(len(windows), bool)
        wanted[(begins[:, None] + np.arange(skipped)).ravel()] = False
        windows = windows[wanted]
        self._windows, self._counts = _add_up(np.concatenate([self._windows, windows]),
                                              np.concatenate([self._counts, np.ones(len(windows), np.int64)]))

    def adjusted(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """By order, from 1: the n-grams, int64 (number, n), sorted, and their counts, int64 (number,).

        Of the highest order, and of n-grams that begin with <s>, these are occurrences; of the others, the number of
        different words that stand before them.
        """
        windows, counts = self._windows, self._counts
        found = []
        for n in range(self.order, 0, -1):
            whole = windows[:, 0] >= 0
            found.append((windows[whole], counts[whole]))
            shorter = windows[:, 1:]
            # An n-gram that begins with <s> stands behind -1 alone: its occurrences are kept.
            windows, counts = _add_up(shorter, np.where(whole, 1, counts)) if n > 1 else (shorter, counts)
        return found[::-1]


def estimate(counts: Counts, prune: Sequence[int] = ()) -> NGram:
    """Interpolated modified Kneser-Ney over the words of `counts`, whether seen or not.

    Args:
        prune: by order, n-grams with at most so many adjusted counts are left out (lmplz --prune); absent means 0.
            Those that longer ones need as history or suffix stay.
    """
    size = len(counts.words)
    tables = counts.adjusted()
    adjusted = np.zeros(size)
    adjusted[tables[0][0][:, 0]] = tables[0][1]
    adjusted[BOS] = 0
    discount = _discounts(adjusted)[np.minimum(adjusted, 3).astype(np.int64)]
    total = max(adjusted.sum(), 1)
    left = discount.sum() / total if adjusted.any() else 1.0
    probs = (adjusted - discount) / total + left / (size - 1)
    rows = np.arange(size)
    levels = [Level(np.zeros(size, np.int64), rows, np.log10(probs), np.zeros(size))]
    levels[0].log_prob[BOS] = NEVER
    model = NGram(counts.words, levels)
    for windows, adjusted in tables[1:]:
        _add_order(model, windows, adjusted)
    return cut(model, [adjusted > (prune[n] if n < len(prune) else 0) for n, (_, adjusted) in enumerate(tables)][1:])


def _add_order(model: NGram, windows: np.ndarray, adjusted: np.ndarray) -> None:
    histories, suffixes = model.rows(windows[:, :-1]), model.rows(windows[:, 1:])
    below = model.levels[-1]
    discount = _discounts(adjusted)[np.minimum(adjusted, 3)]
    totals = np.bincount(histories, adjusted, len(below.word))
    left = np.bincount(histories, discount, len(below.word))
    seen = totals > 0
    gamma = np.ones(len(below.word))
    gamma[seen] = left[seen] / totals[seen]
    below.backoff = np.log10(gamma)
    probs = (adjusted - discount) / totals[histories] + gamma[histories] * 10 ** below.log_prob[suffixes]
    model.levels.append(Level(histories, windows[:, -1].copy(), np.log10(probs), np.zeros(len(probs))))


def _discounts(adjusted: np.ndarray) -> np.ndarray:
    """What is taken off counts of 0, 1, 2, and 3 or more."""
    n1, n2, n3, n4 = (int((adjusted == number).sum()) for number in (1, 2, 3, 4))
    if min(n1, n2, n3) == 0:
        return np.array([0, *FALLBACK])
    y = n1 / (n1 + 2 * n2)
    found = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
    if any(not 0 <= value <= number for number, value in enumerate(found, 1)):
        return np.array([0, *FALLBACK])
    return np.array([0, *found])


def _add_up(windows: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different windows, sorted, with the sums of their counts."""
    if len(windows) == 0:
        return windows, counts
    order = np.lexsort(windows.T[::-1])
    windows, counts = windows[order], counts[order]
    begins = np.flatnonzero(np.concatenate([[True], (windows[1:] != windows[:-1]).any(axis=1)]))
    return windows[begins], np.add.reduceat(counts, begins)


def without_unknown(model: NGram) -> NGram:
    """The model without n-grams of two words and more that hold <unk>."""
    return cut(model, [(windows_in(model, n) != UNK).all(axis=1) for n in range(2, model.order + 1)])


def prune_by_entropy(model: NGram, threshold: float) -> NGram:
    """Leave out the n-grams whose loss raises the perplexity by less than a part of `threshold` (Stolcke 1998).

    Those that longer ones need as history or suffix stay. Backoff weights are computed anew.
    """
    keep = [_matters(model, n, threshold) for n in range(2, model.order + 1)]
    return cut(model, keep)


def _matters(model: NGram, n: int, threshold: float) -> np.ndarray:
    level, below = model.levels[n - 1], model.levels[n - 2]
    probs, shorter = 10 ** level.log_prob, 10 ** below.log_prob[suffixes(model, n)]
    alpha = 10 ** below.backoff
    numerator = 1 - np.bincount(level.history, probs, len(below.word))
    denominator = 1 - np.bincount(level.history, shorter, len(below.word))
    history = level.history
    new_alpha = (numerator[history] + probs) / (denominator[history] + shorter)
    ratio = np.log(new_alpha) - np.log(alpha[history])
    loss = probs * (np.log(shorter) + np.log(new_alpha) - np.log(probs)) + numerator[history] * ratio
    return np.expm1(-_history_probs(model, n)[history] * loss) >= threshold


def _history_probs(model: NGram, n: int) -> np.ndarray:
    """P(history) by the model, for all rows of order n - 1."""
    probs = 10 ** model.levels[0].log_prob
    probs[BOS] = probs[EOS]  # a sentence begins as often as one ends
    for level in model.levels[1:n - 1]:
        probs = probs[level.history] * 10 ** level.log_prob
    return probs
