"""Files that appear whole or not at all, and text files of users, read with a message if that fails."""

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import time
import zlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from steps.common.errors import UserError, umask

OF_SHELL = "/dev/fd/", "/dev/stdin", "/proc/self/fd/"
LEFTOVER = re.compile(r"\.(.+)\.(\d+)(?:-([0-9a-f]{8}))?\.[^.]+(?:\.(?:tmp|ckpt))?")  # with the process that makes it
OTHERS_S = 24 * 3600.0  # since another machine wrote to what it made: it is no longer at work


def unfinished(name: str) -> str:
    """How the names of what this process makes begin until it is whole: with the process, and its machine."""
    return f".{name}.{os.getpid()}-{_machine()}."


def _machine() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike, suffix: str = ".tmp") -> Iterator[Path]:
    """Give a path beside `path` to write to; at the end it is synced and renamed to `path`, or removed on an error.

    It ends in `suffix`, for writers that want a certain one. Raises UserError if `path` is not a regular file, such as
    a folder or a device.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is there, and is not a regular file; name another to write to")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=unfinished(path.name), suffix=suffix)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o666 & ~umask())
        _sync(beside)
        os.replace(beside, path)
    except OSError as error:
        if error.filename is None:  # as when a write fails
            error.filename = str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)


def remove_leftovers(folder: Path, names: Collection[str] | None = None) -> None:
    """Remove what ended processes have left unfinished in a folder and below: they were killed.

    `names` are the only files that may be removed in a folder that is not the recipe's. If the disk is shared, what
    another machine's process left is removed when it has not changed for a day.
    """
    for path in [*folder.rglob(".*")] if names is None else [*folder.glob(".*")]:
        found = LEFTOVER.fullmatch(path.name)
        if found and (names is None or found[1] in names) and not _at_work(path, *found.groups()[1:]):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _at_work(path: Path, pid: str, machine: str | None) -> bool:
    try:
        if machine not in (None, _machine()):
            return time.time() - path.stat().st_mtime < OTHERS_S
        os.kill(int(pid), 0)
    except (ProcessLookupError, FileNotFoundError, OverflowError):
        return False
    except PermissionError:  # another user's
        pass
    return True


def remove_files(folder: Path, names: Iterable[str]) -> None:
    """Remove those files of a folder that are there, before they are written again: none, if one is a folder.

    Raises UserError then.
    """
    names = list(names)
    check_no_folders(folder, names)
    for name in names:
        (folder / name).unlink(missing_ok=True)


def check_no_folders(folder: Path, names: Iterable[str]) -> None:
    """Raise UserError if one of these names, which are files', is a folder in `folder`."""
    for path in [folder / name for name in names]:
        if path.is_dir():
            raise UserError(f"{path}: a folder stands where a file should be: move it away")


@contextlib.contextmanager
def atomic_open(path: str | os.PathLike, mode: str = "w") -> Iterator[IO[Any]]:
    """`open` for writing (utf-8, \\n) on a file that replaces `path` only when the block ends without an error."""
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    with atomic_path(path) as beside, open(beside, mode, **text) as file:
        yield file
        file.flush()


def remove_others(folder: Path, wanted: set[str]) -> None:
    """Remove the files of a folder whose names are not `wanted`, as recordings of another seed or number."""
    for path in folder.iterdir():
        if path.name not in wanted:
            path.unlink()


def write_lines(path: str | os.PathLike, lines: Iterable[str]) -> None:
    """Write lines (without their newlines) as one whole file."""
    with atomic_open(path) as file:
        file.writelines(f"{line}\n" for line in lines)


def check_is_file(path: str | os.PathLike) -> None:
    """Raise UserError for a pipe or a device, which reading might never end of.

    A shell's own pipes, as of `<(…)`, are taken, and what is not there or a folder, which opening tells.
    """
    if str(path).startswith(OF_SHELL):
        return
    with contextlib.suppress(OSError, ValueError):
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise UserError(f"{path}: a pipe or a device stands where a file should be: move it away")


def stdin_lines() -> Iterator[str]:
    """The lines of standard input without their ends, and without a byte order mark before the first.

    Bytes that are not characters are kept as lone surrogates, which no text has.
    """
    if hasattr(sys.stdin, "reconfigure"):  # a test may have put another stream there
        sys.stdin.reconfigure(errors="surrogateescape")
    for number, line in enumerate(sys.stdin):
        yield (line if number else line.removeprefix("\ufeff")).rstrip("\n")


def utf8_text(path: Path, if_missing: str = "", encoding: str = "utf-8", if_not_utf8: str = "") -> str:
    """A text file's content, its lines ended by \\n; `utf-8-sig` as encoding allows a byte order mark.

    Raises UserError if the file is missing, cannot be read, is not UTF-8 or has a zero byte, with `if_missing` or
    `if_not_utf8`, the remedy, at its end.
    """
    check_is_file(path)
    try:
        text = path.read_text(encoding=encoding)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file{if_missing}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not utf-8 (byte {error.start}){if_not_utf8}") from None
    if "\0" in text:
        line = text[:text.index("\0")].count("\n") + 1
        raise UserError(f"{path}:{line}: a zero byte, as of a file that was not written to its end{if_not_utf8}")
    return text


def utf8_lines(path: Path, if_missing: str = "", encoding: str = "utf-8", if_not_utf8: str = "") -> list[str]:
    """A text file's lines, without their newlines, as `utf8_text` reads it. Lines end by \\n alone."""
    text = utf8_text(path, if_missing, encoding, if_not_utf8)
    return text.removesuffix("\n").split("\n") if text else []


def read_json(path: Path, if_missing: str, again: str) -> dict[str, Any]:
    """A JSON file's mapping. Raises UserError if it is missing or no mapping; `again` says how to write it again."""
    text = utf8_text(path, if_missing, if_not_utf8=f"; {again}")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}); {again}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: not a JSON mapping; {again}")
    return value


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write a JSON file, indented, hanzi as they are."""
    with atomic_open(path) as file:
        json.dump(value, file, ensure_ascii=False, indent=2)
        file.write("\n")


def sha256(path: str | os.PathLike) -> str:
    """A file's SHA-256 in hexadecimal, as sha256sum prints it."""
    check_is_file(path)
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


GONE = "gone"


def size_and_time(path: str | os.PathLike) -> str:
    """A file's size in bytes and the time of its last change in ns since 1970, or GONE: a quick look at what it holds.
    """
    try:
        stat = os.stat(path)
    except OSError:
        return GONE
    return f"{stat.st_size} {stat.st_mtime_ns}"


def disk_usage(path: str | os.PathLike) -> int:
    """Bytes of a file, or of all files in a directory, links not followed; 0 if there is nothing."""
    if not os.path.isdir(path):
        return os.lstat(path).st_size if os.path.lexists(path) else 0
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # a training may be at work
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


def megabytes(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
