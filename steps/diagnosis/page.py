"""The page of a diagnosis, with its plots."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from steps.config.load import dump
from steps.diagnosis.bench import Activations
from steps.diagnosis.context import Context, Finding, spread_sample
from steps.model.augment import augment, draw_time_factors, warped_frames
from steps.report.page import render
from steps.report.plots import BLUE, FAINT, STYLE, to_svg

COLOURS = ("#9ecae1", "#4292c6", "#0b5cad", "#f59f00", "#c62828", "#8e24aa", "#2e7d32")
COLUMNS = 4


def features_figure(matrices: Sequence[tuple[str, np.ndarray]], title: str) -> str:
    """Normalised feature matrices (frames, bins) one above the other, each with its name; white to black is ±2.5."""
    width = max(len(matrix) for _, matrix in matrices)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 1.25 * len(matrices) + 0.3))
        rows = figure.subplots(len(matrices), 1, sharex=True, squeeze=False,
                               gridspec_kw={"left": 0.06, "right": 0.99, "top": 0.94, "bottom": 0.08, "hspace": 0.45})
        for axes, (name, matrix) in zip(rows[:, 0], matrices, strict=True):
            axes.imshow(matrix.T, origin="lower", aspect="auto", cmap="Greys", vmin=-2.5, vmax=2.5,
                        extent=(0, len(matrix), 0, matrix.shape[1]), interpolation="none")
            axes.set(xlim=(0, width))
            axes.set_title(name, fontsize=8)
            axes.grid(False)
        return to_svg(figure, title)


def histogram_figure(layers: Mapping[str, Activations], title: str) -> str:
    """A histogram by layer of the values above 0, and how many of them are."""
    rows = -(-len(layers) // COLUMNS)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 1.3 * rows + 0.2), layout="constrained")
        panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
        for axes, (name, layer) in zip(panels, layers.items(), strict=False):
            above = layer.values > 0
            axes.hist(np.nan_to_num(layer.values[above]), bins=40, color=BLUE)
            axes.set_title(f"{name}: {100 * np.mean(above):.0f} % above 0", fontsize=7)
            axes.tick_params(labelsize=6)
            axes.set_yticks([])
        for axes in panels[len(layers):]:
            axes.set_axis_off()
        return to_svg(figure, title)


def gradient_figure(norms: Mapping[str, tuple[float, float]], title: str) -> str:
    """Gradient norms, and their share of the weights' norms, from the input to the output."""
    names = [name for name in norms if name.endswith("weight")]
    places = np.arange(len(names))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 0.19 * len(names) + 0.9), layout="constrained")
        axes = figure.subplots()
        gradients, weights = (np.maximum([norms[name][which] for name in names], 1e-12) for which in (0, 1))
        axes.plot(gradients, places, "o", color=BLUE, markersize=4, label="gradient")
        axes.plot(gradients / weights, places, ".", color=FAINT, label="gradient / weight")
        axes.set(xscale="log", title=title)
        axes.set_yticks(places, names, fontsize=7)
        axes.invert_yaxis()
        axes.legend(fontsize=7)
        return to_svg(figure, title)


def curves_figure(losses: Mapping[str, np.ndarray], title: str) -> str:
    """Losses by step, a line for each name, on a logarithmic scale."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.2, 2.7), layout="constrained")
        axes = figure.subplots()
        for (name, values), colour in zip(losses.items(), _colours(len(losses)), strict=True):
            axes.plot(np.arange(1, len(values) + 1), values, color=colour, label=name, linewidth=1.2)
        axes.set(title=title, xlabel="step", ylabel="nats per syllable", yscale="log")
        axes.legend(fontsize=7)
        return to_svg(figure, title)


def sweep_figure(scores: Mapping[float, float], configured: float, deaf: float, title: str) -> str:
    """The loss that short trainings reached by their rate, the configured one and the plateau marked."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.2, 2.7), layout="constrained")
        axes = figure.subplots()
        axes.plot(list(scores), list(scores.values()), color=BLUE, marker="o", markersize=4)
        axes.axvline(configured, color="#c62828", linewidth=1, linestyle="--", label=f"configured: {configured:g}")
        axes.axhline(deaf, color=FAINT, linewidth=1, linestyle=":", label=f"deaf: {deaf:.2f}")
        axes.set(title=title, xlabel="learning rate", ylabel="nats per syllable", xscale="log", yscale="log")
        axes.legend(fontsize=7)
        return to_svg(figure, title)


def _colours(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)] if count > 1 else [BLUE]


ORDER = ("error", "warning", "ok", "skipped")
SHOWN = 2  # utterances
VARIANTS = 2  # of each


def lines(finding: Finding) -> list[str]:
    """A finding for the terminal: a line, and below it evidence and remedy where there is something to be done."""
    more = finding.severity in ("warning", "error")
    return [f"{finding.severity:8} {finding.check}: {finding.finding}",
            *(f"           {one}" for one in finding.evidence if more),
            *([f"         → {finding.remedy}"] if more and finding.remedy else [])]


def summary(findings: Sequence[Finding]) -> str:
    """How many findings there are of each severity."""
    counts = {severity: sum(one.severity == severity for one in findings) for severity in ORDER}
    return ", ".join(f"{count} {severity}" for severity, count in counts.items() if count)


def build_page(context: Context, findings: Sequence[Finding]) -> str:
    """The HTML: what is wrong first, then all checks, then the features as the network sees them."""
    ordered = sorted(findings, key=lambda finding: ORDER.index(finding.severity))
    return render("diagnosis.html", name=context.config.name, summary=summary(findings), findings=ordered,
                  pictures=_features(context), config=dump(context.config))


def _features(context: Context) -> list[tuple[str, Markup]]:
    """(caption, picture) of a few utterances of train: normalised, and as augmentation changes them."""
    config, feats = context.config.experiment.train.augment, context.feats("train")
    rng = np.random.default_rng(context.config.experiment.seed)
    pinyin = context.pinyin("train")
    shown = []
    for utt in spread_sample([utt for utt in feats if utt in pinyin], SHOWN + 2)[1:-1]:
        matrices = [("as recorded", feats[utt])]
        for number in range(1, VARIANTS + 1):
            frames = warped_frames(np.array([len(feats[utt])]), draw_time_factors(config, 1, rng))
            matrices.append((f"variant {number}", augment(feats[utt], int(frames[0]), config, rng)))
        shown.append((f"{utt}: {' '.join(pinyin[utt])}", Markup(features_figure(matrices, f"Features of {utt}"))))
    return shown
