"""How far each experiment is: what is done, stale, running or failed, why, and what `doit` would do now."""

import argparse
import fnmatch
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from steps.common.checksums import SUMS, result_folders, wrong_files
from steps.common.errors import UserError, counted, run
from steps.common.files import megabytes
from steps.common.parallel import track
from steps.corpus.table import doubtful
from steps.tasks.states import about, survey

STYLES = {"done": "green", "running": "bold cyan", "failed": "bold red", "interrupted": "red", "stale": "yellow",
          "never run": "dim"}
MOST_REASONS = 4
MOST_TASKS = 8
LOG_WIDTH = 160


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.status", description=__doc__)
    parser.add_argument("names", nargs="*", help="experiments, or patterns such as 'lr@*' (default: all)")
    parser.add_argument("--verify", action="store_true", help="read all results, and compare them with SHA256SUMS")
    parser.add_argument("--json", action="store_true", help="everything, for machines")
    args = parser.parse_args()
    if args.verify:
        verify()
        return
    if not Path("dodo.py").exists():
        raise UserError("dodo.py: no such file here; go to the project's root, or run ./path.sh python -m steps.status")
    import dodo  # from the project's root

    wanted = [name for name in dodo.EXPERIMENTS
              if not args.names or any(fnmatch.fnmatch(name, pattern) for pattern in args.names)]
    if not wanted:
        raise UserError(f"no experiment is called {' or '.join(args.names)}; there are {', '.join(dodo.EXPERIMENTS)}")
    standing = survey(vars(dodo), wanted, [f"report:{name}" for name in wanted] if args.names else None)
    if args.json:
        print(json.dumps({**standing, "broken": dodo.BROKEN_EXPERIMENTS}, ensure_ascii=False, indent=2))
    else:
        show(standing, Console(highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH))


def verify() -> None:
    """Compare all that stages wrote with their lists of checksums. Raises UserError that names what differs."""
    found = list(result_folders([Path("data"), Path("exp")]))
    if not found:
        raise UserError("data and exp: hold no results of stages; go to the project's root")
    faults, listed = [], [folder for folder, has_list in found if has_list]
    for folder in track(listed, len(listed), "verifying"):
        try:
            faults += wrong_files(folder, by_content=True)
        except UserError as error:  # of the list itself
            faults.append(str(error))
    faults += [f"{folder}: has no {SUMS}: nobody can tell whether it is whole" for folder, has_list in found
               if not has_list]
    for path in sorted(Path("data").glob("*/*/pinyin")):
        if said := doubtful(path.parents[1], path.parent.name):
            print(f"note: {said}", file=sys.stderr)
    if faults:
        raise UserError("\n  ".join(faults) + "\n  run the stages that write them again")
    print(f"{counted(len(listed), 'folder')} of results: all files are as they were written")


def show(standing: dict[str, Any], console: Console) -> None:
    """Print the table, the reasons under it, and what `doit` would do."""
    stages = list(dict.fromkeys(stage for found in standing["experiments"].values() for stage in found["stages"]))
    table = Table(box=None, pad_edge=False)
    table.add_column("experiment", overflow="fold")
    for title in (*stages, "disk"):
        table.add_column(title, no_wrap=True)
    not_begun = [name for name, found in standing["experiments"].items()
                 if all(stage["state"] == "never run" for stage in found["stages"].values())]
    for name, found in standing["experiments"].items():
        if name in not_begun:
            continue
        states = [found["stages"][stage]["state"] if stage in found["stages"] else "never run" for stage in stages]
        cells = [Text("–" if state == "never run" else state, STYLES[state]) for state in states]
        table.add_row(name, *cells, megabytes(found["bytes"]))
    if table.rows:
        console.print(table)
    if not_begun:
        console.print(f"not begun: {', '.join(not_begun)}", markup=False, soft_wrap=True)
    shared = sum(standing["features"].values())
    if shared:
        console.print(f"features: {megabytes(shared)}", markup=False)
    compare = standing["compare"]
    if compare != "never run":
        console.print(f"compare: [{STYLES[compare]}]{compare}[/]")
    for name, task in standing["tasks"].items():
        show_task(name, task, console)
    console.print("\n" + sentence(standing["now"]), markup=False, soft_wrap=True)


def show_task(name: str, task: dict, console: Console) -> None:
    """Print why a task is not done, unless all there is to say is that it waits for others."""
    why = [reason for reason in task["why"] if not reason.endswith("comes first")]
    if not why and task["state"] not in ("failed", "interrupted", "running"):
        return
    console.print(f"\n[bold]{name}[/]: [{STYLES[task['state']]}]{task['state']}[/]")
    hidden = len(why) - MOST_REASONS if task["state"] == "stale" else 0
    for reason in why[:MOST_REASONS] if hidden > 0 else why:
        console.print(f"    {reason}", markup=False, soft_wrap=True)
    if hidden > 0:
        console.print(f"    and {hidden} more")
    if task["todo"]:
        console.print(f"  → {task['todo']}", markup=False, soft_wrap=True)


def sentence(now: dict) -> str:
    """What `doit` would do and how long that would take."""
    if not now["tasks"]:
        return f"`{now['command']}` would run nothing: all is done."
    known, unknown = len(now["tasks"]) - len(now["unknown"]), len(now["unknown"])
    time = f"about {about(now['seconds'])}" if known else "the time is not known, as nothing like it has run yet"
    if known and unknown:
        time += f", and an unknown time for {listed(now['unknown'])}, as nothing like it has run yet"
    return f"`{now['command']}` would run {listed(now['tasks'])}: {time}."


def listed(tasks: list[str]) -> str:
    """The tasks' names, or, of many, how many of each stage."""
    if len(tasks) <= MOST_TASKS:
        return ", ".join(tasks)
    counts = Counter(task.partition(":")[0] for task in tasks)
    return f"{len(tasks)} tasks ({', '.join(f'{count} {stage}' for stage, count in counts.items())})"


if __name__ == "__main__":
    run(main)
