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
        """The state of a task that is no group."""
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
        running = _running(task)
        if running is not None:
            return running
        if not self._doit.get_values(task.name) or not any(Path(target).exists() for target in task.targets):
            return _unrecorded(task)
        verdict = self._doit.get_status(task, self.by_name, get_log=True)
        why = self._explain(task, verdict)
        if not why:
            why = [f"{name} comes first" for name in task.task_dep if self.state(name).name != "done"]
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


def estimate(names: Iterable[str], tasks: Iterable, experiments: dict[str, Resolved]) -> dict[str, float | None]:
    """Seconds that each of `names` will take; None if nothing like it has ever run.

    A training takes what its epochs in train.csv took, or else those of experiments on the same corpus and features.
    Another task takes what it took the last time, or else the median of its stage.
    """
    own = {task.name: run.seconds for task in tasks if (run := record.last_run(task)) and run.seconds is not None}
    by_stage: dict[str, list[float]] = {}
    for name, seconds in own.items():
        by_stage.setdefault(name.partition(":")[0], []).append(seconds)
    epoch = {name: seconds for name in experiments if (seconds := _seconds_per_epoch(EXP / name))}
    found = {}
    for name in names:
        stage, _, experiment = name.partition(":")
        if stage != "train":
            found[name] = own.get(name, _median(by_stage.get(stage)))
            continue
        config = experiments.get(experiment)
        alike = [epoch[other] for other in epoch if config and experiments[other].feature_dir == config.feature_dir]
        rate = epoch.get(experiment, _median(alike))
        found[name] = None if rate is None else rate * _epochs_left(config)
    return found


def _median(values: list[float] | None) -> float | None:
    return statistics.median(values) if values else None


def _epochs_left(config: Resolved) -> int:
    """The epochs to train: all, unless an unfinished training of this config goes on."""
    exp_dir, epochs = EXP / config.name, config.experiment.train.epochs
    if (exp_dir / "final.ckpt").exists():
        return epochs
    try:
        same = shapes_weights(load_known(exp_dir)[0]) == shapes_weights(config)
        rows = read_history(exp_dir)
    except UserError:
        return epochs
    return max(0, epochs - rows[-1]["epoch"]) if same and rows else epochs


def _seconds_per_epoch(exp_dir: Path) -> float | None:
    try:
        rows = read_history(exp_dir)
    except UserError:
        return None
    last = rows[-1] if rows else {}
    known = last.get("epoch", 0) > 0 and math.isfinite(last.get("seconds", math.nan))
    return last["seconds"] / last["epoch"] if known else None


def survey(dodo: dict[str, Any], experiments: list[str], goals: list[str] | None) -> dict[str, Any]:
    """How `experiments` stand, and what `doit` would do for `goals` (None: its default tasks), as JSON can hold it.

    Keys: `experiments` by name, with their `stages` (by name: `state` and `tasks`) and `bytes`; `compare`, the state of
    what puts all side by side; `tasks` by name (`state`, `why`, `todo`); `features`, bytes by directory; `now`.
    """
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
    features = sorted({dodo["EXPERIMENTS"][name].feature_dir for name in experiments})
    return {"experiments": found, "compare": states[COMPARE].name,
            "tasks": {name: {"state": state.name, "why": state.why, "todo": state.todo}
                      for name, state in states.items()},
            "features": {str(path): disk_usage(path) for path in features}, "now": _now(tasks, dodo, goals)}


def _now(tasks: Tasks, dodo: dict[str, Any], goals: list[str] | None) -> dict[str, Any]:
    """The `command`, the `tasks` that it would run, in about how many `seconds`, and those of `unknown` duration."""
    command = " ".join(["./path.sh doit", *(goals or [])])
    wanted = tasks.upstream(goals or [name for name in dodo["DOIT_CONFIG"]["default_tasks"] if name in tasks.by_name])
    would_run = [task for task in wanted if tasks.state(task).name not in ("done", "running")]
    seconds = estimate(would_run, tasks.by_name.values(), dodo["EXPERIMENTS"])
    known = [value for value in seconds.values() if value is not None]
    return {"command": command, "tasks": would_run, "seconds": round(sum(known), 1),
            "unknown": [task for task, value in seconds.items() if value is None]}
