"""Callbacks of a training: progress, a stop at NaN; after each epoch dev, train.csv and a checkpoint; summaries.

Summaries (`train.summary`) are a file for MindInsight, and one with the same values for TensorBoard. MindSpore's own
`SummaryRecord` is not used: its processes poll their queue without a pause and take a processor from training.
tensorboardX's has a thread, and a queue that a kill loses. The writers here write at once.
"""

import math
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore.train.summary._summary_adapter import get_event_file_name, package_summary_event
from mindspore.train.summary.enums import WriterPluginEnum
from mindspore.train.summary.writer import SummaryWriter
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import image, scalar

from steps.common.errors import UserError
from steps.config.exp_dir import write_progress
from steps.config.schema import Train
from steps.model.acoustic import DevPass
from steps.model.checkpoints import Checkpoints, Epoch, History, named_parameters
from steps.model.optimizer import learning_rate
from steps.model.parallel import MOST_LEFT_OUT, Workers, statistics


class Training(NamedTuple):
    """A training that runs, as its callbacks see it."""

    exp_dir: Path
    config: Train
    steps_per_epoch: int
    network: nn.Cell
    optimizer: nn.Optimizer
    dev: DevPass
    checkpoints: Checkpoints
    history: History
    workers: Workers

    @property
    def updates(self) -> int:
        """Updates so far, those before an interruption included."""
        return int(self.optimizer.global_step.asnumpy()[0])

    def rate(self, updates: int) -> float:
        """The learning rate of update number `updates`, counted from 1."""
        return learning_rate(self.config.optimizer, self.config.epochs * self.steps_per_epoch, updates - 1)

    def prune_checkpoints(self, begun: tuple[int, int] | None = None) -> None:
        """Remove the checkpoints that nothing needs: not those of the last epochs, of the best, and within an epoch."""
        kept = {row.epoch for row in self.history.rows[-self.config.keep_checkpoints:]}
        self.checkpoints.prune(kept, set(self.history.best(max(1, self.config.average))), begun)

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or dev's error has not fallen for `patience` epochs."""
        patience = self.config.patience
        return self.history.epochs >= self.config.epochs or 0 < patience <= self.history.epochs_since_best()


LOG_EVERY_S = 15.0
SAVE_EVERY = 1000  # updates between checkpoints within an epoch: an epoch of a large corpus takes hours


class StepLog(ms.Callback):
    """Reads the loss and gradient norm of every step, and stops if they are not finite. Every 15 seconds it says how
    far training is and when it will end. In an epoch of many steps it saves checkpoints.

    Args:
        begun: what a checkpoint keeps of an epoch that was interrupted: step, seconds, losses and norms.

    Attributes:
        losses, norms: of the current epoch's steps.
    """

    def __init__(self, training: Training, begun: dict[str, Any]):
        super().__init__()
        self._training = training
        self._total = training.config.epochs * training.steps_per_epoch
        self._step = begun.get("step", 0)  # of the current epoch
        self._before = training.history.epochs * training.steps_per_epoch + self._step
        self._steps = 0  # of this process
        self._left_out = 0  # updates in a row that amp has left out
        self._first: dict[tuple[int, ...], float] = {}  # seconds of a shape's first step: MindSpore compiles in it
        rows = training.history.rows
        self._seconds_before = begun.get("seconds", rows[-1].seconds if rows else 0.0)
        self._begin = self._said = time.monotonic()
        self.losses: list[float] = begun.get("losses", [])
        self.norms: list[float] = begun.get("norms", [])

    @property
    def seconds(self) -> float:
        """How long training has taken so far."""
        return self._seconds_before + time.monotonic() - self._begin

    def on_train_epoch_begin(self, run_context):
        """Forget the last epoch, unless it is the one that was begun before this process."""
        if self._steps:
            self._step, self.losses, self.norms = 0, [], []
        self._write(run_context.original_args().cur_epoch_num, self._seconds_left())

    def on_train_step_begin(self, run_context):
        """Note when the step begins."""
        self._step_begin = time.monotonic()

    def on_train_step_end(self, run_context):
        """Keep the step's numbers. Raises UserError if they are not finite."""
        params = run_context.original_args()
        self._steps += 1
        self._step += 1
        loss, norm = (float(value.asnumpy()) for value in params.net_outputs)
        self._first.setdefault(params.train_dataset_element[0].shape, time.monotonic() - self._step_begin)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._check_diverged(params.cur_epoch_num, loss, norm)
        else:
            self._left_out = 0
            self.losses.append(loss)
            self.norms.append(norm)
        now = time.monotonic()
        if self.losses and now - self._said >= LOG_EVERY_S:
            self._said = now
            self._say(params.cur_epoch_num)
        if self._step % SAVE_EVERY == 0 and self._step < self._training.steps_per_epoch:
            self._save()

    def _save(self) -> None:
        """Save a checkpoint within an epoch. It takes the place of the last such one."""
        training, done = self._training, self._training.history.epochs
        training.workers.average(statistics(training.network))
        if training.workers.writes:
            begun = {"step": self._step, "seconds": self.seconds, "losses": self.losses, "norms": self.norms}
            training.checkpoints.save(done, training.network, training.optimizer, training.history.as_dicts(), begun)
            training.prune_checkpoints((done, self._step))

    def _check_diverged(self, epoch: int, loss: float, norm: float) -> None:
        """With amp, the loss scale leaves out updates whose gradients overflow: only many in a row are a divergence."""
        self._left_out += 1
        if self._training.config.precision == "amp" and self._left_out <= MOST_LEFT_OUT:
            return
        step = self._before + self._steps
        last = f"{self.norms[-1]:.3g} in the step before" if self.norms else "not known, as this was the first step"
        raise UserError(f"training has diverged: loss {loss:g} and gradient norm {norm:g} in epoch {epoch}, step "
                        f"{step}, at learning rate {self._training.rate(step):.3g}; the gradient norm was {last}. "
                        f"{remedy(self._training)}")

    def _say(self, epoch: int) -> None:
        left = self._seconds_left()
        eta = "" if left is None else f", ETA {left / 60:.1f} min"
        print(f"epoch {epoch} of {self._training.config.epochs}, step {self._before + self._steps}: "
              f"loss {np.mean(self.losses[-50:]):.3f}{eta}", file=sys.stderr, flush=True)
        self._write(epoch, left)

    def _write(self, epoch: int, seconds_left: float | None) -> None:
        if self._training.workers.writes:
            write_progress(self._training.exp_dir, epoch, self._training.config.epochs, seconds_left)

    def _seconds_left(self) -> float | None:
        """By the mean of the steps so far, without the first of each shape. None if there is no other step yet."""
        steps = self._steps - len(self._first)
        seconds = time.monotonic() - self._begin - sum(self._first.values())
        return seconds / steps * (self._total - self._before - self._steps) if steps else None


def remedy(training: Training) -> str:
    done = training.history.epochs
    kept = f"The checkpoint of epoch {done} is kept. " if done else "There is no checkpoint yet. "
    return (f"{kept}Run `python -m steps.diagnose {training.exp_dir.name}`, which checks data, network and rate; then "
            f"lower train.optimizer.learning_rate (now {training.config.optimizer.learning_rate:g}) or lengthen "
            f"warmup_steps, and train again")


class EpochEnd(ms.Callback):
    """After each epoch: the dev pass, a row of train.csv, a checkpoint. Ends training if dev no longer improves.

    All workers take part and know the same history. One writes.
    """

    def __init__(self, training: Training, step_log: StepLog):
        super().__init__()
        self._training = training
        self._log = step_log

    def on_train_epoch_end(self, run_context):
        """Measure, record, save, and stop if `patience` is over. Raises UserError if it has diverged."""
        training = self._training
        row = training.history.add(self._measure(run_context.original_args().cur_epoch_num))
        if training.workers.writes:
            self._save(row.epoch)
        print(f"epoch {row.epoch}: train loss {row.train_loss:.3f}, dev loss {row.dev_loss:.3f}, dev syllable error "
              f"rate {row.dev_ser:.2%}{' (best)' if row.best else ''}, {row.seconds / 60:.1f} min", file=sys.stderr,
              flush=True)
        if training.is_over and row.epoch < training.config.epochs:
            print(f"no better dev syllable error rate in {training.config.patience} epochs: stopping", file=sys.stderr)
            run_context.request_stop()

    def _measure(self, epoch: int) -> Epoch:
        training, log = self._training, self._log
        training.workers.average(statistics(training.network))
        training.network.set_train(False)
        dev_loss, dev_ser = training.dev()
        training.network.set_train(True)
        rate = training.rate(training.updates)
        broken = [name for name, value in named_parameters(training.network).items()
                  if not np.isfinite(value.asnumpy()).all()]  # which a ReLU may hide: MindSpore's makes 0 of NaN
        if broken or not math.isfinite(dev_loss):
            what = f"{broken[0]} holds NaN or infinity" if broken else f"dev's loss is {dev_loss:g}"
            raise UserError(f"training has diverged: {what} after epoch {epoch}, at learning rate {rate:.3g}; the last "
                            f"gradient norm was {log.norms[-1]:.3g}. {remedy(training)}")
        return Epoch(epoch, training.updates, log.seconds, rate, float(np.mean(log.losses)),
                     float(np.median(log.norms)), dev_loss, dev_ser, best=False)

    def _save(self, epoch: int) -> None:
        training, history = self._training, self._training.history
        training.checkpoints.save(epoch, training.network, training.optimizer, history.as_dicts())
        history.write(training.exp_dir / "train.csv")
        training.prune_checkpoints()


EVERY_STEPS = 10
EXAMPLES = 3
WHITE = 3.0  # standard deviations above the mean; as many below are black


class Summary(ms.Callback):
    """Writes loss, gradient norm and learning rate every few steps, dev's results after each epoch, and first of all
    some examples as the network sees them. Must come behind the callbacks that keep `step_log` and the history."""

    def __init__(self, training: Training, step_log: StepLog):
        super().__init__()
        self._training = training
        self._log = step_log

    def __enter__(self):
        folder = self._training.exp_dir / "summary"
        (folder / "tensorboard").mkdir(parents=True, exist_ok=True)
        name = get_event_file_name("events", "_MS", str(int(time.time())))
        self._mindspore = SummaryWriter(str(folder / name))  # of later files MindInsight takes the later values
        self._tensorboard = EventsWriter(str(folder / "tensorboard" / "events"))
        first = self._training.updates + 1  # from there on TensorBoard forgets what earlier files say
        self._tensorboard.write_event(Event(step=first, wall_time=time.time(),
                                            session_log=SessionLog(status=SessionLog.START)))
        return self

    def __exit__(self, *error):
        self._mindspore.close()
        self._tensorboard.close()

    def on_train_step_end(self, run_context):
        params = run_context.original_args()
        if params.cur_step_num == 1:
            self._write({}, examples(params.train_dataset_element[0].asnumpy()))
        if params.cur_step_num % EVERY_STEPS == 0 and self._log.losses:
            self._write({"train/loss": float(np.mean(self._log.losses[-EVERY_STEPS:])),
                         "train/gradient_norm": float(np.mean(self._log.norms[-EVERY_STEPS:])),
                         "train/learning_rate": self._training.rate(self._training.updates)})

    def on_train_epoch_end(self, run_context):
        row = self._training.history.rows[-1]
        self._write({"dev/loss": row.dev_loss, "dev/syllable_error_rate": row.dev_ser})

    def _write(self, scalars: dict[str, float], images: dict[str, np.ndarray] | None = None) -> None:
        """Write values by tag; images are float32 (height, width) from 0 to 1."""
        step, images, now = self._training.updates, images or {}, time.time()
        values = [{"_type": "Scalar", "name": tag, "data": np.float32(value)} for tag, value in scalars.items()]
        values += [{"_type": "Image", "name": tag, "data": matrix[None, None]} for tag, matrix in images.items()]
        event = package_summary_event(values, step, now)
        self._mindspore.write(WriterPluginEnum.SUMMARY.value, event.SerializeToString())
        self._mindspore.flush()
        for summary in (*(scalar(tag, value) for tag, value in scalars.items()),
                        *(image(tag, matrix, dataformats="HW") for tag, matrix in images.items())):
            self._tensorboard.write_event(Event(step=step, wall_time=now, summary=summary))
        self._tensorboard.flush()


def examples(feats: np.ndarray) -> dict[str, np.ndarray]:
    """The first few of a batch, float32 (batch, frames, bins), as pictures: time to the right, low frequencies below,
    the mean grey."""
    return {f"train/example_{number}": np.clip(matrix.T[::-1] / (2 * WHITE) + 0.5, 0, 1)
            for number, matrix in enumerate(feats[:EXAMPLES], 1)}
