"""Tables with a header and a line an utterance, as spreadsheets and corpora write them (csv, tsv), read strictly."""

import codecs
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from steps.common.errors import UserError
from steps.common.files import check_is_file
from steps.corpus.table import refuse

BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
DELIMITERS = "\t", ";", ",", "|"


class Row(NamedTuple):
    """One line of a table."""

    line: int  # in the file, from 1; the first one where a cell has several
    cells: dict[str, str]  # by the name of their column, as the header has it


def read_rows(path: Path, delimiter: str | None = None, encoding: str | None = None) -> tuple[list[str], list[Row]]:
    """The header's names and the rows of a table; lines without any content are passed over.

    Args:
        delimiter: what parts cells. None: the one that the header has most of. Where it is a tab, quotation marks are
            text like any other; else they enclose cells, as RFC 4180 has it.
        encoding: as Python names it. None: UTF-8, or the one that a byte order mark tells.
    Raises UserError, naming lines, for a file that is missing or in another encoding, a header with a name twice, a row
    that has other cells than the header, a cell with a line break or a control character, and an open quotation mark.
    """
    text = _decode(path, encoding)
    lines = text.splitlines(keepends=False) or [""]
    delimiter = delimiter or max(DELIMITERS, key=lambda sign: lines[0].count(sign))
    found = _parse(path, text, delimiter)
    header = [name.strip() for name in next(found, (1, []))[1]]
    while header and not header[-1]:
        header.pop()
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice or not header:
        raise UserError(f"{path}:1: " + (f"two columns are called {twice[0]!r}; rename one" if twice
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
    """The rows of a table that has the columns `names`. Raises UserError as `read_rows` does, and where one is missing.
    """
    header, rows = read_rows(path)
    missing = [name for name in names if name not in header]
    if missing:
        raise UserError(f"{path}:1: no column {', '.join(missing)}; it has {', '.join(header)}")
    return rows


def find_column(path: Path, header: Sequence[str], wanted: str | None, names: Sequence[str], role: str) -> str | None:
    """The column that a table's header has for a role; None where it has none.

    Args:
        wanted: the name that the config gives; None: one of `names`, in any case, the first of which wins over others.
    Raises UserError where `wanted` is not there, and where several columns may be meant.
    """
    folded: Mapping[str, str] = {name.casefold(): name for name in header}
    if wanted is not None:
        if wanted.casefold() not in folded:
            raise UserError(f"{path}: no column {wanted}; it has {', '.join(header)}")
        return folded[wanted.casefold()]
    found = [folded[name] for name in names if name in folded]
    if len(found) > 1 and found[0].casefold() != names[0]:
        raise UserError(f"{path}: the columns {', '.join(found)} may all be the {role}; say which it is in "
                        f"conf/corpora/: `options: {{{role}: {found[0]}}}`")
    return found[0] if found else None


def _decode(path: Path, encoding: str | None) -> str:
    check_is_file(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {'no such file' if isinstance(error, FileNotFoundError) else error.strerror}"
                        ) from None
    told = next((name for bom, name in BOMS.items() if raw.startswith(bom)), None)
    if raw.startswith(b"PK\x03\x04") or raw.startswith(b"\xd0\xcf\x11\xe0"):
        raise UserError(f"{path}: a spreadsheet, not a table in plain text; save it as CSV UTF-8")
    try:
        return raw.decode(encoding or told or "utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: not {encoding or told or 'UTF-8'}; {_advice(raw)}") from None
    except (LookupError, ValueError):  # of Python's own: no text's encoding, such as idna
        raise UserError(f"{path}: no encoding is called {encoding}; some are utf-8, utf-16, gb18030, big5") from None


def _advice(raw: bytes) -> str:
    """An encoding in which the file can be read."""
    for name in ("gb18030", "big5", "utf-16"):
        try:
            raw.decode(name)
        except UnicodeDecodeError:
            continue
        return (f"it reads as {name}: if its text is right so, write `encoding: {name}` below `options` in "
                f"conf/corpora/, or save it as UTF-8")
    return "it reads as no other encoding either; mend this line, or save the file as UTF-8"


def _parse(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(number of the first line, cells) of each row."""
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError(f"{path}:{line}: a zero byte; remove it, or if the file is UTF-16, write `encoding: utf-16-le` "
                        f"below `options` in conf/corpora/")
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
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
        return f"{len(cells)} cells where the header has {len(header)} columns"
    control = next((char for cell in cells for char in cell if ord(char) < 32 and char != "\t"), None)
    return f"a control character ({control!r}); remove it" if control else None
