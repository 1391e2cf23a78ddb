"""The files of `train.summary`: one that MindInsight reads, and the same values for TensorBoard.

MindSpore's own `SummaryRecord` is not used: its processes, forked from the one that trains, poll their queue without a
pause and take a processor from training. Nor is tensorboardX's, which has a thread, and a queue that a kill loses. Here
the writers that they call write at once, where training runs.
"""

import time
from pathlib import Path

import numpy as np
from mindspore.train.summary._summary_adapter import get_event_file_name, package_summary_event
from mindspore.train.summary.enums import WriterPluginEnum
from mindspore.train.summary.writer import SummaryWriter
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import image, scalar


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
