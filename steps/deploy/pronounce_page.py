"""The page of pronounce: spectrogram, pitch contour and verdict of each syllable; all in one file."""

import base64
import io
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pyworld
import soundfile

from steps.deploy.assess import PARTS, Spoken, part_score, wrong_parts
from steps.deploy.pronunciation import Assessment, Recorded, Span, scores
from steps.report.page import environment
from steps.text.syllables import accented, split

PAGES = Path(__file__).parent / "pages"
PIXELS = 260  # a second
HEIGHT = 160  # of the spectrogram
PITCH_HZ = 60.0, 500.0  # where it is looked for
SHIFT_S = 0.01  # between its frames


def page(experiment: str, recordings: list[Recorded], tokens: list[str]) -> str:
    """The HTML of some recordings that the model of `experiment`, with `tokens`, has judged."""
    template = environment(PAGES).get_template("pronounce.html.jinja")
    style = (PAGES / "style.css").read_text(encoding="utf-8")
    return template.render(experiment=experiment, style=style,
                           utterances=[_utterance(recorded, tokens) for recorded in recordings])


def data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _utterance(recorded: Recorded, tokens: list[str]) -> dict[str, Any]:
    assessment = recorded.assessment
    width = max(200, round(assessment.duration * PIXELS))
    wav, png = io.BytesIO(), io.BytesIO()
    soundfile.write(wav, recorded.samples, recorded.sample_rate, format="WAV", subtype="PCM_16")
    low, high = np.quantile(recorded.feats, [0.02, 0.998])
    matplotlib.image.imsave(png, recorded.feats.T[::-1], cmap="gray_r", vmin=low, vmax=high, format="png")
    return {
        "name": recorded.name,
        "text": assessment.reading.text,
        "scores": scores(assessment),
        "width": width,
        "audio": data_uri("audio/wav", wav.getvalue()),
        "picture": data_uri("image/png", png.getvalue()),
        "pitch": _contours(pitch(recorded.samples, recorded.sample_rate), width / assessment.duration),
        "rows": [_row(assessment, *both, tokens, width / assessment.duration)
                 for both in zip(assessment.heard, assessment.spans, strict=True)],
    }


def _contours(hertz: np.ndarray, pixels: float) -> list[str]:
    """The points of the voiced stretches, at `pixels` a second, on a logarithmic scale that fits the voice."""
    if np.isnan(hertz).all():
        return []
    middle = np.nanmedian(np.log2(hertz))
    heights = HEIGHT * (0.5 - (np.log2(hertz) - middle) / 2)  # two octaves from top to bottom
    voiced = np.flatnonzero(~np.isnan(hertz))
    stretches = np.split(voiced, np.flatnonzero(np.diff(voiced) > 1) + 1)
    return [" ".join(f"{(at + 0.5) * SHIFT_S * pixels:.1f},{np.clip(heights[at], 2, HEIGHT - 2):.1f}"
                     for at in stretch) for stretch in stretches if len(stretch) > 2]


def _row(assessment: Assessment, one: Spoken, span: Span | None, tokens: list[str], pixels: float) -> dict[str, Any]:
    """A syllable's row in the table, and its place in the picture, if it was said, at `pixels` a second."""
    place = span and {"begin": f"{span.begin:.3f}", "x": round(span.begin * pixels, 1),
                      "width": round((span.end - span.begin) * pixels, 1),
                      "middle": round((span.begin + span.end) / 2 * pixels, 1)}
    row = {"place": place, "said": accented(tokens[one.token]) if one.token else "", "cells": [None] * 4}
    if one.target is None:
        return {**row, "grapheme": "+", "accent": "", "error": "Insertion", "wrong": []}
    target, verdict = assessment.reading.targets[one.target], assessment.verdicts[one.target]
    if verdict.error != "Omission":
        row["cells"] = [*(round(100 * part_score(target, verdict, part)) for part in PARTS),
                        round(100 * verdict.accuracy)]
        if not split(target.syllable).initial and not verdict.heard.initial:
            row["cells"][0] = None
    return {**row, "grapheme": target.grapheme, "accent": accented(target.syllable), "error": verdict.error,
            "wrong": wrong_parts(target, verdict)}


def pitch(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Pitch in Hz, float64 (frames,), NaN where unvoiced; frame t is centred at (t + 1/2) × 10 ms.

    `samples` are float32 (samples,) at `sample_rate` Hz. By WORLD (Morise et al. 2016).
    """
    count = int(len(samples) / (sample_rate * SHIFT_S))
    wave = samples[int(sample_rate * SHIFT_S / 2):].astype(np.float64)  # WORLD's first frame is at its begin
    if not count:
        return np.empty(0)
    found, times = pyworld.dio(wave, sample_rate, *PITCH_HZ, frame_period=1000 * SHIFT_S)
    hertz = pyworld.stonemask(wave, found, times, sample_rate)[:count]
    return np.where(hertz > 0, hertz, np.nan)
