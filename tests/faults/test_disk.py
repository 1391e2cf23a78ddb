"""A disk that is full, read-only or not ours: one line that says so, and what was there stays."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROWS
from corpus_trees import lines

from steps.common.errors import FULL, run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES, errno.EMFILE, errno.EIO,
                                    errno.EISDIR, errno.ELOOP, errno.ENOENT])
def test_an_error_of_the_disk_is_one_line(tmp_path, number):
    def main():
        raise OSError(number, os.strerror(number), str(tmp_path / "feats.ark"))

    with pytest.raises(SystemExit) as end:
        run(main)
    said = str(end.value)
    assert said.startswith(f"error: {tmp_path}/feats.ark: ") and ("MB are free on /" in said) == (number in FULL)


def test_a_checkpoint_on_a_disk_that_is_full(tmp_path, monkeypatch):
    """MindSpore writes under a name of its own, and its error has no file's name."""
    from steps.model import checkpoints

    def save_checkpoint(rows, name, append_dict):
        Path(name).with_suffix(".tmp").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints.ms, "save_checkpoint", save_checkpoint)
    with pytest.raises(OSError, match=r"No space left on device: '.*/epoch-0001.ckpt'"):
        checkpoints.save_weights(tmp_path / "epoch-0001.ckpt", {})
    assert not list(tmp_path.iterdir())


def test_another_oserror_is_a_bug():
    def main():
        raise OSError(errno.EINVAL, "Invalid argument")

    with pytest.raises(OSError, match="Invalid"):
        run(main)


def limited(project, size: int, module: str, *arguments: str) -> subprocess.CompletedProcess:
    """A stage that may write no file above `size` bytes."""
    return subprocess.run([sys.executable, "-m", module, *arguments], cwd=project.root, text=True, capture_output=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)},
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))


@pytest.mark.parametrize("size", [0, 1000, 4500])
def test_stages_1_and_3_on_a_disk_that_is_full(project, size):
    lines(project.own / "t.csv", "audio,speaker,text,set", *(",".join(row) for row in ROWS))
    assert project.prepare() == ""
    before = {path: path.read_bytes() for path in (project.root / "data").rglob("*") if path.is_file()}
    done = limited(project, size, "steps.stage3_features", "own", "fbank")
    assert done.returncode == 1 and "Traceback" not in done.stderr and "error: " in done.stderr, done.stderr
    assert "larger than allowed" in done.stderr
    assert not [path for path in (project.root / "exp").rglob("*") if path.name in ("feats.scp", "cmvn")]
    assert not list((project.root / "exp").rglob(".*"))
    if size == 0:
        done = limited(project, size, "steps.stage1_prepare", "own")
        assert done.returncode == 1 and "Traceback" not in done.stderr and "larger than allowed" in done.stderr
    assert before == {path: path.read_bytes() for path in (project.root / "data").rglob("*") if path.is_file()}
