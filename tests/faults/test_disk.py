"""A disk that is full, read-only or not ours, and streams and names that the shell gives: one line that says what is
wrong, and what was there stays."""

import contextlib
import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PLAIN
from corpus_trees import lines

from steps.common.errors import FULL, run
from steps.common.process import LIBC

ROOT = Path(__file__).parents[2]
PR_CAPBSET_DROP = 24  # linux/prctl.h


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


@pytest.mark.parametrize("kib", [0, 1, 4])
def test_stages_1_and_3_on_a_disk_that_is_full(project, kib):
    project.take()
    before = {path: path.read_bytes() for path in (project.root / "data").rglob("*") if path.is_file()}
    done = shell(project, f"ulimit -f {kib}; python -m steps.stage3_features own fbank")
    assert done.returncode == 1 and "error: " in done.stderr and "larger than allowed" in done.stderr, done.stderr
    assert not [path for path in (project.root / "exp").rglob("*") if path.name in ("feats.scp", "cmvn")]
    assert not list((project.root / "exp").rglob(".*"))
    if kib == 0:
        done = shell(project, "ulimit -f 0; python -m steps.stage1_prepare own")
        assert done.returncode == 1 and "larger than allowed" in done.stderr
    assert before == {path: path.read_bytes() for path in (project.root / "data").rglob("*") if path.is_file()}


CONFIG = "python -m steps.config one"
DOIT = f"python -m doit -d . -f {ROOT}/dodo.py"
SHELLS = {  # a shell's line, its exit status, words of what it says
    "standard output closed": (f"{CONFIG} >&-", 0, ""),
    "umask 777": ("umask 777; python -m steps.stage1_prepare own", 1, "error: umask 777 takes your own rights"),
    "umask 277 and doit": (f"umask 277; {DOIT} prepare:own", 1, "error: umask 277 takes your own rights"),
    "all streams closed": (f"{CONFIG} <&- >&- 2>&-", 0, ""),
    "a file that is opened gets no stream's number": (
        "python -c 'import os, steps; os._exit(os.open(\".\", 0))' <&- >&- 2>&-", 3, ""),
    "a full disk behind standard output": (f"{CONFIG} > /dev/full", 1, "standard input or output, or a file"),
    "a reader that ends": (f"{CONFIG} | true", 141, ""),
    "a reader that ends, and an error": ("python -m steps.config two | true", 1, "conf/two.yaml: no such file"),
    "hanzi where they cannot be printed": ("PYTHONIOENCODING=ascii python -m steps.config 实验", 1, "use UTF-8"),
    "a message with hanzi where they cannot be printed": (
        "mv t.csv own; cp conf/corpora/own.yaml conf/corpora/录.yaml; "
        "PYTHONIOENCODING=ascii python -m steps.stage1_prepare 录", 0, "data/\\u5f55/train: 2 utterances"),
    "marks as a result where they cannot be printed": (
        r"printf '\247\101\246\156\n' | PYTHONIOENCODING=big5 python -m steps.pinyin --marks", 1, "use UTF-8"),
    "a name where the locale has no hanzi": (
        "PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 LC_ALL=C python -m steps.config 实验", 1, "the name is not ascii"),
    "doit without standard output": (f"{DOIT} list >&-", 1, "output is closed"),
    "doit and a full disk behind standard output": (f"{DOIT} list > /dev/full", 3, "the disk is full"),
    "doit, a full disk behind standard output, and a task": (f"{DOIT} -n 1 prepare:own > /dev/full", 1, ""),
    "doit's options of lists": (f"{DOIT} list --template '{{x}}'", 3, "with these arguments (KeyError: 'x')"),
    "doit and no such task": (f"{DOIT} info nosuch", 3, "cannot work with these arguments (KeyError: 'nosuch')"),
    "doit and a record that is a config": (f"{DOIT} list --db-file conf/one.yaml", 3, "seems to use an bad format"),
    "doit and an output that is a folder": (f"{DOIT} -o conf prepare:own", 3, "conf: a folder stands where a file"),
    "doit with fewer than no processes": (f"{DOIT} -n -1 prepare:own", 1, "-n: a number of processes"),
    "doit with 99999 processes": (f"{DOIT} -n 99999 prepare:own", 1, "-n: a number of processes"),
    "doit with hanzi where they cannot be printed": (
        f"PYTHONIOENCODING=ascii {DOIT} list --all", 0, "train:\\u5b9e\\u9a8c"),
}


@pytest.mark.parametrize("case", SHELLS)
def test_streams_and_locales(project, case):
    line, status, said = SHELLS[case]
    write_experiments(project)
    lines(project.root / "t.csv", *PLAIN)
    done = shell(project, line)
    assert (done.returncode, said in done.stdout + done.stderr) == (status, True), done.stdout + done.stderr


RIGHTS = {  # what may not be read or written, its mode, a shell's line, its exit status, words of what it says
    "a config": ("conf/one.yaml", 0o000, f"{DOIT} list --all", 0, "broken: conf/one.yaml: permission denied"),
    "doit's record": (".doit.db", 0o000, f"{DOIT} list", 1, ".doit.db, where doit notes what is done, cannot be read"),
    "doit's record, written": (".doit.db", 0o444, f"{DOIT} prepare:own", 1, "done, cannot be written"),
    "the folder of a log": ("data/own", 0o555, f"{DOIT} prepare:own", 1, "data/own/log: permission denied"),
    "what clean removes": ("exp", 0o555, f"{DOIT} clean compare", 1, "exp/compare.html: permission denied"),
    "results, verified": ("data/own", 0o000, "python -m steps.status --verify", 1, "data/own: permission denied"),
    "the folder of all configs": ("conf", 0o000, "python -m steps.prune --yes", 1, "conf: permission denied"),
    "an experiment that names features": ("exp/two", 0o000, "python -m steps.prune --yes", 1, "permission denied"),
}


@pytest.mark.parametrize("case", RIGHTS)
def test_what_may_not_be_read_or_written(project, case):
    path, mode, line, status, said = RIGHTS[case]
    with contextlib.closing(sqlite3.connect(project.root / ".doit.db")) as record:
        record.execute("create table doit (task_id text primary key, task_data text)")
    for name in ("data/own/x", "exp/compare.html", "exp/two/x", "exp/features/own_fbank/x"):
        project.write(name, "")
    write_experiments(project)
    (project.root / path).chmod(mode)
    done = shell(project, line)
    (project.root / path).chmod(0o755)
    assert (done.returncode, said in done.stdout + done.stderr) == (status, True), done.stdout + done.stderr
    assert (project.root / "exp/features/own_fbank/x").exists() and (project.root / "exp/compare.html").exists()


def write_experiments(project) -> None:
    """The experiments one and 实验."""
    for name in ("one", "实验"):
        project.write(f"conf/{name}.yaml", "corpus: own\nfeatures: fbank\nmodel: {blocks: [{channels: 8}]}\n")


def shell(project, line: str) -> subprocess.CompletedProcess:
    """What bash does with a line in a project. It may say no traceback."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=project.root, text=True, capture_output=True,
                          env=environment | {"PYTHONPATH": str(ROOT), "PATH": path}, stdin=subprocess.DEVNULL,
                          preexec_fn=obey_rights)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr
    return done


def obey_rights() -> None:
    """Take the right to read and write everything from the programs that root starts."""
    for capability in (1, 2, 3):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
        LIBC.prctl(PR_CAPBSET_DROP, capability)
