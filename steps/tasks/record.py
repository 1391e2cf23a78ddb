"""doit's record of what is done, kept true on disk while doit runs."""

from doit import Globals
from doit.reporter import ConsoleReporter

from steps.tasks import runs


class Recorder(ConsoleReporter):
    """doit's console output, which also brings the record up to date as each task begins and ends.

    doit itself writes it when a run ends. Killed before that, it would have forgotten the stages that this run had
    finished; and it would still hold a stage done that it had begun anew, with another config, as the last complete run
    left it: go back to that config, and files of the other one would pass for up to date.
    """

    def execute_task(self, task) -> None:
        """The task's files are about to change."""
        if task.actions:
            Globals.dep_manager.remove(task.name)
            _write()
            runs.begun(task)
        super().execute_task(task)

    def add_success(self, task) -> None:
        """The task's files are there; what they were made from has just been recorded."""
        super().add_success(task)
        if task.actions:
            _write()
            runs.succeeded(task)

    def add_failure(self, task, fail) -> None:
        """The log says why."""
        super().add_failure(task, fail)
        if task.executed:
            runs.failed(task)


def _write() -> None:
    """Commit, and open anew: doit's backends can only write by closing."""
    backend = Globals.dep_manager.backend
    backend.dump()
    backend.__init__(backend.name, backend.codec)
