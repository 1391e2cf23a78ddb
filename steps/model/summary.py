"""Summaries of a training (`train.summary`): one file for MindInsight, and the same values for TensorBoard.

MindSpore's own `SummaryRecord` is not used: its processes poll their queue without a pause and take a processor from
training. tensorboardX's has a thread, and a queue that a kill loses. The writers here write at once.
"""

import time

import mindspore as ms
import numpy as np
from mindspore.train.summary._summary_adapter import get_event_file_name, package_summary_event
from mindspore.train.summary.enums import WriterPluginEnum
from mindspore.train.summary.writer import SummaryWriter
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import image, scalar

from steps.model.callbacks import StepLog, Training

EVERY_STEPS = 10
EXAMPLES = 3
WHITE = 3.0  # standard deviations above the mean; as many below are black


class Summary(ms.Callback):
    """Writes loss, gradient norm and learning rate every few steps, dev's results after each epoch, and first of all
    some examples as the network sees them. Must come behind the callbacks that keep `step_log` and the history.
    """

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
