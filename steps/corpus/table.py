"""Kaldi's tables (`key value` lines) and transcripts of corpora, read strictly and written whole."""

import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from steps.common.errors import UserError
from steps.common.files import check_is_file, write_lines
from steps.config.schema import Strict

BOM = "\ufeff"
UTF_16 = b"\xff\xfe", b"\xfe\xff"
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


def read_speakers(path: Path, utts: Iterable[str]) -> dict[str, str]:
    """utt2spk. Raises UserError as `read_table`, and where one of `utts` is not in it."""
    speakers = read_table(path)
    missing = next((utt for utt in utts if utt not in speakers), None)
    if missing is not None:
        raise UserError(f"{path}: utterance {missing} has no speaker; run stage 1 (prepare) again")
    return speakers


def read_numbers(path: str | os.PathLike) -> dict[str, float]:
    """A table of numbers above 0, such as utt2dur. Raises UserError as `read_table`, and for what is no such number."""
    table = read_table(path)
    refuse([f"{path}: {key}: {fault}; run the stage that writes it again" for key, value in table.items()
            if (fault := positive_fault(value))])
    return {key: float(value) for key, value in table.items()}


def positive_fault(value: str) -> str | None:
    """The reason why a cell of a table is no number above 0; None if it is one."""
    try:
        number = float(value) if value.isascii() and "_" not in value else None  # as C's strtod reads it
    except ValueError:
        number = None
    if number is None:
        return f"{value!r} is no number"
    return None if 0 < number < float("inf") else f"{value} is not above 0"


def write_table(path: str | os.PathLike, table: Mapping[str, object]) -> None:
    """Write a table whole, sorted by key."""
    write_lines(path, (f"{key} {table[key]}" for key in sorted(table)))


def scan_table(path: str | os.PathLike) -> Scan:
    """Read a table leniently (GBK, BOM, CRLF, tabs, any order), and say each departure from Kaldi's rules."""
    path = Path(path)
    text, faults = decode(path)
    if text and not text.endswith("\n"):
        faults.append(f"{path}: the last line has no newline, as of a file cut short; get it anew, or where it is "
                      f"whole: echo >> {path}")
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


def refuse_or_leave_out(faults: list[str], skip: bool, total: int, what: str) -> None:
    """Raise UserError with the first few of `faults` where there are any; or, where `skip`, say all on stderr."""
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

    Raises UserError where it can't be read at all.
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
        raise UserError(f"{path}:{line}: a zero byte, as of a file that was not written to its end; get it anew")
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
    if BOM in text:  # at the begin, or amidst files that were joined
        line = text[: text.index(BOM)].count("\n") + 1
        faults.append(f"{path}:{line}: a byte order mark (BOM); remove it: sed -i 's/\\xef\\xbb\\xbf//g' {path}")
    return text.replace(BOM, ""), faults


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
            faults.append(f"{path}:{number}: {key}: not sorted (C order), it stands behind {before}; sort it: "
                          f"LC_ALL=C sort -o {path} {path}")
        if re.search(r"\s", key):
            faults.append(f"{path}:{number}: {key!r}: white space inside a key")
        seen.add(key)
        before = key
    return faults


Unpaired = Literal["untranscribed", "unrecorded"]  # recordings without a transcript, transcripts without a recording
WIDE = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}  # full-width forms to ASCII


class PairOptions(Strict):
    """`options:` of the corpora that `pair` puts together."""

    skip: list[Unpaired] = []  # what may lack its other half, and is left out


def read_lines(path: str | os.PathLike) -> list[str]:
    """A text file's lines, without their newlines. Raises UserError for GBK, a BOM or CRLF, and where it is missing."""
    text, faults = decode(Path(path))
    if faults:
        raise UserError("\n  ".join(faults))
    return text.removesuffix("\n").split("\n") if text else []


def read_transcript(path: str | os.PathLike) -> dict[str, str]:
    """A file of `utt text…` lines in any order. Raises UserError for a line without text, and for an id used twice."""
    texts, faults = {}, []
    for number, line in enumerate(read_lines(path), 1):
        utt, _, text = line.replace("\t", " ").partition(" ")
        if not text.strip():
            faults.append(f"{path}:{number}: {utt or 'an empty line'}: no text")
        elif utt in texts:
            faults.append(f"{path}:{number}: {utt}: the utterance is there twice")
        texts[utt] = text.strip()
    refuse(faults)
    return texts


def half_width(text: str) -> str:
    """Full-width letters, digits, signs and blanks as ASCII, one blank at the most between words, nothing invisible.

    Invisible are Unicode's format characters, such as a zero-width space or a soft hyphen. A letter and the marks on it
    are one character where Unicode has one (NFC).
    """
    visible = text if text.isprintable() else "".join(char for char in text if unicodedata.category(char) != "Cf")
    return " ".join(unicodedata.normalize("NFC", visible).translate(WIDE).split())


def pair(wavs: Iterable[str], texts: Iterable[str], where: Path, skip: Iterable[Unpaired] = ()) -> list[str]:
    """The ids that have a recording and a transcript, sorted.

    Raises UserError where one lacks the other, unless `skip` names that case: then stderr says how many are left out.
    """
    wavs, texts = set(wavs), set(texts)
    cases = {"untranscribed": (wavs - texts, len(wavs), "recordings have no transcript"),
             "unrecorded": (texts - wavs, len(texts), "transcripts have no recording")}
    for case, (alone, total, what) in cases.items():
        if not alone:
            continue
        message = f"{where}: {len(alone)} of {total} {what}, such as {', '.join(sorted(alone)[:3])}"
        if case not in skip:
            raise UserError(f"{message}; is the corpus whole and fully extracted? If this is how it is, "
                            f"`options: {{skip: [{case}]}}` leaves them out")
        print(f"{message}: left out", file=sys.stderr)
    return sorted(wavs & texts)
