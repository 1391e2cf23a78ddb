"""A stage's script as a doit action."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, BinaryIO

from doit.action import BaseAction
from doit.exceptions import TaskFailed

from steps.common.process import die_with_parent
from steps.tasks.runs import log_path
from steps.tasks.tee import Tee, open_log


class Step(BaseAction):
    """`python -m MODULE ARGS…`, its output going where doit's goes (to a terminal, as a terminal's) and to a log.

    Fails where the script does, and where it leaves a target unwritten. Ctrl-C and SIGTERM reach the script, and doit
    ends when the script has; where doit is killed, so is the script (on Linux): two runs never write the same files.
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
        sys.stdout.flush()
        if multiprocessing.parent_process() is not None:  # a process of `doit -n`
            die_with_parent()
        log = log_path(self.task)
        with open_log(log, f"python {self!r}", self is self.task.actions[0]) if log else nullcontext() as file:
            status = run_child(self.words, file)
        if status:
            also = f", and in {log}" if log else ""
            return TaskFailed(f"python {self!r} ended with status {status}; what it said stands above{also}")
        missing = [target for target in self.task.targets if not os.path.exists(target)]
        if missing:
            return TaskFailed(f"python {self!r} did not write {', '.join(missing)}")
        return None


def run_child(words: Sequence[str], log: BinaryIO | None = None) -> int:
    """Run a command and return its exit status (as a shell does, 128 + N where signal N ended it).

    An interrupt (KeyboardInterrupt) is passed on as SIGTERM, a second one as SIGKILL; then raises SystemExit.
    """
    with Tee(log) as tee:
        process = subprocess.Popen(words, stdout=tee.stdout, stderr=tee.stderr, preexec_fn=die_with_parent)
        tee.start()
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait()
            except KeyboardInterrupt:
                process.kill()
                process.wait()
            sys.exit(130)
    return 128 - status if status < 0 else status
