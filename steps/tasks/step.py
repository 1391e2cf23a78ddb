"""A stage's script as a doit action, its output shown and kept in a log."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from doit.action import BaseAction
from doit.exceptions import TaskFailed

from steps.common.errors import UserError, disk_error
from steps.common.process import LOCK, die_with_parent, give_lock_back, take_lock
from steps.tasks import record

DRAIN_S = 2.0  # for what a script wrote just before it ended


class Step(BaseAction):
    """`python -m MODULE ARGS...`, its output going to doit's stdout and to a log.

    Fails if the script does, if it leaves a target unwritten, and if another process is at work on the same
    files. Ctrl-C and SIGTERM reach the script, and doit ends when the script has; if doit is killed, so is the
    script (on Linux).
    """

    def __init__(self, module: str, *args: str):
        self.words = [sys.executable, "-m", module, *args]
        self.task: Any = None  # set by doit, as the following are read by it
        self.out = self.err = self.result = None
        self.values: dict[str, Any] = {}

    def __repr__(self) -> str:
        return " ".join(self.words[1:])

    def execute(self, out=None, err=None) -> TaskFailed | None:
        """Run the script; `out` and `err` belong to doit's protocol. Raises SystemExit when interrupted."""
        with contextlib.suppress(OSError):  # its reader, such as head, has ended
            sys.stdout.flush()
        if multiprocessing.parent_process() is not None:  # a process of `doit -n`
            die_with_parent()
        log = record.log_path(self.task)
        lock = log.with_suffix(".lock")
        try:
            handle = take_lock(lock, f"doit {self.task.name}")
            try:
                return self._run(log, {LOCK: f"{handle}:{lock}"}, handle)
            finally:
                give_lock_back(lock, handle)
        except UserError as error:
            return record.Busy(str(error))
        except OSError as error:
            return TaskFailed(disk_error(error))

    def _run(self, path, variables: dict[str, str], handle: int) -> TaskFailed | None:
        first = self is self.task.actions[0]
        if first:
            record.note(self.task, "running")
        with open(path, "wb" if first else "ab", buffering=0) as log:
            log.write(f"{record.HEADING}{time.strftime('%Y-%m-%d %H:%M:%S')} python {self!r}\n".encode())
            status = run_child(self.words, log, variables, (handle,))
        if status:
            return TaskFailed(f"python {self!r} ended with status {status}; what it said stands above, and in {path}")
        if self is not self.task.actions[-1]:  # the others write what is still missing
            return None
        missing = [target for target in self.task.targets if not os.path.exists(target)]
        if missing:
            return TaskFailed(f"python {self!r} did not write {', '.join(missing)}")
        return None


def run_child(words: Sequence[str], log: BinaryIO, variables: dict[str, str] | None = None,
              handles: Sequence[int] = ()) -> int:
    """Run a command and return its exit status (as a shell does, 128 + N if signal N ended it).

    Its stdout and stderr go, line by line, to this process' stdout and to `log`. It gets `variables` beside this
    process' own, and the file descriptors `handles`. An interrupt (KeyboardInterrupt) is passed on as SIGTERM, a
    second one as SIGKILL; then raises SystemExit.
    """
    process = copying = None
    try:
        with _interrupts_noted() as noted:  # one that came before the script is waited for would not reach it
            process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=handles,
                                       env={**os.environ, **(variables or {})}, preexec_fn=die_with_parent)
            copying = threading.Thread(target=_copy, args=(process.stdout, log), daemon=True)
            copying.start()
        if noted:
            raise KeyboardInterrupt
        status = process.wait()
    except KeyboardInterrupt:
        if process:
            _end(process)
        sys.exit(130)
    finally:
        if copying:
            copying.join(DRAIN_S)  # no longer: a process that the script left behind may hold the pipe open
    return 128 - status if status < 0 else status


@contextlib.contextmanager
def _interrupts_noted() -> Iterator[list[int]]:
    """Within the block, interrupts that would be handled are only noted. To block them is not enough: they would go to
    another thread."""
    noted: list[int] = []
    here = threading.current_thread() is threading.main_thread()  # which alone gets them
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM) if here}
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, lambda number, frame: noted.append(number))
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(process: subprocess.Popen) -> None:
    """Pass an interrupt on as SIGTERM, and a second one as SIGKILL."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait()
    except KeyboardInterrupt:
        process.kill()
        process.wait()


def _copy(pipe: BinaryIO, log: BinaryIO) -> None:
    """Pass on each line as it comes, even if this process' stdout is closed or the log's disk is full: a pipe that
    nobody reads would stop the script."""
    logged = shown = True
    for line in pipe:
        try:
            if logged:
                log.write(line)
        except ValueError:  # closed: the script has ended
            return
        except OSError:
            logged = False
        while line and shown:
            try:
                line = line[os.write(1, line):]
            except OSError:
                shown = False
