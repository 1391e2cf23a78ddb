"""A whole comparison, of which terminal, page, JSON and Markdown show what they can."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from steps.comparison.differences import differing, row_config, seed_notes
from steps.comparison.paired import Verdict, find_baseline, judge
from steps.comparison.rows import RATES, Row, Value, make_rows, sets_of, sort_rows
from steps.comparison.runs import Run


class Comparison(NamedTuple):
    """Rows in the order in which they are shown."""

    rows: list[Row]
    baselines: dict[str, Row]  # by label, what a row was judged against
    verdicts: dict[tuple[str, str], Verdict]  # by label and set
    sweeps: dict[str, list[Row]]  # the rows of sweeps, by sweep, in the order of their names
    notes: list[str]
    left_out: list[Run]

    @property
    def differences(self) -> dict[str, list[str]]:
        """The config keys that differ, and their values in `plain_rows`."""
        return differing([row_config(row) for row in self.plain_rows])

    @property
    def plain_rows(self) -> list[Row]:
        """The rows that are no points of `sweeps`, which have tables of their own."""
        points = {row.label for rows in self.sweeps.values() for row in rows}
        return [row for row in self.rows if row.label not in points]


def compare(runs: Sequence[Run], sort: str | None, named: bool) -> Comparison:
    """Compare runs. `named`: the user put one of them first, for the others to be judged against; unless `sort` says
    otherwise they stand in the user's order then, and else sorted by their error on test.
    """
    rows = make_rows(runs)
    baselines = {row.label: find_baseline(row, rows, named) for row in rows}
    verdicts = [judge(baselines[row.label], row, part) for row in rows for part in row.sets
                if baselines[row.label] is not row]
    if sort or not named:
        rows = sort_rows(rows, sort or "test")
    known = [verdict for verdict in verdicts if verdict is not None]
    notes = [*seed_notes(rows), *_verdict_notes(known, {row.label: row.short for row in rows})]
    return Comparison(rows, baselines, {(one.b, one.part): one for one in known}, _sweeps(rows), notes,
                      [run for run in runs if run.problem])


def _verdict_notes(verdicts: list[Verdict], short: dict[str, str]) -> list[str]:
    """A sentence for what is said of verdicts, each once."""
    of: dict[tuple[str, str], list[str]] = {}
    for one in verdicts:
        if one.said:
            of.setdefault((one.a, one.said), []).append(f"{short[one.b]} on {one.part}")
    return [f"{'; '.join(these)}; against {short[a]}: {said}." for (a, said), these in of.items()]


def _sweeps(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.label):
        if row.runs[0].name.sweep:
            found.setdefault(row.runs[0].name.sweep, []).append(row)
    return {sweep: points for sweep, points in found.items() if len(points) > 1}


def as_json(found: Comparison) -> dict[str, Any]:
    """All of it as plain values; rates are fractions."""
    configs = differing([row_config(row) for row in found.rows])
    return {
        "experiments": [_row_json(row, {key: values[place] for key, values in configs.items()})
                        for place, row in enumerate(found.rows)],
        "comparisons": [verdict._asdict() for verdict in found.verdicts.values()],
        "notes": found.notes,
        "left_out": [{"path": str(run.path), "problem": run.problem} for run in found.left_out],
    }


def _row_json(row: Row, config: dict[str, str]) -> dict[str, Any]:
    return {
        "name": row.label, "method": row.method, "paths": [str(run.path) for run in row.runs],
        "seeds": [run.results.config.experiment.seed for run in row.runs],
        "sets": {part: {rate: _value_json(row.value(part, rate)) for rate in RATES if row.value(part, rate)}
                 for part in sets_of([row])},
        "weights": row.weights, "minutes": row.minutes, "real_time_factor": row.real_time_factor,
        "git_commit": row.commit, "date": row.date, "config": config,
    }


def _value_json(value: Value) -> dict[str, Any]:
    return {"mean": value.mean, "ci95": value.interval, "spread": value.spread}
