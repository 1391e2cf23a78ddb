"""Processes: whether one runs, how it ends with its parent, what it runs with; and how far a training is."""

import csv
import ctypes
import datetime
import importlib.metadata
import math
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from steps.common.checksums import SUMS, wrong_files
from steps.common.errors import UserError
from steps.common.files import check_is_file, read_json, write_json

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def this_process() -> dict[str, Any]:
    """What to write down of this process, so that `is_alive` knows it again."""
    return {"host": platform.node(), "pid": os.getpid(), "started": _started(os.getpid())}


def is_alive(noted: dict[str, Any]) -> bool:
    """Whether a process noted by `this_process` still runs on this machine; never another one of the same number."""
    pid = noted.get("pid", 0)
    if noted.get("host") != platform.node() or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return _started(pid) == noted.get("started")


def die_with_parent() -> None:
    """End this process by SIGKILL as soon as its parent ends, on Linux; elsewhere do nothing."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _started(pid: int) -> str | None:
    """When a process began, as the kernel counts, and since which boot; None where /proc does not say or it has ended.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{boot} {ticks}"


def cores() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """Threads of the numerical libraries: OMP_NUM_THREADS (the first, where it is a list), else one a processor."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else cores()


PACKAGES = ("mindspore", "numpy", "scipy", "pandas", "pypinyin", "kaldi-native-fbank", "kaldi-native-io", "kaldialign",
            "soundfile", "soxr")


def git_commit(root: Path | str = ".") -> str | None:
    """The checkout's commit, with `-dirty` where tracked files differ from it; None outside a checkout."""
    words = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def environment() -> dict[str, Any]:
    """Commit, package versions, Python, processor and time, as `env.json` holds them."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": cores(),
        "host": platform.node(),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


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
    path = _path(exp_dir)
    if not path.exists():
        return None
    again = "remove it where no training is at work there"
    noted = read_json(path, "", again)
    try:
        left = noted["seconds_left"]
        if left is not None:
            left = max(0.0, left - max(0.0, time.time() - noted["time"]))  # a clock may have been set back
        return Progress(noted["epoch"], noted["epochs"], left, is_alive(noted["process"]))
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: not what a training writes; {again}") from None


def read_history(exp_dir: Path) -> list[dict[str, float]]:
    """train.csv: for each epoch its numbers by column; none where no epoch has ended yet.

    Raises UserError where the file is damaged. Reads it without pandas, which takes longer to load than `steps.status`
    may take in all.
    """
    path = exp_dir / "train.csv"
    check_is_file(path)
    if path.exists() and (faults := wrong_files(exp_dir, [path.name])):
        raise UserError(f"{faults[0]}\n  take {exp_dir}/final.ckpt away and train again, which goes on behind the last "
                        f"checkpoint; or, if you changed it on purpose, remove {exp_dir / SUMS}")
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or []
            rows = [{name: _number(text, f"{path}: {name}") for name, text in row.items()} for row in reader]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not readable as CSV ({error})") from None
    if "epoch" not in names or any(math.isnan(row["epoch"]) for row in rows):
        lacks = "a row without its" if "epoch" in names else "no column"
        raise UserError(f"{path}: not readable as CSV ({lacks} epoch)")
    return rows


def _number(text: str | list[str] | None, where: str) -> float:
    """A number as pandas writes it: what is not finite may be empty, and truth values are words."""
    if text in ("True", "False", ""):
        return {"True": 1, "False": 0, "": math.nan}[text]
    try:
        return int(text) if text.isdecimal() else float(text)
    except (ValueError, AttributeError):  # no text: the line is too short or too long
        raise UserError(f"{where}: not all numbers; the file is damaged") from None


def _path(exp_dir: Path) -> Path:
    return exp_dir / "progress.json"
