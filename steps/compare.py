"""Experiments side by side: errors, what differs in their configs, and what changed from the first to the others.

Shows tables, and writes them as a page, as Markdown and as JSON: exp/compare.{html,md,json}, or for chosen experiments
exp/compare_<name>_<name>.{html,md,json}.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from steps.common.errors import UserError, run
from steps.common.files import atomic_open, remove_leftovers, write_json, write_lines
from steps.report import paired, tables
from steps.report.errors import EPS, Pair
from steps.report.page import STYLE, Heard, percent, render, spectrogram, to_svg
from steps.report.rows import EXP, SER, SORT_KEYS, Row, find_runs, is_one, open_run
from steps.search.alignment import Timed

MOST_PAIRS = 3  # of experiments whose changes are shown
SHOWN_UTTERANCES = SHOWN_PICTURES = 3
SHOWN_SPEAKERS = SHOWN_SYLLABLES = 10
NEIGHBOURS = 2  # decoded syllables shown on either side of one
MARGIN_S = 0.1
WAYS = "fixed", "broken"


def main() -> None:
    args = parse_args()
    if args.html and args.html.suffix != ".html":
        raise UserError(f"{args.html}: the page's name must end in .html")
    paths = find_runs(args.experiments)
    named = bool(args.experiments) and is_one(args.experiments[0])
    found = paired.compare([open_run(path) for path in paths], args.sort, named)
    if args.json:
        print(json.dumps(paired.as_json(found), ensure_ascii=False, indent=2))
        return
    if args.md:
        print("\n".join(markdown(found)))
        return
    tables.show(found, tables.make_console())
    page = args.html or page_path(args.experiments)
    remove_leftovers(page.parent, [page.with_suffix(suffix).name for suffix in (".md", ".json", ".html")])
    html = compare_page(found)
    write_lines(page.with_suffix(".md"), markdown(found))
    write_json(page.with_suffix(".json"), paired.as_json(found))
    with atomic_open(page) as file:
        file.write(html)
    print(f"{page}: the same with curves and what changed", file=sys.stderr)
    if args.publish:
        print("".join(f"{line}\n" for line in tables.publish(found)), end="", file=sys.stderr)


def markdown(found: paired.Comparison) -> list[str]:
    lines = []
    for table in tables.tables(found):
        lines += [f"### {table.title}", "", *tables.as_markdown(table), ""]
    return [*lines, *(f"- {note}" for note in found.notes),
            *(f"- left out: {one.path}: {one.problem}" for one in found.left_out)]


def page_path(words: Sequence[str]) -> Path:
    """Where the page goes: exp/compare.html is that of all experiments, exp/compare_a_b.html that of a and b."""
    names = [re.sub(r"[^\w@.,+-]", "_", Path(word).absolute().name) for word in words]
    if len(names) > 2:
        names = [names[0], "and", str(len(names) - 1), "more"]
    return EXP / f"{'_'.join(['compare', *names])}.html"


def syllable_picture(heard: Heard, utt: str, index: int) -> str:
    """Reference syllable `index` of an utterance, which was decoded correctly, among its neighbours, as SVG.

    Empty if features or times are gone.
    """
    try:
        pairs, times = heard.scored.alignments[utt], heard.scored.times_of(utt)
        feats = heard.feats[utt]
    except (UserError, KeyError):
        return ""
    some_pairs, some_times = _around(pairs, times, index)
    shift = heard.frame_shift_s
    first = max(0, int((some_times[0].begin - MARGIN_S) / shift))
    last = int((some_times[-1].begin + some_times[-1].duration + MARGIN_S) / shift) + 1
    moved = [one._replace(begin=one.begin - first * shift) for one in some_times]
    return spectrogram(feats[first:last], shift, some_pairs, moved, f"Spectrogram of a part of {utt}")


def _around(pairs: list[Pair], times: list[Timed], index: int) -> tuple[list[Pair], list[Timed]]:
    """The pairs from NEIGHBOURS decoded syllables before reference syllable `index` to as many after it."""
    centre = [place for place, (ref, _) in enumerate(pairs) if ref != EPS][index]
    decoded = [place for place, (_, hyp) in enumerate(pairs) if hyp != EPS]
    middle = decoded.index(centre)
    first, last = max(0, middle - NEIGHBOURS), min(len(decoded) - 1, middle + NEIGHBOURS)
    return pairs[decoded[first]:decoded[last] + 1], times[first:last + 1]


def compare_page(found: paired.Comparison) -> str:
    """The comparison's HTML, which needs no other file. Names of experiments link to their reports beside the page."""
    pairs = [(found.baselines[row.label], row) for row in found.rows if found.baselines[row.label] is not row]
    links = {row.label: f"{row.runs[0].path.name}/report.html" for row in found.rows
             if (row.runs[0].path / "report.html").exists()}
    curves = all_curves(found.rows)
    return render(
        "compare.html", tables=tables.tables(found) if found.rows else [], links=links, errors_said=tables.ERRORS_SAID,
        beats_said=tables.BEATS_SAID, curves=Markup(curves) if curves else "",
        lists=[("Notes", found.notes), ("Left out", [f"{run.path}: {run.problem}" for run in found.left_out])],
        sweeps=[(sweep, [Markup(svg) for svg in sweep_plots(points)]) for sweep, points in found.sweeps.items()],
        too_many=len(pairs) > MOST_PAIRS, changes=[_change(a, b) for a, b in pairs] if len(pairs) <= MOST_PAIRS else [])


def _change(a: Row, b: Row) -> dict[str, Any]:
    """What changed from one row to another on the second one's main set, or the problem that forbids to say."""
    part = b.main_set
    shown: dict[str, Any] = {"a": a.label, "b": b.label, "set": part, "problem": ""}
    if not a.scored(part):
        return {**shown, "problem": f"{a.label} has not been scored on {part}."}
    heard_a, heard_b = (Heard(row.first, row.scored(part)[0], lenient=True) for row in (a, b))
    try:
        obstacle = paired.why_not(heard_a.scored, heard_b.scored)
        if obstacle:
            return {**shown, "problem": f"Not comparable: {obstacle}."}
        return {**shown, "first_seeds": len(a.runs) > 1 or len(b.runs) > 1, **_what_changed(heard_a, heard_b)}
    except UserError as error:
        return {**shown, "problem": str(error)}


def _what_changed(a: Heard, b: Heard) -> dict[str, Any]:
    utterances, syllables = paired.by_utterance(a.scored, b.scored), paired.by_syllable(a.scored, b.scored)
    return {
        "before": percent(a.scored.scores[SER]), "after": percent(b.scored.scores[SER]), "all": len(utterances),
        "better": sum(one.fixed > 0 for one in utterances), "worse": sum(one.fixed < 0 for one in utterances),
        "has_features": bool(a.feats or b.feats),
        "tables": [("Speakers", _both_ways("speaker", paired.by_speaker(a.scored, b.scored), SHOWN_SPEAKERS)),
                   ("Syllables", _both_ways("syllable", syllables, SHOWN_SYLLABLES))],
        "syllables": _syllables(a, b, syllables), "utterances": _utterances(a, b, utterances)}


def _both_ways(what: str, changes: list[paired.Change], number: int) -> list[tuple[str, list[tuple]]]:
    """(heading, rows) of the most fixed and of the most broken."""
    return [(f"most {way} {what}", [(one.key, f"{one.errors_a} → {one.errors_b}", one.of)
                                    for one in paired.most(way, changes, number)]) for way in WAYS]


def _syllables(a: Heard, b: Heard, changes: list[paired.Change]) -> list[tuple[str, Markup]]:
    """(caption, picture) of the most changed syllables, if one of the two experiments decodes them correctly."""
    shown = []
    for way in WAYS:
        wrong, right = (a, b) if way == "fixed" else (b, a)
        for one in paired.most(way, changes, SHOWN_PICTURES):
            utt, index = paired.example(wrong.scored, right.scored, one.key)
            picture = syllable_picture(right, utt, index)
            if picture:
                which = "second" if way == "fixed" else "first"
                shown.append((f"{one.key}, {way}: the {which} experiment decodes it correctly in {utt}",
                              Markup(picture)))
    return shown


def _utterances(a: Heard, b: Heard, changes: list[paired.Change]) -> list[tuple]:
    """(heading, before, after) of the most changed utterances."""
    shown = []
    for way in WAYS:
        for place, one in enumerate(paired.most(way, changes, SHOWN_UTTERANCES), 1):
            heading = f"Most {way} {place}: {one.key}, {one.errors_a} → {one.errors_b} errors in {one.of}"
            shown.append((heading, a.shown(one.key), b.shown(one.key, audio=False)))
    return shown


LINES = ("-", "--", ":", "-.")  # a new one for each round of colours
LEGEND_INCHES, INCHES_PER_CHARACTER = 0.19, 0.085


def all_curves(rows: Sequence[Row]) -> str:
    """One figure: dev syllable error rate of all runs, by epoch and by minutes; empty if nothing was trained."""
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
    for number, training in enumerate(row.runs):
        history = training.results.history
        if "dev_ser" not in history or not len(history):
            continue
        label = "_nolegend_" if number else row.short
        look = {**look, "linewidth": 1.4, "marker": "o" if len(history) == 1 else ""}  # a line of one epoch is nothing
        by_epoch.plot(history["epoch"], history["dev_ser"], label=label, **look)
        if "seconds" in history:
            by_minutes.plot(history["seconds"] / 60, history["dev_ser"], **look)
        best, highest = max(best, history["dev_ser"].min()), max(highest, history["dev_ser"].max())
    return best, highest


def _look(number: int) -> dict:
    colours = mpl.colormaps["tab10"].colors
    return {"color": colours[number % len(colours)], "linestyle": LINES[number // len(colours) % len(LINES)]}


def sweep_plots(rows: Sequence[Row]) -> list[str]:
    """A figure for each key that a sweep varies: the syllable error rate on dev (or what was scored in its place)
    against the key's values. Lines join the points that agree in all other keys; bars are the spread over seeds.
    """
    points = tables.sweep_points(rows)
    part = "dev" if all("dev" in row.sets for row in rows) else rows[0].main_set
    return [_sweep_plot([point for point in points if point.row.value(part, SER)], key, part)
            for key in points[0].values]


def _sweep_plot(points: Sequence[tables.Point], key: str, part: str) -> str:
    lines: dict[str, list[tables.Point]] = {}
    for point in points:
        others = ", ".join(f"{other} {value}" for other, value in point.values.items() if other != key)
        lines.setdefault(others, []).append(point)
    places = sorted({point.values[key] for point in points}, key=tables.sort_value)
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


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.compare", description=__doc__)
    parser.add_argument("experiments", nargs="*", help="directories, names, sweeps or patterns such as 'mini*' (all of "
                        "exp/); the others are compared with the first; if that is a sweep or pattern, with the best "
                        "on dev")
    parser.add_argument("--sort", choices=list(SORT_KEYS), help="order of the rows, within a corpus")
    parser.add_argument("--json", action="store_true", help="print everything as JSON, and nothing else")
    parser.add_argument("--md", action="store_true", help="print the tables as Markdown, and nothing else")
    parser.add_argument("--html", type=Path, help="where to write the page")
    parser.add_argument("--publish", action="store_true",
                        help="for maintainers: write the tables of conf/RESULTS.md and README.md, too")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
