"""`train.summary`: how training goes, in exp/<experiment>/summary/, for MindInsight and TensorBoard to draw."""

from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn

from steps.model.callbacks import StepLog
from steps.model.events import MindSporeEvents, TensorBoardEvents
from steps.model.history import History

EVERY_STEPS = 10
EXAMPLES = 3
WHITE = 3.0  # standard deviations above the mean; as many below are black


class Summary(ms.Callback):
    """Writes loss, gradient norm and learning rate every few steps, dev's results after each epoch, and first of all
    some examples as the network sees them. Must come behind the callbacks that keep `step_log` and `history`.

    Args:
        rate_after: the learning rate by the number of updates done.
    """

    def __init__(self, folder: Path, step_log: StepLog, history: History, optimizer: nn.Optimizer, rate_after):
        super().__init__()
        self._folder = folder
        self._log = step_log
        self._history = history
        self._optimizer = optimizer
        self._rate_after = rate_after
        self._events: list[MindSporeEvents | TensorBoardEvents] = []

    def __enter__(self):
        self._events = [MindSporeEvents(self._folder),
                        TensorBoardEvents(self._folder / "tensorboard", self._updates() + 1)]
        return self

    def __exit__(self, *error):
        for events in self._events:
            events.close()

    def on_train_step_end(self, run_context):
        """Write now and then."""
        params = run_context.original_args()
        if params.cur_step_num == 1:
            self._write({}, examples(params.train_dataset_element[0].asnumpy()))
        if params.cur_step_num % EVERY_STEPS == 0:
            step = self._updates()
            self._write({"train/loss": float(np.mean(self._log.losses[-EVERY_STEPS:])),
                         "train/gradient_norm": float(np.mean(self._log.norms[-EVERY_STEPS:])),
                         "train/learning_rate": self._rate_after(step - 1)})

    def on_train_epoch_end(self, run_context):
        """Write what dev says."""
        row = self._history.rows[-1]
        self._write({"dev/loss": row.dev_loss, "dev/syllable_error_rate": row.dev_ser})

    def _write(self, scalars: dict[str, float], images: dict[str, np.ndarray] | None = None) -> None:
        for events in self._events:
            events.write(self._updates(), scalars, images or {})

    def _updates(self) -> int:
        return int(self._optimizer.global_step.asnumpy()[0])


def examples(feats: np.ndarray) -> dict[str, np.ndarray]:
    """The first few of a batch, float32 (batch, frames, bins), as pictures: time to the right, low frequencies below,
    the mean grey."""
    return {f"train/example_{number}": np.clip(matrix.T[::-1] / (2 * WHITE) + 0.5, 0, 1)
            for number, matrix in enumerate(feats[:EXAMPLES], 1)}
