"""The tables of a comparison: for a page, a terminal and Markdown, and those of conf/RESULTS.md and the README.

Only `python -m steps.compare --publish`, a maintainer's command, writes the latter: what every experiment of conf/
reached. A row stays until its experiment is there to be compared again: no machine has all corpora.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from steps.common.errors import UserError
from steps.common.files import atomic_open
from steps.common.yaml import yaml_files
from steps.config.load import CONF, load_experiment
from steps.report.paired import Comparison, Verdict
from steps.report.rows import RATES, SER, Row, Value, differing, flat_config, rates_of, row_config, run_config, sets_of


class Point(NamedTuple):
    """A row with the values of the varied keys."""

    values: dict[str, str]  # by key, as short as the names of the points have it
    row: Row


def sweep_points(rows: Sequence[Row]) -> list[Point]:
    """The points in the order of their values: as their configs have them, if that is clear, else their names."""
    keys = dict.fromkeys(key for row in rows for key in row.runs[0].name.point)
    values = [dict(row.runs[0].name.point) for row in rows]
    varied = differing([row_config(row) for row in rows])
    for key in keys:
        found = [name for name in varied if name == key or name.endswith(f".{key}")]
        if len(found) == 1:
            for point, value in zip(values, varied[found[0]], strict=True):
                point[key] = value
    points = [Point(point, row) for point, row in zip(values, rows, strict=True)]
    return sorted(points, key=lambda point: [sort_value(value) for value in point.values.values()])


def sort_value(value: str) -> tuple[int, float, str]:
    """Numbers by size, before words by letter."""
    try:
        return (0, float(value), value)
    except ValueError:
        return (1, 0.0, value)


ERRORS_SAID = ("Error rates in percent, with 95 % intervals (bootstrap over utterances), or ± the standard deviation "
               "over seeds. Toneless: without tone "
               "digits. Tones: the tone is wrong where the rest of the syllable is right. Sandhi-blind: tones that "
               "differ by sandhi alone count as right. Sentences: utterances with any error.")
BEATS_SAID = ("P(better): the probability that the syllable error rate is lower than that experiment's (paired "
              "bootstrap). p: the two-sided p-value of no difference, by the bootstrap or, over seeds, by Welch's "
              "t-test.")


LEAST_P = 0.001  # that the bootstrap's replications can tell


class Table(NamedTuple):
    """Cells are plain text."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def tables(found: Comparison) -> list[Table]:
    """Errors, facts, differing keys and sweeps, as far as there is something to say."""
    rows = found.plain_rows
    made = [errors_table(found, rows), facts_table(rows)]
    made += [sweep_table(found, sweep, points) for sweep, points in found.sweeps.items()]
    if found.differences:
        made.append(Table("Config keys that differ", ["key", *(row.label for row in rows)],
                          [[key, *values] for key, values in found.differences.items()]))
    return [table for table in made if table.rows]


def errors_table(found: Comparison, rows: Sequence[Row]) -> Table:
    """A line for each experiment and set."""
    rates = rates_of(rows)
    against, many = _baselines(found, rows)
    columns, lines = [RATES[rate] for rate in rates], []
    columns.insert(1, against)  # beside the syllable error rates, which it is about
    for row, part in [(one, part) for one in rows for part in sets_of([one])]:
        cells = [rate_cell(row.value(part, rate)) or "–" for rate in rates]
        cells.insert(1, _verdict_cell(found.verdicts.get((row.label, part)), many))
        lines.append([row.label, part, *cells])
    return _without_empty(Table("Errors", ["experiment", "set", *columns], lines))


def _baselines(found: Comparison, rows: Sequence[Row]) -> tuple[str, bool]:
    """The heading of the verdicts, and whether each must name what it is against."""
    baselines = {found.baselines[row.label].short for row in rows}
    return f"against {next(iter(baselines))}" if len(baselines) == 1 else "against", len(baselines) > 1


def rate_cell(value: Value | None) -> str:
    """`1.94 (1.20–2.68)`, or over seeds `1.94 ± 0.11`; in percent."""
    if value is None:
        return ""
    if value.interval:
        low, high = value.interval
        return f"{100 * value.mean:.2f} ({100 * low:.2f}–{100 * high:.2f})"
    return f"{100 * value.mean:.2f}" + (f" ± {100 * value.spread:.2f}" if value.spread is not None else "")


def _verdict_cell(verdict: Verdict | None, name_it: bool) -> str:
    if verdict is None:
        return ""
    if verdict.p_value is None:
        return "see notes"
    p_value = f"p = {verdict.p_value:.3f}" if verdict.p_value >= LEAST_P else f"p < {LEAST_P}"
    better = "" if verdict.probability is None else f"P(better) {100 * verdict.probability:.1f} %, "
    return better + p_value + (f" ({verdict.a})" if name_it else "")


def facts_table(rows: Sequence[Row]) -> Table:
    """The table of the experiments: description and cost of each."""
    columns = ["experiment", "corpus", "seeds", "weights", "epochs", "minutes", "RTF", "commit", "trained"]
    lines = [[row.label, row.first.config.experiment.corpus, str(len(row.runs)) if len(row.runs) > 1 else "",
              weights_cell(row), str(len(row.first.history) or ""), minutes_cell(row), f"{row.real_time_factor:.4f}",
              row.commit, row.date] for row in rows]
    return _without_empty(Table("What they are", columns, lines))


def weights_cell(row: Row) -> str:
    """The number of weights, such as 0.27 M."""
    return "" if row.weights is None else f"{row.weights / 1e6:.2f} M"


def minutes_cell(row: Row) -> str:
    return "" if row.minutes is None else f"{row.minutes:.1f}"


def sweep_table(found: Comparison, sweep: str, rows: Sequence[Row]) -> Table:
    """A line for each point; the one that is best on dev is marked."""
    points, parts = sweep_points(rows), sets_of(rows)
    dev = {row.label: row.value("dev", SER) for row in rows}
    best = min((label for label in dev if dev[label]), key=lambda label: dev[label].mean, default="")
    against, many = _baselines(found, rows)
    keys = list(points[0].values)
    lines = [[*(values.get(key, "") for key in keys),
              *(rate_cell(row.value(part, SER)) for part in parts),
              *(_verdict_cell(found.verdicts.get((row.label, part)), many) for part in parts),
              str(len(row.runs)), weights_cell(row), minutes_cell(row), "best on dev" if row.label == best else ""]
             for values, row in points]
    columns = [*keys, *(f"{part} syllables" for part in parts), *(f"{against} on {part}" for part in parts), "seeds",
               "weights", "minutes", "chosen"]
    return _without_empty(Table(f"Sweep {sweep}", columns, lines))


def _without_empty(table: Table) -> Table:
    kept = [place for place in range(len(table.columns)) if any(row[place] for row in table.rows)]
    return Table(table.title, [table.columns[place] for place in kept],
                 [[row[place] for place in kept] for row in table.rows])


def as_markdown(table: Table) -> list[str]:
    """The lines of a Markdown table. Bars within cells are escaped."""
    lines = [[cell.replace("|", r"\|") for cell in row] for row in (table.columns, *table.rows)]
    bars = [f"| {' | '.join(row)} |" for row in lines]
    return [bars[0], f"|{'---|' * len(table.columns)}", *bars[1:]]


PIPE_WIDTH = 200  # if there is no terminal to fit into
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
    """A console on stdout that does not squeeze tables into 80 columns if stdout is a file or a pipe."""
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


RESULTS, README = CONF / "RESULTS.md", Path("README.md")
BEGIN, END = "<!-- results -->", "<!-- /results -->"
COLUMNS = ["experiment", "what it is", "corpus", "dev syllables", *RATES.values(), "other sets", "weights", "minutes",
           "RTF", "commit", "trained"]
README_COLUMNS = ["experiment", "syllables", "toneless", "tones", "characters", "other sets", "weights", "minutes"]
Rows = dict[str, dict[str, str]]  # by experiment: cells by column


def publish(found: Comparison) -> list[str]:
    """Write the rows of greedy decoding into conf/RESULTS.md, and of those that the README names short ones into it.

    Returns sentences on rows that were left out. Raises UserError if one of the files has no place for a table.
    """
    known = {path.stem: path for path in [*yaml_files(CONF / "sweeps"), *yaml_files(CONF)]}
    before = RESULTS.read_text(encoding="utf-8")
    rows = read_results(before)
    said = []
    for row in (row for row in found.rows if row.method == "greedy"):
        name = row.label.removesuffix(" (greedy)")  # as if it were decoded by no other method
        origin = _origin(name)
        why = _not_of_conf(row) if origin in known else ""
        if why:
            said.append(f"{RESULTS}: not {name}: {why}")
        elif origin in known:
            rows[name] = _cells(name, row, known[origin])
    rows = {name: cells for name, cells in rows.items() if _origin(name) in known}
    readme = README.read_text(encoding="utf-8")
    _write(RESULTS, with_results(before, rows, COLUMNS, RESULTS))
    _write(README, with_results(readme, named_in(readme, rows), README_COLUMNS, README))
    return said


def named_in(text: str, rows: Rows) -> Rows:
    """The rows of the experiments that a text names, `mini` as code."""
    return {name: cells for name, cells in rows.items() if f"`{name}`" in text}


def _not_of_conf(row: Row) -> str:
    """Why a row is not what conf/ says now; empty if it is. Its seed and how it is decoded do not count."""
    try:
        now = load_experiment(row.runs[0].path.absolute().name)
    except UserError as error:
        return str(error)
    keys = [key for key in differing([flat_config(now), run_config(row.runs[0])])
            if key != "seed" and not key.startswith("decode.")]
    return f"conf/ has changed since it was trained: {', '.join(keys)}" if keys else ""


def _origin(label: str) -> str:
    """The file of conf/ that a row comes from: of the sweep's point `lr@epochs-2` lr."""
    return label.split(" (")[0].split("@")[0]


def _cells(name: str, row: Row, config: Path) -> dict[str, str]:
    first_line = config.read_text(encoding="utf-8").partition("\n")[0]
    others = ", ".join(f"{part} {100 * row.value(part, SER).mean:.2f}" for part in row.sets if "/" in part)
    cells = [name, first_line.removeprefix("#").strip() if first_line.startswith("#") else "",
             row.first.config.experiment.corpus, rate_cell(row.value("dev", SER)),
             *(rate_cell(row.value(row.main_set, rate)) for rate in RATES), others, weights_cell(row),
             minutes_cell(row), f"{row.real_time_factor:.4f}", row.commit, row.date]
    return dict(zip(COLUMNS, cells, strict=True))


def read_results(text: str) -> Rows:
    """The rows of the table between the marks of conf/RESULTS.md."""
    table = text.partition(BEGIN)[2].partition(END)[0]
    lines = [[cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
             for line in table.splitlines() if line.startswith("|")]
    if not lines:
        return {}
    columns, _, *rows = lines
    return {row[0]: dict(zip(columns, row, strict=False)) for row in rows}


def with_results(text: str, rows: Rows, columns: Sequence[str], path: Path) -> str:
    """The text of `path` with a table of these rows between its marks, experiments before the points of sweeps.

    Raises UserError if it has no marks.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"{path}: no lines {BEGIN} and {END}; put them where the table of results is to stand")
    ordered = sorted(rows, key=lambda name: ("@" in name, name))
    kept = [column for column in columns if any(cells.get(column) for cells in rows.values())]
    table = Table("", kept, [[rows[name].get(column, "") for column in kept] for name in ordered])
    lines = as_markdown(table) if rows else []
    return "\n".join([before + BEGIN, *lines, END + after])


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with atomic_open(path) as file:
            file.write(text)
