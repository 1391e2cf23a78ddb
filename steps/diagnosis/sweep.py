"""The learning rate sweep: short trainings at several rates, from the same start on the same batches.

Smith (2017, "Cyclical learning rates") raises the rate within one training and looks where the loss turns up. With
batch norm, Adam and clipping it hardly does, though training fails: at rates that are too high the network stays on the
plateau where CTC begins, and answers as if it were deaf. Hence a whole short training for each rate, with warm-up and
decay, on a few batches again and again; what is compared is the loss that each ends with, with the others' and with the
plateau's (`deaf_loss`).
"""

import time
from collections.abc import Mapping

import numpy as np

from steps.diagnosis.context import Context
from steps.diagnosis.deaf import deaf_loss
from steps.diagnosis.finding import Finding, Severity
from steps.diagnosis.plots import curves_figure, sweep_figure

FACTORS = (1.0, 1 / 3, 3.0)  # of the configured rate, tried in this order
BEYOND = 10.0  # then outwards by this, until the network learns well at one of them
MOST = 6  # rates
STEPS = (120, 160)  # of each training, at least and at most
WARMUP = 0.4  # of the steps; the rest is decay
SHARE = 0.6  # of the minutes, for all
# Of the plateau's loss: whoever ends above DEAF has not learnt to hear, above SLOW little, below LEARNT well.
DEAF, SLOW, LEARNT = 0.7, 0.4, 0.2
BETTER = 0.4  # of the configured rate's loss: what another must come below to be recommended


def check_rate(context: Context) -> Finding:
    """The configured learning rate is about the best of those tried."""
    configured = context.config.experiment.train.optimizer.learning_rate
    bench, begin = context.bench, time.monotonic()
    seconds = 60 * SHARE * context.minutes
    bench.train([0.0] * 3, bench.batches)
    step_s = (time.monotonic() - begin) / 3
    steps = int(np.clip(seconds / step_s / (len(FACTORS) + 1), *STEPS))
    losses: dict[float, np.ndarray] = {}
    deaf = deaf_loss(bench.batches)
    while (rate := next_rate({rate: score(run, steps) for rate, run in losses.items()}, configured, deaf)) is not None:
        if len(losses) > 1 and time.monotonic() - begin > seconds:
            break
        bench.reset()
        losses[rate] = bench.train(rate * shape(steps), bench.batches).losses
    bench.reset()
    losses = dict(sorted(losses.items()))
    scores = {rate: score(run, steps) for rate, run in losses.items()}
    curves = {f"{rate:.1e}": run for rate, run in losses.items()}
    return judge_rate(scores, configured, steps, deaf)._replace(
        figures=[sweep_figure(scores, configured, deaf, "Loss reached, by learning rate"),
                 curves_figure(curves, "Short trainings")])


def next_rate(scores: Mapping[float, float], configured: float, deaf: float) -> float | None:
    """The rate to be tried next, given the loss that others reached and the plateau's; None where that is enough."""
    for factor in FACTORS:
        if configured * factor not in scores:
            return configured * factor
    lowest, highest, best = min(scores), max(scores), min(scores, key=scores.get)
    if len(scores) >= MOST or scores[best] < LEARNT * deaf:
        return None
    if scores[best] > DEAF * deaf:  # none hears: too slow to reach even the plateau, or too fast to leave it
        return highest * BEYOND if scores[lowest] > deaf / DEAF else lowest / BEYOND
    if lowest < best < highest:
        return None
    return best / BEYOND if best == lowest else best * BEYOND


def recommended(scores: Mapping[float, float], deaf: float) -> float:
    """The highest rate at which the network learns well, or the best one: learning by heart favours rates too low."""
    well = [rate for rate, value in scores.items() if value < LEARNT * deaf]
    return max(well) if well else min(scores, key=scores.get)


def shape(steps: int) -> np.ndarray:
    """Share of the rate in each step: a linear rise, a linear fall. float64 (steps,)."""
    step = np.arange(1, steps + 1)
    return np.minimum(step / (WARMUP * steps), (steps + 1 - step) / ((1 - WARMUP) * steps))


def score(losses: np.ndarray, planned: int) -> float:
    """What a short training reached: the mean loss of its last tenth; infinity where it did not come so far."""
    if len(losses) < planned or not np.isfinite(losses).all():
        return float("inf")
    return float(np.mean(losses[-max(1, planned // 10):]))


def judge_rate(scores: Mapping[float, float], configured: float, steps: int, deaf: float) -> Finding:
    """`scores`: nats per syllable that trainings of `steps` steps reached, by rate; `deaf`: the plateau's."""
    own, best = scores[configured], recommended(scores, deaf)
    evidence = [f"{steps} steps at {rate:.2g} end at {value:.2f} nats per syllable" for rate, value in scores.items()]
    evidence.append(f"an output that knows nothing of the features would reach {deaf:.2f}")
    if scores[best] > DEAF * deaf:
        return Finding("learning rate", "warning", f"at no rate tried does the network learn to hear in {steps} steps",
                       evidence, "give more time (--minutes); if the check of overfit failed, mend that first")
    if own > DEAF * deaf:
        return _off(configured, best, "error", "the network does not learn to hear", evidence)
    if own > SLOW * deaf and scores[best] < BETTER * own:
        return _off(configured, best, "warning", "the network learns slowly", evidence)
    faster = own > LEARNT * deaf and scores[best] < BETTER * own
    return Finding("learning rate", "ok", f"the network learns at {configured:.2g}"
                   + (f"; {best:.2g} learns these few batches faster, and is worth a try" if faster else ""), evidence)


def _off(configured: float, best: float, severity: Severity, what: str, evidence: list[str]) -> Finding:
    side = "high" if best < configured else "low"
    return Finding("learning rate", severity, f"the learning rate is too {side}: at {configured:.2g} {what}, at "
                   f"{best:.2g} it learns the same batches", evidence,
                   f"set train.optimizer.learning_rate to about {best:.2g}"
                   + ("; or lengthen warmup_steps" if side == "high" else ""))
