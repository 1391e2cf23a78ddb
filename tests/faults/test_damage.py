"""Results that are not as a stage wrote them: who reads them says so, with the file and what to do."""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

import steps.status
from steps.common.checksums import LARGE, SUMS, check_sums, write_sums, wrong_files
from steps.common.errors import UserError
from steps.feats.archive import FeatureReader, load_cmvn, save_cmvn
from steps.tasks.record import check_record

OUT = "exp/features/own_fbank"


@pytest.fixture
def done(project):
    """Stages 1 and 3 are done."""
    project.take()
    assert project.features() == ""
    return project


def flip(path) -> None:
    """Change one byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_what_is_whole_passes(done, capsys):
    assert len(FeatureReader(f"{OUT}/train/feats.scp")) == 2
    load_cmvn(f"{OUT}/cmvn")
    assert done.stage(steps.status, "--verify") == ""
    assert "7 folders of results: all files are as they were written" in capsys.readouterr().out


def test_a_recording_that_was_changed_after_stage_1_is_told(done, capsys):
    os.utime(done.own / "a0.wav", (1, 1))
    assert done.features() == ""
    assert "train: 1 of 2 recordings were changed after stage 1, such as" in capsys.readouterr().err


def test_sha256sum_reads_the_lists(done):
    for folder in (done.root / OUT, done.root / OUT / "dev", done.root / "data/own/train"):
        subprocess.run(["sha256sum", "--strict", "--quiet", "-c", SUMS], cwd=folder, check=True)


DAMAGES = {"flipped": flip, "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
           "gone": Path.unlink, "another's": lambda path: shutil.copy(path.parents[1] / "dev" / path.name, path)}


@pytest.mark.parametrize("name", ["feats.ark", "feats.scp", "utt2num_frames"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_features_that_are_damaged(done, name, damage):
    DAMAGES[damage](done.root / OUT / "train" / name)
    with pytest.raises(UserError) as error:
        FeatureReader(f"{OUT}/train/feats.scp")
    assert f"{OUT}/train/{name}: " in str(error.value) and "run stage 3" in str(error.value)
    assert f"{OUT}/train/{name}: " in done.stage(steps.status, "--verify")
    assert done.features() == ""  # the remedy
    assert len(FeatureReader(f"{OUT}/train/feats.scp")) == 2


def test_a_list_that_is_gone_is_told(done, capsys):
    (done.root / OUT / "train" / SUMS).unlink()
    flip(done.root / OUT / "train/feats.ark")
    for _ in range(2):
        FeatureReader(f"{OUT}/train/feats.scp")
    assert capsys.readouterr().err.count(f"warning: {OUT}/train: has no SHA256SUMS") == 1
    assert f"{OUT}/train: has no SHA256SUMS" in done.stage(steps.status, "--verify")


def test_cmvn_that_is_damaged(done):
    flip(done.root / OUT / "cmvn")
    with pytest.raises(UserError, match="cmvn: is not as it was written"):
        load_cmvn(f"{OUT}/cmvn")


@pytest.mark.parametrize(("row", "column", "value"), [(0, 0, float("nan")), (1, 3, -1.0), (0, -1, 0.0), (1, 0, 1e-3)])
def test_cmvn_without_a_list_must_be_possible(done, row, column, value):
    stats = load_cmvn(f"{OUT}/cmvn")
    stats[row, column] = value
    save_cmvn("cmvn", stats)
    with pytest.raises(UserError, match="statistics"):
        load_cmvn("cmvn")


def test_large_files_are_read_only_where_their_time_is_another(tmp_path):
    (tmp_path / "a").write_bytes(bytes(LARGE))
    write_sums(tmp_path, ["a"])
    facts = os.stat(tmp_path / "a")
    flip(tmp_path / "a")
    os.utime(tmp_path / "a", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    check_sums(tmp_path, "again")
    assert "a: is not as it was written" in wrong_files(tmp_path, by_content=True)[0]
    os.utime(tmp_path / "a")
    with pytest.raises(UserError, match="again"):
        check_sums(tmp_path, "again")
    flip(tmp_path / "a")
    check_sums(tmp_path, "again")
    assert str(os.stat(tmp_path / "a").st_mtime_ns) in (tmp_path / SUMS).read_text()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"nonsense\n", b"# 1 2\n", b"# x y a\n", b"0" * 64 + b"  \n",
                                     b"0" * 63 + b"  a\n", b"0" * 64 + b"  /a\n", b"0" * 64 + b"  a\0\n"])
def test_a_list_that_is_damaged_itself(tmp_path, content):
    (tmp_path / SUMS).write_bytes(content)
    with pytest.raises(UserError, match=r"SHA256SUMS:.*(not|a zero byte)"):
        check_sums(tmp_path, "again")


TABLE = "create table doit (task_id text not null primary key, task_data json)"


def cut_record(path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(TABLE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


RECORDS = {  # statements that make a database, or what is put in its place; words of the error
    "new": ([], ""),
    "doit's": ([TABLE, "insert into doit values ('prepare:mini', '{\"a:\": 1}')"], ""),
    "of another layout": (["create table doit (a int)"], "is damaged; remove it"),
    "of bytes": ([TABLE, "insert into doit values ('prepare:mini', x'ff00')"], "is damaged; remove it"),
    "of lists": ([TABLE, "insert into doit values ('prepare:mini', '[]')"], "is damaged; remove it"),
    "of text": (lambda path: path.write_text("text\n" * 50), "is damaged; remove it"),
    "cut": (cut_record, "is damaged; remove it"),
    "a folder": (lambda path: path.mkdir(), "is not a file; move it away"),
    "a link to nowhere": (lambda path: path.symlink_to("nowhere/x"), "is not a file; move it away"),
    "a pipe": (lambda path: os.mkfifo(path), "is not a file; move it away"),
}


@pytest.mark.parametrize("name", RECORDS)
def test_records_of_doit(tmp_path, name):
    made, said = RECORDS[name]
    path = tmp_path / ".doit.db"
    if callable(made):
        made(path)
    else:
        with sqlite3.connect(path) as connection:
            for statement in made:
                connection.execute(statement)
    if not said:
        check_record(path)
        return
    with pytest.raises(SystemExit) as end:
        check_record(path)
    assert said in end.value.code and str(path) in end.value.code
