"""The diagnosis as a page, and as lines for the terminal."""

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np

from steps.config.load import dump
from steps.diagnosis.context import Context, spread_sample
from steps.diagnosis.finding import Finding
from steps.diagnosis.plots import features_figure
from steps.model.augment import augment, draw_time_factors, warped_frames
from steps.results import html

SEVERITY_COLOURS = {"ok": "#2e7d32", "warning": "#b35900", "error": "#c62828", "skipped": "#59636e"}
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
    name = context.config.name
    body = [f"<h1>{escape(name)}: diagnosis</h1>", f'<p class="quiet">{escape(summary(findings))}</p>']
    for severity in ORDER:
        for finding in findings:
            if finding.severity == severity:
                body += _section(finding)
    body += _features(context)
    body += ["<h2>What was diagnosed</h2>", html.details("Config", dump(context.config))]
    return html.page(f"{name}: diagnosis", body)


def _section(finding: Finding) -> Iterator[str]:
    mark = f'<span style="color: {SEVERITY_COLOURS[finding.severity]}">{finding.severity}</span>'
    yield f"<h3>{mark} · {escape(finding.check)}</h3>"
    yield f"<p>{escape(finding.finding[:1].upper() + finding.finding[1:])}.</p>"
    if finding.remedy:
        yield f"<p><b>Remedy:</b> {escape(finding.remedy)}.</p>"
    for one in finding.evidence:
        yield f'<p class="quiet">{escape(one)}</p>'
    if finding.figures:
        side_by_side = "figures" if len(finding.figures) > 1 else "scroll"
        yield f'<div class="{side_by_side}">' + "".join(f"<figure>{svg}</figure>" for svg in finding.figures) + "</div>"


def _features(context: Context) -> Iterator[str]:
    """Pictures of a few utterances of train: normalised, and as augmentation changes them."""
    config, feats = context.config.experiment.train.augment, context.feats("train")
    rng = np.random.default_rng(context.config.experiment.seed)
    pinyin = context.pinyin("train")
    yield "<h2>Features as the network sees them</h2>"
    yield ('<p class="quiet">Normalised: white is 2.5 standard deviations below the mean, black as much above it. '
           "Variants are what train.augment makes of the utterance in different epochs.</p>")
    for utt in spread_sample([utt for utt in feats if utt in pinyin], SHOWN + 2)[1:-1]:
        matrices = [("as recorded", feats[utt])]
        for number in range(1, VARIANTS + 1):
            frames = warped_frames(np.array([len(feats[utt])]), draw_time_factors(config, 1, rng))
            matrices.append((f"variant {number}", augment(feats[utt], int(frames[0]), config, rng)))
        yield f"<p>{escape(utt)}: {escape(' '.join(pinyin[utt]))}</p>"
        yield f'<figure class="scroll">{features_figure(matrices, f"Features of {utt}")}</figure>'
