"""Anything that a file may hold is read, or refused by a UserError: no other exception, no wrong success."""

import contextlib
import io
import signal

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steps.common.checksums import SUMS, check_sums
from steps.common.errors import UserError, run
from steps.common.yaml import check, read_yaml
from steps.config.schema import Experiment
from steps.corpus.audio import check_audio, read_blocks
from steps.corpus.rows import read_rows
from steps.corpus.table import read_transcript

FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, 1600), 16000, format=kind)
    return file.getvalue()


SOUNDS = {kind: encoded(kind) for kind in ("WAV", "FLAC", "OGG", "MP3")}


@FUZZ
@given(raw=st.binary(max_size=200))
def test_bytes_as_a_table(tmp_path, raw):
    (tmp_path / "t.csv").write_bytes(raw)
    try:
        header, rows = read_rows(tmp_path / "t.csv")
    except UserError as error:
        assert str(tmp_path / "t.csv") in str(error)
    else:
        assert header and all(set(row.cells) == set(header) for row in rows)


@FUZZ
@given(table=st.lists(st.tuples(cells, cells, cells), max_size=6))
def test_cells_as_a_table_lose_no_row(tmp_path, table):
    lines = ["a,b,c", *(",".join(row) for row in table)]
    (tmp_path / "t.csv").write_text("\n".join(lines), encoding="utf-8", newline="")
    try:
        _, rows = read_rows(tmp_path / "t.csv", delimiter=",")
    except UserError:
        return
    assert len(rows) >= sum(any(cell.strip() for cell in row) for row in table)


@FUZZ
@given(raw=st.binary(max_size=200))
def test_bytes_as_a_transcript_or_config(tmp_path, raw):
    (tmp_path / "text").write_bytes(raw)
    with contextlib.suppress(UserError):
        read_transcript(tmp_path / "text")
    with pytest.raises(UserError, match="text: "):
        check(read_yaml(tmp_path / "text"), Experiment, tmp_path / "text")


@FUZZ
@given(kind=st.sampled_from(sorted(SOUNDS)), changes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)),
                                                              max_size=6), cut=st.integers(0, 3000))
def test_headers_of_audio(tmp_path, kind, changes, cut):
    content = bytearray(SOUNDS[kind])
    for place, value in changes:
        content[place % len(content)] = value
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(content[: max(1, len(content) - cut)])
    found = check_audio(str(path), deep=True)
    if isinstance(found, str):
        assert str(path) in found
    else:
        assert 0 < found < 86400 and sum(map(len, read_blocks(path))) > 0


@FUZZ
@given(raw=st.binary(max_size=100))
def test_bytes_as_a_list_of_checksums(tmp_path, raw):
    (tmp_path / SUMS).write_bytes(raw)
    with contextlib.suppress(UserError):
        check_sums(tmp_path, "again")


def test_an_interrupt_that_python_drops_comes_again():
    """What is raised in a destructor is ignored: the program would go on as if nobody had asked it to end."""

    class Dropped:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)  # pytest-xdist has its workers ignore SIGINT

    def main():
        Dropped()
        signal.sigtimedwait([], 10)
        raise AssertionError("the interrupt is lost")

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as end:
            run(main)
        assert end.value.code == 130
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
