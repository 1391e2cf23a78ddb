"""N-gram language models as arrays: probabilities, perplexity, mixtures.

An n-gram is a row that points at the row of its history one order below. Every history and every shorter suffix of an
n-gram is in the model, too. `steps.search.lm` estimates such models, `steps.search.arpa` writes and reads them.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

UNK, BOS, EOS = 0, 1, 2  # ids of <unk>, <s> and </s>
SPECIAL = ("<unk>", "<s>", "</s>")
NEVER = -99.0  # log10 of the probability of <s>, as ARPA files write it
ROUNDS = 100  # of EM


@dataclass
class Level:
    """The n-grams of one order, sorted by history, then word."""

    history: np.ndarray  # int64 (n-grams,), row of the first n - 1 words one order below; zeros for unigrams
    word: np.ndarray  # int64 (n-grams,), id of the last word
    log_prob: np.ndarray  # float64 (n-grams,), log10
    backoff: np.ndarray  # float64 (n-grams,), log10; zeros in the highest order


@dataclass
class NGram:
    """A language model. The row of a unigram is the id of its word."""

    words: list[str]  # by id; the first three are SPECIAL
    levels: list[Level]

    @property
    def order(self) -> int:
        """Words in the longest n-grams."""
        return len(self.levels)

    def sizes(self) -> list[int]:
        return [len(level.word) for level in self.levels]

    def rows(self, windows: np.ndarray) -> np.ndarray:
        """Rows of the n-grams `windows` (int (number, n)) in order n; -1 for those that are not in the model."""
        found = windows[:, 0]
        for number in range(1, windows.shape[1]):
            found = _find(self.levels[number], found, windows[:, number], len(self.words))
        return found

    def log10_probs(self, windows: np.ndarray) -> np.ndarray:
        """log10 P(last word | words before it) for windows of ids, int (number, order); -1 stands for no word, and
        only at the left. Float64 (number,)."""
        scores = self.levels[0].log_prob[windows[:, -1]]
        for n in range(2, windows.shape[1] + 1):
            histories = self.rows(windows[:, -n:-1])
            found = _find(self.levels[n - 1], histories, windows[:, -1], len(self.words))
            known, there = histories >= 0, found >= 0
            scores[known] += self.levels[n - 2].backoff[histories[known]]
            scores[there] = self.levels[n - 1].log_prob[found[there]]
        return scores


def vocabulary(words: Iterable[str]) -> list[str]:
    """The special words, then `words` in C order."""
    return [*SPECIAL, *sorted(set(words) - set(SPECIAL))]


def windows_of(sentences: Iterable[Sequence[str]], words: list[str], order: int) -> np.ndarray:
    """A window for every word and </s> of the sentences: int64 (number, order), -1 before <s>."""
    ids = {word: number for number, word in enumerate(words)}
    lines = [[-1] * (order - 2) + [BOS, *(ids.get(word, UNK) for word in sentence), EOS] for sentence in sentences]
    if not lines:
        return np.zeros((0, order), np.int64)
    flat = np.fromiter(itertools.chain([-1] * (order - 1), *lines), np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(flat, order)
    begins = np.cumsum([0, *map(len, lines[:-1])])
    wanted = np.ones(len(windows), bool)
    wanted[(begins[:, None] + np.arange(max(1, order - 1))).ravel()] = False  # up to <s>: no window ends there
    return windows[wanted]


def from_tables(words: Sequence[str], tables: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> NGram:
    """A model of n-grams in any order, by order from 1: windows of places in `words`, int64 (number, n), log10 of
    probabilities, log10 of backoff weights.

    Histories and shorter suffixes that are not there, and n-grams whose probability is positive, as KenLM writes it for
    those that are there for longer ones alone, get the probability that backing off gives them.
    """
    model = NGram(vocabulary(words), [])
    ids = {word: number for number, word in enumerate(model.words)}
    to_id = np.array([ids[word] for word in words])
    needed = [np.zeros((0, n), np.int64) for n in range(1, len(tables) + 1)]
    for n in range(len(tables), 1, -1):
        windows = to_id[tables[n - 1][0]]
        needed[n - 1] = distinct(np.concatenate([windows, needed[n - 1]]))
        needed[n - 2] = distinct(np.concatenate([needed[n - 1][:, 1:], needed[n - 1][:, :-1]]))
    needed[0] = np.arange(len(model.words))[:, None]
    for n, (windows, probs, backoffs) in enumerate(tables, 1):
        there = needed[n - 1]
        history = model.rows(there[:, :-1]) if n > 1 else np.zeros(len(there), np.int64)
        level = Level(history, there[:, -1].copy(), np.full(len(there), np.inf), np.zeros(len(there)))
        shorter = model.log10_probs(there[:, 1:]) + model.levels[-1].backoff[history] if n > 1 else NEVER
        model.levels.append(level)
        rows = model.rows(to_id[windows])
        level.log_prob[rows], level.backoff[rows] = probs, backoffs
        level.log_prob = np.where(level.log_prob > 0, shorter, level.log_prob)
    return model


def over(model: NGram, words: list[str]) -> NGram:
    """The model over more words, which it gives no probability."""
    ids = {word: number for number, word in enumerate(words)}
    to_id = np.array([ids[word] for word in model.words])
    tables = [(to_id[windows_in(model, n)], level.log_prob, level.backoff) for n, level in enumerate(model.levels, 1)]
    return from_tables(words, tables)


def perplexity(model: NGram, sentences: Sequence[Sequence[str]]) -> float:
    """The perplexity of a text, ends of sentences included, unknown words as <unk>."""
    return float(10 ** -model.log10_probs(windows_of(sentences, model.words, model.order)).mean())


class Fit(NamedTuple):
    """How well a model fits a text."""

    perplexity: float | None  # over the words that the model knows, and ends of sentences; None if there are none
    unknown: float  # part of the words that it does not know: they have no probability, or that of <unk>


def fit(model: NGram, sentences: Sequence[Sequence[str]]) -> Fit:
    """As SRILM's ngram -ppl: one unknown word, 99 in log10, would drown all others."""
    windows = windows_of(sentences, model.words, model.order)
    last = windows[:, -1]
    known = (model.levels[0].log_prob[last] > NEVER / 2) & (last != UNK)
    log_probs = model.log10_probs(windows[known])
    return Fit(float(10 ** -log_probs.mean()) if known.any() else None,
               float((~known).sum() / max(1, (last != EOS).sum())))


def mix(models: Sequence[NGram], weights: Sequence[float]) -> NGram:
    """The linear interpolation of models over the same words as one model: the n-grams of all of them, each with its
    mixed probability (as SRILM's ngram -mix-lm)."""
    words, order = models[0].words, max(model.order for model in models)
    if any(model.words != words for model in models):
        raise ValueError("models over different words")
    mixed = NGram(words, [])
    for n in range(1, order + 1):
        windows = distinct(np.concatenate([windows_in(model, n) for model in models if model.order >= n]))
        probs = sum(weight * 10 ** model.log10_probs(windows[:, -model.order:])
                    for model, weight in zip(models, weights, strict=True))
        history = mixed.rows(windows[:, :-1]) if n > 1 else np.zeros(len(windows), np.int64)
        mixed.levels.append(Level(history, windows[:, -1].copy(), np.log10(probs), np.zeros(len(windows))))
    mixed.levels[0].log_prob[BOS] = NEVER
    return with_backoffs(mixed)


def best_weights(models: Sequence[NGram], sentences: Sequence[Sequence[str]]) -> list[float]:
    """The weights that minimise the perplexity of the mixture on a text, by EM (as SRILM's compute-best-mix).

    For a text without words they are equal.
    """
    weights = np.full(len(models), 1 / len(models))
    if not sentences:
        return weights.tolist()
    probs = np.stack([10 ** model.log10_probs(windows_of(sentences, model.words, model.order)) for model in models])
    for _ in range(ROUNDS):
        shares = weights[:, None] * probs
        weights = (shares / shares.sum(axis=0)).mean(axis=1)
    return weights.tolist()


def cut(model: NGram, keep: list[np.ndarray]) -> NGram:
    """The model without the n-grams that `keep`, bool (n-grams,) by order from 2, excludes and no kept one needs."""
    keep = [np.ones(len(model.words), bool), *(one.copy() for one in keep)]
    if all(one.all() for one in keep):
        return model
    for n in range(model.order, 1, -1):
        keep[n - 2][model.levels[n - 1].history[keep[n - 1]]] = True
        keep[n - 2][suffixes(model, n)[keep[n - 1]]] = True
    levels, new_rows = [], np.zeros(0, np.int64)
    for level, kept in zip(model.levels, keep, strict=True):
        history = new_rows[level.history[kept]] if levels else level.history
        levels.append(Level(history, level.word[kept], level.log_prob[kept], level.backoff[kept]))
        new_rows = np.cumsum(kept) - 1
    while len(levels[-1].word) == 0:
        levels.pop()
    return with_backoffs(NGram(model.words, levels))


def with_backoffs(model: NGram) -> NGram:
    """Set the backoff weights so that the probabilities after every history add up to one."""
    for n in range(2, model.order + 1):
        level, below = model.levels[n - 1], model.levels[n - 2]
        seen = np.bincount(level.history, minlength=len(below.word)) > 0
        left = 1 - np.bincount(level.history, 10 ** level.log_prob, len(below.word))
        shorter = 1 - np.bincount(level.history, 10 ** below.log_prob[suffixes(model, n)], len(below.word))
        usable = seen & (left > 1e-12) & (shorter > 1e-12)
        below.backoff = np.where(seen, NEVER, 0.0)
        below.backoff[usable] = np.log10(left[usable] / shorter[usable])
    model.levels[-1].backoff = np.zeros(len(model.levels[-1].word))
    return model


def suffixes(model: NGram, n: int) -> np.ndarray:
    """For each n-gram of order n the row of its last n - 1 words: int64 (n-grams,)."""
    return model.rows(windows_in(model, n)[:, 1:])


def windows_in(model: NGram, n: int) -> np.ndarray:
    """The n-grams of an order, int64 (number, n)."""
    columns, rows = [], np.arange(len(model.levels[n - 1].word))
    for level in reversed(model.levels[:n]):
        columns.append(level.word[rows])
        rows = level.history[rows]
    return np.stack(columns[::-1], axis=1)


def distinct(windows: np.ndarray) -> np.ndarray:
    """The different rows of int64 (number, n), sorted: as numpy's unique, which is slow with whole rows."""
    return add_up(windows, np.zeros(len(windows), np.int64))[0]


def add_up(windows: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different windows, sorted, with the sums of their counts."""
    if len(windows) == 0:
        return windows, counts
    order = np.lexsort(windows.T[::-1])
    windows, counts = windows[order], counts[order]
    begins = np.flatnonzero(np.concatenate([[True], (windows[1:] != windows[:-1]).any(axis=1)]))
    return windows[begins], np.add.reduceat(counts, begins)


def _find(level: Level, history: np.ndarray, word: np.ndarray, size: int) -> np.ndarray:
    """Rows of n-grams by the rows of their histories and their last words; -1 if there is none."""
    if len(level.word) == 0:
        return np.full(len(history), -1)
    keys = level.history * size + level.word
    wanted = history * size + word
    rows = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where((history >= 0) & (word >= 0) & (keys[rows] == wanted), rows, -1)
