"""Anything that a file may hold is read, or refused by a UserError: no other exception, no wrong success."""

import contextlib
import copy
import io
import itertools
import os
import signal
from typing import get_origin

import numpy as np
import pytest
import soundfile
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from tiny_corpus import EXPERIMENT

from steps.common.checksums import SUMS, check_sums
from steps.common.errors import UserError, run
from steps.common.files import write_lines
from steps.common.yaml import _model_in as model_in
from steps.common.yaml import check, read_yaml
from steps.config.load import Resolved, dump, experiment_names, flatten, load_experiment
from steps.config.schema import Corpus, Experiment, Features
from steps.config.variants import Sweep, Written
from steps.corpus.audio import check_audio, read_blocks
from steps.corpus.rows import read_rows, read_transcript
from steps.corpus.table import read_table, scan_table
from steps.corpus.whole import cut_short, doubtful_end
from steps.deploy.sound import open_sound
from steps.feats.compute import check_config
from steps.search.alignment import read_ctm
from steps.search.arpa import read_arpa
from steps.text.syllables import read_tokens

FUZZ = settings(max_examples=int(os.environ.get("FUZZ", "100")), deadline=None,  # FUZZ=20000: some minutes
                suppress_health_check=[HealthCheck.function_scoped_fixture])
cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, 1600), 16000, format=kind)
    return file.getvalue()


SOUNDS = {kind: encoded(kind) for kind in ("WAV", "FLAC", "OGG", "MP3")}


def read_whole_table(path) -> None:
    header, rows = read_rows(path)
    assert header and all(set(row.cells) == set(header) for row in rows)


def scan_whole_table(path) -> None:
    scan = scan_table(path)
    assert scan.faults or dict(scan.rows) == read_table(path)


READERS = {"t.csv": read_whole_table, "utt2spk": scan_whole_table, "text": read_transcript,
           "x.yaml": lambda path: check(read_yaml(path), Experiment, path),
           SUMS: lambda path: check_sums(path.parent, "again")}


@pytest.mark.parametrize("name", READERS)
@FUZZ
@given(raw=st.binary(max_size=200))
def test_bytes_as_a_file(tmp_path, name, raw):
    path = tmp_path / name
    path.write_bytes(raw)
    try:
        READERS[name](path)
    except UserError as error:
        assert str(path) in str(error)


@FUZZ
@given(table=st.lists(st.tuples(cells, cells, cells), max_size=6))
def test_cells_as_a_table_lose_nothing(tmp_path, table):
    """Quotation marks may join lines; what is read then has all letters and digits, in order, and no line break."""
    lines = ["a,b,c", *(",".join(row) for row in table)]
    (tmp_path / "t.csv").write_text("\n".join(lines), encoding="utf-8", newline="")
    try:
        _, rows = read_rows(tmp_path / "t.csv", delimiter=",")
    except UserError:
        return
    found = [cell for row in rows for cell in row.cells.values()]
    assert not any("\n" in cell or "\r" in cell for cell in found)
    assert list(filter(str.isalnum, "".join(found))) == list(filter(str.isalnum, "".join(lines[1:])))


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


ODD = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=4), st.dates(), st.sampled_from(
    ["", " ", "1e3", ".inf", "on", "录音", "../x", "a b", "-x", "train", "a+b", "1" * 500, 10**400, 1e-300, 0, 2**32]))
ODD = ODD | st.lists(ODD, max_size=3) | st.lists(st.lists(ODD, max_size=2), max_size=2) | st.dictionaries(
    st.sampled_from(["a", "speed", "channels", 1, None, True]), ODD, max_size=2)
FILES = {"corpora/tiny": ({"module": "table"}, Corpus), "features/tiny": ({"type": "fbank", "num_bins": 8}, Features),
         "tiny": (EXPERIMENT, Written), "sweeps/s": ({"base": "tiny", "vary": {"seed": [1, 2]}, "set": {}}, Sweep)}


def keys_of(schema: type[BaseModel], above: tuple = ()) -> list[tuple]:
    """All keys of a schema, and of the mappings in it."""
    found = []
    for key, field in schema.model_fields.items():
        inner = model_in(field.annotation)
        first = (0,) if get_origin(field.annotation) in (list, tuple) else ()
        found += [(*above, key), *(keys_of(inner, (*above, key, *first)) if inner else [])]
    return found


KEYS = [(name, key) for name, (_, schema) in FILES.items() for key in keys_of(schema)]
KEYS += [("sweeps/s", (part, ".".join(key))) for part in ("vary", "set") for name, key in KEYS
         if name == "tiny" and 0 not in key]


@FUZZ
@given(changes=st.lists(st.tuples(st.sampled_from(KEYS), ODD), min_size=1, max_size=3), flow=st.booleans(),
       behind=st.sampled_from(["", "", "seed: 1", "? [a]\n: 1", "x: &x [*x]", "<<: {seed: 3}", "base: tiny", "- a"]))
@example(changes=[(("tiny", ("base",)), "1" * 300)], flow=False, behind="")  # longer than a file's name may be
def test_configs_with_odd_values(tmp_path, changes, flow, behind):
    """Any value at any key is refused with the file and the key, or taken for what it is."""
    written = {name: copy.deepcopy(content) for name, (content, _) in FILES.items()}
    for (name, key), value in changes:
        put_odd(written[name], key, value)
    for name, content in written.items():
        write_lines(tmp_path / "conf" / f"{name}.yaml", [yaml.safe_dump(content, default_flow_style=flow or None),
                                                         behind if name == changes[0][0][0] else ""])
    assert set(experiment_names(tmp_path / "conf")) & {"tiny", "tiny@1"} or "seeds" in written["tiny"]
    for name in ["tiny", *(name for name in experiment_names(tmp_path / "conf")[:20] if name != "tiny")]:
        try:
            config = load_experiment(name, tmp_path / "conf")
        except UserError as error:
            assert str(tmp_path / "conf") in str(error) or ": " in str(error)
            continue
        assert check(yaml.safe_load(dump(config)), Resolved, "again") == config
        assert not any(isinstance(value, float) and not np.isfinite(value)
                       for value in flatten(config.model_dump(mode="json", exclude={"corpus": {"options"}})).values())
        with contextlib.suppress(UserError):
            check_config(config.features, "x")


def put_odd(content, key: tuple, value) -> None:
    """Put a value at the place `key`, making the mappings and lists on the way where the place has none."""
    last = key[-1]
    for part, following in itertools.pairwise(key):
        try:
            if not isinstance(content[part], dict | list):
                raise TypeError
        except (KeyError, IndexError, TypeError):
            made = [{}] if following == 0 else {}
            if isinstance(content, list):
                content[:] = [made]
            else:
                content[part] = made
        content = content[part]
    if isinstance(content, list) and last != 0:
        return
    content[last] = value


MAGIC = b"OggS", b"RIFF\0\0\0\0WAVE", b"RF64\0\0\0\0WAVEds64", b"riff\x2e\x91\xcf\x11", b"caff", b"\0\0\0\x18ftyp", \
    b"\x1aE\xdf\xa3", b"NIST_1A\n", b"ID3", b"\xff\xf1", b"G" + bytes(187) + b"G" + bytes(187) + b"G"


@FUZZ
@given(magic=st.sampled_from(MAGIC), raw=st.binary(max_size=200))
def test_bytes_behind_the_first_of_a_recording(tmp_path, magic, raw):
    (tmp_path / "a.wav").write_bytes(magic + raw)
    for told in (cut_short(tmp_path / "a.wav"), doubtful_end(tmp_path / "a.wav")):
        assert told is None or isinstance(told, str)
    with contextlib.suppress(UserError):
        assert sum(map(len, open_sound(tmp_path / "a.wav", 16000).blocks)) >= 0


CTM = "a-1 1 0.120 0.040 ni3 0.987\na-1 1 0.5 0.1 hao3 1\n"
TOKENS = "<blk> 0\nhao3 1\nni3 2\n"
ARPA = ("\\data\\\nngram 1=3\nngram 2=1\n\n\\1-grams:\n-1\t<s>\t-0.5\n"
        "-1\t</s>\n-0.5\tni3\t-0.1\n\n\\2-grams:\n-0.2\t<s> ni3\n\n\\end\\\n")
changes = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 4), st.one_of(st.binary(max_size=4), st.sampled_from(
    [b"nan", b"-inf", b"1e999", b"\n", b" ", b"\t", "\u3000".encode(), "１".encode(), b"\\1-grams:\n"]))), max_size=4)


@FUZZ
@given(what=st.sampled_from([(CTM, read_ctm), (TOKENS, read_tokens), (ARPA, read_arpa)]), changes=changes)
def test_files_of_decoding_with_bytes_changed(tmp_path, what, changes):
    content, read = bytearray(what[0].encode()), what[1]
    for place, size, new in changes:
        content[place % len(content):place % len(content) + size] = new
        content = content or bytearray(b"\n")
    (tmp_path / "x").write_bytes(content)
    try:
        found = read(tmp_path / "x")
    except UserError as error:
        assert str(tmp_path / "x") in str(error)
        return
    if read is read_tokens:
        assert found[0] == "<blk>" and len(set(found)) == len(found) == content.count(b"\n") + (content[-1:] != b"\n")
    elif read is read_ctm:
        assert all(np.isfinite([one.begin, one.duration]).all() for own in found.values() for one in own)
    else:
        assert all(np.isfinite(level.log_prob).all() and np.isfinite(level.backoff).all() for level in found.levels)


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
