"""Runs a stage in a process of its own, which ends itself at its Nth file operation.

Counted are the operations by which a stage can leave something half done: opening for writing, renaming, removing,
making and removing folders, linking, truncating.
"""

import io
import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from commands import FORKING

LIMIT_S = 300
EVENTS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "os.chmod", "shutil.rmtree"}


class Done(NamedTuple):
    """How a run has ended."""

    returncode: int  # below 0: the signal that ended it
    operations: int  # of files; 0 where it was killed
    stderr: str


class Counter:
    """An audit hook that sends this process a signal at its operation `end`, never where that is 0."""

    def __init__(self, end: int, number: int):
        self.done, self._end, self._number, self._pid = 0, end, number, os.getpid()

    def __call__(self, event: str, arguments: tuple) -> None:
        if event == "open":
            path, _, flags = arguments
            if not flags & (os.O_WRONLY | os.O_RDWR) or str(path).startswith("/dev/") or "__pycache__" in str(path):
                return
        elif event not in EVENTS:
            return
        if os.getpid() != self._pid:
            return
        self.done += 1
        if self.done == self._end:
            os.kill(self._pid, self._number)


def run_killed(root: Path, words: Sequence[str], end: int, name: str) -> Done:
    """Run the module words[0] with the arguments behind it in the folder `root`; the signal `name` at operation `end`.
    """
    with tempfile.TemporaryDirectory() as folder:
        said, count = Path(folder, "said"), Path(folder, "count")
        process = FORKING.Process(target=_run, args=(root, words, end, getattr(signal, name), said, count))
        process.start()
        process.join(LIMIT_S)
        found = process.exitcode
        process.kill()
        assert found is not None, f"{words[0]}: no end after {LIMIT_S} s:\n{said.read_text()}"
        return Done(found, int(count.read_text()) if count.exists() else 0, said.read_text(errors="replace"))


def _run(root: Path, words: Sequence[str], end: int, number: int, said: Path, count: Path) -> None:
    """Run the stage, and exit as Python does."""
    os.chdir(root)
    for to in (1, 2):
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), to)
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(to, "w"), encoding="utf-8") for to in (1, 2))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest's workers ignore it
    os.environ["YINJIE_NJ"] = "1"
    sys.argv, sys.dont_write_bytecode = list(words), True
    counter, code = Counter(end, number), 0
    sys.addaudithook(counter)
    try:
        runpy.run_module(words[0], run_name="__main__")
    except SystemExit as end_of_it:
        code = end_of_it.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    done = counter.done
    sys.stdout.flush()
    sys.stderr.flush()
    count.write_text(str(done))
    os._exit(code or 0)
