"""Figures of several experiments at once."""

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from steps.comparison.rows import SER, Row
from steps.comparison.sweeps import Point, sort_value, sweep_points
from steps.results.plots import STYLE, to_svg

LINES = ("-", "--", ":", "-.")  # a new one for each round of colours
LEGEND_INCHES, INCHES_PER_CHARACTER = 0.19, 0.085


def all_curves(rows: Sequence[Row]) -> str:
    """One figure: dev syllable error rate of all runs, by epoch and by minutes; empty where nothing was trained."""
    looks = {row.label: look for row, look in zip(rows, map(_look, range(len(rows))), strict=True)
             if any("dev_ser" in run.results.history and len(run.results.history) for run in row.runs)}
    if not looks:
        return ""
    legend = 0.6 + INCHES_PER_CHARACTER * max(len(row.short) for row in rows if row.label in looks)
    height = max(3.2, 0.8 + LEGEND_INCHES * len(looks))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.4 + legend, height))
        left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={
            "left": 0.6 / figure.get_figwidth(), "right": 1 - legend / figure.get_figwidth(), "top": 0.93,
            "bottom": 0.5 / height, "wspace": 0.06})
        ranges = [_draw_curves(left, right, row, looks[row.label]) for row in rows if row.label in looks]
        best, highest = (max(ends) for ends in zip(*ranges, strict=True))
        top = min(1.1 * highest, max(1.05, 1.1 * best))  # first epochs may go far beyond 100 %
        left.set(title="Syllable error rate on dev", xlabel="epoch", ylim=(0, max(0.05, top)))
        right.set(xlabel="minutes of training", xlim=(0, None))
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        figure.legend(*left.get_legend_handles_labels(), loc="center right")
        return to_svg(figure, "Learning curves")


def _draw_curves(by_epoch: Axes, by_minutes: Axes, row: Row, look: dict) -> tuple[float, float]:
    """Draw a row's runs; returns the worst of the best error rates that each reached, and the highest of all."""
    best = highest = 0.0
    for number, run in enumerate(row.runs):
        history = run.results.history
        if "dev_ser" not in history or not len(history):
            continue
        label = "_nolegend_" if number else row.short
        by_epoch.plot(history["epoch"], history["dev_ser"], label=label, linewidth=1.4, **look)
        if "seconds" in history:
            by_minutes.plot(history["seconds"] / 60, history["dev_ser"], linewidth=1.4, **look)
        best, highest = max(best, history["dev_ser"].min()), max(highest, history["dev_ser"].max())
    return best, highest


def _look(number: int) -> dict:
    colours = mpl.colormaps["tab10"].colors
    return {"color": colours[number % len(colours)], "linestyle": LINES[number // len(colours) % len(LINES)]}


def sweep_plots(rows: Sequence[Row]) -> list[str]:
    """A figure for each key that a sweep varies: the syllable error rate on dev (or what was scored in its place)
    against the key's values. Lines join the points that agree in all other keys; bars are the spread over seeds.
    """
    points = sweep_points(rows)
    part = "dev" if all("dev" in row.sets for row in rows) else rows[0].main_set
    return [_sweep_plot([point for point in points if point.row.value(part, SER)], key, part)
            for key in points[0].values]


def _sweep_plot(points: Sequence[Point], key: str, part: str) -> str:
    lines: dict[str, list[Point]] = {}
    for point in points:
        others = ", ".join(f"{other} {value}" for other, value in point.values.items() if other != key)
        lines.setdefault(others, []).append(point)
    places = sorted({point.values[key] for point in points}, key=sort_value)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.0))
        axes = figure.subplots(gridspec_kw={"left": 0.14, "right": 0.97, "top": 0.91, "bottom": 0.17})
        for number, (others, line) in enumerate(lines.items()):
            rates = [point.row.value(part, SER) for point in line]
            axes.errorbar([places.index(point.values[key]) for point in line], [rate.mean for rate in rates],
                          [rate.spread or 0 for rate in rates], label=others, marker="o", markersize=4, capsize=3,
                          linewidth=1.4, **_look(number))
        axes.set(title=f"Syllable error rate on {part}", xlabel=key, xticks=range(len(places)), xticklabels=places)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
        if any(lines):
            axes.legend(fontsize=8)
        return to_svg(figure, f"Syllable error rate against {key}")
