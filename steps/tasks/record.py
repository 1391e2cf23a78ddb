"""doit as a command, and its record of tasks' runs, kept true on disk while doit runs; a log and a note for each task.

As a command, it says what is wrong with arguments that it cannot work with, with a damaged record, and at Ctrl-C.
Log and note lie in log/, in the directory that the task writes to: exp/mini/log/train.log and train.json,
exp/features/mini_fbank/log/features.log, data/mini/log/prepare.log, exp/log/compare.log.
"""

import atexit
import contextlib
import functools
import json
import os
import re
import signal
import sqlite3
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from doit import Globals, doit_cmd
from doit.dependency import get_file_md5
from doit.exceptions import TaskFailed
from doit.reporter import ConsoleReporter

from steps import CLOSED
from steps.common.errors import UserError, check_umask, disk_error, drop_output
from steps.common.files import size_and_time, write_json
from steps.common.process import is_alive, this_process

MOST_TASKS = 64  # at once, unless the machine has more processors
OURS = Path(__file__).resolve().parents[2]


def prepare(record: Path) -> None:
    """Make doit end with a message if it would show a traceback of its own code, run nothing, or lose its output.

    `record` is the file where it notes what is done. Ends the program with a message if that is damaged, and if
    the arguments or the umask are wrong.
    """
    try:
        check_umask()
    except UserError as error:
        sys.exit(f"error: {error}")
    _check_processes()
    check_record(record)
    _set_output()
    doit_cmd.traceback = SimpleNamespace(format_exc=_explain)  # doit prints what this returns, and ends
    sys.excepthook = functools.partial(_tell_interrupt, sys.excepthook)  # of `doit -n`
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that doit ends in order, and its script with it


def _explain() -> str:
    """What is wrong if doit's own code raises the present exception, as it does for wrong arguments; the traceback
    where ours does.
    """
    error = sys.exc_info()[1]
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, OSError):
        drop_output()
        return f"error: {disk_error(error)}\n"
    if any(path == OURS / "dodo.py" or {OURS / "steps", OURS / "local"} & {*path.parents} for path in files):
        return traceback.format_exc()
    said = str(error).strip().split("\n")[0]
    return (f"error: doit cannot work with these arguments ({type(error).__name__}: {said}); `doit list --all` has the "
            "tasks, `doit help COMMAND` the options\n")


def _tell_interrupt(before, kind: type[BaseException], *rest) -> None:
    print("interrupted", file=sys.stderr) if issubclass(kind, KeyboardInterrupt) else before(kind, *rest)


def _set_output() -> None:
    """Let `doit list | head` end without a message, and names in hanzi be printed as \\u5f55 if the encoding has none.

    Ends the program with a message if there is no standard output: doit does not work without.
    """
    if sys.argv[1:2] and sys.argv[1] in ("list", "info", "help"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    atexit.register(drop_output)
    if "stdout" in CLOSED:
        sys.exit("error: standard output is closed; give doit one, such as: > doit.log")
    if hasattr(sys.stdout, "reconfigure"):  # a test may have put another stream there
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)


def _check_processes() -> None:
    """End the program with a message for `doit -n` with a number below 0, which would run nothing and end well, or with
    one so large that doit, which starts all of them at once, would take the machine's memory.
    """
    given = re.search(r" (?:-n ?|--process[ =])(-?[0-9]+)", " ".join(sys.argv))
    most = max(MOST_TASKS, os.cpu_count() or 1)
    if given and not 0 <= int(given[1][:10]) <= most:
        sys.exit(f"error: -n: a number of processes is 0, for one after the other, or up to {most}")


def check_record(path: Path) -> None:
    """End the program with a message if doit's record is damaged, cannot be made, or something else stands there."""
    if not os.path.lexists(path) or (path.is_file() and not path.stat().st_size):
        check_writable(path)
        return
    if not path.is_file():
        sys.exit(f"error: {path}, where doit notes what is done, is not a file; move it away: mv {path} other")
    if not os.access(path, os.R_OK):
        sys.exit(f"error: {path}, where doit notes what is done, cannot be read: give yourself the right to")
    connection = sqlite3.connect(path)
    try:
        sound = connection.execute("pragma quick_check").fetchone() == ("ok",) and _is_record(connection)
    except sqlite3.OperationalError:  # another doit writes to it, or it cannot be opened: doit will say so
        return
    except (sqlite3.DatabaseError, ValueError, TypeError):
        sound = False
    finally:
        connection.close()
    if not sound:
        sys.exit(f"error: {path}, where doit notes what is done, is damaged; remove it: rm {path}. Stages then run "
                 "again; a finished training is found and left alone")


def check_writable(path: Path) -> None:
    """End the program with a message if doit's record may not be written."""
    if not all(os.access(place, os.W_OK) for place in (path.parent, path) if place.exists()):
        sys.exit(f"error: {path}, where doit notes what is done, cannot be written: give yourself the right to write "
                 "to it and to its folder")


def _is_record(connection: sqlite3.Connection) -> bool:
    """Whether a database is new, or as doit writes it: a JSON mapping for each task."""
    columns = {column for _, column, *_ in connection.execute("pragma table_info(doit)")}
    if not columns:
        return True
    return columns == {"task_id", "task_data"} and all(
        isinstance(json.loads(data), dict) for data, in connection.execute("select task_data from doit"))


HEADING = "# "  # of each run of a script, in a log


class Busy(TaskFailed):
    """Another process writes what the task would write."""


class Recorder(ConsoleReporter):
    """doit's console output, which also brings the record up to date as each task begins and ends.

    doit itself writes the record when a run ends. Killed before that, it would have forgotten the stages that this run
    had finished. It would also still hold a stage as done that it had begun again with another config: back at the old
    config, files of the other one would pass for up to date. And it records what a task's dependencies hold when the
    task has ended: a file that was edited in between would pass for the one that the task has read.
    """

    def __init__(self, *args):
        super().__init__(*args)
        self._read: dict[str, dict[str, Any]] = {}  # by task: what its dependencies held when it began

    def write(self, text: str) -> None:
        """If the reader of the output, such as head, has ended, or the disk is full, the run goes on without it."""
        with contextlib.suppress(OSError):
            super().write(text)
            self.outstream.flush()

    def execute_task(self, task) -> None:
        """The task's files are about to change. Ends doit if the record cannot be written."""
        if task.actions:
            check_writable(Path(Globals.dep_manager.backend.name))
            Globals.dep_manager.remove(task.name)
            _write()
            self._read[task.name] = {path: _state(path) for path in task.file_dep}
        super().execute_task(task)

    def add_success(self, task) -> None:
        """The task's files are there; what they were made from has just been recorded."""
        super().add_success(task)
        if task.actions:
            for path, state in self._read.pop(task.name).items():
                Globals.dep_manager._set(task.name, path, state)
            _write()
            note(task, "done")

    def add_failure(self, task, fail) -> None:
        super().add_failure(task, fail)
        _write()  # else the database stays locked until this doit ends
        if task.executed and not isinstance(fail, Busy):
            note(task, "failed")


@functools.cache
def _md5(path: str, size_and_time: str) -> str:
    """A file's MD5, counted once for each state of the file."""
    return get_file_md5(path)


def _state(path: str) -> tuple[float, int, str]:
    """The state of a file as doit's MD5Checker keeps it."""
    stat = os.stat(path)
    return stat.st_mtime, stat.st_size, _md5(path, size_and_time(path))


def _write() -> None:
    """Commit, and open again: doit's backends write only when they are closed."""
    backend = Globals.dep_manager.backend
    backend.dump()
    backend.__init__(backend.name, backend.codec)


class Run(NamedTuple):
    """A task's last run."""

    state: str  # "running", "done", "failed"; "interrupted" if the process that ran it is gone
    begin: float  # seconds since 1970
    seconds: float | None  # what the last run that ended well took


def directory(path: Path | str) -> Path:
    """The folder that a file of data/ or exp/ belongs to: data/<corpus>, exp/features/<features>, exp/<experiment>.

    It is exp itself for a file right there.
    """
    parts = Path(path).parts
    depth = 3 if parts[:2] == ("exp", "features") else 2
    return Path(*parts[:min(depth, len(parts) - 1)])


def log_path(task) -> Path:
    """The log of a doit task, such as exp/mini/log/decode.test.log."""
    folder = directory(task.targets[0])
    words = [word.replace("/", ".") for word in task.name.split(":") if word != folder.name]
    return folder / "log" / f"{'.'.join(words)}.log"


def note(task, state: str) -> None:
    """Note that a task is now "running", "done" or "failed", and how long it took when it last ended well."""
    if not task.targets:  # a broken config's
        return
    before, now = _read(task), time.time()
    begin = now if state == "running" else before.get("begin", now)
    facts = {"task": task.name, "state": state, "begin": begin,
             "seconds": round(now - begin, 3) if state == "done" else before.get("seconds"),
             **({"process": this_process()} if state == "running" else {})}
    with contextlib.suppress(OSError):  # the run itself tells what is wrong with the disk
        write_json(log_path(task).with_suffix(".json"), facts)


def last_run(task) -> Run | None:
    """The last note; None if the task has never begun."""
    noted = _read(task)
    try:
        state = noted["state"]
        if state == "running" and not is_alive(noted["process"]):
            state = "interrupted"
        return Run(state, noted["begin"], noted.get("seconds"))
    except (KeyError, TypeError, AttributeError):  # never, or damaged
        return None


def last_words(task, count: int) -> list[str]:
    """The last lines of a task's log that say anything."""
    path = log_path(task)
    if not path.exists():
        return []
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 400 * count))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    return [line for line in lines if line.strip() and not line.startswith(HEADING)][-count:]


def _read(task) -> dict[str, Any]:
    if not task.targets:  # a broken config's
        return {}
    try:
        noted = json.loads(log_path(task).with_suffix(".json").read_text(encoding="utf-8"))
        return noted if isinstance(noted, dict) else {}
    except (OSError, ValueError):
        return {}
