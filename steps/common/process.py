"""Processes: whether one runs, how it ends with its parent, what it runs with; and which may write a stage's results.

A process that writes a stage's results holds a lock on log/<stage>.lock in the folder that they go to.
"""

import contextlib
import ctypes
import datetime
import fcntl
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from steps.common.errors import UserError
from steps.common.files import remove_leftovers

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
    except PermissionError:  # another user's
        pass
    return _started(pid) == noted.get("started")


def die_with_parent() -> None:
    """End this process by SIGKILL as soon as its parent ends, on Linux; elsewhere do nothing."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _started(pid: int) -> str | None:
    """When a process began, as the kernel counts, and since which boot; None if /proc does not say or it has ended.
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
    """Threads of the numerical libraries: OMP_NUM_THREADS (the first, if it is a list), else one a processor."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else cores()


PACKAGES = ("mindspore", "numpy", "scipy", "pandas", "pypinyin", "kaldi-native-fbank", "kaldi-native-io", "kaldialign",
            "soundfile", "soxr")


def git_commit() -> str | None:
    """The checkout's commit, with `-dirty` if tracked files differ from it; None outside a checkout."""
    words = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
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


LOCK = "YINJIE_LOCK"  # <file descriptor>:<path> of the lock that doit has taken for the stage that it starts
_held: dict[Path, int] = {}  # file descriptors of this process' locks


@contextlib.contextmanager
def output_lock(folder: Path, name: str) -> Iterator[None]:
    """Let no other process write what the stage `name` writes to `folder`. The lock ends with the block or the process.

    Raises UserError, which names the process at work, if another process does.
    """
    path = lock_path(folder, name)
    handle, _, held = os.environ.get(LOCK, "").partition(":")
    if held == str(path):  # doit holds it: from here on so does this process, but none that it starts
        del os.environ[LOCK]
        os.set_inheritable(int(handle), False)
        _held[path] = int(handle)
    if path in _held:
        remove_leftovers(folder)
        yield
        return
    _held[path] = take_lock(path, " ".join(["python", *sys.orig_argv[1:]]))
    remove_leftovers(folder)
    try:
        yield
    finally:
        if path in _held:  # not so in a forked process
            give_lock_back(path, _held.pop(path))


def lock_path(folder: Path, name: str) -> Path:
    """The file that the writer of a stage's results holds a lock on, such as exp/mini/log/train.lock."""
    return folder / "log" / f"{name}.lock"


def take_lock(path: Path, what: str) -> int:
    """Lock a file and write down who did it: `what`, process, time. Returns the file descriptor; closing it unlocks.

    Raises UserError if another process holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UserError(busy(path)) from None
    except OSError as error:
        print(f"warning: {path}: this file system has no locks ({error.strerror}); see that nothing else writes to "
              f"{path.parent.parent}", file=sys.stderr)
    if not path.exists() or not os.path.samestat(os.fstat(handle), os.stat(path)):  # `doit clean` was quicker
        os.close(handle)
        return take_lock(path, what)
    with contextlib.suppress(OSError):  # on a disk that is full the lock holds all the same
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps({"what": what, "begin": time.time(), **this_process()}).encode())
    return handle


def give_lock_back(path: Path, handle: int) -> None:
    """Unlock a file and remove it, and the folders that were made for it, if nothing else has come into them."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()
        path.parent.parent.rmdir()
    os.close(handle)


def busy(path: Path) -> str | None:
    """Who holds the lock on a file, and what to do about it; None if no process does."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        noted = os.read(handle, 10000)
    except OSError:
        return None
    finally:
        os.close(handle)
    folder = path.parent.parent
    try:
        other = json.loads(noted)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(other["begin"]))
        return (f"{folder}: `{other['what']}` writes there, process {other['pid']} on {other['host']} since {since}; "
                f"wait until it ends, or end it: kill {other['pid']}")
    except (ValueError, KeyError):  # it has only begun
        return f"{folder}: another process has just begun to write there; wait until it ends"


def _unlock_in_child() -> None:
    """A forked process does not hold its parent's locks: they end with the parent."""
    for handle in _held.values():
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_unlock_in_child)
