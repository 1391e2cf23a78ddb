"""The pages that the recipe writes, from the templates beside this module, and their figures as SVG text.

The text of figures stays text, in the page's own sans-serif.
"""

import base64
import functools
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import matplotlib as mpl
import numpy as np
import soundfile
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from steps.common.errors import UserError
from steps.feats.audio import read_audio
from steps.report.errors import EPS, Pair, count, operation
from steps.report.rows import SER, Row, is_measured
from steps.report.tables import Point, sort_value, sweep_points
from steps.search.alignment import Timed

TEMPLATES = Path(__file__).with_name("templates")
AUDIO_RATE = 16000  # Hz, of the recordings in a page


@functools.cache
def chinese() -> dict[str, str]:
    """The Chinese of what pages say, by the English."""
    return json.loads((TEMPLATES / "zh.json").read_text(encoding="utf-8"))


def translated(text: str, **values: Any) -> Markup:
    """A text in English and Chinese, of which the page's switch shows one. A text without Chinese stays as it is."""
    filled = escape(text.format(**values) if values else text)
    if text not in chinese():
        return filled
    other = chinese()[text].format(**values) if values else chinese()[text]
    return Markup('<span class="en">{}</span><span class="zh" lang="zh">{}</span>').format(filled, other)


def render(template: str, **context: Any) -> str:
    """The HTML of a template of this folder: it needs no other file and fetches nothing. Values are escaped."""
    made = environment(TEMPLATES)
    made.globals.update(t=translated, percent=percent, tone_rate=tone_rate)
    return made.get_template(template).render(**context)


def environment(folder: Path) -> jinja2.Environment:
    """The templates of a folder. Whatever is put into them is escaped."""
    return jinja2.Environment(loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)


def percent(fraction: float) -> str:
    """`12.34 %`."""
    return f"{100 * fraction:.2f} %"


def tone_rate(scores: Mapping[str, Any]) -> str:
    """The tone error rate; a dash where no syllable was right, so that there is no tone to judge."""
    return percent(scores["tone_error_rate"]) if is_measured(scores, "tone_error_rate") else "–"


class Shown(NamedTuple):
    """An utterance on a page."""

    utt: str
    errors: int
    ref_tokens: int
    text: str  # where its hanzi cannot stand above the syllables, one each
    syllables: list[tuple[str | None, str, str, str]]  # hanzi, reference, decoded, operation
    picture: Markup | None
    audio: str  # a data URI, empty if the recording is not there


def shown_utterance(utt: str, pairs: list[Pair], text: str, picture: str, audio: str = "") -> Shown:
    """An alignment with its hanzi, spectrogram (SVG) and recording (data URI), as far as there are any."""
    hanzi = "".join(text.split())
    one_each = bool(hanzi) and len(hanzi) == sum(ref != EPS for ref, _ in pairs)
    over = iter(hanzi)
    syllables = [((next(over) if ref != EPS else "") if one_each else None, *("–" if one == EPS else one
                 for one in (ref, hyp)), operation((ref, hyp))) for ref, hyp in pairs]
    counts = count(pairs)
    return Shown(utt, counts.errors, counts.ref_tokens, "" if one_each else text, syllables,
                 Markup(picture) if picture else None, audio)


def audio_uri(path: str) -> str:
    """A recording as MP3 in a data URI, some 6 kB a second; empty if it cannot be read any more."""
    try:
        samples = read_audio(path, AUDIO_RATE)
    except UserError:
        return ""
    file = io.BytesIO()
    soundfile.write(file, samples, AUDIO_RATE, format="MP3", subtype="MPEG_LAYER_III")
    return f"data:audio/mpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


INK, FAINT, BLUE = "#1f2328", "#8b949e", "#0b5cad"
COLOURS = {"C": INK, "S": "#c62828", "I": "#8e24aa", "D": "#c62828"}  # by operation
STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "yinjie", "font.family": "sans-serif", "font.size": 9,
    "text.color": INK, "axes.edgecolor": FAINT, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#eaeef2",
    "axes.axisbelow": True, "axes.titlesize": 10, "axes.titlelocation": "left", "legend.frameon": False,
}
UPRIGHT = {"rotation": 90, "ha": "center", "va": "center", "fontsize": 8}
INCHES_PER_SECOND = 2.2
LABEL_INCHES = 0.17  # between the middles of two syllables that stand upright


def spectrogram(feats: np.ndarray, frame_shift_s: float, pairs: Sequence[Pair], times: Sequence[Timed],
                title: str) -> str:
    """An utterance's features, and below the time at which they were heard its reference and decoded syllables.

    A reference syllable stands above the decoded one that it was aligned to, a missed one between its neighbours.

    Args:
        feats: (frames, bins), raw.
        frame_shift_s: seconds per feature frame.
        pairs: (ref, hyp), as many hyps as `times`.
    """
    seconds = len(feats) * frame_shift_s
    inches = max(3.4, INCHES_PER_SECOND * seconds, LABEL_INCHES * len(pairs))
    left, right = 0.75, 0.15
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(left + inches + right, 3.2))
        image, labels = figure.subplots(2, sharex=True, height_ratios=(1.4, 1), gridspec_kw={
            "left": left / figure.get_figwidth(), "right": 1 - right / figure.get_figwidth(), "top": 0.97,
            "bottom": 0.15, "hspace": 0.1})
        low, high = np.percentile(feats, (5, 99.5))
        image.imshow(feats.T, origin="lower", aspect="auto", cmap="Greys", vmin=low, vmax=high, interpolation="none",
                     extent=(0, seconds, 0, feats.shape[1]))
        image.set(ylabel="bin")
        image.grid(False)
        _mark_decoded(image, labels, pairs, times)
        _write_reference(labels, pairs, times, seconds, LABEL_INCHES / inches * seconds)
        labels.set(xlim=(0, seconds), ylim=(0, 2), yticks=[0.5, 1.5], yticklabels=["decoded", "reference"], xlabel="s")
        labels.tick_params(axis="y", length=0)
        labels.grid(False)
        return to_svg(figure, title)


def _mark_decoded(image: Axes, labels: Axes, pairs: Sequence[Pair], times: Sequence[Timed]) -> None:
    operations = [operation(pair) for pair in pairs if pair[1] != EPS]
    for one, name in zip(times, operations, strict=True):
        labels.text(one.begin + one.duration / 2, 0.5, one.syllable, color=COLOURS[name], **UPRIGHT)
        colour = BLUE if name == "C" else COLOURS[name]
        image.axvspan(one.begin, one.begin + one.duration, color=colour, alpha=0.12, linewidth=0)
        image.axvline(one.begin, color=colour, linewidth=1)


def _write_reference(labels: Axes, pairs: Sequence[Pair], times: Sequence[Timed], seconds: float, gap: float) -> None:
    heard = [place for place, (_, hyp) in enumerate(pairs) if hyp != EPS]
    middles = [one.begin + one.duration / 2 for one in times]
    everywhere = np.interp(range(len(pairs)), [-1, *heard, len(pairs)], [0, *middles, seconds])
    spoken = [place for place, (ref, _) in enumerate(pairs) if ref != EPS]
    for place, middle in zip(spoken, spread(everywhere[spoken], gap), strict=True):
        name = operation(pairs[place])
        labels.text(middle, 1.5, pairs[place][0], color=FAINT if name == "C" else COLOURS[name], **UPRIGHT)


def spread(places: np.ndarray, gap: float) -> np.ndarray:
    """Rising places, moved apart to at least `gap`: half-way between pushing to the right and pushing to the left."""
    steps = gap * np.arange(len(places))
    right = np.maximum.accumulate(places - steps) + steps
    left = np.minimum.accumulate((places - steps)[::-1])[::-1] + steps
    return (right + left) / 2


def to_svg(figure: Figure, title: str) -> str:
    """A figure as an <svg> element that says its title to those who do not see it."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    svg = re.sub(r"^.*?<svg ", "<svg ", file.getvalue(), flags=re.DOTALL)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)


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
    for number, run in enumerate(row.runs):
        history = run.results.history
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
