"""A child's output, passed on as it comes and kept in a log."""

import contextlib
import fcntl
import os
import re
import select
import termios
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from steps.tasks.runs import HEADING

CHUNK = 1 << 16
ESCAPE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")  # colours, cursor movements


class Tee:
    """Gives a child its stdout and stderr: terminals where this process' own are, else pipes.

    What the child writes goes to this process' stdout and stderr at once, and with `log` to that file, too: line by
    line, without colours, of a progress bar only how it ended.

        with Tee(log) as tee:
            process = subprocess.Popen(words, stdout=tee.stdout, stderr=tee.stderr)
            tee.start()
            process.wait()
    """

    def __init__(self, log: BinaryIO | None):
        self._log = log
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._copy, daemon=True)

    def __enter__(self) -> "Tee":
        read_out, self.stdout = _channel(1)
        self._channels = {read_out: _Channel(1, self._log)}
        if os.path.sameopenfile(1, 2):  # what goes to one place stays in order
            self.stderr = self.stdout
        else:
            read_err, self.stderr = _channel(2)
            self._channels[read_err] = _Channel(2, self._log)
        return self

    def start(self) -> None:
        """Begin to copy; the child has its ends by now."""
        for end in {self.stdout, self.stderr}:
            os.close(end)
        self._thread.start()

    def __exit__(self, *error) -> None:
        self._ended.set()
        if self._thread.ident:
            self._thread.join()

    def _copy(self) -> None:
        """Until all who write have closed their ends. Grandchildren that outlive the child are not waited for."""
        waiting = dict(self._channels)
        while waiting:
            ready, _, _ = select.select(list(waiting), [], [], 0.1)
            if not ready and self._ended.is_set():
                break
            for end in ready:
                data = _read(end)
                waiting[end].pass_on(data)
                if not data:
                    del waiting[end]
        for end, channel in self._channels.items():
            channel.finish()
            os.close(end)


class _Channel:
    """One stream on its way."""

    def __init__(self, target: int, log: BinaryIO | None):
        self._target: int | None = target
        self._log = log
        self._line = b""

    def pass_on(self, data: bytes) -> None:
        """Write to the stream and the log."""
        self._keep(data)
        try:
            while data and self._target is not None:
                data = data[os.write(self._target, data):]
        except OSError:  # whoever read it is gone
            self._target = None

    def finish(self) -> None:
        """Write what stands behind the last newline."""
        if self._line:
            self._keep(b"\n")

    def _keep(self, data: bytes) -> None:
        if self._log is None:
            return
        *lines, rest = (self._line + data).split(b"\n")
        for line in lines:
            self._log.write(_as_seen(line) + b"\n")
        self._line = rest[rest.rfind(b"\r", 0, -1) + 1:]  # a bar redrawn for hours is not to pile up


def _as_seen(line: bytes) -> bytes:
    """A line as it stands on a terminal in the end."""
    return ESCAPE.sub(b"", line.rstrip(b"\r")).rpartition(b"\r")[2]


def _channel(target: int) -> tuple[int, int]:
    """File descriptors to read from and to give to the child, whose other end is to become `target`."""
    if not os.isatty(target):
        return os.pipe()
    read_end, write_end = os.openpty()
    tty.setraw(write_end)  # the terminal itself will turn \n into \r\n
    fcntl.ioctl(write_end, termios.TIOCSWINSZ, fcntl.ioctl(target, termios.TIOCGWINSZ, bytes(8)))
    return read_end, write_end


def _read(end: int) -> bytes:
    try:
        return os.read(end, CHUNK)
    except OSError:  # how a terminal says that nobody writes to it any more
        return b""


@contextlib.contextmanager
def open_log(path: Path, command: str, anew: bool) -> Iterator[BinaryIO]:
    """A log, unbuffered and emptied where it is to begin `anew`, that already names the command and the time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb" if anew else "ab", buffering=0) as log:
        log.write(f"{HEADING}{time.strftime('%Y-%m-%d %H:%M:%S')} {command}\n".encode())
        yield log
