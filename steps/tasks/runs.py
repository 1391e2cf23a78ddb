"""What is known of a task's last run: its log, how it ended, how long it took.

Both lie in log/, in the directory that the task writes to: exp/mini/log/train.log and train.json,
exp/features/mini_fbank/log/features.log, data/mini/log/prepare.log, exp/log/compare.log.
"""

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from steps.common.files import write_json
from steps.common.process import is_alive, this_process

HEADING = "# "  # of each run of a script


class Run(NamedTuple):
    """A task's last run."""

    state: str  # "running", "done", "failed"; "interrupted" where the process that ran it is gone
    begin: float  # seconds since 1970
    seconds: float | None  # what the last run that ended well took


def directory(task) -> Path | None:
    """Where a task writes: data/<corpus>, exp/features/<features>, exp/<experiment> or exp; None where elsewhere."""
    parts = Path(task.targets[0]).parts[:-1] if task.targets else ()
    depth = 3 if parts[:2] == ("exp", "features") else 2
    return Path(*parts[:depth]) if parts[:1] in (("data",), ("exp",)) else None


def log_path(task) -> Path | None:
    """The log of a doit task that runs scripts, such as exp/mini/log/decode.test.log."""
    folder = directory(task)
    if folder is None:
        return None
    words = [word for word in task.name.split(":") if word != folder.name]
    return folder / "log" / f"{'.'.join(words)}.log"


def begun(task) -> None:
    """Note that a task begins, in this process."""
    _note(task, {"state": "running", "begin": time.time(), "process": this_process()})


def succeeded(task) -> None:
    """Note that a task has ended well, and how long it took."""
    begin = _read(task).get("begin", time.time())
    _note(task, {"state": "done", "begin": begin, "seconds": round(time.time() - begin, 3)})


def failed(task) -> None:
    """Note that a task has failed."""
    _note(task, {"state": "failed", "begin": _read(task).get("begin", time.time())})


def last_run(task) -> Run | None:
    """What was noted last; None where the task has never begun."""
    noted = _read(task)
    if not noted:
        return None
    state = noted["state"]
    if state == "running" and not is_alive(noted["process"]):
        state = "interrupted"
    return Run(state, noted["begin"], noted.get("seconds"))


def last_words(task, count: int) -> list[str]:
    """The last lines of a task's log that say anything."""
    path = log_path(task)
    if path is None or not path.exists():
        return []
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 400 * count))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    return [line for line in lines if line.strip() and not line.startswith(HEADING)][-count:]


def _read(task) -> dict[str, Any]:
    path = log_path(task)
    try:
        return json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) if path else {}
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def _note(task, facts: dict[str, Any]) -> None:
    path = log_path(task)
    if path is not None:
        seconds = {"seconds": _read(task).get("seconds")}  # outlives runs that failed
        write_json(path.with_suffix(".json"), {"task": task.name, **seconds, **facts})
