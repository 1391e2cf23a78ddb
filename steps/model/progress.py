"""How far a training is, for others to read: exp/<experiment>/progress.json, there until training has ended well."""

import json
import time
from pathlib import Path
from typing import NamedTuple

from steps.common.files import write_json
from steps.common.process import is_alive, this_process


class Progress(NamedTuple):
    """What progress.json says."""

    epoch: int  # under way
    epochs: int
    seconds_left: float | None  # counted from now, of updates alone; None before the first of them
    alive: bool  # whether the training still runs


def write_progress(exp_dir: Path, epoch: int, epochs: int, seconds_left: float | None) -> None:
    """Say that this process trains exp_dir."""
    write_json(_path(exp_dir), {"epoch": epoch, "epochs": epochs, "seconds_left": seconds_left, "time": time.time(),
                                "process": this_process()})


def end_progress(exp_dir: Path) -> None:
    """The training has ended well."""
    _path(exp_dir).unlink(missing_ok=True)


def read_progress(exp_dir: Path) -> Progress | None:
    """What the last training in exp_dir said; None where it has ended well or there was none."""
    try:
        noted = json.loads(_path(exp_dir).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    left = noted["seconds_left"]
    if left is not None:
        left = max(0.0, left - (time.time() - noted["time"]))
    return Progress(noted["epoch"], noted["epochs"], left, is_alive(noted["process"]))


def _path(exp_dir: Path) -> Path:
    return exp_dir / "progress.json"
