"""What the checks of a diagnosis look at, what they find, and the page of it with its plots."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from steps.common.files import utf8_lines
from steps.config.exp_dir import read_history
from steps.config.load import Resolved, dump
from steps.corpus.table import read_numbers, read_table
from steps.corpus.write import read_pinyin
from steps.feats.archive import FeatureReader, apply_cmvn, having_features, load_cmvn, mean_std
from steps.model.augment import augment, draw_time_factors, warped_frames
from steps.report.page import BLUE, FAINT, STYLE, render, to_svg
from steps.text.syllables import BLANK, TOKENS_AGAIN, TOKENS_FIRST, all_syllables

Severity = Literal["ok", "warning", "error", "skipped"]


class Finding(NamedTuple):
    """A check's result, in words for the user of the recipe. `steps.diagnose` gives it the check's name.

    A `warning` is likely to cost accuracy, an `error` makes training fail or its result worthless; `skipped` says why
    a check could not be made.
    """

    severity: Severity
    finding: str  # what is the case, in a sentence
    evidence: Sequence[str] = ()  # what that is judged from, in figures
    remedy: str = ""  # what to do; empty if nothing must be done
    figures: Sequence[str] = ()  # SVG
    check: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For diagnosis.json: all but the pictures."""
        return {"check": self.check, "severity": self.severity, "finding": self.finding,
                "evidence": list(self.evidence), "remedy": self.remedy}


def graded(value: float, warning: float, error: float) -> Severity:
    """`ok` below `warning`, `error` from `error` on."""
    return "error" if value >= error else "warning" if value >= warning else "ok"


def percent(fraction: float) -> str:
    """`12.3 %`."""
    return f"{100 * fraction:.1f} %"


def few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


SAMPLE = 200  # utterances of a set whose features are kept in memory


class Context:
    """Reads the files of stages 2 to 4, also those that the stages refuse, so that checks can say what is wrong.

    Args:
        config: the experiment's.
        exp_dir: where its training is or will be.
        minutes: how long the checks that train may take in all.
    """

    def __init__(self, config: Resolved, exp_dir: Path, minutes: float = 3.0):
        self.config = config
        self.exp_dir = exp_dir
        self.minutes = minutes
        self.pinyin = cache(self._pinyin)
        self.frames = cache(self._frames)
        self.raw_feats = cache(lambda set_name: dict(self.stream(set_name, SAMPLE)))  # (frames, bins), as stored
        self.feats = cache(self._feats)

    @cached_property
    def token_lines(self) -> list[str]:
        """The lines of tokens.txt. Raises UserError if stage 2 has not run."""
        return utf8_lines(self.config.data_dir / "lang" / "tokens.txt", TOKENS_FIRST, if_not_utf8=TOKENS_AGAIN)

    @cached_property
    def tokens(self) -> list[str]:
        """The network's tokens, in the order of tokens.txt whatever its ids say."""
        tokens = [line.split()[0] for line in self.token_lines if line.strip()]
        if self.config.experiment.tokens == "all":
            tokens = [BLANK, *sorted({*tokens, *all_syllables()} - {BLANK})]
        return tokens

    def _pinyin(self, set_name: str) -> dict[str, list[str]]:
        """Syllables by utterance of a set, of those that have features. Raises UserError if none has."""
        path = self.config.data_dir / set_name / "pinyin"
        frames = self.frames(set_name)
        return having_features(read_pinyin(path), frames, path)

    def _frames(self, set_name: str) -> dict[str, int]:
        """Feature frames by utterance of a set. Raises UserError if stage 3 has not run."""
        return {utt: int(n) for utt, n in read_numbers(self.config.feature_dir / set_name / "utt2num_frames").items()}

    def speakers(self, set_name: str) -> set[str]:
        """The speakers of a set."""
        path = self.config.data_dir / set_name / "utt2spk"
        return set(read_table(path).values()) if path.exists() else set()

    def stream(self, set_name: str, most: int) -> Iterator[tuple[str, np.ndarray]]:
        """Features as stored, one utterance after the other, of at most `most` of a set."""
        reader = FeatureReader(self.config.feature_dir / set_name / "feats.scp", self.config.features)
        for utt in spread_sample(list(reader), most):
            yield utt, reader[utt]

    def _feats(self, set_name: str) -> dict[str, np.ndarray]:
        """`raw_feats` normalised, as the network gets them."""
        mean, std = self.mean_std
        cmn_frames = self.config.features.cmn_frames
        return {utt: apply_cmvn(feats, mean, std, cmn_frames).astype(np.float32)
                for utt, feats in self.raw_feats(set_name).items()}

    @cached_property
    def mean_std(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation by bin that training normalises features with."""
        return mean_std(load_cmvn(self.config.cmvn))

    @cached_property
    def history(self) -> pd.DataFrame:
        """train.csv, a row an epoch; empty if there is none."""
        return pd.DataFrame(read_history(self.exp_dir))


def spread_sample(names: list[str], most: int) -> list[str]:
    """At most `most` of `names`, evenly spread over them, in order."""
    if len(names) <= most:
        return names
    return [names[place] for place in np.linspace(0, len(names) - 1, most).round().astype(int)]


COLOURS = ("#9ecae1", "#4292c6", "#0b5cad", "#f59f00", "#c62828", "#8e24aa", "#2e7d32")
COLUMNS = 4
KEPT = 5000  # values of a batch


class Activations(NamedTuple):
    """Behind one ReLU."""

    values: np.ndarray  # float32 (some,), evenly taken from all values
    alive: np.ndarray  # bool (channels,): whether a channel was above 0 anywhere
    finite: bool  # whether all values were

    def joined(self, other: "Activations") -> "Activations":
        return Activations(np.concatenate([self.values, other.values]), self.alive | other.alive,
                           self.finite and other.finite)


def summarise(values: np.ndarray) -> Activations:
    """`values` (…, channels) of one batch."""
    flat = values.reshape(-1)
    return Activations(flat[::max(1, flat.size // KEPT)], values.reshape(-1, values.shape[-1]).max(axis=0) > 0,
                       bool(np.isfinite(values).all()))


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
        for (name, values), colour in zip(losses.items(), COLOURS if len(losses) > 1 else [BLUE], strict=False):
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
        axes.axhline(deaf, color=FAINT, linewidth=1, linestyle=":", label=f"plateau: {deaf:.2f}")
        axes.set(title=title, xlabel="learning rate", ylabel="nats per syllable", xscale="log", yscale="log")
        axes.legend(fontsize=7)
        return to_svg(figure, title)


ORDER = ("error", "warning", "ok", "skipped")
SHOWN = 2  # utterances
VARIANTS = 2  # of each


def lines(finding: Finding) -> list[str]:
    """A finding for the terminal: a line, and below it evidence and remedy if there is something to be done."""
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
