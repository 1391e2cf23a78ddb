"""A stage's script as a doit action."""

import ctypes
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from typing import Any

from doit.action import BaseAction
from doit.exceptions import TaskFailed

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Step(BaseAction):
    """`python -m MODULE ARGS…`, its output going where doit's goes: to a terminal, as a terminal's.

    Fails where the script does, and where it leaves a target unwritten. Ctrl-C and SIGTERM reach the script, and doit
    ends when the script has; where doit is killed, so is the script (on Linux): two runs never write the same files.
    The action's result is another one every time it ran, for `result_dep`.
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
        status = run_child(self.words)
        if status:
            return TaskFailed(f"python {self!r} ended with status {status}; what it said stands above")
        missing = [target for target in self.task.targets if not os.path.exists(target)]
        if missing:
            return TaskFailed(f"python {self!r} did not write {', '.join(missing)}")
        self.result = uuid.uuid4().hex
        return None


def run_child(words: Sequence[str]) -> int:
    """Run a command and return its exit status (as a shell does, 128 + N where signal N ended it).

    An interrupt (KeyboardInterrupt) is passed on as SIGTERM, a second one as SIGKILL; then raises SystemExit.
    """
    process = subprocess.Popen(words, preexec_fn=_die_with_parent)
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


def _die_with_parent() -> None:
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
