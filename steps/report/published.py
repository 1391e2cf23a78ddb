"""The tables of conf/RESULTS.md, what every experiment of conf/ reached, and of the README, which is made from it.

Only `python -m steps.compare --publish`, a maintainer's command, writes them. A row stays until its experiment is there
to be compared again: no machine has all corpora.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from steps.common.errors import UserError
from steps.common.files import atomic_open
from steps.common.yaml import yaml_files
from steps.config.load import CONF, load_experiment
from steps.report.paired import Comparison
from steps.report.rows import RATES, SER, Row, differing, flat_config, run_config
from steps.report.tables import Table, as_markdown, minutes_cell, rate_cell, weights_cell

RESULTS, README = CONF / "RESULTS.md", Path("README.md")
BEGIN, END = "<!-- results -->", "<!-- /results -->"
COLUMNS = ["experiment", "what it is", "corpus", "dev syllables", *RATES.values(), "other sets", "weights", "minutes",
           "RTF", "commit", "trained"]
README_COLUMNS = ["experiment", "syllables", "toneless", "tones", "characters", "other sets", "weights", "minutes"]
Rows = dict[str, dict[str, str]]  # by experiment: cells by column


def publish(found: Comparison) -> list[str]:
    """Write the rows of `found` into conf/RESULTS.md, and their short form into the README.

    Returns sentences on rows that were left out. Raises UserError where one of the files has no place for a table.
    """
    known = {path.stem: path for path in [*yaml_files(CONF / "sweeps"), *yaml_files(CONF)]}
    before = RESULTS.read_text(encoding="utf-8")
    rows = read_results(before)
    said = []
    for row in found.rows:
        origin = _origin(row.label)
        why = _not_of_conf(row) if origin in known else ""
        if why:
            said.append(f"{RESULTS}: not {row.label}: {why}")
        elif origin in known:
            rows[row.label] = _cells(row, known[origin])
    rows = {name: cells for name, cells in rows.items() if _origin(name) in known}
    short = {name: cells for name, cells in rows.items() if "@" not in name}  # without the points of sweeps
    _write(RESULTS, with_results(before, rows, COLUMNS, RESULTS))
    _write(README, with_results(README.read_text(encoding="utf-8"), short, README_COLUMNS, README))
    return said


def _not_of_conf(row: Row) -> str:
    """Why a row is not what conf/ says now; empty where it is. Its seed and how it is decoded do not count."""
    try:
        now = load_experiment(row.runs[0].path.absolute().name)
    except UserError as error:
        return str(error)
    keys = [key for key in differing([flat_config(now), run_config(row.runs[0])])
            if key != "seed" and not key.startswith("decode.")]
    return f"conf/ has changed since it was trained: {', '.join(keys)}" if keys else ""


def _origin(label: str) -> str:
    """The file of conf/ that a row comes from: of `mini (prefix)` mini, of the sweep's point `lr@train.epochs=2` lr."""
    return label.split(" (")[0].split("@")[0]


def _cells(row: Row, config: Path) -> dict[str, str]:
    first_line = config.read_text(encoding="utf-8").partition("\n")[0]
    test = row.main_set
    cells = [row.label, first_line.removeprefix("#").strip() if first_line.startswith("#") else "",
             row.first.config.experiment.corpus, rate_cell(row.value("dev", SER)),
             *(rate_cell(row.value(test, rate)) for rate in RATES), _other_sets(row), weights_cell(row),
             minutes_cell(row), f"{row.real_time_factor:.4f}", row.commit, row.date]
    return dict(zip(COLUMNS, cells, strict=True))


def _other_sets(row: Row) -> str:
    """The syllable error rates of other corpora's sets, each by its name."""
    return ", ".join(f"{part} {100 * row.value(part, SER).mean:.2f}" for part in row.sets if "/" in part)


def _table(rows: Rows, names: Sequence[str], columns: Sequence[str]) -> Table:
    kept = [column for column in columns if any(rows[name].get(column) for name in names)]
    return Table("", kept, [[rows[name].get(column, "") for column in kept] for name in names])


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

    Raises UserError where it has no marks.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"{path}: no lines {BEGIN} and {END}; put them where the table of results is to stand")
    ordered = sorted(rows, key=lambda name: ("@" in name, name))
    lines = as_markdown(_table(rows, ordered, columns)) if rows else []
    return "\n".join([before + BEGIN, *lines, END + after])


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with atomic_open(path) as file:
            file.write(text)
