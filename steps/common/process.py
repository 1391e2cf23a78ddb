"""Processes: whether the one that left a note is still there, and how not to outlive another."""

import ctypes
import os
import platform
import signal
import sys
from pathlib import Path
from typing import Any

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
