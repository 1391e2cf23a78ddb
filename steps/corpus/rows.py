"""Tables with a header (csv, tsv) and transcripts, as spreadsheets and corpora write them, read strictly."""

import codecs
import contextlib
import csv
import io
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from steps.common.errors import UserError
from steps.common.files import check_is_file
from steps.config.schema import Strict
from steps.corpus.table import BOM, decode, refuse

BOMS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF8: "utf-8-sig",  # the longer one first
        codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
DELIMITERS = "\t", ";", ",", "|"
_JSON = ("JSON, not a table; if its keys are columns, make a table of it, and name that: ./path.sh python -c \"import "
         "pandas; pandas.read_json('{0}', lines=LINES).to_csv('{0}.csv', index=False)\" (manifests of lhotse: lhotse "
         "kaldi export, and module: kaldi)")
OTHERS = (  # what is not a table in plain text, by its first bytes
    (rb"PK\x03\x04|\xd0\xcf\x11\xe0", "a spreadsheet, not a table in plain text; save it as CSV UTF-8"),
    (rb"\x1f\x8b", "compressed by gzip; unpack it: gunzip {}"),
    (rb"\s*(<!doctype|<html|<\?xml)", "a page of the web, perhaps a server's error; download the table again"),
    (rb"version https://git-lfs", "a pointer of Git LFS; fetch the file itself: git lfs pull"),
    (rb"PAR1|SQLite format|%PDF|\{\\rtf", "not a table in plain text; save it as CSV UTF-8"),
    (rb"\s*\{\s*\"", _JSON.replace("LINES", "True")), (rb"\s*\[\s*[\[{\"\r\n]", _JSON.replace("LINES", "False")))
SEPARATOR = re.compile(r"sep=(.)[\r\n]+")  # a line that Excel reads and writes


class Row(NamedTuple):
    """One line of a table."""

    line: int  # in the file, from 1; the first one if a cell has several
    cells: dict[str, str]  # by the name of their column, as the header has it


def read_rows(path: Path, delimiter: str | None = None, encoding: str | None = None) -> tuple[list[str], list[Row]]:
    """The header's names and the rows of a table; lines without any content are passed over.

    Names are in half width, without invisible characters.

    Args:
        delimiter: what parts cells. None: the one that a first line `sep=;` names, or the header has most of. If it
            is a tab, quotation marks are text like any other, unless the header has some; else they enclose cells, as
            RFC 4180 has it.
        encoding: as Python names it. None: UTF-8, or the one that a byte order mark tells.
    Raises UserError, naming lines, for a file that is missing or in another encoding, a header with a name twice, a row
    that has other cells than the header, a cell with a line break or a control character, and an open quotation mark.
    """
    text = _decode(path, encoding)
    told = SEPARATOR.match(text)
    names = next((line for line in text[told.end() if told else 0:].splitlines() if line.strip()), "")
    delimiter = delimiter or (told[1] if told else max(DELIMITERS, key=names.count))
    found = _parse(path, text, delimiter, quoted=delimiter != "\t" or '"' in names)
    if told:
        next(found)
    header = [half_width(name) for name in next((cells for _, cells in found if any(map(str.strip, cells))), [])]
    while header and not header[-1]:
        header.pop()
    folded = [name.casefold() for name in header]
    twice = sorted(name for name, alike in zip(header, folded, strict=True) if folded.count(alike) > 1)
    if twice or not header:
        raise UserError(f"{path}:1: " + (f"two columns are called {twice[0]}, or alike; rename one" if twice
                                         else "the file is empty, or has no header"))
    rows, faults = [], []
    for line, cells in found:
        cells = [cell if "\n" in cell or "\r" in cell else cell.strip() for cell in cells]  # breaks are faults
        fault = _fault(cells, header) if any(cells) else None
        if fault:
            faults.append(f"{path}:{line}: {fault}")
        elif any(cells):
            rows.append(Row(line, dict(zip(header, cells, strict=False))))
    refuse(faults)
    return header, rows


def read_columns(path: Path, names: Sequence[str]) -> list[Row]:
    """The rows of a table that has the columns `names`. Raises UserError as `read_rows` does, and if one is missing."""
    header, rows = read_rows(path)
    missing = [name for name in names if name not in header]
    if missing:
        raise UserError(f"{path}:1: no column {', '.join(missing)}; it has {', '.join(header)}")
    return rows


def find_column(path: Path, header: Sequence[str], wanted: str | None, names: Sequence[str], role: str) -> str | None:
    """The column that a table's header has for a role; None if it has none.

    Args:
        wanted: the name that the config gives; None: one of `names`, in any case, the first of which wins over others.
    Raises UserError if `wanted` is not there, and if several columns may be meant.
    """
    folded: Mapping[str, str] = {name.casefold(): name for name in header}
    if wanted is not None:
        if half_width(wanted).casefold() not in folded:
            raise UserError(f"{path}: no column {wanted}; it has {', '.join(header)}")
        return folded[half_width(wanted).casefold()]
    found = [folded[name] for name in names if name in folded]
    if len(found) > 1 and found[0].casefold() != names[0]:
        raise UserError(f"{path}: the columns {', '.join(found)} may all be the {role}; say which it is in "
                        f"conf/corpora/: `options: {{{role}: {found[0]}}}`")
    return found[0] if found else None


def _decode(path: Path, encoding: str | None) -> str:
    check_is_file(path)
    if path.is_dir():
        raise UserError(f"{path}: a folder, but a table is needed; write the name of the file")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {'no such file' if isinstance(error, FileNotFoundError) else error.strerror}"
                        ) from None
    told = next((name for bom, name in BOMS.items() if raw.startswith(bom)), None)
    other = next((what for first, what in OTHERS if re.match(first, raw.removeprefix(codecs.BOM_UTF8), re.I)), None)
    if other:
        raise UserError(f"{path}: {other.format(path)}")
    try:
        return raw.decode(encoding or told or "utf-8").replace(BOM, "")  # one is inside files that were joined
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: not {encoding or told or 'UTF-8'}; {_advice(raw)}") from None
    except (LookupError, ValueError):  # of Python's own: no text's encoding, such as idna
        raise UserError(f"{path}: no encoding is called {encoding}; some are utf-8, utf-16, gb18030, big5") from None


def _advice(raw: bytes) -> str:
    """The encodings in which the file can be read, with how it begins then."""
    found = []
    for name in ("utf-8", "gb18030", "big5", "utf-16"):
        with contextlib.suppress(UnicodeDecodeError):
            found.append((name, re.search(r"[^\x00-\x7f]{1,8}|$", raw.decode(name))[0]))
    if found:
        samples = ", or ".join(f"{name} ({sample})" for name, sample in found)
        return (f"it reads as {samples}: if that text is right, write `encoding: {found[0][0]}` below `options` "
                f"in conf/corpora/, or save it as UTF-8")
    return "it reads as no other encoding either; mend this line, or save the file as UTF-8"


def _parse(path: Path, text: str, delimiter: str, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """(number of the first line, cells) of each row."""
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError(f"{path}:{line}: a zero byte; remove it, or if the file is UTF-16, write `encoding: utf-16-le` "
                        f"below `options` in conf/corpora/")
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
    before = 0
    try:
        for cells in rows:
            yield before + 1, cells
            before = rows.line_num
    except csv.Error as error:
        raise UserError(f"{path}:{before + 1}: not readable as a table: {error}; is a quotation mark left open? "
                        'A cell that has some is enclosed, and each is written twice: "他说""好"""') from None


def _fault(cells: list[str], header: list[str]) -> str | None:
    """The faults of a row's cells."""
    broken = next((cell for cell in cells if "\n" in cell or "\r" in cell), None)
    if broken is not None:
        return (f"a line break inside the cell that begins with {broken[:10].splitlines()[0]!r}; write a blank "
                f"instead, or close the quotation mark that is left open")
    if len(cells) < len(header) or any(cells[len(header):]):
        return f"{len(cells)} cells, but the header has {len(header)} columns"
    control = next((char for cell in cells for char in cell if ord(char) < 32 and char != "\t"), None)
    return f"a control character ({control!r}); remove it" if control else None


Unpaired = Literal["untranscribed", "unrecorded"]  # recordings without a transcript, transcripts without a recording
WIDE = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}  # full-width forms to ASCII


class PairOptions(Strict):
    """`options:` of the corpora that `pair` puts together."""

    skip: list[Unpaired] = []  # what may lack its other half, and is left out


def read_lines(path: str | os.PathLike) -> list[str]:
    """A text file's lines, without their newlines. Raises UserError for GBK, a BOM or CRLF, and if it is missing."""
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
    """Full-width letters, digits, signs and blanks as ASCII, one blank at most between words, nothing invisible.

    Invisible are Unicode's format characters, such as a zero-width space or a soft hyphen. A letter and the marks on it
    are one character if Unicode has one (NFC).
    """
    visible = text if text.isprintable() else "".join(char for char in text if unicodedata.category(char) != "Cf")
    return " ".join(unicodedata.normalize("NFC", visible).translate(WIDE).split())


def pair(wavs: Iterable[str], texts: Iterable[str], where: Path, skip: Iterable[Unpaired] = ()) -> list[str]:
    """The ids that have a recording and a transcript, sorted.

    Raises UserError if one lacks the other, unless `skip` names that case: then stderr says how many are left out.
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
