"""Which tasks are done, stale, running, failed or never ran: doit's own verdict, and what runs have left behind."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from doit.control import TaskControl
from doit.dependency import Dependency, DependencyStatus, SqliteDB
from doit.loader import load_tasks

from steps.common.process import read_progress
from steps.tasks import runs

LOG_LINES = 5

# From the one that says the most of several tasks: a stage over all sets is what the first of these is.
STATES = ("running", "failed", "interrupted", "stale", "never run", "done")


class State(NamedTuple):
    """How a task stands."""

    name: str  # one of STATES
    why: list[str]  # what has changed, or how far it is, or what the log ends with; empty where there is nothing to say
    todo: str = ""  # what the user is to do


class Tasks:
    """All tasks of a dodo.py and how they stand. Reads doit's record, and never writes it."""

    def __init__(self, dodo: dict[str, Any]):
        self.by_name = TaskControl(load_tasks(dodo)).tasks
        record = Path(dodo["DOIT_CONFIG"]["dep_file"])
        self._doit = Dependency(SqliteDB, str(record) if record.exists() else ":memory:")
        self._known: dict[str, State] = {}

    def state(self, name: str) -> State:
        """How a task stands; of a group of tasks, the first of STATES that one of them is in."""
        if name not in self._known:
            self._known[name] = self._find_state(self.by_name[name])
        return self._known[name]

    def of(self, experiment: str) -> list[str]:
        """The tasks that an experiment has of its own, such as train:mini, decode:mini:test, diagnose:mini."""
        return [name for name in self.by_name if name.split(":")[1:2] == [experiment]]

    def upstream(self, goals: Iterable[str]) -> list[str]:
        """All tasks that run for the sake of `goals`, themselves included, as dodo.py has them in order; no groups."""
        found: set[str] = set()
        waiting = list(goals)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.by_name[name].task_dep
        return [name for name, task in self.by_name.items() if name in found and task.actions]

    def _find_state(self, task) -> State:
        before = [self.state(name) for name in task.task_dep]
        if not task.actions:
            return min(before, key=lambda state: STATES.index(state.name), default=State("done", []))
        running = _running(task)
        if running is not None:
            return running
        if not self._doit.get_values(task.name) or not any(Path(target).exists() for target in task.targets):
            return _unrecorded(task)
        verdict = self._doit.get_status(task, self.by_name, get_log=True)
        why = self._explain(task, verdict)
        if not why:
            why = [f"{name} comes first" for name, state in zip(task.task_dep, before, strict=True)
                   if state.name != "done"]
        return State("stale", why, f"./path.sh doit {task.name}") if why else State("done", [])

    def _explain(self, task, verdict: DependencyStatus) -> list[str]:
        """doit's reasons to run a task, as sentences; none where it is up to date."""
        reasons = verdict.reasons
        why = []
        for check, _, _ in reasons["uptodate_false"]:
            why += check.differences(self._doit.get_values(task.name))
        why += [f"{path}: gone" for path in [*reasons["missing_target"], *reasons["missing_file_dep"]]]
        why += [f"{path}: changed" for path in sorted(reasons["changed_file_dep"])
                if path not in reasons["added_file_dep"]]
        why += [f"{path}: now read, too" for path in reasons["added_file_dep"]]
        why += [f"{path}: no longer read" for path in reasons["removed_file_dep"]]
        return why or ([] if verdict.status == "up-to-date" else ["doit would run it"])


def _running(task) -> State | None:
    """The state of a task that runs, under doit or, a training, by itself."""
    run = runs.last_run(task)
    progress = _progress(task)
    if progress is not None and progress.alive:
        left = f", ETA {about(progress.seconds_left)}" if progress.seconds_left is not None else ""
        return State("running", [f"epoch {progress.epoch} of {progress.epochs}{left}"])
    if run is None or run.state != "running":
        return None
    since = f"since {time.strftime('%H:%M', time.localtime(run.begin))}"
    usual = f", last time it took {about(run.seconds)}" if run.seconds else ""
    return State("running", [since + usual, *runs.last_words(task, 1)])


def _unrecorded(task) -> State:
    """The state of a task that doit does not know as done."""
    run = runs.last_run(task)
    log = runs.log_path(task)
    again = f"./path.sh doit {task.name}"
    if run is not None and run.state == "failed":
        return State("failed", runs.last_words(task, LOG_LINES), f"mend what {log} tells, then {again}")
    progress = _progress(task)
    if progress is not None:
        return State("interrupted", [f"in epoch {progress.epoch} of {progress.epochs}"],
                     f"{again} goes on at its last checkpoint")
    if run is not None and run.state == "interrupted":
        return State("interrupted", runs.last_words(task, 1), again)
    if task.targets and all(Path(target).exists() for target in task.targets):
        return State("stale", ["made elsewhere: doit has no record of it"], again)
    return State("never run", [])


def _progress(task):
    """What a training says of itself."""
    folder = runs.directory(task)
    return read_progress(folder) if folder is not None and task.name.startswith("train:") else None


def about(seconds: float) -> str:
    """A duration as people say it: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
