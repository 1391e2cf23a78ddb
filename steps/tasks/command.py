"""doit as a command: what it says of arguments that it cannot work with, of a damaged record, and at Ctrl-C."""

import atexit
import functools
import json
import os
import re
import signal
import sqlite3
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

from doit import doit_cmd

from steps import CLOSED
from steps.common.errors import UserError, check_umask, disk_error, drop_output

MOST_TASKS = 64  # at once, unless the machine has more processors
OURS = Path(__file__).resolve().parents[2]


def prepare(record: Path) -> None:
    """Make doit end with a word where it would show a traceback of its own code, run nothing, or lose its output.

    `record` is the file where it notes what is done. Ends the program with a message where that is damaged, and where
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
    """What is wrong where doit's own code raises the present exception, as it does for wrong arguments; the traceback
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
    """Let `doit list | head` end without a word, and names in hanzi be printed as \\u5f55 where the encoding has none.

    Ends the program with a message where there is no standard output: doit does not work without.
    """
    if sys.argv[1:2] and sys.argv[1] in ("list", "info", "help"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    atexit.register(drop_output)
    if "stdout" in CLOSED:
        sys.exit("error: standard output is closed; give doit one, such as: > doit.log")
    if hasattr(sys.stdout, "reconfigure"):  # not so where a test has put another stream there
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
    """End the program with a message where doit's record is damaged, cannot be made, or something else stands there."""
    if not os.path.lexists(path) or (path.is_file() and not path.stat().st_size):
        check_writable(path)
        return
    if not path.is_file():
        sys.exit(f"error: {path}, where doit notes what is done, is no file; move it away: mv {path} other")
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
    """End the program with a message where doit's record may not be written."""
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
