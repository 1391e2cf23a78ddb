"""Prefix beam search of CTC with an n-gram over syllables (Hannun et al. 2014), and its N-best lists.

A prefix is a sequence of syllables; its probability is the sum over all paths that spell it, times the language
model's. If the beam prunes nothing, the search is exact.
"""

import math
from pathlib import Path
from typing import NamedTuple

import kenlm
import numpy as np

from steps.common.checksums import check_sums
from steps.common.errors import UserError
from steps.search.ctc import BLANK
from steps.search.graph import GRAPH_AGAIN

BEAM = 64  # prefixes that are kept, at most
MARGIN = 7.0  # nats that such a prefix is behind the best one, at most
TOKENS = 20  # of a frame, at most, that prefixes are extended by
LEAST = 1e-3  # probability of such a token
NONE = -1  # no prefix
Longer = tuple[float, int, int]  # a probability, and a prefix with the token that then makes it longer


class Hypothesis(NamedTuple):
    """A sequence of tokens that the search found."""

    tokens: tuple[int, ...]
    score: float  # ln of its probability by the network, times that by the language model, weighted
    posterior: float  # its share of the probability of all that the search has kept


class SyllableLm:
    """A KenLM model over syllables, with the weights that it has beside the network.

    Args:
        path: an ARPA file or a KenLM binary.
        tokens: the network's tokens, the blank first.
        weight: exponent of the model's probability.
        insertion: added to the score for each syllable, in nats.

    Raises UserError if the file is missing or damaged.
    """

    def __init__(self, path: Path, tokens: list[str], weight: float, insertion: float):
        config = kenlm.Config()
        config.show_progress, config.arpa_complain = False, kenlm.ARPALoadComplain.NONE
        check_sums(path.parent, GRAPH_AGAIN, [path.name])
        try:
            self._model = kenlm.Model(str(path), config)
        except OSError as error:
            raise UserError(f"{path}: not readable as a language model ({str(error).split(' in ')[0][:100]}); "
                            f"{GRAPH_AGAIN}") from None
        self.remembered = max(1, self._model.order - 1)  # syllables that its states tell apart
        self._tokens = tokens
        self._exponent = weight * math.log(10)
        self._insertion = insertion
        self.highest_factor = math.exp(insertion)  # of a syllable that is certain

    def begin(self) -> kenlm.State:
        """The state before the first syllable."""
        state = kenlm.State()
        self._model.BeginSentenceWrite(state)
        return state

    def extend(self, state: kenlm.State, token: int) -> tuple[float, kenlm.State]:
        """The factor of `token` after `state`, and the state after it."""
        behind = kenlm.State()
        log10 = self._model.BaseScore(state, self._tokens[token], behind)
        return math.exp(self._exponent * log10 + self._insertion), behind

    def end(self, state: kenlm.State) -> float:
        """The factor of the end of the utterance."""
        return math.exp(self._exponent * self._model.BaseScore(state, "</s>", kenlm.State()))


class _Context:
    """The model's state after some last syllables, and what it said of the syllables after it."""

    def __init__(self, state: kenlm.State):
        self.state = state
        self.factors: dict[int, float] = {}  # by token
        self.states: dict[int, kenlm.State] = {}


class _Prefixes:
    """The tree of prefixes: by number, each with its last token, its children by token and its context.

    Prefixes that end alike share a context, so that the model is asked once for all of them.
    """

    def __init__(self, lm: SyllableLm):
        self._lm = lm
        self.highest_factor = lm.highest_factor
        self.last = [BLANK]
        self.children: list[dict[int, int]] = [{}]
        self.contexts = [_Context(lm.begin())]
        self._parent = [0]
        self._of_last: dict[tuple[int, ...], _Context] = {}

    def factor(self, context: _Context, token: int) -> float:
        """The factor of a token that the context was not asked for before."""
        context.factors[token], context.states[token] = self._lm.extend(context.state, token)
        return context.factors[token]

    def child(self, prefix: int, token: int) -> int:
        """The number of the prefix that is one token longer than `prefix`, which its context was asked for."""
        if token in self.children[prefix]:
            return self.children[prefix][token]
        found = self.children[prefix][token] = len(self.last)
        self.last.append(token)
        self.children.append({})
        self._parent.append(prefix)
        tokens = self.tokens(found, self._lm.remembered)
        key = tokens if len(tokens) == self._lm.remembered else (BLANK, *tokens)  # after the begin
        if key not in self._of_last:
            self._of_last[key] = _Context(self.contexts[prefix].states[token])
        self.contexts.append(self._of_last[key])
        return found

    def end(self, prefix: int) -> float:
        """The factor of ending there."""
        return self._lm.end(self.contexts[prefix].state)

    def tokens(self, prefix: int, most: float = math.inf) -> tuple[int, ...]:
        """The tokens of a prefix, or the last ones of them."""
        found: list[int] = []
        while prefix and len(found) < most:
            found.append(self.last[prefix])
            prefix = self._parent[prefix]
        return tuple(reversed(found))


def prefix_search(log_probs: np.ndarray, lm: SyllableLm, beam: int = BEAM, margin: float = MARGIN,
                  tokens: int = TOKENS, least: float = LEAST) -> list[Hypothesis]:
    """The likeliest sequences of one utterance, the best first: at most `beam`, at least one.

    Args:
        log_probs: float (frames, tokens), natural logarithms of probabilities, token 0 the blank. May have no frames.
    """
    prefixes, scale = _Prefixes(lm), 0.0
    ended = {0: (1.0, 0.0)}  # by prefix: probability of its paths that end in blank, and in its last token
    for frame, candidates in zip(log_probs, _candidates(log_probs, tokens, least), strict=True):
        same, longer = _step(prefixes, ended, frame, candidates, math.exp(-margin))
        top = max(max(map(sum, same.values())), max(longer, default=(0.0,))[0])
        scale += math.log(top)
        ended = _best(prefixes, same, longer, beam, top, math.exp(-margin))
    finals = {prefix: (blank + token) * prefixes.end(prefix) for prefix, (blank, token) in ended.items()}
    total = sum(finals.values())
    ranked = sorted(finals.items(), key=lambda item: -item[1])
    return [Hypothesis(prefixes.tokens(prefix), scale + math.log(final), final / total)
            for prefix, final in ranked if final > 0]


def _candidates(log_probs: np.ndarray, tokens: int, least: float) -> list[list[tuple[int, float]]]:
    """By frame, the likeliest tokens that are not the blank, with their probabilities."""
    found: list[list[tuple[int, float]]] = [[] for _ in log_probs]
    frames, likely = np.nonzero(log_probs[:, 1:] >= (math.log(least) if least else -math.inf))
    probs = np.exp(log_probs[frames, likely + 1], dtype=np.float64)
    for frame, token, prob in zip(frames.tolist(), (likely + 1).tolist(), probs.tolist(), strict=True):
        found[frame].append((token, prob))
    return [sorted(row, key=lambda entry: -entry[1])[:tokens] if len(row) > tokens else row for row in found]


def _step(prefixes: _Prefixes, ended: dict[int, tuple[float, float]], frame: np.ndarray,
          candidates: list[tuple[int, float]], worst: float) -> tuple[dict[int, list[float]], list[Longer]]:
    """What one frame, ln of probabilities, makes of the prefixes: of those there are, and of new ones. What adds less
    than `worst` of the best prefix so far is left out."""
    of_blank, same, longer = math.exp(frame[BLANK]), {}, []
    for prefix, (blank, token) in ended.items():
        same[prefix] = [(blank + token) * of_blank, token * math.exp(frame[prefixes.last[prefix]]) if token else 0.0]
    top, highest = max(map(sum, same.values())), prefixes.highest_factor
    for prefix, (blank, token) in ended.items():
        both, last = blank + token, prefixes.last[prefix]
        context, children = prefixes.contexts[prefix], prefixes.children[prefix]
        for candidate, prob in candidates:
            if both * prob * highest < top * worst:
                break  # the others are less likely still
            factor = context.factors.get(candidate) or prefixes.factor(context, candidate)
            adds = (blank if candidate == last else both) * prob * factor
            if adds < top * worst:
                continue
            top = max(top, adds)
            child = children.get(candidate, NONE)
            if child in same:
                same[child][1] += adds
            else:
                longer.append((adds, prefix, candidate))
    return same, longer


def _best(prefixes: _Prefixes, same: dict[int, list[float]], longer: list[Longer], beam: int, top: float,
          worst: float) -> dict[int, tuple[float, float]]:
    """The best prefixes, at most `beam`, with their probabilities, of which `top` is the highest, as parts of it."""
    least = top * worst
    entries = [(adds, 0.0, prefix, candidate) for adds, prefix, candidate in longer if adds >= least]
    entries += [(blank + token, blank, prefix, BLANK) for prefix, (blank, token) in same.items()
                if blank + token >= least]
    entries.sort(reverse=True)
    return {prefixes.child(prefix, candidate) if candidate else prefix: (blank / top, (both - blank) / top)
            for both, blank, prefix, candidate in entries[:beam]}
