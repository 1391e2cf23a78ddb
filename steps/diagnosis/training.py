"""Checks of the training: curves, learning rate, overfitting of one batch.

The learning rate sweep trains shortly at several rates, from the same start on the same batches. Smith (2017,
"Cyclical learning rates") raises the rate within one training and looks where the loss turns up. With batch norm, Adam
and clipping the loss does not turn up: at rates that are too high the network stays on the plateau where CTC begins. So
each rate gets a short training with warm-up and decay, and the loss at its end is compared with the others' and the
plateau's.
"""

import time
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from steps.diagnosis.bench import Bench
from steps.diagnosis.context import Finding, Severity, curves_figure, percent, sweep_figure
from steps.diagnosis.network import UNTRAINED, deaf_loss, reference_loss
from steps.report.errors import syllable_error_rate
from steps.search.ctc import greedy

ENOUGH = 5  # epochs before a course can be judged
RISE = 0.03  # of the loss, from an epoch to the next, is more than chance makes in a mean over an epoch
STALLED = 0.05  # less of the loss lost in the last third of the epochs
PLATEAU_SER = 0.8  # syllable error rate of a network that has not begun to recognise
FEW_STEPS = 500  # updates; mini begins to recognise after about 150


COLUMNS = "steps", "train_loss", "dev_loss", "dev_ser", "grad_norm"  # of train.csv


def judge_course(judge: Callable[[pd.DataFrame], Finding], history: pd.DataFrame) -> Finding:
    """A check of train.csv, if it has the columns that `judge` wants."""
    if not len(history):
        return Finding("skipped", "no epoch of training is done yet: train.csv is not there")
    lacking = [column for column in COLUMNS if column not in history]
    if lacking:
        return Finding("skipped", f"train.csv has no {', '.join(lacking)}: another program wrote it")
    return judge(history)


def judge_divergence(history: pd.DataFrame) -> Finding:
    """The training loss stays finite and does not climb again. `history` is train.csv, at least one row."""
    losses = history["train_loss"].to_numpy(float)
    bad = history.loc[~np.isfinite(losses), "epoch"]
    remedy = ("lower train.optimizer.learning_rate to a third (the sweep below shows which rates work), lengthen "
              "warmup_steps, keep clip_norm above 0; and see what the checks of features say")
    if len(bad):
        return Finding("error", f"the training loss is not finite from epoch {bad.iloc[0]} on", [], remedy)
    best = int(losses.argmin())
    climb = losses[-1] / losses[best] - 1
    norms = history["grad_norm"]
    evidence = [f"training loss: lowest {losses[best]:.3f} in epoch {best + 1}, last {losses[-1]:.3f}",
                f"gradient norm: median {norms.median():.2f}, last {norms.iloc[-1]:.2f}"]
    if best < len(losses) - 1 and climb > 0.5 and losses[-1] - losses[best] > 0.05:
        return Finding("error", f"the training loss climbed by {percent(climb)} above its lowest", evidence, remedy)
    return Finding("ok", "the training loss has not climbed again", evidence)


def judge_oscillation(history: pd.DataFrame) -> Finding:
    """How often the training loss rises from an epoch to the next, and dev's by much, after the first two."""
    rows = history.iloc[2:]
    if len(rows) < ENOUGH:
        return Finding("skipped", f"after {len(history)} epochs it cannot be told yet")
    train, dev = (np.diff(np.log(rows[name].to_numpy(float))) for name in ("train_loss", "dev_loss"))
    rises, jumps = float(np.mean(train > np.log1p(RISE))), float(np.mean(dev > np.log(1.5)))
    evidence = [f"the training loss rose by more than {percent(RISE)} in {percent(rises)} of epochs",
                f"dev's loss rose by more than half in {percent(jumps)} of epochs",
                f"ups and downs of the training loss: {np.abs(train).sum():.2f} in all for a net change of "
                f"{train.sum():+.2f} (logarithms)"]
    if rises < 0.2 and jumps < 0.2:
        return Finding("ok", "the loss falls steadily", evidence)
    severity = "error" if max(rises, jumps) > 0.35 and np.abs(train).sum() > 3 * abs(train.sum()) else "warning"
    return Finding(severity, "the loss goes up and down", evidence,
                   "the rate is too high for the batch: lower learning_rate or raise batch_size; if the loss stays "
                   "high, too, the check of the loss tells whether a second softmax is the cause")


def judge_plateau(history: pd.DataFrame) -> Finding:
    """Stuck at a loss that says nothing is recognised; or past dev's best while train's loss goes on falling."""
    if len(history) < ENOUGH:
        return Finding("skipped", f"after {len(history)} epochs it cannot be told yet")
    third = max(2, len(history) // 3)
    train, dev = history["train_loss"].to_numpy(float), history["dev_loss"].to_numpy(float)
    gain = 1 - train[-1] / train[-third - 1]
    best = int(history["dev_ser"].to_numpy(float).argmin())
    ser = float(history["dev_ser"].iloc[best])
    evidence = [f"in the last {third} epochs the training loss fell by {percent(gain)}, to {train[-1]:.3f}",
                f"dev's syllable error rate is lowest, {percent(ser)}, in epoch {best + 1} of {len(history)}"]
    steps = int(history["steps"].iloc[-1])
    if ser > PLATEAU_SER and steps < FEW_STEPS:
        return Finding("error", f"training had only {steps} updates, and has not begun to recognise",
                       evidence, "more epochs or smaller batches; a small corpus starts from a trained network "
                       "(train.init_from)")
    if ser > PLATEAU_SER and gain < STALLED:
        return Finding("error", "training is stuck: the network answers with blanks, or always the same",
                       evidence, "see the checks of labels, loss, overfit and sweep: it is a fault in the data or the "
                       "loss if one batch cannot be learnt, else the rate is too high")
    if dev[-1] > 1.15 * dev.min() and gain > STALLED and best < len(history) - third:
        return Finding("warning", "dev gets no better while train's loss goes on falling: overfitting",
                       evidence, "more augmentation (train.augment), a smaller network, more data; or "
                       "stop earlier (train.patience)")
    return Finding("ok", "training went on learning, and dev with it", evidence)


FACTORS = (1.0, 1 / 3, 3.0)  # of the configured rate, tried in this order
BEYOND = 10.0  # then outwards by this, until the network learns well at one of them
MOST = 6  # rates
STEPS = (120, 160)  # of each training, at least and at most
WARMUP = 0.4  # of the steps; the rest is decay
SHARE = 0.6  # of the minutes, for all
# Shares of the plateau's loss. A network that ends above DEAF has learnt nothing, above SLOW little, below LEARNT well.
DEAF, SLOW, LEARNT = 0.7, 0.4, 0.2
BETTER = 0.4  # of the configured rate's loss: what another must come below to be recommended


def check_rate(bench: Bench) -> Finding:
    """The configured learning rate is close to the best of those that were tried."""
    context, begin = bench.context, time.monotonic()
    configured = context.config.experiment.train.optimizer.learning_rate
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
    """The rate to be tried next, given the loss that others reached and the plateau's; None if that is enough."""
    for factor in FACTORS:
        if configured * factor not in scores:
            return configured * factor
    lowest, highest, best = min(scores), max(scores), min(scores, key=scores.get)
    if len(scores) >= MOST or scores[best] < LEARNT * deaf:
        return None
    if scores[best] > DEAF * deaf:  # none has learnt: too slow to reach the plateau, or too fast to leave it
        return highest * BEYOND if scores[lowest] > deaf / DEAF else lowest / BEYOND
    if lowest < best < highest:
        return None
    return best / BEYOND if best == lowest else best * BEYOND


def recommended(scores: Mapping[float, float], deaf: float) -> float:
    """The highest rate at which the network learns well, or the best one. On a few batches low rates look best."""
    well = [rate for rate, value in scores.items() if value < LEARNT * deaf]
    return max(well) if well else min(scores, key=scores.get)


def shape(steps: int) -> np.ndarray:
    """Share of the rate in each step: a linear rise, a linear fall. float64 (steps,)."""
    step = np.arange(1, steps + 1)
    return np.minimum(step / (WARMUP * steps), (steps + 1 - step) / ((1 - WARMUP) * steps))


def score(losses: np.ndarray, planned: int) -> float:
    """What a short training reached: the mean loss of its last tenth; infinity if it did not come so far."""
    if len(losses) < planned or not np.isfinite(losses).all():
        return float("inf")
    return float(np.mean(losses[-max(1, planned // 10):]))


def judge_rate(scores: Mapping[float, float], configured: float, steps: int, deaf: float) -> Finding:
    """`scores`: nats per syllable that trainings of `steps` steps reached, by rate; `deaf`: the plateau's."""
    own, best = scores[configured], recommended(scores, deaf)
    evidence = [f"{steps} steps at {rate:.2g} end at {value:.2f} nats per syllable" for rate, value in scores.items()]
    evidence.append(f"an output that knows nothing of the features would reach {deaf:.2f}")
    if scores[best] > DEAF * deaf:
        return Finding("warning", f"the network learns at none of the rates tried, in {steps} steps",
                       evidence, "give more time (--minutes); if the check of overfit failed, mend that first")
    if own > DEAF * deaf:
        return _off(configured, best, "error", "the network does not learn to recognise", evidence)
    if own > SLOW * deaf and scores[best] < BETTER * own:
        return _off(configured, best, "warning", "the network learns slowly", evidence)
    faster = own > LEARNT * deaf and scores[best] < BETTER * own
    return Finding("ok", f"the network learns at {configured:.2g}"
                   + (f"; {best:.2g} learns these few batches faster, and is worth a try" if faster else ""), evidence)


def _off(configured: float, best: float, severity: Severity, what: str, evidence: list[str]) -> Finding:
    side = "high" if best < configured else "low"
    return Finding(severity, f"the learning rate is too {side}: at {configured:.2g} {what}, at "
                   f"{best:.2g} it learns the same batches", evidence,
                   f"set train.optimizer.learning_rate to about {best:.2g}"
                   + ("; or lengthen warmup_steps" if side == "high" else ""))


RATES = (1e-3, 5e-3, 2e-4)  # one of which fits any network; tried in turn, until one has learnt
OVERFIT_STEPS = 150
OVERFIT_SHARE = 0.4  # of the minutes, for all
OVERFIT_LEARNT = 0.2  # nats per syllable


def check_overfit(bench: Bench) -> Finding:
    """One batch is learnt by heart, to a loss near zero, at some rate."""
    begin = time.monotonic()
    tried: dict[str, np.ndarray] = {}
    for number, rate in enumerate(RATES, 1):
        finding, losses = _try(bench, rate, begin + 60 * bench.context.minutes * OVERFIT_SHARE * number / len(RATES))
        tried[f"rate {rate:g}"] = losses
        if finding.severity == "ok":
            break
    return finding._replace(figures=[curves_figure(tried, "Overfitting one batch")])


def _try(bench: Bench, rate: float, deadline: float) -> tuple[Finding, np.ndarray]:
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
        return Finding("ok", "one batch is learnt by heart", evidence)
    if not np.isfinite(last):
        return Finding("error", "the loss turned NaN while learning one batch", evidence,
                       "see the checks of features, loss and gradients")
    if len(losses) < planned or last < 0.5 * np.min(losses[:len(losses) * 2 // 3]):
        return Finding("warning", "one batch was not yet learnt by heart; the loss still falls", evidence,
                       "give more time (--minutes)")
    return Finding("error", "the network cannot even learn one batch by heart", evidence,
                   "the fault lies in labels, loss or network, not in the amount of data: see the checks of loss, "
                   "blank, labels, gradients and ReLUs; try the network of conf/mini.yaml")


# By how many times the loss may fall if batch norm normalises by the batch. hsk: 0.9, words with sentences: 1.4.
NORM_BETTER = 1.08
NORM_BATCH = range(8, 33)  # utterances


def check_norm(bench: Bench) -> Finding:
    """Batch norm's averages fit short and long utterances; in training a batch holds utterances of like length."""
    if bench.trained is None:
        return Finding("skipped", UNTRAINED)
    utts = sorted(bench.utterances("dev"), key=lambda utt: len(utt.feats))
    size = min(NORM_BATCH[-1], len(utts) // 2)
    if size < NORM_BATCH[0]:
        return Finding("skipped", f"too few of dev's utterances fit, {len(utts)} of {2 * NORM_BATCH[0]}")
    batches = {name: bench.batch_of(group, len(group[-1].feats), max(len(utt.labels) for utt in group))
               for name, group in (("shortest", utts[:size]), ("longest", utts[-size:]))}
    bench.load()
    averages, own = ([reference_loss(bench.inference(batch, own_norm), batch) for batch in batches.values()]
                     for own_norm in (False, True))  # the latter change the averages
    bench.reset()
    losses = dict(zip(batches, zip(averages, own, strict=True), strict=True))
    return judge_norm(losses)


def judge_norm(losses: Mapping[str, tuple[float, float]]) -> Finding:
    """`losses`: nats per label, with batch norm's averages and with the batch's own mean and variance, by group."""
    evidence = [f"the {name} utterances of dev: loss {averages:.2f} as in decoding, {own:.2f} with the "
                f"batch's own mean and variance, as in training" for name, (averages, own) in losses.items()]
    if all(averages <= NORM_BETTER * own for averages, own in losses.values()):
        return Finding("ok", "batch norm's averages fit short and long utterances", evidence)
    return Finding("warning", "the network does worse with batch norm's averages than with each batch's "
                   "own mean and variance", evidence, "train a third of the epochs, or more, with the averages: "
                   "`train: {freeze_norm: 10}`")
