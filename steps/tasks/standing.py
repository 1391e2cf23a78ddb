"""How experiments stand, all together: for tables and for machines."""

from pathlib import Path
from typing import Any, NamedTuple

from steps.common.files import disk_usage
from steps.tasks.estimates import Estimates
from steps.tasks.states import STATES, Tasks

COMPARE = "compare"


class Standing(NamedTuple):
    """What steps.status tells, as JSON can hold it."""

    experiments: dict[str, dict[str, Any]]  # by name: `stages` (by name: their `state` and `tasks`) and `bytes`
    compare: str  # the state of what puts all experiments side by side
    tasks: dict[str, dict[str, Any]]  # by name: `state`, `why` (a list of sentences) and `todo`
    features: dict[str, int]  # bytes by directory
    now: dict[str, Any]  # the `command`, the `tasks` it would run, about how many `seconds`, the `unknown` of them


def survey(dodo: dict[str, Any], experiments: list[str], goals: list[str] | None) -> Standing:
    """Look at `experiments`, and at what `doit` would do for `goals`, or where they are None by default."""
    tasks = Tasks(dodo)
    found, states = {}, {}
    for name in experiments:
        stages: dict[str, dict[str, Any]] = {}
        for task in tasks.upstream(tasks.of(name)):
            states[task] = tasks.state(task)
            stage = stages.setdefault(task.partition(":")[0], {"state": "done", "tasks": []})
            stage["state"] = min(stage["state"], states[task].name, key=STATES.index)
            stage["tasks"].append(task)
        found[name] = {"stages": stages, "bytes": disk_usage(Path("exp") / name)}
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
