"""Confidence intervals by bootstrap over utterances, for rates that kaldialign cannot count itself."""

from collections.abc import Sequence

import numpy as np

REPLICATIONS = 10_000
SEED = 0
_AT_ONCE = 100  # replications; bounds the memory


def rate_intervals(errors: Sequence[Sequence[float]], of: Sequence[Sequence[float]]) -> list[list[float]]:
    """[low, high] of each of several rates, 95 %, as `steps.results.scores.confidence_interval` has it, seed fixed.

    1.96 standard deviations of 10,000 replications either side of their mean, cut at 0 (Kaldi's compute-wer-bootci).
    A replication in which there was nothing to get wrong counts as 0.

    Args:
        errors, of: (utterances, rates): a rate is its column's sum of `errors` by that of `of`.
    """
    errors, of = np.asarray(errors, float), np.asarray(of, float)
    utterances, width = errors.shape
    both = np.hstack([errors, of])
    draws = np.random.default_rng(SEED)
    first = np.arange(_AT_ONCE)[:, None] * utterances
    rates = []
    for _ in range(REPLICATIONS // _AT_ONCE):
        drawn = draws.integers(0, utterances, (_AT_ONCE, utterances)) + first
        times = np.bincount(drawn.ravel(), minlength=_AT_ONCE * utterances).reshape(_AT_ONCE, utterances)
        sums = times @ both
        rates.append(np.divide(sums[:, :width], sums[:, width:], out=np.zeros((_AT_ONCE, width)),
                               where=sums[:, width:] > 0))
    rates = np.concatenate(rates)
    mean, reach = rates.mean(axis=0), 1.96 * rates.std(axis=0, ddof=1)
    return np.stack([np.maximum(0, mean - reach), mean + reach], axis=1).tolist()
