"""Prefix beam search of CTC with an n-gram over syllables (Hannun et al. 2014), and its N-best lists.

A prefix is a sequence of syllables; its probability is the sum over all paths that spell it, times the language
model's. Where the beam prunes nothing, the search is exact.
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

    Raises UserError where the file is missing or damaged.
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
        self._tokens = tokens
        self._exponent = weight * math.log(10)
        self._insertion = insertion

    def begin(self) -> kenlm.State:
        """The state before the first syllable."""
        state = kenlm.State()
        self._model.BeginSentenceWrite(state)
        return state

    def extend(self, state: kenlm.State, token: int) -> tuple[float, kenlm.State]:
        """The factor of `token` behind `state`, and the state behind it."""
        behind = kenlm.State()
        log10 = self._model.BaseScore(state, self._tokens[token], behind)
        return math.exp(self._exponent * log10 + self._insertion), behind

    def end(self, state: kenlm.State) -> float:
        """The factor of the end of the utterance."""
        return math.exp(self._exponent * self._model.BaseScore(state, "</s>", kenlm.State()))


class _Prefixes:
    """The tree of prefixes: by number, each with its last token, its factor and the model's state behind it."""

    def __init__(self, lm: SyllableLm):
        self._lm = lm
        self.last = [BLANK]
        self.factor = [1.0]
        self._parent = [0]
        self._states = [lm.begin()]
        self._children: list[dict[int, int]] = [{}]

    def child(self, prefix: int, token: int) -> int:
        """The number of the prefix that is one token longer."""
        found = self._children[prefix].get(token)
        if found is None:
            factor, state = self._lm.extend(self._states[prefix], token)
            found = self._children[prefix][token] = len(self.last)
            self.last.append(token)
            self.factor.append(factor)
            self._parent.append(prefix)
            self._states.append(state)
            self._children.append({})
        return found

    def end(self, prefix: int) -> float:
        """The factor of ending there."""
        return self._lm.end(self._states[prefix])

    def tokens(self, prefix: int) -> tuple[int, ...]:
        """The tokens of a prefix."""
        found = []
        while prefix:
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
        kept = _best(_step(prefixes, ended, frame, candidates), beam)
        top = sum(kept[0][1])
        scale += math.log(top)
        least_kept = top * math.exp(-margin)
        ended = {prefix: (blank / top, token / top) for prefix, (blank, token) in kept if blank + token >= least_kept}
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
          candidates: list[tuple[int, float]]) -> dict[int, list[float]]:
    """What one frame, ln of probabilities, makes of the prefixes."""
    last, factor = prefixes.last, prefixes.factor
    of_blank = math.exp(frame[BLANK])
    found: dict[int, list[float]] = {}
    for prefix, (blank, token) in ended.items():
        both, same = blank + token, last[prefix]
        entry = found.setdefault(prefix, [0.0, 0.0])
        entry[0] += both * of_blank
        if token:
            entry[1] += token * math.exp(frame[same])
        for candidate, prob in candidates:
            child = prefixes.child(prefix, candidate)
            entry = found.setdefault(child, [0.0, 0.0])
            entry[1] += (blank if candidate == same else both) * prob * factor[child]
    return found


def _best(found: dict[int, list[float]], beam: int) -> list[tuple[int, list[float]]]:
    return sorted(found.items(), key=lambda item: -(item[1][0] + item[1][1]))[:beam]
