"""Kaldi tables: `key value…` lines, sorted by key in C order, which is Python's order of str and UTF-8's of bytes."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from steps.common.errors import UserError
from steps.common.files import write_lines

BOM = b"\xef\xbb\xbf"
SAID_AT_MOST = 5  # faults of one kind that a message names


class Scan(NamedTuple):
    """A table as it stands: its rows in the file's order, and what is wrong with it, in words."""

    rows: list[tuple[str, str]]
    faults: list[str]


def read_table(path: str | os.PathLike) -> dict[str, str]:
    """A table as {key: value}, in C order of the keys.

    Raises UserError where the file is missing, not UTF-8, or not a sorted table with one value a key.
    """
    scan = scan_table(path)
    if scan.faults:
        raise UserError("\n  ".join(scan.faults))
    return dict(scan.rows)


def write_table(path: str | os.PathLike, table: Mapping[str, object]) -> None:
    """Write a table whole, sorted by key."""
    write_lines(path, (f"{key} {table[key]}" for key in sorted(table)))


def scan_table(path: str | os.PathLike) -> Scan:
    """Read a table leniently (GBK, BOM, CRLF, tabs, any order), and say each departure from Kaldi's rules."""
    path = Path(path)
    text, faults = decode(path)
    if text and not text.endswith("\n"):
        faults.append(f"{path}: the last line has no newline, as of a file cut short")
    rows, unfit = [], []
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], 1):
        key, _, value = line.replace("\t", " ").strip(" ").partition(" ")
        rows.append((key, value.strip(" ")))
        if not key or not value.strip(" "):
            unfit.append(f"{path}:{number}: {key or 'an empty line'}: no value behind the key")
    faults += shorten(unfit)
    faults += shorten(_order_faults(path, [key for key, _ in rows]))
    return Scan(rows, faults if rows else [f"{path}: the file is empty"])


def shorten(faults: list[str]) -> list[str]:
    """The first few of many faults of one kind, and how many more there are."""
    more = len(faults) - SAID_AT_MOST
    return faults if more <= 0 else [*faults[:SAID_AT_MOST], f"… and {more} more of this kind"]


def refuse(faults: list[str]) -> None:
    """Raise UserError with the first few of `faults`, of one kind, where there are any."""
    if faults:
        raise UserError("\n  ".join(shorten(faults)))


def decode(path: Path) -> tuple[str, list[str]]:
    """A text file's content as it is meant, and what keeps it from being plain UTF-8 with \\n, in words.

    Raises UserError where it can't be read at all.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    faults = []
    if raw.startswith(BOM):
        faults.append(f"{path}:1: begins with a byte order mark (BOM); save the file as UTF-8 without one")
        raw = raw.removeprefix(BOM)
    if b"\r" in raw:
        line = raw[: raw.index(b"\r")].count(b"\n") + 1
        faults.append(f"{path}:{line}: a carriage return (CR), as Windows ends lines; "
                      f"remove it: sed -i 's/\\r$//' {path}")
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        return raw.decode("utf-8"), faults
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return _decode_gbk(path, raw, line, faults)


def _decode_gbk(path: Path, raw: bytes, line: int, faults: list[str]) -> tuple[str, list[str]]:
    try:
        text = raw.decode("gb18030")
    except UnicodeDecodeError:
        raise UserError(f"{path}:{line}: neither UTF-8 nor GBK; get the file anew, or mend this line") from None
    return text, [*faults, f"{path}:{line}: not UTF-8, it reads as GBK; "
                           f"convert it: iconv -f GB18030 -t UTF-8 {path} > new && mv new {path}"]


def _order_faults(path: Path, keys: list[str]) -> list[str]:
    faults, seen, before = [], set(), ""
    for number, key in enumerate(keys, 1):
        if key in seen:
            faults.append(f"{path}:{number}: {key}: the key is there twice")
        elif key < before:
            faults.append(f"{path}:{number}: {key}: not sorted (C order), it stands behind {before}")
        if re.search(r"\s", key):
            faults.append(f"{path}:{number}: {key!r}: white space inside a key")
        seen.add(key)
        before = key
    return faults
