"""What a result was made with: versions, commit, machine."""

import datetime
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

from steps.common.process import cores

PACKAGES = ("mindspore", "numpy", "scipy", "pandas", "pypinyin", "kaldi-native-fbank", "kaldi-native-io", "kaldialign",
            "soundfile", "soxr")


def git_commit(root: Path | str = ".") -> str | None:
    """The checkout's commit, with `-dirty` where tracked files differ from it; None outside a checkout."""
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        dirty = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("-dirty" if dirty else "")


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


def _git(root: Path | str, *words: str) -> str:
    return subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True, text=True).stdout.strip()


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
