"""path.sh: what it installs and when, what it sets, how it fails. Most tests have it install with a Python of straw."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import wait_until

from steps import mindinsight

ROOT = Path(__file__).parent.parent
TOOLS = ("bash", "cat", "cp", "dirname", "env", "getconf", "grep", "mkdir", "mv", "nproc", "rm", "sleep", "true")

# Makes venvs and installs at once, and logs it; for all else it is the Python of these tests.
STRAW = f"""#!/usr/bin/env bash
case "$1 $2" in
"-m venv") echo venv >> "$STRAW_LOG"; sleep "${{STRAW_SLEEP:-0}}"; mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
"-m pip") echo "pip ${{*: -1}}" >> "$STRAW_LOG"; printf 'Collecting p==%d (x)\n' {{1..12}}
    exit "${{STRAW_PIP:-0}}" ;;
*) exec "{sys.executable}" "$@" ;;
esac
"""
OLD = f"""#!/usr/bin/env bash
exec "{sys.executable}" -c "import sys; sys.version_info = (3, 9, 2, 'final', 0)
$2"
"""
BARE = f"""#!/usr/bin/env bash
exec "{sys.executable}" -c "import sys; sys.version_info = (3, 11, 2, 'final', 0); sys.modules['ensurepip'] = None
$2"
"""
SHIM = "#!/usr/bin/env bash\necho 'pyenv: python3.12: command not found' >&2\necho 'more words' >&2\nexit 127\n"


class Clone:
    """A folder with path.sh and a lock, and a PATH with few tools and the Pythons that a test puts there."""

    def __init__(self, folder: Path):
        self.folder = folder / "a clone"
        self.bin = folder / "bin"
        self.log = folder / "straw.log"
        for path in (self.folder, self.bin):
            path.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        shutil.copy(ROOT / "path.sh", self.folder)
        self.lock("# nothing")

    def lock(self, text: str) -> None:
        (self.folder / "requirements.lock").write_text(text + "\n")

    def program(self, name: str, text: str) -> None:
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def start(self, *words: str, **variables: str) -> subprocess.Popen:
        """Start a command (bash and path.sh are found on PATH and by name)."""
        words = [str(self.folder / "path.sh") if word == "path.sh" else word for word in words]
        environment = {"PATH": str(self.bin), "STRAW_LOG": str(self.log), "HOME": str(self.folder.parent)}
        return subprocess.Popen(words, env={**environment, **variables}, cwd=self.folder.parent, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)

    def run(self, *words: str, status: int = 0, **variables: str) -> tuple[str, str]:
        """Run a command and return its stdout and stderr; it must exit with `status`."""
        process = self.start(*words, **variables)
        out, err = process.communicate(timeout=240)
        assert process.returncode == status, f"{process.returncode}\n{out}\n{err}"
        return out, err

    def installations(self) -> int:
        return self.log.read_text().count("pip ") if self.log.exists() else 0


@pytest.fixture
def clone(tmp_path):
    clone = Clone(tmp_path)
    clone.program("python3.11", STRAW)
    return clone


def test_a_real_environment(tmp_path):
    """With the real venv and pip; the lock is empty, so that no network is needed."""
    clone = Clone(tmp_path)
    code = "import sys, os; print(sys.prefix, os.getcwd(), *sys.argv[1:], sep='|')"
    words = ("path.sh", "python", "-c", code, "a b", "*")
    out, err = clone.run(*words, YINJIE_PYTHON=sys.executable, PIP_NO_INDEX="1")
    assert out.strip() == f"{clone.folder}/.venv|{clone.folder}|a b|*"
    assert err.startswith("path.sh: installing 0 packages into .venv (Python 3.")
    assert clone.run(*words) == (out, "")


def test_it_installs_once(clone):
    _, err = clone.run("path.sh")
    assert [line.removeprefix("path.sh: ")[:14] for line in err.splitlines()] == \
        ["installing 0 p", "10 of 0: p==10", "the environmen"]
    assert clone.run("path.sh", "env")[1] == ""
    assert clone.log.read_text().split() == ["venv", "pip", *f"{clone.folder}/requirements.lock".split()]


def test_mindinsight_and_doit(clone):
    (clone.folder / "steps").mkdir()
    (clone.folder / "steps/mindinsight.py").write_text("import sys; print(sys.argv[1:])")
    out, _ = clone.run("path.sh", "mindinsight", "exp/a b", "--port", "9")
    assert out == "['exp/a b', '--port', '9']\n"
    assert "a word after doit is empty" in clone.run("path.sh", "doit", "clean", "", status=2)[1]


def move(clone):
    clone.folder = clone.folder.rename(clone.folder.parent / "moved")


def lose_python(clone):
    python = clone.folder / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/nowhere/python")


@pytest.mark.parametrize("change", [lambda clone: clone.lock("# another"), move, lose_python])
def test_it_installs_again_when_something_has_changed(clone, change):
    clone.run("path.sh", "env")
    (clone.folder / ".venv/old").touch()
    change(clone)
    for _ in range(2):
        clone.run("path.sh", "env")
        assert clone.installations() == 2
    assert not (clone.folder / ".venv/old").exists()


def test_a_failed_installation_is_told_and_redone(clone):
    out, err = clone.run("path.sh", "echo", "ran", status=1, STRAW_PIP="1")
    assert out == ""
    assert "the installation failed" in err
    assert clone.run("path.sh", "env")[1] != ""
    assert clone.installations() == 2


def test_a_killed_installation_is_redone(clone):
    process = clone.start("path.sh", "env", STRAW_SLEEP="60")
    wait_until(clone.log.exists)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    clone.run("path.sh", "env")
    assert clone.log.read_text().count("venv") == 2
    assert clone.run("path.sh", "env")[1] == ""


def test_two_at_once_install_once(clone):
    first = clone.start("path.sh", "env", STRAW_SLEEP="1")
    wait_until(clone.log.exists)
    _, err = clone.run("path.sh", "env")
    first.communicate()
    assert first.returncode == 0
    assert "another path.sh is installing" in err
    assert clone.installations() == 1


def test_status_and_signals_pass_through(clone):
    clone.run("path.sh", "bash", "-c", "exit 7", status=7)
    clone.run("path.sh", "no-such-command", status=127)
    process = clone.start("path.sh", "bash", "-c", "echo begun; exec sleep 60")
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == -signal.SIGTERM


def variables(clone: Clone, **given: str) -> dict[str, str]:
    lines = clone.run("path.sh", "env", **given)[0].splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_variables(clone):
    clone.program("nproc", "#!/usr/bin/env bash\necho 3\n")
    found = variables(clone, PYTHONHOME="/nowhere", PYTHONPATH="/elsewhere")
    assert found["LC_ALL"] == "C.UTF-8"
    assert found["PYTHONUNBUFFERED"] == "1"
    assert found["OMP_NUM_THREADS"] == "3"
    assert found["VIRTUAL_ENV"] == f"{clone.folder}/.venv"
    assert found["PATH"] == f"{clone.folder}/.venv/bin:{clone.bin}"
    assert not {"PYTHONHOME", "PYTHONPATH"} & found.keys()
    assert variables(clone, OMP_NUM_THREADS="1")["OMP_NUM_THREADS"] == "1"


def test_onednn_is_held_to_avx2_where_there_is_avx512(clone):
    clone.run("path.sh", "env")
    clone.program("grep", "#!/usr/bin/env bash\n[ \"$*\" = '-qs avx512f /proc/cpuinfo' ]\n")
    assert variables(clone)["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert variables(clone, ONEDNN_MAX_CPU_ISA="AVX512_CORE")["ONEDNN_MAX_CPU_ISA"] == "AVX512_CORE"
    clone.program("grep", "#!/usr/bin/env bash\nexit 1\n")
    assert "ONEDNN_MAX_CPU_ISA" not in variables(clone)


def test_no_python_fits(clone):
    (clone.bin / "python3.11").unlink()
    for name, text in {"python3.12": SHIM, "python3.10": BARE, "python3": OLD}.items():
        clone.program(name, text)
    _, err = clone.run("path.sh", "env", status=1)
    assert "no Python 3.10, 3.11 or 3.12" in err
    assert "YINJIE_PYTHON=" in err
    assert "\n  python3.12: pyenv: python3.12: command not found\n" in err
    assert "\n  python3.10: has no venv module (Debian, Ubuntu: apt install python3.11-venv)\n" in err
    assert err.endswith("\n  python3: is Python 3.9\n")
    assert not (clone.folder / ".venv").exists()


def test_pythons_that_fail_are_passed_over(clone):
    clone.program("python3.12", SHIM)
    assert "installing" in clone.run("path.sh", "env")[1]


def test_the_python_that_is_named_is_the_only_one_tried(clone, tmp_path):
    for name, reason in {str(tmp_path / "none"): "No such file", str(clone.bin / "python3"): "is Python 3.9"}.items():
        clone.program("python3", OLD)
        _, err = clone.run("path.sh", "env", status=1, YINJIE_PYTHON=name)
        assert reason in err
    (tmp_path / "my python").write_text(STRAW)
    (tmp_path / "my python").chmod(0o755)
    clone.run("path.sh", "env", YINJIE_PYTHON=str(tmp_path / "my python"))


SHELLS = [shell for shell in ("bash", "zsh") if shutil.which(shell)]
SOURCE = """
before=$-
cd /
. "{path}" || echo failed
[ "$-" = "$before" ] && echo "same options"
pwd
echo "$VIRTUAL_ENV $LC_ALL"
echo "${{PATH%%:*}}"
{{ set; typeset -f; }} | grep '^_*yinjie'
. "{path}"
echo "$PATH"
"""


@pytest.fixture(params=SHELLS)
def shell(request, clone):
    (clone.bin / request.param).unlink(missing_ok=True)
    (clone.bin / request.param).symlink_to(shutil.which(request.param))
    return request.param


def test_sourced_it_sets_up_the_shell_and_nothing_else(clone, shell):
    options = {"bash": ["--norc"], "zsh": ["-f"]}[shell]
    out, err = clone.run(shell, *options, "-c", SOURCE.format(path=clone.folder / "path.sh"))
    venv = f"{clone.folder}/.venv"
    assert out.splitlines() == ["same options", "/", f"{venv} C.UTF-8", f"{venv}/bin", f"{venv}/bin:{clone.bin}"]
    assert err.count("installing") == 1


def test_sourced_it_fails_without_ending_the_shell(clone, shell):
    out, err = clone.run(shell, "-c", SOURCE.format(path=clone.folder / "path.sh"), STRAW_PIP="1")
    assert out.splitlines() == ["failed", "same options", "/", " ", str(clone.bin), str(clone.bin)]
    assert "the installation failed" in err


@pytest.mark.skipif(not shutil.which("dash"), reason="dash is not installed")
def test_other_shells_are_told_what_to_do(clone):
    (clone.bin / "dash").symlink_to(shutil.which("dash"))
    for words in (("-c", f'. "{clone.folder}/path.sh" || echo failed'), (str(clone.folder / "path.sh"), "env")):
        out, err = clone.run("dash", *words, status=0 if words[0] == "-c" else 1)
        assert out == ("failed\n" if words[0] == "-c" else "")
        assert err.startswith("path.sh: this shell is neither bash nor zsh; run ./path.sh CMD, or start bash")
    assert clone.installations() == 0


@pytest.mark.parametrize(("lock", "names"), [
    (ROOT / "requirements.lock", ["mindspore==", "doit==", "pypinyin==", "pytest==", "hypothesis==", "ruff=="]),
    (mindinsight.LOCK, ["mindinsight==2.3.1 ", "protobuf==3.20.1 "])])
def test_a_lock_is_whole_and_names_no_server(lock, names):
    lines = lock.read_text().splitlines()
    assert not [line for line in lines if "://" in line or "index-url" in line or "find-links" in line]
    pinned = [at for at, line in enumerate(lines) if line[:1].isalpha()]
    assert all("==" in lines[at] and "--hash=sha256:" in lines[at + 1] for at in pinned)
    assert all(any(line.startswith(name) for line in lines) for name in names)
    assert not any(line.startswith("torch==") for line in lines)


def test_it_has_the_kernels_built_and_goes_on_where_that_fails(clone):
    folder = clone.folder / "steps/model/onednn"
    folder.mkdir(parents=True)
    (folder / "build.py").write_text("import sys; print('called with', *sys.argv[1:])")
    _, err = clone.run("path.sh", "true")
    assert "called with --once" in err and "MindSpore's own" not in err
    (folder / "build.py").write_text("import sys; sys.exit('error: no')")
    _, err = clone.run("path.sh", "true")
    assert "error: no" in err and "MindSpore's own" in err
    assert clone.installations() == 1
