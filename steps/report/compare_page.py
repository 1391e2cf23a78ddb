"""The page of a comparison: curves, sweeps, changes."""

from collections.abc import Iterator, Sequence
from html import escape

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from steps.common.errors import UserError
from steps.report import page as html
from steps.report.changes import (
    Change,
    Heard,
    by_speaker,
    by_syllable,
    by_utterance,
    example,
    heard_by,
    most_broken,
    most_fixed,
    syllable_picture,
    utterance_picture,
)
from steps.report.page import aligned_syllables
from steps.report.paired import Comparison, why_not
from steps.report.plots import STYLE, to_svg
from steps.report.rows import SER, Row
from steps.report.tables import BEATS_SAID, ERRORS_SAID, Point, sort_value, sweep_points, tables

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


MOST_PAIRS = 3  # of experiments whose changes are shown
SHOWN_UTTERANCES = SHOWN_PICTURES = 3
SHOWN_SPEAKERS = SHOWN_SYLLABLES = 10
WAYS = (("fixed", most_fixed), ("broken", most_broken))


def build_page(found: Comparison) -> str:
    """The comparison's HTML, which needs no other file."""
    body = ["<h1>Experiments side by side</h1>", *_tables(found), *_notes(found), *_plots(found)]
    pairs = [(found.baselines[row.label], row) for row in found.rows if found.baselines[row.label] is not row]
    if len(pairs) <= MOST_PAIRS:
        for a, b in pairs:
            body += _changes(a, b)
    else:
        body.append('<p class="quiet">To see what changed from one experiment to another, name the two: '
                    "<code>./path.sh python -m steps.compare exp/a exp/b</code></p>")
    return html.page("Experiments side by side", body)


def _tables(found: Comparison) -> Iterator[str]:
    if not found.rows:
        yield "<p>No experiment has been scored yet.</p>"
        return
    for number, one in enumerate(tables(found)):
        yield f"<h2>{escape(one.title)}</h2>"
        yield html.table(one.columns, one.rows)
        if number == 0:
            yield f'<p class="quiet">{escape(f"{ERRORS_SAID} {BEATS_SAID}")}</p>'


def _notes(found: Comparison) -> Iterator[str]:
    for heading, lines in (("Notes", found.notes),
                           ("Left out", [f"{run.path}: {run.problem}" for run in found.left_out])):
        if lines:
            yield f"<h2>{heading}</h2>"
            yield f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _plots(found: Comparison) -> Iterator[str]:
    curves = all_curves(found.rows)
    if curves:
        yield "<h2>Training</h2>"
        yield f'<figure class="scroll">{curves}</figure>'
    for sweep, points in found.sweeps.items():
        yield f"<h2>Sweep {escape(sweep)}: errors by varied key</h2>"
        yield '<div class="figures">' + "".join(f"<figure>{svg}</figure>" for svg in sweep_plots(points)) + "</div>"


def _changes(a: Row, b: Row) -> Iterator[str]:
    part = b.main_set
    yield f"<h2>From {escape(a.label)} to {escape(b.label)}, on {escape(part)}</h2>"
    if not a.scored(part):
        yield f"<p>{escape(a.label)} has not been scored on {escape(part)}.</p>"
        return
    heard_a, heard_b = heard_by(a, part), heard_by(b, part)
    try:
        obstacle = why_not(heard_a.scored, heard_b.scored)
        if obstacle:
            yield f"<p>Not comparable: {escape(obstacle)}.</p>"
            return
        yield from _summary(a, b, heard_a, heard_b)
        yield from _speakers(heard_a, heard_b)
        yield from _syllables(heard_a, heard_b)
        yield from _utterances(heard_a, heard_b)
    except UserError as error:
        yield f"<p>{escape(str(error))}</p>"


def _summary(a: Row, b: Row, heard_a: Heard, heard_b: Heard) -> Iterator[str]:
    seeds = len(a.runs) > 1 or len(b.runs) > 1
    rates = [100 * heard.scored.scores[SER] for heard in (heard_a, heard_b)]
    changes = by_utterance(heard_a.scored, heard_b.scored)
    better, worse = sum(one.fixed > 0 for one in changes), sum(one.fixed < 0 for one in changes)
    yield (f"<p>{'The first seeds: ' if seeds else ''}{rates[0]:.2f} % → {rates[1]:.2f} %. Of {len(changes)} "
           f"utterances {better} got better and {worse} worse.</p>")
    if not heard_b.feats and not heard_a.feats:
        yield '<p class="quiet">The features are not there, and so there are no pictures.</p>'


def _speakers(a: Heard, b: Heard) -> Iterator[str]:
    yield "<h3>Speakers</h3>"
    yield _both_ways("speaker", by_speaker(a.scored, b.scored), SHOWN_SPEAKERS)


def _both_ways(what: str, changes: list[Change], number: int) -> str:
    """Two tables side by side: the most fixed, the most broken."""
    sides = []
    for way, choose in WAYS:
        rows = [(one.key, f"{one.errors_a} → {one.errors_b}", one.of) for one in choose(changes, number)]
        made = html.table([f"most {way} {what}", "errors", "syllables"], rows) if rows else f"<p>None {way}.</p>"
        sides.append(f"<div>{made}</div>")
    return f'<div class="sides">{"".join(sides)}</div>'


def _syllables(a: Heard, b: Heard) -> Iterator[str]:
    changes = by_syllable(a.scored, b.scored)
    yield "<h3>Syllables</h3>"
    yield _both_ways("syllable", changes, SHOWN_SYLLABLES)
    for way, choose in WAYS:
        wrong, right = (a, b) if way == "fixed" else (b, a)
        for one in choose(changes, SHOWN_PICTURES):
            place = example(wrong.scored, right.scored, one.key)
            picture = syllable_picture(right, place)
            if picture:
                yield (f"<p>{escape(one.key)}, {way}: where {'the second' if way == 'fixed' else 'the first'} hears it "
                       f"rightly, in {escape(place.utt)}</p>")
                yield f'<figure class="scroll">{picture}</figure>'


def _utterances(a: Heard, b: Heard) -> Iterator[str]:
    changes = by_utterance(a.scored, b.scored)
    for way, choose in WAYS:
        for place, one in enumerate(choose(changes, SHOWN_UTTERANCES), 1):
            yield (f"<h3>Most {way} {place}: {escape(one.key)}, {one.errors_a} → {one.errors_b} errors in "
                   f"{one.of}</h3>")
            for name, heard in (("Before", a), ("After", b)):
                yield f'<p class="quiet">{name}</p>{aligned_syllables(heard.scored.alignments[one.key])}'
                picture = utterance_picture(heard, one.key)
                if picture:
                    yield f'<figure class="scroll">{picture}</figure>'
