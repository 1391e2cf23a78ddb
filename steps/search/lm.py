"""Language models for decoding, from word lists and text: over words for graphs, over syllables for the prefix beam;
and their estimation by interpolated modified Kneser-Ney, and their pruning."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from steps.common.errors import UserError
from steps.config.schema import Pinyin
from steps.search.arpa import is_binary, read_arpa, read_trie, write_arpa
from steps.search.graph import build_graph
from steps.search.ngram import (
    BOS,
    EOS,
    NEVER,
    UNK,
    Fit,
    Level,
    NGram,
    add_up,
    best_weights,
    cut,
    fit,
    mix,
    over,
    suffixes,
    vocabulary,
    windows_in,
    windows_of,
)
from steps.search.words import Readings, newspaper_clauses, only_hanzi, read_own_words, readings_of

UNKNOWN = 1e-3  # share of words that a word list lacks
SAMPLE = 1_000_000  # words that stand for a word list as text
POWERS = {"words": 1.0, "words, flattened": 0.5}  # of their counts: running text, vocabulary drills
NEGLIGIBLE = 0.01  # weight below which a source is left out
SENTENCE = 12.0  # words of a sentence, if there is no text to count them in
OWN_WEIGHTS = {"scale": 2.5, "blank_penalty": 2.0}  # of a list of the user; chosen on dev of hsk_spoken
Sentences = Sequence[Sequence[str]]


class Mixed(NamedTuple):
    """A mixture, and what it was made from."""

    model: NGram
    weights: dict[str, float]  # by source
    fits: dict[str, Fit]  # to dev, by source and of the mixture; empty without dev


def read_model(path: Path, tokens: Collection[str] = ()) -> NGram:
    """A user's model: an ARPA file, or one of KenLM's binary tries. Raises UserError if it is neither, and if no
    word of it is hanzi or one of `tokens`."""
    model = read_trie(path) if is_binary(path) else read_arpa(path)
    if not only_hanzi(model.words) and {*model.words}.isdisjoint(tokens):
        known = "hanzi or a syllable of the network" if tokens else "hanzi"
        raise UserError(f"{path}: none of its words is {known}; name a model over words such as 我们")
    return model


def newspaper_lm() -> NGram:
    """Word bigrams of the newspaper that comes with the general words."""
    clauses = newspaper_clauses()
    return estimate(clauses, vocabulary(word for clause in clauses for word in clause), 2)


def word_lm(lexicon: Sequence[Readings], counts: Mapping[str, int], texts: Mapping[str, Sentences], dev: Sentences,
            order: int, others: Mapping[str, NGram] | None = None, prune: float = 0.0) -> Mixed:
    """A model over the words of `lexicon`: their frequencies, and n-grams of each text of words.

    What stands beside <unk> is left out: in graphs any syllable is <unk>, and each n-gram with it would be thousands of
    arcs.

    Args:
        texts: by name.
        others: models of the user's own, by name.
        prune: n-grams are left out whose loss raises the perplexity by a smaller part.
    """
    others = others or {}
    words = vocabulary([*(one.word for one in lexicon), *(word for model in others.values() for word in model.words)])
    models = {"words": unigram(words, counts, sentence_length(texts.values()))} if counts else {}
    models |= _of_texts(texts, words, order) | {name: over(model, words) for name, model in others.items()}
    return _mixed({name: without_unknown(model) for name, model in models.items()}, dev, prune)


def syllable_lm(tokens: Sequence[str], lexicon: Sequence[Readings], counts: Mapping[str, int],
                texts: Mapping[str, Sentences], dev: Sentences, length: float, order: int,
                others: Mapping[str, NGram] | None = None, prune: float = 0.0) -> Mixed:
    """A model over the network's tokens: words that follow each other at random, and texts of syllables.

    Args:
        texts: by name.
        length: words in a sentence of the words, on average.
        others: models of the user's own over syllables, by name.
        prune: as of `word_lm`.
    """
    others = others or {}
    words = vocabulary([*tokens, *(word for model in others.values() for word in model.words)])
    models = {name: estimate(random_text(lexicon, counts, words, length, power), words, order)
              for name, power in POWERS.items()} if counts else {}
    return _mixed(models | _of_texts(texts, words, order) | {name: over(model, words)
                                                             for name, model in others.items()}, dev, prune)


def _of_texts(texts: Mapping[str, Sentences], words: list[str], order: int) -> dict[str, NGram]:
    return {name: estimate(text, words, order) for name, text in texts.items() if text}


def sentence_length(texts: Iterable[Sentences]) -> float:
    """Words in a sentence of texts, on average."""
    lengths = [len(sentence) for text in texts for sentence in text]
    return sum(lengths) / len(lengths) if lengths else SENTENCE


def unigram(words: list[str], counts: Mapping[str, int], length: float) -> NGram:
    """The words' frequencies as a model; one word in `length` + 1 is the end of a sentence."""
    occurs = np.array([counts.get(word, 0) for word in words], float)
    occurs[[UNK, BOS, EOS]] = 0
    probs = occurs * (1 - UNKNOWN) / occurs.sum()
    probs[UNK] = UNKNOWN
    probs *= length / (length + 1)
    probs[EOS] = 1 / (length + 1)
    with np.errstate(divide="ignore"):
        log_probs = np.maximum(np.log10(probs), NEVER)
    return NGram(words, [Level(np.zeros(len(words), np.int64), np.arange(len(words)), log_probs,
                               np.zeros(len(words)))])


def random_text(lexicon: Sequence[Readings], counts: Mapping[str, int], syllables: Sequence[str], length: float,
                power: float) -> list[tuple[str, ...]]:
    """Sentences of syllables, of SAMPLE words drawn at random by their counts to a power; always the same ones.

    Words with a syllable that is not among `syllables` are left out.
    """
    known = set(syllables)
    spellings, weights = [], []
    for word, readings in lexicon:
        total = sum(map(math.exp, readings.values()))
        for spelling, log_prob in readings.items():
            if known.issuperset(spelling) and counts.get(word, 0):
                spellings.append(spelling)
                weights.append(counts[word] ** power * math.exp(log_prob) / total)
    draw = np.random.default_rng(1)
    drawn = draw.choice(len(spellings), SAMPLE, p=np.array(weights) / sum(weights)).tolist() if spellings else []
    ends = np.flatnonzero(draw.random(len(drawn)) < 1 / max(1.0, length)) + 1
    return [tuple(syllable for number in drawn[begin:end] for syllable in spellings[number])
            for begin, end in zip([0, *ends[:-1]], ends, strict=True)] if len(ends) else []


def _mixed(models: dict[str, NGram], dev: Sentences, prune: float) -> Mixed:
    weights = dict(zip(models, best_weights(list(models.values()), dev), strict=True))
    kept = {name: weight for name, weight in weights.items() if weight >= NEGLIGIBLE}
    total = sum(kept.values())
    shares = [weight / total for weight in kept.values()]
    model = mix([models[name] for name in kept], shares) if len(kept) > 1 else models[next(iter(kept))]
    if prune:
        model = prune_by_entropy(model, prune)
    fits = {name: fit(one, dev) for name, one in (models | {"mixed": model}).items()} if dev else {}
    return Mixed(model, weights, fits)


def own_graph(words: Path, folder: Path, tokens: list[str], policy: Pinyin) -> Path:
    """Make the decoding graph of a list of the user, and of nothing but its words, in `folder`.

    Raises UserError for a list that is missing or malformed, and if no word has tokens for all its syllables.
    """
    own = read_own_words(words)
    lexicon = readings_of(own.counts, [policy], own.readings)
    if not any(set(tokens).issuperset(syllables) for one in lexicon for syllables in one.readings):
        raise UserError(f"{words}: each of its words has a syllable that the network does not know; tokens.txt has "
                        "those that it knows")
    write_arpa(folder / "words.arpa", unigram(vocabulary(own.counts), own.counts, length=1.0))
    build_graph(folder, folder / "words.arpa", lexicon, tokens, unknown=False)
    return folder


FALLBACK = (0.5, 1.0, 1.5)  # discounts if the counts allow no estimate, as lmplz --discount_fallback has them


def adjusted_counts(sentences: Iterable[Sequence[str]], words: list[str], order: int
                    ) -> list[tuple[np.ndarray, np.ndarray]]:
    """By order, from 1: the n-grams of a text, int64 (number, n), sorted, and their counts, int64 (number,).

    For the highest order, and for n-grams that begin with <s>, the counts are occurrences; for the others, the number
    of different words that stand before them. Unknown words count as <unk>.
    """
    windows = windows_of(sentences, words, order)
    windows, counts = add_up(windows, np.ones(len(windows), np.int64))
    found = []
    for n in range(order, 0, -1):
        whole = windows[:, 0] >= 0
        found.append((windows[whole], counts[whole]))
        shorter = windows[:, 1:]
        # An n-gram that begins with <s> stands after -1 alone: its occurrences are kept.
        windows, counts = add_up(shorter, np.where(whole, 1, counts)) if n > 1 else (shorter, counts)
    return found[::-1]


def estimate(sentences: Iterable[Sequence[str]], words: list[str], order: int) -> NGram:
    """Interpolated modified Kneser-Ney over `words`, whether seen or not, of a text.

    Chen and Goodman 1998 describe the smoothing; the treatment of `<s>`, `</s>` and `<unk>` is that of KenLM's lmplz
    (Heafield et al. 2013).
    """
    tables, size = adjusted_counts(sentences, words, order), len(words)
    adjusted = np.zeros(size)
    adjusted[tables[0][0][:, 0]] = tables[0][1]
    adjusted[BOS] = 0
    discount = _discounts(adjusted)[np.minimum(adjusted, 3).astype(np.int64)]
    total = max(adjusted.sum(), 1)
    left = discount.sum() / total if adjusted.any() else 1.0
    probs = (adjusted - discount) / total + left / (size - 1)
    levels = [Level(np.zeros(size, np.int64), np.arange(size), np.log10(probs), np.zeros(size))]
    levels[0].log_prob[BOS] = NEVER
    model = NGram(words, levels)
    for windows, counts in tables[1:]:
        _add_order(model, windows, counts)
    return model


def _add_order(model: NGram, windows: np.ndarray, adjusted: np.ndarray) -> None:
    histories, shorter = model.rows(windows[:, :-1]), model.rows(windows[:, 1:])
    below = model.levels[-1]
    discount = _discounts(adjusted)[np.minimum(adjusted, 3)]
    totals = np.bincount(histories, adjusted, len(below.word))
    left = np.bincount(histories, discount, len(below.word))
    seen = totals > 0
    gamma = np.ones(len(below.word))
    gamma[seen] = left[seen] / totals[seen]
    below.backoff = np.log10(gamma)
    probs = (adjusted - discount) / totals[histories] + gamma[histories] * 10 ** below.log_prob[shorter]
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


def without_unknown(model: NGram) -> NGram:
    """The model without n-grams of two words and more that hold <unk>."""
    return cut(model, [(windows_in(model, n) != UNK).all(axis=1) for n in range(2, model.order + 1)])


def prune_by_entropy(model: NGram, threshold: float) -> NGram:
    """Leave out the n-grams whose loss raises the perplexity by less than a part of `threshold` (Stolcke 1998).

    Those that longer ones need as history or suffix stay. Backoff weights are computed again.
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
