"""How tasks and experiments stand: doit's own verdict, what runs have left behind, and how long the rest will take."""

import math
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from doit.control import TaskControl
from doit.dependency import Dependency, DependencyStatus, SqliteDB
from doit.loader import load_tasks

from steps.common.errors import UserError
from steps.common.files import disk_usage
from steps.config.exp_dir import read_history, read_progress
from steps.config.load import Resolved, load_known, shapes_weights
from steps.tasks import record

LOG_LINES = 5
COMPARE, EXP = "compare", Path("exp")

# From the one that says the most of several tasks: a stage over all sets is what the first of these is.
STATES = ("running", "failed", "interrupted", "stale", "never run", "done")


class State(NamedTuple):
    """How a task stands."""

    name: str  # one of STATES
    why: list[str]  # what has changed, or how far it is, or what the log ends with; empty if there is nothing to say
    todo: str = ""  # what the user is to do


class Tasks:
    """All tasks of a dodo.py and how they stand. Reads doit's record, and never writes it."""

    def __init__(self, dodo: dict[str, Any]):
        self.by_name = TaskControl(load_tasks(dodo)).tasks
        database = Path(dodo["DOIT_CONFIG"]["dep_file"])
        self._doit = Dependency(SqliteDB, str(database) if database.exists() else ":memory:")
        self._known: dict[str, State] = {}

    def state(self, name: str) -> State:
        """The state of a task; the state of a group is the first of STATES that one of its tasks has."""
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
        """doit's reasons to run a task, as sentences; none if it is up to date."""
        reasons = verdict.reasons
        why = []
        for check, _, _ in reasons["uptodate_false"]:
            why += check.differences(self._doit.get_values(task.name))
        why += [f"{path}: not there" for path in [*reasons["missing_target"], *reasons["missing_file_dep"]]]
        why += [f"{path}: changed" for path in sorted(reasons["changed_file_dep"])
                if path not in reasons["added_file_dep"]]
        why += [f"{path}: now read, too" for path in reasons["added_file_dep"]]
        why += [f"{path}: no longer read" for path in reasons["removed_file_dep"]]
        return why or ([] if verdict.status == "up-to-date" else ["doit would run it"])


def _running(task) -> State | None:
    """The state of a task that runs, under doit or, a training, by itself."""
    run = record.last_run(task)
    progress = _progress(task)
    if progress is not None and progress.alive:
        left = f", ETA {about(progress.seconds_left)}" if progress.seconds_left is not None else ""
        return State("running", [f"epoch {progress.epoch} of {progress.epochs}{left}"])
    if run is None or run.state != "running":
        return None
    since = f"since {time.strftime('%H:%M', time.localtime(run.begin))}"
    usual = f", last time it took {about(run.seconds)}" if run.seconds else ""
    return State("running", [since + usual, *record.last_words(task, 1)])


def _unrecorded(task) -> State:
    """The state of a task that doit does not know as done."""
    run = record.last_run(task)
    log = record.log_path(task)
    again = f"./path.sh doit {task.name}"
    if run is not None and run.state == "failed":
        return State("failed", record.last_words(task, LOG_LINES), f"mend what {log} tells, then {again}")
    progress = _progress(task)
    if progress is not None:
        return State("interrupted", [f"in epoch {progress.epoch} of {progress.epochs}"],
                     f"{again} goes on at its last checkpoint")
    if run is not None and run.state == "interrupted":
        return State("interrupted", record.last_words(task, 1), again)
    if task.targets and all(Path(target).exists() for target in task.targets):
        return State("stale", ["made elsewhere: doit has no record of it"], again)
    return State("never run", [])


def _progress(task):
    """The progress that a training has logged."""
    return read_progress(record.directory(task.targets[0])) if task.name.startswith("train:") else None


def about(seconds: float) -> str:
    """A duration as people say it: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


class Estimates:
    """Durations, learned from all tasks' last complete runs and from the epochs in exp/*/train.csv."""

    def __init__(self, tasks: Iterable, experiments: dict[str, Resolved]):
        self._experiments = experiments
        self._own: dict[str, float] = {}
        by_stage: dict[str, list[float]] = {}
        for task in tasks:
            run = record.last_run(task)
            if run is not None and run.seconds is not None:
                self._own[task.name] = run.seconds
                by_stage.setdefault(_stage(task.name), []).append(run.seconds)
        self._usual = {stage: statistics.median(seconds) for stage, seconds in by_stage.items()}
        self._epoch = {name: seconds for name in experiments if (seconds := self._seconds_per_epoch(name))}

    def seconds(self, name: str) -> float | None:
        """How long a task will take; None if nothing like it has ever run."""
        if _stage(name) == "train":
            return self._training(name.partition(":")[2])
        return self._own.get(name, self._usual.get(_stage(name)))

    def _training(self, name: str) -> float | None:
        """By the experiment's own epochs, else by those of experiments on the same corpus and features."""
        config = self._experiments.get(name)
        if config is None:
            return None
        alike = [seconds for other, seconds in self._epoch.items()
                 if self._experiments[other].feature_dir == config.feature_dir]
        rate = self._epoch.get(name) or (statistics.median(alike) if alike else None)
        return None if rate is None else rate * (config.experiment.train.epochs - self._epochs_done(config))

    def _epochs_done(self, config: Resolved) -> int:
        """The epochs that an unfinished training of this config need not repeat."""
        exp_dir = EXP / config.name
        if (exp_dir / "final.ckpt").exists():
            return 0
        try:
            same = shapes_weights(load_known(exp_dir)[0]) == shapes_weights(config)
            rows = read_history(exp_dir)
        except UserError:
            return 0
        return min(rows[-1]["epoch"], config.experiment.train.epochs) if same and rows else 0

    def _seconds_per_epoch(self, name: str) -> float | None:
        try:
            rows = read_history(EXP / name)
        except UserError:
            return None
        last = rows[-1] if rows else {}
        known = last.get("epoch", 0) > 0 and math.isfinite(last.get("seconds", math.nan))
        return last["seconds"] / last["epoch"] if known else None


def _stage(name: str) -> str:
    return name.partition(":")[0]


class Standing(NamedTuple):
    """The table of steps.status, as JSON can hold it."""

    experiments: dict[str, dict[str, Any]]  # by name: `stages` (by name: their `state` and `tasks`) and `bytes`
    compare: str  # the state of what puts all experiments side by side
    tasks: dict[str, dict[str, Any]]  # by name: `state`, `why` (a list of sentences) and `todo`
    features: dict[str, int]  # bytes by directory
    now: dict[str, Any]  # the `command`, the `tasks` it would run, about how many `seconds`, the `unknown` of them


def survey(dodo: dict[str, Any], experiments: list[str], goals: list[str] | None) -> Standing:
    """Look at `experiments`, and at what `doit` would do for `goals`; None means doit's default tasks."""
    tasks = Tasks(dodo)
    found, states = {}, {}
    for name in experiments:
        stages: dict[str, dict[str, Any]] = {}
        for task in tasks.upstream(tasks.of(name)):
            states[task] = tasks.state(task)
            stage = stages.setdefault(task.partition(":")[0], {"state": "done", "tasks": []})
            stage["state"] = min(stage["state"], states[task].name, key=STATES.index)
            stage["tasks"].append(task)
        found[name] = {"stages": stages, "bytes": disk_usage(EXP / name)}
    states[COMPARE] = tasks.state(COMPARE)
    features = {str(path): disk_usage(path)
                for path in sorted({dodo["EXPERIMENTS"][name].feature_dir for name in experiments})}
    described = {name: {"state": state.name, "why": state.why, "todo": state.todo} for name, state in states.items()}
    return Standing(found, states[COMPARE].name, described, features, _now(tasks, dodo, goals))


def _now(tasks: Tasks, dodo: dict[str, Any], goals: list[str] | None) -> dict[str, Any]:
    command = " ".join(["./path.sh doit", *(goals or [])])
    wanted = tasks.upstream(goals or [name for name in dodo["DOIT_CONFIG"]["default_tasks"] if name in tasks.by_name])
    would_run = [task for task in wanted if tasks.state(task).name not in ("done", "running")]
    estimates = Estimates(tasks.by_name.values(), dodo["EXPERIMENTS"])
    seconds = {task: estimates.seconds(task) for task in would_run}
    known = [value for value in seconds.values() if value is not None]
    return {"command": command, "tasks": would_run, "seconds": round(sum(known), 1),
            "unknown": [task for task, value in seconds.items() if value is None]}
