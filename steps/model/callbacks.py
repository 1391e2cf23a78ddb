"""What happens between the steps and epochs of `mindspore.Model.train`."""

import sys
import time
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn

from steps.model.checkpoints import Checkpoints
from steps.model.dev import DevPass
from steps.model.history import Epoch, History
from steps.model.progress import write_progress
from steps.model.workers import Workers, statistics

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
