"""The dev pass: loss and syllable error rate by greedy decoding."""

from collections.abc import Mapping

import kaldialign
import numpy as np

from steps.model.acoustic import LogProbs
from steps.model.ctc import ctc_cost
from steps.model.workers import Workers
from steps.results.errors import rate
from steps.search.greedy import greedy


class DevPass:
    """Measures a network on the dev set, of which each worker decodes its share.

    Args:
        feats: normalised features by utterance.
        pinyin: reference syllables by utterance. Syllables that are no token count as errors; utterances that hold one
            have no part in the loss.
    """

    def __init__(self, log_probs: LogProbs, feats: Mapping[str, np.ndarray], pinyin: dict[str, list[str]],
                 tokens: list[str], workers: Workers):
        self._log_probs = log_probs
        self._feats = feats
        utts = sorted(utt for utt in pinyin if utt in feats)
        self._pinyin = {utt: pinyin[utt] for utt in utts[workers.rank::workers.count]}
        self._workers = workers
        self._tokens = tokens
        ids = {token: number for number, token in enumerate(tokens)}
        self._ids = {utt: [ids[syllable] for syllable in syllables] for utt, syllables in self._pinyin.items()
                     if all(syllable in ids for syllable in syllables)}

    def __call__(self) -> tuple[float, float]:
        """(nats per syllable, syllable error rate), the same on all workers."""
        hyps: dict[str, list[str]] = {}
        loss = syllables = 0.0
        for utt, log_probs in self._log_probs((utt, self._feats[utt]) for utt in self._pinyin):
            hyps[utt] = [self._tokens[label.token] for label in greedy(log_probs)]
            if utt in self._ids:
                cost = ctc_cost(log_probs, self._ids[utt])
                if np.isfinite(cost):
                    loss += cost
                    syllables += len(self._ids[utt])
        found = kaldialign.batch_error_rate(self._pinyin.values(), [hyps[utt] for utt in self._pinyin])
        sums = self._workers.sum(np.array([loss, syllables, found["total"], found["ref_len"]])).tolist()
        return sums[0] / max(1.0, sums[1]), rate(sums[2], sums[3])
