"""Summaries of a training (`train.summary`): one file for MindInsight, and the same values for TensorBoard.

MindSpore's own `SummaryRecord` is not used: its processes poll their queue without a pause and take a processor from
training. tensorboardX's has a thread, and a queue that a kill loses. The writers here write at once.
"""

import time
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore.train.summary._summary_adapter import get_event_file_name, package_summary_event
from mindspore.train.summary.enums import WriterPluginEnum
from mindspore.train.summary.writer import SummaryWriter
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import image, scalar

from steps.model.callbacks import StepLog, Training


class MindSporeEvents:
    """A file that MindInsight reads. Where a later file begins at an earlier step, MindInsight goes by the later.

    Args:
        folder: where the file comes; is made where it is not there.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = SummaryWriter(str(folder / get_event_file_name("events", "_MS", str(int(time.time())))))

    def write(self, step: int, scalars: dict[str, float], images: dict[str, np.ndarray]) -> None:
        """Write the values of one step; images are float32 (height, width) from 0 to 1."""
        values = [{"_type": "Scalar", "name": tag, "data": np.float32(value)} for tag, value in scalars.items()]
        values += [{"_type": "Image", "name": tag, "data": matrix[None, None]} for tag, matrix in images.items()]
        event = package_summary_event(values, step, time.time())
        self._writer.write(WriterPluginEnum.SUMMARY.value, event.SerializeToString())
        self._writer.flush()

    def close(self) -> None:
        """Nothing more comes."""
        self._writer.close()


class TensorBoardEvents:
    """A file that TensorBoard reads.

    Args:
        folder: where the file comes; is made where it is not there.
        first_step: of this file. From there on TensorBoard forgets what earlier files say.
    """

    def __init__(self, folder: Path, first_step: int):
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventsWriter(str(folder / "events"))
        self._add(first_step, session_log=SessionLog(status=SessionLog.START))

    def write(self, step: int, scalars: dict[str, float], images: dict[str, np.ndarray]) -> None:
        """Write the values of one step; images are float32 (height, width) from 0 to 1."""
        for tag, value in scalars.items():
            self._add(step, summary=scalar(tag, value))
        for tag, matrix in images.items():
            self._add(step, summary=image(tag, matrix, dataformats="HW"))
        self._writer.flush()

    def close(self) -> None:
        """Nothing more comes."""
        self._writer.close()

    def _add(self, step: int, **what) -> None:
        self._writer.write_event(Event(step=step, wall_time=time.time(), **what))


EVERY_STEPS = 10
EXAMPLES = 3
WHITE = 3.0  # standard deviations above the mean; as many below are black


class Summary(ms.Callback):
    """Writes loss, gradient norm and learning rate every few steps, dev's results after each epoch, and first of all
    some examples as the network sees them. Must come behind the callbacks that keep `step_log` and the history.
    """

    def __init__(self, training: Training, step_log: StepLog):
        super().__init__()
        self._folder = training.exp_dir / "summary"
        self._training = training
        self._log = step_log
        self._events: list[MindSporeEvents | TensorBoardEvents] = []

    def __enter__(self):
        self._events = [MindSporeEvents(self._folder),
                        TensorBoardEvents(self._folder / "tensorboard", self._training.updates + 1)]
        return self

    def __exit__(self, *error):
        for events in self._events:
            events.close()

    def on_train_step_end(self, run_context):
        """Write now and then."""
        params = run_context.original_args()
        if params.cur_step_num == 1:
            self._write({}, examples(params.train_dataset_element[0].asnumpy()))
        if params.cur_step_num % EVERY_STEPS == 0 and self._log.losses:
            self._write({"train/loss": float(np.mean(self._log.losses[-EVERY_STEPS:])),
                         "train/gradient_norm": float(np.mean(self._log.norms[-EVERY_STEPS:])),
                         "train/learning_rate": self._training.rate(self._training.updates)})

    def on_train_epoch_end(self, run_context):
        """Write what dev says."""
        row = self._training.history.rows[-1]
        self._write({"dev/loss": row.dev_loss, "dev/syllable_error_rate": row.dev_ser})

    def _write(self, scalars: dict[str, float], images: dict[str, np.ndarray] | None = None) -> None:
        for events in self._events:
            events.write(self._training.updates, scalars, images or {})


def examples(feats: np.ndarray) -> dict[str, np.ndarray]:
    """The first few of a batch, float32 (batch, frames, bins), as pictures: time to the right, low frequencies below,
    the mean grey."""
    return {f"train/example_{number}": np.clip(matrix.T[::-1] / (2 * WHITE) + 0.5, 0, 1)
            for number, matrix in enumerate(feats[:EXAMPLES], 1)}
