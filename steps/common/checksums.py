"""Results by checksum: each folder that a stage writes has a list, SHA256SUMS, that `sha256sum -c` can read, too.

A stage that reads a result checks it against the list: small files by content, large ones by size and time, and by
content if the time has changed, as of a copy. `python -m steps.status --verify` checks all by content.
"""

import contextlib
import functools
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from steps.common.errors import UserError
from steps.common.files import check_no_folders, remove_files, sha256, utf8_lines, write_lines

SUMS = "SHA256SUMS"
LARGE = 1 << 24  # bytes from which on reading a file each time takes too long


TRAINED = "final.ckpt", "config.yaml", "tokens.txt", "cmvn", "buckets.json"  # of an experiment: what decoding reads
HISTORY = "train.csv", "env.json"  # and what reports read besides
RESULTS = {"wav.scp", "lexicon.txt", "feats.scp", "final.ckpt", "ctm", "score.json"}  # whose folder has a list
ENTRY = re.compile(r"[0-9a-f]{64}  [^/\0]+")  # a file of this folder
AGAIN = "run stage {} again"
AGAIN_LIST = "; remove it, or run the stage again"


class Entry(NamedTuple):
    """A file as it was written."""

    digest: str
    facts: tuple[int, int] | None = None  # of a large file: bytes, and time of its last change in ns since 1970


def write_sums(folder: Path, names: Iterable[str]) -> None:
    """Write the list of a folder's files; those that are not there are left out. A stage does this last."""
    entries = {}
    for name in sorted(names):
        with contextlib.suppress(FileNotFoundError):
            facts = _facts(folder / name)
            entries[name] = Entry(sha256(folder / name), facts if facts[0] >= LARGE else None)
    _write(folder, entries)


def forget_sums(folder: Path, names: Iterable[str] = ()) -> None:
    """Remove the list: its files, `names`, are about to change. A stage does this first.

    Raises UserError if one of them is a folder; nothing is removed then.
    """
    check_no_folders(folder, names)
    remove_files(folder, [SUMS])


def check_sums(folder: Path, again: str, names: Sequence[str] | None = None) -> None:
    """Raise UserError if one of a folder's files is not as it was written; `again` says how to write it again.

    Files that are not in the list pass. So do those of a folder without one, which is said on stderr.
    """
    there = folder.exists() if names is None else any((folder / name).exists() for name in names)
    if there and not os.path.lexists(folder / SUMS):
        _warn_of_none(folder, again)
    faults = wrong_files(folder, names)
    if faults:
        raise UserError("\n  ".join(faults) + f"\n  {again}; or, if you changed it on purpose, remove {folder / SUMS}")


@functools.cache  # once is enough
def _warn_of_none(folder: Path, again: str) -> None:
    print(f"warning: {folder}: has no {SUMS}, so that damage to its files may stay unseen; {again} to have one",
          file=sys.stderr)


def wrong_files(folder: Path, names: Sequence[str] | None = None, by_content: bool = False) -> list[str]:
    """The files of a folder's list, or those of them that `names` has, that are not as they were written, and how."""
    entries, faults = _read(folder), []
    for name, entry in entries.items():
        if names is not None and name not in names:
            continue
        path = folder / name
        try:
            facts = _facts(path)
        except FileNotFoundError:
            faults.append(f"{path}: is gone, or its {SUMS} is damaged")
            continue
        if facts == entry.facts and not by_content:
            continue
        if sha256(path) != entry.digest:
            faults.append(f"{path}: is not as it was written: it is damaged, or another file, or else its {SUMS} is")
        elif facts[0] >= LARGE and facts != entry.facts:
            with contextlib.suppress(OSError):  # a copy: note its time, so that it is not read each time
                _write(folder, entries | {name: Entry(entry.digest, facts)})
    return faults


def _facts(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


def result_folders(roots: Iterable[Path]) -> Iterator[tuple[Path, bool]]:
    """The folders below `roots` that hold results, and whether there is a list, or a folder in its place.

    Raises OSError if one cannot be read.
    """
    def refuse(error: OSError) -> None:
        if os.path.exists(error.filename):
            raise error

    for root in roots:
        for folder, folders, names in os.walk(root, onerror=refuse):
            listed = SUMS in names or SUMS in folders
            if listed or RESULTS & {*names}:
                yield Path(folder), listed


def _write(folder: Path, entries: dict[str, Entry]) -> None:
    facts = [f"# {entry.facts[0]} {entry.facts[1]} {name}" for name, entry in entries.items() if entry.facts]
    # sha256sum passes lines over that begin with #
    sums = [f"{entry.digest}  {name}" for name, entry in entries.items()]
    write_lines(folder / SUMS, [f"# {len(sums)} files", *facts, *sums])


def _read(folder: Path) -> dict[str, Entry]:
    """The list by file; empty if there is none. Raises UserError for one that cannot be read."""
    path = folder / SUMS
    if not os.path.lexists(path):
        return {}
    check_no_folders(folder, [SUMS])
    lines = utf8_lines(path, AGAIN_LIST, if_not_utf8=AGAIN_LIST)
    if not lines:
        raise UserError(f"{path}: the list is empty{AGAIN_LIST}")
    count = re.fullmatch(r"# (\d+) files", lines[0])  # earlier versions wrote none
    try:
        facts = {name: (int(size), int(time)) for size, time, name in
                 (line[2:].split(" ", 2) for line in lines[bool(count):] if line.startswith("# "))}
        entries = {name: Entry(digest, facts.get(name)) for digest, name in
                   (line.split("  ", 1) for line in lines if not line.startswith("# "))}
        whole = all(ENTRY.fullmatch(f"{entry.digest}  {name}") for name, entry in entries.items())
    except ValueError:
        whole = False
    if not whole:
        raise UserError(f"{path}: not a list of checksums{AGAIN_LIST}")
    if count and int(count[1]) != len(entries):
        raise UserError(f"{path}: has {len(entries)} of the {count[1]} files that it had{AGAIN_LIST}")
    return entries
