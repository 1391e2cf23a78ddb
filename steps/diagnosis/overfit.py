"""The check that no network should fail: to learn one small batch by heart."""

import time

import numpy as np

from steps.diagnosis.context import Context
from steps.diagnosis.finding import Finding
from steps.diagnosis.plots import curves_figure
from steps.results.errors import syllable_error_rate
from steps.search.greedy import greedy

RATES = (1e-3, 5e-3, 2e-4)  # one of which fits any network; tried in turn, until one has learnt
OVERFIT_STEPS = 150
OVERFIT_SHARE = 0.4  # of the minutes, for all
OVERFIT_LEARNT = 0.2  # nats per syllable


def check_overfit(context: Context) -> Finding:
    """One batch is learnt by heart, to a loss near zero, at some rate."""
    begin = time.monotonic()
    tried: dict[str, np.ndarray] = {}
    for number, rate in enumerate(RATES, 1):
        finding, losses = _try(context, rate, begin + 60 * context.minutes * OVERFIT_SHARE * number / len(RATES))
        tried[f"rate {rate:g}"] = losses
        if finding.severity == "ok":
            break
    return finding._replace(figures=[curves_figure(tried, "Overfitting one batch")])


def _try(context: Context, rate: float, deadline: float) -> tuple[Finding, np.ndarray]:
    bench = context.bench
    bench.reset()
    run = bench.train(rate * np.minimum(1, np.arange(1, OVERFIT_STEPS + 1) / 10), [bench.batch], deadline)
    log_probs, batch = bench.inference(), bench.batch
    refs = {i: list(map(str, labels[:count]))
            for i, (labels, count) in enumerate(zip(batch.labels, batch.label_lengths, strict=True))}
    hyps = {i: [str(label.token) for label in greedy(matrix[:frames])]
            for i, (matrix, frames) in enumerate(zip(log_probs, batch.out_lengths, strict=True))}
    bench.reset()
    return judge_overfit(run.losses, syllable_error_rate(refs, hyps), OVERFIT_STEPS), run.losses


def judge_overfit(losses: np.ndarray, error_rate: float, planned: int) -> Finding:
    """`losses` by step, in nats per syllable; `error_rate` of the batch afterwards; `planned`: steps."""
    last = float(np.mean(losses[-3:]))
    evidence = [f"loss {losses[0]:.2f} → {last:.3f} nats per syllable in {len(losses)} steps",
                f"syllable error rate on the batch, as decoding sees it: {100 * error_rate:.0f} %"]
    if last < OVERFIT_LEARNT:
        return Finding("overfit", "ok", "one batch is learnt by heart", evidence)
    if not np.isfinite(last):
        return Finding("overfit", "error", "the loss turned NaN while learning one batch", evidence,
                       "see the checks of features, loss and gradients")
    if len(losses) < planned or last < 0.5 * np.min(losses[:len(losses) * 2 // 3]):
        return Finding("overfit", "warning", "one batch was not yet learnt by heart; the loss still falls", evidence,
                       "give more time (--minutes)")
    return Finding("overfit", "error", "the network can't even learn one batch by heart", evidence,
                   "the fault lies in labels, loss or network, not in the amount of data: see the checks of loss, "
                   "blank, labels, gradients and ReLUs; try the preset resnet_small")
