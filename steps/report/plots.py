"""Figures as SVG text, to stand within HTML. Their text stays text, in the page's own sans-serif."""

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from steps.report.errors import EPS, Pair, operation
from steps.search.alignment import Timed

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


def learning_curves(history: pd.DataFrame) -> list[str]:
    """Figures of loss, dev syllable error rate and learning rate by epoch, as far as train.csv has their columns."""
    panels = [("Loss, nats per syllable", {"train_loss": ("train", FAINT), "dev_loss": ("dev", BLUE)}),
              ("Syllable error rate on dev", {"dev_ser": ("dev", BLUE)}),
              ("Learning rate", {"learning_rate": ("", BLUE)})]
    figures = []
    for title, columns in panels:
        there = {name: look for name, look in columns.items() if name in history}
        if there and len(history):
            with mpl.rc_context(STYLE):
                figures.append(_curve(history, title, there))
    return figures


def tuned_methods(tuning: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The methods of decode/tuning.json, with their grids."""
    return [(method, found) for method, found in tuning.items() if isinstance(found, dict) and "grid" in found]


def tuning_curves(tuning: Mapping[str, Any]) -> list[str]:
    """A figure for each method of decode/tuning.json: dev's syllable error rate by the first weight of its grid, a line
    for each value of the other, and greedy decoding's."""
    with mpl.rc_context(STYLE):
        return [_tuning_curve(method, found, tuning["greedy"]["syllable_error_rate"])
                for method, found in tuned_methods(tuning)]


def _tuning_curve(method: str, found: Mapping[str, Any], of_greedy: float) -> str:
    figure = Figure(figsize=(4.2, 2.7))
    axes = figure.subplots(gridspec_kw={"left": 0.13, "right": 0.98, "top": 0.91, "bottom": 0.17})
    grid = pd.DataFrame(found["grid"])
    weight, *others = grid.columns.drop("syllable_error_rate")
    lines = grid.groupby(others[0]) if others else [("", grid)]
    for value, line in lines:
        axes.plot(line[weight], line["syllable_error_rate"], marker=".", linewidth=1.4,
                  label=f"{others[0]} {value:g}" if others else None)
    axes.axhline(of_greedy, color=FAINT, linestyle="--", label="greedy")
    axes.plot(found["best"][weight], found["best"]["syllable_error_rate"], "o", color=BLUE, markersize=8,
              fillstyle="none")
    axes.set(title=f"{method}: best {100 * found['best']['syllable_error_rate']:.2f} % on dev", xlabel=weight)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.legend()
    return to_svg(figure, f"Tuning of {method}")


def _curve(history: pd.DataFrame, title: str, columns: dict[str, tuple[str, str]]) -> str:
    figure = Figure(figsize=(4.2, 2.7))
    axes = figure.subplots(gridspec_kw={"left": 0.17, "right": 0.98, "top": 0.91, "bottom": 0.17})
    for name, (label, colour) in columns.items():
        axes.plot(history["epoch"], history[name], color=colour, label=label, marker=".", markersize=4, linewidth=1.4)
    axes.set(title=title, xlabel="epoch", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if "dev_ser" in columns and history["dev_ser"].notna().any():
        best = history.loc[history["dev_ser"].idxmin()]
        axes.plot(best["epoch"], best["dev_ser"], "o", color=BLUE, markersize=8, fillstyle="none")
        axes.set_title(f"{title}: best {100 * best['dev_ser']:.2f} %, epoch {best['epoch']:.0f}")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylim(0, max(0.05, min(1.05, 1.1 * history["dev_ser"].max())))
    if len(columns) > 1:
        axes.legend()
    return to_svg(figure, title)


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
