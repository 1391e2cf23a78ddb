"""Which process may write a stage's results: a lock on log/<stage>.lock in the folder that they go to."""

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from steps.common.errors import UserError
from steps.common.files import remove_leftovers
from steps.common.process import this_process

LOCK = "YINJIE_LOCK"  # <file descriptor>:<path> of the lock that doit has taken for the stage that it starts
_held: dict[Path, int] = {}  # file descriptors of this process' locks


@contextlib.contextmanager
def output_lock(folder: Path, name: str) -> Iterator[None]:
    """Let no other process write what the stage `name` writes to `folder`. The lock ends with the block or the process.

    Raises UserError, which names the process at work, where another one does.
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

    Raises UserError where another process holds the lock.
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
    """Who holds the lock on a file, and what to do about it; None where no process does."""
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
