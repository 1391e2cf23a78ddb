"""A comparison on the terminal."""

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from steps.comparison.comparison import Comparison
from steps.comparison.tables import Table, tables

PIPE_WIDTH = 200  # where there is no terminal to fit into
MOST_COLUMNS = 7  # of differing keys; the page shows more


def show(found: Comparison, console: Console) -> None:
    """Print tables, notes, and what was left out and why."""
    if not found.rows:
        console.print("Nothing to compare: no experiment has been scored yet.")
    for table in tables(found):
        if len(table.columns) > MOST_COLUMNS and table.columns[0] == "key":
            console.print(f"{table.title}: {len(table.rows)}, for too many experiments to be shown here; see the page.")
        else:
            console.print(_rich(table))
    for note in found.notes:
        console.print(Text(f"• {note}"))
    for run in found.left_out:
        console.print(Text(f"left out: {run.path}: {run.problem}", style="yellow"))


def make_console() -> Console:
    """A console on stdout that does not squeeze tables into 80 columns where stdout is a file or a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH)


def _rich(table: Table) -> RichTable:
    made = RichTable(title=table.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(table.columns):
        made.add_column(Text(name), justify="right" if place and table.columns[0] != "key" else "left",
                        overflow="fold")
    for row in table.rows:
        made.add_row(*map(Text, row))
    return made
