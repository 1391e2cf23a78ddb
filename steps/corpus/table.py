"""Kaldi's tables (`key value` lines), read strictly and written whole; and whose a set's table `pinyin` is.

lang/pinyin.sha256 (`sha256sum -c` reads it in data/<corpus>/) lists what stage 2 derived. <set>/.pinyin.sha256 holds
the hash of a corpus' own pinyin as the stages wrote it. A file that neither of them knows has been mended by hand. The
corpus' own pinyin wins over the dictionaries, and what was mended by hand wins over both.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from steps.common.errors import UserError
from steps.common.files import check_is_file, sha256, utf8_lines, write_lines

BOM = "\ufeff"
UTF_16 = b"\xff\xfe", b"\xfe\xff"
SAID_AT_MOST = 5  # faults of one kind that a message names


class Scan(NamedTuple):
    """A table as it stands: its rows in the file's order, and what is wrong with it, in words."""

    rows: list[tuple[str, str]]
    faults: list[str]


def read_table(path: str | os.PathLike) -> dict[str, str]:
    """A table as {key: value}, in C order of the keys.

    Raises UserError if the file is missing, not UTF-8, or not a sorted table with one value a key.
    """
    scan = scan_table(path)
    if scan.faults:
        raise UserError("\n  ".join(scan.faults))
    return dict(scan.rows)


def read_speakers(path: Path, utts: Iterable[str]) -> dict[str, str]:
    """utt2spk. Raises UserError as `read_table`, and if one of `utts` is not in it."""
    speakers = read_table(path)
    missing = next((utt for utt in utts if utt not in speakers), None)
    if missing is not None:
        raise UserError(f"{path}: utterance {missing} has no speaker; run stage 1 (prepare) again")
    return speakers


def read_numbers(path: str | os.PathLike) -> dict[str, float]:
    """A table of numbers above 0, such as utt2dur. Raises UserError as `read_table`, and for anything else."""
    table = read_table(path)
    refuse([f"{path}: {key}: {fault}; run the stage that writes it again" for key, value in table.items()
            if (fault := positive_fault(value))])
    return {key: float(value) for key, value in table.items()}


def positive_fault(value: str) -> str | None:
    """The reason why a cell of a table is not a number above 0; None if it is one."""
    try:
        number = float(value) if value.isascii() and "_" not in value else None  # as C's strtod reads it
    except ValueError:
        number = None
    if number is None:
        return f"{value!r} is not a number"
    return None if 0 < number < float("inf") else f"{value} is not above 0"


def write_table(path: str | os.PathLike, table: Mapping[str, object]) -> None:
    """Write a table whole, sorted by key."""
    write_lines(path, (f"{key} {table[key]}" for key in sorted(table)))


def scan_table(path: str | os.PathLike) -> Scan:
    """Read a table leniently (GBK, BOM, CRLF, tabs, any order), and say each departure from Kaldi's rules."""
    path = Path(path)
    text, faults = decode(path)
    if text and not text.endswith("\n"):
        faults.append(f"{path}: the last line has no newline, as of a file cut short; get it again, or if it is "
                      f"whole: echo >> {path}")
    rows, unfit = [], []
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], 1):
        key, _, value = line.replace("\t", " ").strip(" ").partition(" ")
        rows.append((key, value.strip(" ")))
        if not key or not value.strip(" "):
            unfit.append(f"{path}:{number}: {key or 'an empty line'}: no value after the key")
    faults += shorten(unfit)
    faults += shorten(_order_faults(path, [key for key, _ in rows]))
    return Scan(rows, faults if rows else [f"{path}: the file is empty"])


def shorten(faults: list[str]) -> list[str]:
    """The first few of many faults of one kind, and how many more there are."""
    more = len(faults) - SAID_AT_MOST
    return faults if more <= 0 else [*faults[:SAID_AT_MOST], f"… and {more} more of this kind"]


def refuse(faults: list[str]) -> None:
    """Raise UserError with the first few of `faults`, of one kind, if there are any."""
    if faults:
        raise UserError("\n  ".join(shorten(faults)))


def refuse_or_leave_out(faults: list[str], skip: bool, total: int, what: str) -> None:
    """Raise UserError with the first few of `faults` if there are any; or, with `skip`, say all on stderr."""
    if faults and not skip:
        remedy = ("`skip_bad: true` in the corpus' .yaml leaves them out" if len(faults) < total else
                  "nothing would be left without them; check `root` in the corpus' .yaml, and with module: kaldi "
                  "`options: {base: FOLDER}`, where relative paths start from")
        raise UserError(f"{len(faults)} of {total} {what} cannot be used:\n  " + "\n  ".join(shorten(faults))
                        + f"\n  {remedy}")
    if faults:
        print(f"{what}: kept {total - len(faults)} of {total}, left out:", *faults, sep="\n  ", file=sys.stderr)


def decode(path: Path) -> tuple[str, list[str]]:
    """A text file's content as it is meant, and what keeps it from being plain UTF-8 with \\n, in words.

    Raises UserError if it cannot be read at all.
    """
    check_is_file(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    faults = []
    if raw.startswith(UTF_16):
        raise UserError(f"{path}:1: UTF-16; convert it: iconv -f UTF-16 -t UTF-8 {path} > new && mv new {path}")
    if 0 in raw:
        line = raw[: raw.index(0)].count(b"\n") + 1
        raise UserError(f"{path}:{line}: a zero byte, as of a file that was not written to its end; get it again")
    if b"\r" in raw:
        line = raw[: raw.index(b"\r")].count(b"\n") + 1
        whose, remedy = ("Windows", f"sed -i 's/\\r$//' {path}") if b"\r\n" in raw else \
            ("the old Macintosh", f"tr '\\r' '\\n' < {path} > new && mv new {path}")
        faults.append(f"{path}:{line}: a carriage return (CR), as {whose} ends lines; remove it: {remedy}")
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return _decode_gbk(path, raw, line, faults)
    if BOM in text:  # at the begin, or inside files that were joined
        line = text[: text.index(BOM)].count("\n") + 1
        faults.append(f"{path}:{line}: a byte order mark (BOM); remove it: sed -i 's/\\xef\\xbb\\xbf//g' {path}")
    return text.replace(BOM, ""), faults


def _decode_gbk(path: Path, raw: bytes, line: int, faults: list[str]) -> tuple[str, list[str]]:
    try:
        text = raw.decode("gb18030")
    except UnicodeDecodeError:
        raise UserError(f"{path}:{line}: neither UTF-8 nor GBK; get the file again, or mend this line") from None
    return text, [*faults, f"{path}:{line}: not UTF-8, it reads as GBK; "
                           f"convert it: iconv -f GB18030 -t UTF-8 {path} > new && mv new {path}"]


def _order_faults(path: Path, keys: list[str]) -> list[str]:
    faults, seen, before = [], set(), ""
    for number, key in enumerate(keys, 1):
        if key in seen:
            faults.append(f"{path}:{number}: {key}: the key is there twice")
        elif key < before:
            faults.append(f"{path}:{number}: {key}: not sorted (C order), it stands after {before}; sort it: "
                          f"LC_ALL=C sort -o {path} {path}")
        if re.search(r"\s", key):
            faults.append(f"{path}:{number}: {key!r}: white space inside a key")
        seen.add(key)
        before = key
    return faults


LIST = "lang/pinyin.sha256"
OWN = ".pinyin.sha256"
DAMAGED = "; remove it, and each <set>/pinyin that you have not mended by hand; then run stages 1 and 2 again"


def is_derived(data_dir: Path, name: str) -> bool:
    """Whether data/<corpus>/<set>/pinyin is what an earlier run of stage 2 wrote, or not there."""
    path = data_dir / name / "pinyin"
    return not path.exists() or _line(name, path.read_bytes()) in _listed(data_dir)


def write_derived(data_dir: Path, pinyin: dict[str, list[str]]) -> None:
    """Write the derived `pinyin` files (lines by set) and list them."""
    lines = {name: _line(name, "".join(f"{line}\n" for line in table).encode()) for name, table in pinyin.items()}
    # Killed between two of these files, both what was there and what will be there are known as ours.
    write_lines(data_dir / LIST, _unique([*_listed(data_dir), *lines.values()]))
    for name, table in pinyin.items():
        write_lines(data_dir / name / "pinyin", table)
    write_lines(data_dir / LIST, _unique(lines.values()))


def is_own(set_dir: Path) -> bool:
    """Whether <set>/pinyin is the corpus' own, as the stages wrote it."""
    note = set_dir / OWN
    return note.exists() and utf8_lines(note, if_not_utf8=DAMAGED)[:1] == [sha256(set_dir / "pinyin")]


def note_own(set_dir: Path) -> None:
    """Note that <set>/pinyin is the corpus' own, as the stages wrote it."""
    write_lines(set_dir / OWN, [sha256(set_dir / "pinyin")])


def is_mended(data_dir: Path, name: str, ships_pinyin: bool) -> bool:
    """Whether data/<corpus>/<set>/pinyin was mended by hand.

    Of a corpus that ships pinyin, a file without a note is taken for the corpus' own.
    """
    set_dir = data_dir / name
    return not (is_derived(data_dir, name) or is_own(set_dir) or (ships_pinyin and not (set_dir / OWN).exists()))


def doubtful(data_dir: Path, name: str) -> str:
    """What to say of data/<corpus>/<set>/pinyin if it is not as the stages wrote it; empty if it is, and if
    nothing tells."""
    noted = (data_dir / LIST).exists() or (data_dir / name / OWN).exists()
    if not noted or not is_mended(data_dir, name, ships_pinyin=False):
        return ""
    return f"{data_dir / name / 'pinyin'}: is not as it was written: it was mended by hand, or is damaged"


def keep_mended(data_dir: Path, name: str, new_dir: Path) -> None:
    """Bring a `pinyin` that was mended by hand from data/<corpus>/<set> to the directory that will replace it.

    Utterances that are no longer there are dropped, and counted on stderr. `new_dir` has the pinyin of new utterances,
    if the corpus ships it. Raises UserError if the file is not a table of utterances and syllables.
    """
    pinyin = new_dir / "pinyin"
    ships_pinyin = pinyin.exists()
    if ships_pinyin:
        note_own(new_dir)
    if not is_mended(data_dir, name, ships_pinyin):
        return
    mended, utts = read_table(data_dir / name / "pinyin"), read_table(new_dir / "utt2spk")
    kept = {utt: syllables for utt, syllables in mended.items() if utt in utts}
    write_table(pinyin, {**(read_table(pinyin) if ships_pinyin else {}), **kept})
    print(f"{data_dir / name / 'pinyin'}: mended by hand, stays: {len(kept)} of its {len(mended)} utterances",
          file=sys.stderr)


def _listed(data_dir: Path) -> list[str]:
    path = data_dir / LIST
    lines = utf8_lines(path, if_not_utf8=DAMAGED) if path.exists() else []
    if not all(re.fullmatch(r"[0-9a-f]{64}  \S+/pinyin", line) for line in lines):
        raise UserError(f"{path}: not a list of checksums{DAMAGED}")
    return lines


def _line(name: str, content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}  {name}/pinyin"


def _unique(lines: Iterable[str]) -> list[str]:
    return sorted(set(lines), key=lambda line: line.split("  ")[1])
