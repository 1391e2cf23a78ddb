"""doit's record of what is done, kept true on disk while doit runs."""

import functools
import os
from typing import Any

from doit import Globals
from doit.dependency import get_file_md5
from doit.reporter import ConsoleReporter

from steps.common.files import size_and_time
from steps.tasks import runs


class Recorder(ConsoleReporter):
    """doit's console output, which also brings the record up to date as each task begins and ends.

    doit itself writes the record when a run ends. Killed before that, it would have forgotten the stages that this run
    had finished. It would also still hold a stage as done that it had begun anew with another config: back at the old
    config, files of the other one would pass for up to date. And it records what a task's dependencies hold when the
    task has ended: a file that was edited in between would pass for the one that the task has read.
    """

    def __init__(self, *args):
        super().__init__(*args)
        self._read: dict[str, dict[str, Any]] = {}  # by task: what its dependencies held when it began

    def execute_task(self, task) -> None:
        """The task's files are about to change."""
        if task.actions:
            Globals.dep_manager.remove(task.name)
            _write()
            runs.begun(task)
            self._read[task.name] = {path: _state(path) for path in task.file_dep}
        super().execute_task(task)

    def add_success(self, task) -> None:
        """The task's files are there; what they were made from has just been recorded."""
        super().add_success(task)
        if task.actions:
            for path, state in self._read.pop(task.name).items():
                Globals.dep_manager._set(task.name, path, state)
            _write()
            runs.succeeded(task)

    def add_failure(self, task, fail) -> None:
        """The log says why."""
        super().add_failure(task, fail)
        if task.executed:
            runs.failed(task)


@functools.cache
def _md5(path: str, size_and_time: str) -> str:
    """A file's MD5, counted once for each state of the file."""
    return get_file_md5(path)


def _state(path: str) -> tuple[float, int, str]:
    """What doit's MD5Checker keeps of a file."""
    stat = os.stat(path)
    return stat.st_mtime, stat.st_size, _md5(path, size_and_time(path))


def _write() -> None:
    """Commit, and open anew: doit's backends can only write by closing."""
    backend = Globals.dep_manager.backend
    backend.dump()
    backend.__init__(backend.name, backend.codec)
