"""Two at once: whoever comes second to a stage's files is told who is at work, and harms nothing. Stages are stubs."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from commands import call, wait_until
from stub_project import wait_until_gone

from steps.common import process as lock
from steps.common.errors import UserError
from steps.common.process import busy, lock_path, output_lock, take_lock

ROOT = Path(__file__).parent.parent
HOLD = """
import sys, time
from pathlib import Path
from steps.common.process import output_lock
with output_lock(Path(sys.argv[1]), "train"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def project(fresh):
    """A project whose stages 1 to 3 of mini have run, and the training of mini at work."""
    project = fresh
    project.doit("lexicon:mini", "features:mini_fbank")
    project.first = project.start("train:mini", SLOW="train:mini")
    project.pid = project.wait_for("train:mini")
    project.log_lines()
    wait_until(lambda: "begins" in (project.folder / "exp/mini/log/train.log").read_text())
    yield project
    if project.first.returncode is None:
        project.first.kill()
        project.first.communicate()


def is_told(text):
    return "exp/mini: `doit train:mini` writes there, process " in text and "or end it: kill " in text


def test_whoever_comes_second_is_refused_and_the_first_is_done(project):
    log = (project.folder / "exp/mini/log/train.log").read_text()
    out, err = project.doit("train:mini", status=1)
    assert is_told(out) and "Traceback" not in out + err
    assert (project.folder / "exp/mini/log/train.log").read_text() == log
    assert "running" in (project.folder / "exp/mini/log/train.json").read_text()
    assert is_told(project.doit("-n", "2", "train:mini", status=1)[0])
    assert project.ran() == []
    status, said = call(project.folder, "steps.stage4_train", "mini")
    assert status == 1 and is_told(said) and said.startswith("error: ")
    (project.folder / "exp/mini/final.ckpt").write_text("precious")
    for task in ("train:mini", "report:mini"):
        _, err = project.doit("clean", task, status=1)
        assert "error: nothing is removed: exp/mini: `doit train:mini` writes there" in err
    assert (project.folder / "exp/mini/final.ckpt").exists()
    out, _ = project.doit("--continue", "train:mini", "train:wide", status=1)
    assert is_told(out) and project.ran() == ["train:wide"]
    project.write("go", "")
    project.first.communicate(timeout=120)
    assert project.first.returncode == 0
    project.doit("train:mini", "train:wide")
    assert project.ran() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_the_lock_goes_with_its_process(project, number):
    os.kill(project.pid, number)
    wait_until_gone(project.pid)
    project.doit("train:mini")
    assert project.ran() == ["train:mini"]


def test_a_lock_by_hand(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=rf"{tmp_path}: `python -c (?s:.*)` writes there, process {holder.pid} on "), \
            output_lock(tmp_path, "train"):
        pass
    with output_lock(tmp_path, "decode.test"):
        assert sorted(path.name for path in (tmp_path / "log").iterdir()) == ["decode.test.lock", "train.lock"]
    holder.kill()
    holder.communicate()
    with output_lock(tmp_path, "train"), output_lock(tmp_path, "train"):  # once held, it stays held
        pass
    assert not tmp_path.exists() or not [*tmp_path.iterdir()]


def test_a_forked_process_holds_no_lock(tmp_path):
    """A pool's processes may live a second longer than a stage that was killed."""
    handle = take_lock(lock_path(tmp_path, "train"), "a test")
    assert busy(lock_path(tmp_path, "train")).startswith(f"{tmp_path}: `a test` writes there, process {os.getpid()}")
    os.close(handle)
    assert busy(lock_path(tmp_path, "train")) is None
    with output_lock(tmp_path, "train"):
        child = os.fork()
        if child == 0:
            os._exit(len(lock._held))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EPERM])
def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, capsys, number):
    monkeypatch.setattr("fcntl.flock", mock.Mock(side_effect=OSError(number, os.strerror(number))))
    with output_lock(tmp_path / "exp", "train"):
        assert "train.lock: this file system has no locks" in capsys.readouterr().err
    assert busy(lock_path(tmp_path / "exp", "train")) is None
