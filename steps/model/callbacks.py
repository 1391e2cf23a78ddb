"""What happens while a training runs: train.csv, progress, dev and a checkpoint at the end of each epoch."""

import sys
import time
from pathlib import Path
from typing import NamedTuple

import mindspore as ms
import numpy as np
import pandas as pd
from mindspore import nn

from steps.common.files import atomic_open
from steps.common.process import write_progress
from steps.model.acoustic import DevPass
from steps.model.checkpoints import Checkpoints
from steps.model.parallel import Workers, statistics


class Epoch(NamedTuple):
    """A row of train.csv."""

    epoch: int
    steps: int  # updates so far
    seconds: float  # of training so far, dev passes included
    learning_rate: float  # of the last update
    train_loss: float  # nats per syllable, mean over the epoch's batches
    grad_norm: float  # median over the epoch's updates, before clipping
    dev_loss: float
    dev_ser: float  # dev's syllable error rate, a fraction
    best: bool  # the lowest dev_ser so far


class History:
    """The epochs done so far."""

    def __init__(self, rows: list[dict] | None = None):
        self.rows = [Epoch(**row) for row in rows or []]

    def add(self, row: Epoch) -> Epoch:
        """Append an epoch, marked as best where it is."""
        row = row._replace(best=not self.rows or row.dev_ser < min(before.dev_ser for before in self.rows))
        self.rows.append(row)
        return row

    def best(self, count: int) -> list[int]:
        """The epochs of lowest dev error, best first; the earlier of equals."""
        return [row.epoch for row in sorted(self.rows, key=lambda row: (row.dev_ser, row.epoch))[:count]]

    def epochs_since_best(self) -> int:
        """How many epochs brought no lower dev error."""
        return self.rows[-1].epoch - self.best(1)[0]

    def as_dicts(self) -> list[dict]:
        """For the checkpoint's metadata."""
        return [row._asdict() for row in self.rows]

    def write(self, path: Path) -> None:
        """Write train.csv."""
        with atomic_open(path) as file:
            pd.DataFrame(self.rows, columns=Epoch._fields).to_csv(file, index=False, float_format="%.6g")


LOG_EVERY_S = 15.0


class StepLog(ms.Callback):
    """Reads every step's loss and gradient norm, and says now and then how far training is and when it will end.

    Attributes:
        losses, norms: of the current epoch's steps.
    """

    def __init__(self, exp_dir: Path, epochs: int, steps_per_epoch: int, first_epoch: int, writes: bool):
        super().__init__()
        self._exp_dir = exp_dir
        self._writes = writes
        self._total = epochs * steps_per_epoch
        self._epochs = epochs
        self._done_before = (first_epoch - 1) * steps_per_epoch
        self._steps = 0  # of this process: a resumed training counts anew
        self._begin = self._said = time.monotonic()
        self.losses: list[float] = []
        self.norms: list[float] = []

    def on_train_epoch_begin(self, run_context):
        """Forget the last epoch."""
        self.losses, self.norms = [], []
        self._write(run_context.original_args().cur_epoch_num, self._seconds_left())

    def on_train_step_end(self, run_context):
        """Keep the step's numbers."""
        params = run_context.original_args()
        self._steps += 1
        loss, norm = params.net_outputs
        self.losses.append(float(loss.asnumpy()))
        self.norms.append(float(norm.asnumpy()))
        now = time.monotonic()
        if now - self._said >= LOG_EVERY_S:
            self._said = now
            self._say(params.cur_epoch_num)

    def _say(self, epoch: int) -> None:
        left = self._seconds_left()
        print(f"epoch {epoch} of {self._epochs}, step {self._done_before + self._steps}: "
              f"loss {np.mean(self.losses[-50:]):.3f}, ETA {left / 60:.1f} min", file=sys.stderr, flush=True)
        self._write(epoch, left)

    def _write(self, epoch: int, seconds_left: float | None) -> None:
        if self._writes:
            write_progress(self._exp_dir, epoch, self._epochs, seconds_left)

    def _seconds_left(self) -> float | None:
        if not self._steps:
            return None
        return (time.monotonic() - self._begin) / self._steps * (self._total - self._done_before - self._steps)


class EpochEnd(ms.Callback):
    """After each epoch: the dev pass, a row of train.csv, a checkpoint; and the end, where dev no longer improves.

    Of several workers all take part and know the same history; one writes.
    """

    def __init__(self, workers: Workers, step_log: StepLog, dev: DevPass, history: History, checkpoints: Checkpoints,
                 network: nn.Cell, optimizer: nn.Optimizer, rate_after, keep: int, keep_best: int, patience: int):
        super().__init__()
        self._workers = workers
        self._log = step_log
        self._dev = dev
        self._history = history
        self._checkpoints = checkpoints
        self._network = network
        self._optimizer = optimizer
        self._rate_after = rate_after
        self._keep, self._keep_best, self._patience = keep, keep_best, patience
        self._seconds_before = history.rows[-1].seconds if history.rows else 0.0
        self._begin = time.monotonic()

    def on_train_epoch_end(self, run_context):
        """Measure, record, save, and stop where `patience` is over."""
        params = run_context.original_args()
        epoch = params.cur_epoch_num
        self._workers.average(statistics(self._network))
        self._network.set_train(False)
        dev_loss, dev_ser = self._dev()
        self._network.set_train(True)
        steps = int(self._optimizer.global_step.asnumpy()[0])
        seconds = self._seconds_before + time.monotonic() - self._begin
        train_loss, grad_norm = float(np.mean(self._log.losses)), float(np.median(self._log.norms))
        row = self._history.add(Epoch(epoch, steps, seconds, self._rate_after(steps - 1), train_loss, grad_norm,
                                      dev_loss, dev_ser, best=False))
        if self._workers.writes:
            self._save(epoch)
        print(f"epoch {epoch}: train loss {row.train_loss:.3f}, dev loss {dev_loss:.3f}, dev syllable error rate "
              f"{dev_ser:.2%}{' (best)' if row.best else ''}, {seconds / 60:.1f} min", file=sys.stderr, flush=True)
        if self._patience and self._history.epochs_since_best() >= self._patience:
            print(f"no better dev syllable error rate in {self._patience} epochs: stopping", file=sys.stderr)
            run_context.request_stop()

    def _save(self, epoch: int) -> None:
        self._checkpoints.save(epoch, self._network, self._optimizer, self._history.as_dicts())
        self._history.write(self._checkpoints.folder.parent / "train.csv")
        kept = {before.epoch for before in self._history.rows[-self._keep:]}
        self._checkpoints.prune(kept, set(self._history.best(self._keep_best)))
