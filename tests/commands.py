"""The project's commands in processes of their own that begin at once: they are forked where MindSpore is loaded.

Importing it takes seconds. A command ends, and is killed or interrupted, as with `python -m MODULE`. But variables that
libraries read as they are loaded, such as OMP_NUM_THREADS, are those of the tests, and it must not start pools of
processes of its own, as stages 1 to 3 and `doit -n` do.
"""

import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["pytest", "doit.doit_cmd", "steps.tasks.states", "steps.model.training",
                                 "steps.search.decode", "steps.report.scores"])


class Command:
    """`python -m WORDS…` in a folder, with environment variables changed; it leads a process group of its own.

    The methods are those of subprocess.Popen. stdout and stderr go to files, so that it never waits for a reader.
    """

    def __init__(self, folder: Path | str, *words: str, **variables: str):
        self._said = tempfile.TemporaryDirectory(prefix="command.")
        arguments = (str(folder), words, {**os.environ, **variables}, self._said.name)
        self._process = FORKING.Process(target=_work, args=arguments)
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, or the negative number of the signal that ended it; None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """To the process alone."""
        os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, where it still runs."""
        self._process.kill()

    def communicate(self, timeout: float = 600) -> tuple[str, str]:
        """Wait for its end: (stdout, stderr)."""
        self._process.join(timeout)
        out, err = (Path(self._said.name, name).read_text(encoding="utf-8") for name in ("1", "2"))
        assert self.returncode is not None, f"no end after {timeout} s:\n{out}\n{err}"
        self._said.cleanup()
        return out, err


def call(folder: Path | str, *words: str, **variables: str) -> tuple[int, str]:
    """Run a command to its end: (exit status, stdout and then stderr)."""
    return finish(Command(folder, *words, **variables))


def finish(command: Command) -> tuple[int, str]:
    """Wait for a command's end: (exit status, stdout and then stderr)."""
    out, err = command.communicate()
    return command.returncode, out + err


def wait_until(holds: Callable[[], Any], seconds: float = 300) -> Any:
    """Wait until a condition holds, or fail. Returns what it gives then."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.02)
    return found


def _work(folder: str, words: tuple[str, ...], environment: dict[str, str], said: str) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number in (1, 2):
        os.dup2(os.open(f"{said}/{number}", os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", closefd=False)
    sys.argv = [*words]
    sys.path.insert(0, folder)
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
