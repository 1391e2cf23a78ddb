"""The pages that the recipe writes, from the templates beside this module, and their figures as SVG text.

The text of figures stays text, in the page's own sans-serif.
"""

import base64
import functools
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import matplotlib as mpl
import numpy as np
import soundfile
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steps.common.errors import UserError
from steps.corpus.table import read_table
from steps.feats.archive import FeatureReader
from steps.feats.audio import read_audio
from steps.report.errors import EPS, Pair, count, operation
from steps.report.experiment import Results, Scored, is_measured
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
    """The tone error rate; a dash if no syllable was right, so that there is no tone to judge."""
    return percent(scores["tone_error_rate"]) if is_measured(scores, "tone_error_rate") else "–"


class Shown(NamedTuple):
    """An utterance on a page."""

    utt: str
    errors: int
    ref_tokens: int
    text: str  # its hanzi, if they cannot stand above the syllables, one each
    syllables: list[tuple[str | None, str, str, str]]  # hanzi, reference, decoded, operation
    picture: Markup | None
    audio: str  # a data URI, empty if the recording is not there


class Heard:
    """The utterances of a scored set, with what there is to show of them: features, hanzi, recordings.

    Args:
        lenient: whether damaged files count as gone. Else UserError is raised.
    """

    def __init__(self, results: Results, scored: Scored, lenient: bool = False):
        part, data_dir = scored.scores["set"], results.config.set_data(scored.scores["set"])
        self.scored, self._lenient = scored, lenient
        self.frame_shift_s = results.config.features.frame_shift_ms / 1000
        self.feats = self._read(FeatureReader, results.config.set_feats(part, results.exp_dir) / "feats.scp")
        self._text, self._wavs = (self._read(read_table, data_dir / name) for name in ("text", "wav.scp"))

    def _read(self, reader: Callable[[Path], Mapping[str, Any]], path: Path) -> Mapping[str, Any]:
        try:
            return reader(path) if path.exists() else {}
        except UserError:
            if self._lenient:
                return {}
            raise

    def picture(self, utt: str) -> str:
        """An utterance with its decoded syllables as SVG; empty if features are gone."""
        if utt not in self.feats:
            return ""
        try:
            return spectrogram(self.feats[utt], self.frame_shift_s, self.scored.alignments[utt],
                               self.scored.times_of(utt), f"Spectrogram of {utt}")
        except UserError:
            if self._lenient:
                return ""
            raise

    def shown(self, utt: str, audio: bool = True) -> Shown:
        """An utterance with its hanzi, picture and, if wanted, recording, as far as there are any."""
        pairs, text, picture = self.scored.alignments[utt], self._text.get(utt, ""), self.picture(utt)
        hanzi = "".join(text.split())
        one_each = bool(hanzi) and len(hanzi) == sum(ref != EPS for ref, _ in pairs)
        over = iter(hanzi)
        syllables = [((next(over) if ref != EPS else "") if one_each else None, *("–" if one == EPS else one
                     for one in (ref, hyp)), operation((ref, hyp))) for ref, hyp in pairs]
        counts = count(pairs)
        return Shown(utt, counts.errors, counts.ref_tokens, "" if one_each else text, syllables,
                     Markup(picture) if picture else None,
                     audio_uri(self._wavs[utt]) if audio and utt in self._wavs else "")


def audio_uri(path: str) -> str:
    """A recording as MP3 in a data URI, about 6 kB a second; empty if it cannot be read any more."""
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
    """An utterance's features, and below them its reference and decoded syllables, at the times of the decoded ones.

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
