"""Show how a training goes: MindInsight in an environment of its own."""

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from steps.common.errors import UserError, run

LOCK = Path(__file__).parents[1] / "requirements-mindinsight.lock"
ENVIRONMENT = Path(".venv-mindinsight")


def ensure_environment(folder: Path = ENVIRONMENT, lock: Path = LOCK) -> Path:
    """Install `lock` into `folder`, if it is not there yet. Returns the folder with its programs.

    Raises UserError if that fails; the next call begins again.
    """
    folder = folder.absolute()
    wanted = f"# {folder}\n{lock.read_text(encoding='utf-8')}"  # a venv cannot be moved, so the folder counts
    installed = folder / "installed"
    with open(f"{folder}.lock", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # of several at once one installs
        if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
            print(f"installing MindInsight into {folder.name} (300 MB, once)", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
            _install(folder, lock)
            installed.write_text(wanted, encoding="utf-8")  # last: without this file the folder counts as half-made
    return folder / "bin"


def _install(folder: Path, lock: Path) -> None:
    venv.create(folder, with_pip=True)
    pip = [folder / "bin/python", "-m", "pip", "install", "-qq", "--no-input", "--disable-pip-version-check"]
    try:
        subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", lock], check=True)
    except subprocess.CalledProcessError:
        raise UserError(f"MindInsight could not be installed into {folder.name}, for the reason above") from None


def server(programs: Path, base: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """The command and the environment variables that show the summaries in the folders right below `base`."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    variables |= {"PATH": f"{programs}:{os.environ['PATH']}", "VIRTUAL_ENV": str(programs.parent),
                  "MINDINSIGHT_SUMMARY_BASE_DIR": str(base.absolute()), "MINDINSIGHT_PORT": str(port),
                  "MINDINSIGHT_WORKSPACE": str(programs.parent / "workspace")}  # its logs
    package = next(programs.parent.glob("lib/python*/site-packages/mindinsight"))
    # What `mindinsight start` leaves running in the background. A worker of it does not end when it is told to.
    command = [str(programs / "gunicorn"), "--bind", f"127.0.0.1:{port}", "--graceful-timeout", "2",
               "--config", str(package / "backend/config/gunicorn_conf.py"), "mindinsight.backend.application:APP"]
    return command, variables


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.mindinsight", description=__doc__)
    parser.add_argument("exp_dir", type=Path, help="exp/<experiment>")
    parser.add_argument("--port", type=int, default=8080, help="on this machine alone (default: %(default)s)")
    args = parser.parse_args()
    if not any((args.exp_dir / "summary").glob("*.summary.*")):
        raise UserError(f"{args.exp_dir}/summary: nothing there; set `train: {{summary: true}}` in the experiment's "
                        f"config, and train")
    command, variables = server(ensure_environment(), args.exp_dir, args.port)
    print(f"http://127.0.0.1:{args.port} in a few seconds; Ctrl-C ends it", file=sys.stderr)
    os.execve(command[0], command, variables)


if __name__ == "__main__":
    run(main)
