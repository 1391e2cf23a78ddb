"""Checks of train.csv: divergence, oscillation, plateau."""

import numpy as np
import pandas as pd

from steps.diagnosis.context import Context
from steps.diagnosis.finding import Finding, percent

ENOUGH = 5  # epochs before a course can be judged
RISE = 0.03  # of the loss, from an epoch to the next, is more than chance makes in a mean over an epoch
STALLED = 0.05  # less of the loss lost in the last third of the epochs
PLATEAU_SER = 0.8  # syllable error rate of a network that has not begun to recognise


def check_divergence(context: Context) -> Finding:
    """The training loss stays finite and does not climb again."""
    return _judge("divergence", judge_divergence, context.history)


def check_oscillation(context: Context) -> Finding:
    """The losses fall steadily."""
    return _judge("oscillation", judge_oscillation, context.history)


def check_plateau(context: Context) -> Finding:
    """Training goes on learning, and dev with it."""
    return _judge("plateau", judge_plateau, context.history)


def _judge(name: str, judge, history: pd.DataFrame) -> Finding:
    if not len(history):
        return Finding(name, "skipped", "no epoch of training is done yet: train.csv is not there")
    return judge(history)


def judge_divergence(history: pd.DataFrame) -> Finding:
    """`history` is train.csv, at least one row."""
    losses = history["train_loss"].to_numpy(float)
    bad = history.loc[~np.isfinite(losses), "epoch"]
    remedy = ("lower train.optimizer.learning_rate to a third (the sweep below shows what the network bears), lengthen "
              "warmup_steps, keep clip_norm above 0; and see what the checks of features say")
    if len(bad):
        return Finding("divergence", "error", f"the training loss is not finite from epoch {bad.iloc[0]} on", [],
                       remedy)
    best = int(losses.argmin())
    climb = losses[-1] / losses[best] - 1
    norms = history["grad_norm"]
    evidence = [f"training loss: lowest {losses[best]:.3f} in epoch {best + 1}, last {losses[-1]:.3f}",
                f"gradient norm: median {norms.median():.2f}, last {norms.iloc[-1]:.2f}"]
    if best < len(losses) - 1 and climb > 0.5 and losses[-1] - losses[best] > 0.05:
        return Finding("divergence", "error", f"the training loss climbed by {percent(climb)} above its lowest",
                       evidence, remedy)
    return Finding("divergence", "ok", "the training loss has not climbed again", evidence)


def judge_oscillation(history: pd.DataFrame) -> Finding:
    """How often the training loss rises from an epoch to the next, and how wildly dev's moves, after the first two."""
    rows = history.iloc[2:]
    if len(rows) < ENOUGH:
        return Finding("oscillation", "skipped", f"after {len(history)} epochs it can't be told yet")
    train, dev = (np.diff(np.log(rows[name].to_numpy(float))) for name in ("train_loss", "dev_loss"))
    rises, jumps = float(np.mean(train > np.log1p(RISE))), float(np.mean(np.abs(dev) > np.log(1.5)))
    evidence = [f"the training loss rose by more than {percent(RISE)} in {percent(rises)} of epochs",
                f"dev's loss changed by more than half in {percent(jumps)} of epochs",
                f"ups and downs of the training loss: {np.abs(train).sum():.2f} in all for a net change of "
                f"{train.sum():+.2f} (logarithms)"]
    if rises < 0.2 and jumps < 0.2:
        return Finding("oscillation", "ok", "the loss falls steadily", evidence)
    severity = "error" if max(rises, jumps) > 0.35 and np.abs(train).sum() > 3 * abs(train.sum()) else "warning"
    return Finding("oscillation", severity, "the loss goes up and down", evidence,
                   "the rate is too high for the batch: lower learning_rate or raise batch_size; if the loss stays "
                   "high, too, the check of the loss tells whether a second softmax is the cause")


def judge_plateau(history: pd.DataFrame) -> Finding:
    """Stuck at a loss that says nothing is recognised; or past dev's best while train's loss goes on falling."""
    if len(history) < ENOUGH:
        return Finding("plateau", "skipped", f"after {len(history)} epochs it can't be told yet")
    third = max(2, len(history) // 3)
    train, dev = history["train_loss"].to_numpy(float), history["dev_loss"].to_numpy(float)
    gain = 1 - train[-1] / train[-third - 1]
    best = int(history["dev_ser"].to_numpy(float).argmin())
    ser = float(history["dev_ser"].iloc[best])
    evidence = [f"in the last {third} epochs the training loss fell by {percent(gain)}, to {train[-1]:.3f}",
                f"dev's syllable error rate is lowest, {percent(ser)}, in epoch {best + 1} of {len(history)}"]
    if ser > PLATEAU_SER and gain < STALLED:
        return Finding("plateau", "error", "training is stuck where the network answers with blanks or always the same",
                       evidence, "see the checks of labels, loss, overfit and sweep: it is a fault in the data or the "
                       "loss if one batch can't be learnt, else the rate is too high (or, with few steps, too low)")
    if dev[-1] > 1.15 * dev.min() and gain > STALLED and best < len(history) - third:
        return Finding("plateau", "warning", "dev gets no better while train's loss goes on falling: overfitting",
                       evidence, "more augmentation (train.augment), use_dropout, a smaller network, more data; or "
                       "stop earlier (train.patience)")
    return Finding("plateau", "ok", "training went on learning, and dev with it", evidence)
