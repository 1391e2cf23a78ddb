"""The pages that the recipe writes, from the templates beside this module, and the report of an experiment."""

import base64
import functools
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
import soundfile
from markupsafe import Markup, escape

from steps.common.errors import UserError
from steps.config.load import dump
from steps.feats.audio import read_audio
from steps.report.errors import EPS, TONES, Counts, Pair, confusion_kind, count, operation, rate
from steps.report.experiment import Mistakes, Results, Scored, advice
from steps.report.plots import learning_curves, spectrogram, tuned_methods, tuning_curves
from steps.report.rows import is_measured
from steps.report.scores import confusions

TEMPLATES = Path(__file__).with_name("templates")
SHOWN_UTTERANCES = 3  # of the best, and of the worst
SHOWN_CONFUSIONS = 20
SHOWN_SPEAKERS = 20
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
    audio: str  # a data URI, empty where the recording is not there


def shown_utterance(utt: str, pairs: list[Pair], text: str = "", picture: str = "", audio: str = "") -> Shown:
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
    """A recording as MP3 in a data URI, some 6 kB a second; empty where it cannot be read any more."""
    try:
        samples = read_audio(path, AUDIO_RATE)
    except UserError:
        return ""
    file = io.BytesIO()
    soundfile.write(file, samples, AUDIO_RATE, format="MP3", subtype="MPEG_LAYER_III")
    return f"data:audio/mpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def report_page(results: Results, feats: Mapping[str, np.ndarray], text: Mapping[str, str],
                wavs: Mapping[str, str], mistakes: Mistakes | None = None) -> str:
    """The report's HTML.

    Args:
        feats: raw features (frames, bins) of the main set; utterances that are not in it get no picture.
        text: hanzi of the main set's utterances, as far as there are any.
        wavs: paths of the main set's recordings, as far as they are there.
        mistakes: where the main set's errors lie.
    """
    config, env, main = results.config, results.env, results.main
    facts = [f"corpus {config.experiment.corpus}", f"features {config.experiment.features}",
             f"commit {env.get('git_commit') or 'unknown'}", f"{env.get('date', '')[:16].replace('T', ' ')} UTC"]
    columns, rows = _result_table(results)
    speakers = [] if main is None else _speakers(main)
    return render(
        "report.html", name=config.name, facts=facts, main=main, result_columns=columns, result_rows=rows,
        curves=[Markup(svg) for svg in learning_curves(results.history)], training=_training(results),
        tuned=[Markup(svg) for svg in tuning_curves(results.tuning)],
        unpaid=[method for method, found in tuned_methods(results.tuning) if not found["pays"]],
        utterances=[] if main is None else _utterances(results, main, feats, text, wavs), has_features=bool(feats),
        confusions=[] if main is None else [(ref, hyp, times, confusion_kind(ref, hyp))
                                            for ref, hyp, times in confusions(main.alignments)[:SHOWN_CONFUSIONS]],
        mistakes=[] if mistakes is None else _mistake_tables(mistakes),
        advice=[] if mistakes is None else advice(mistakes),
        tones=[f"tone {tone}" for tone in TONES], speakers=speakers[:SHOWN_SPEAKERS],
        more_speakers=len(speakers) if len(speakers) > SHOWN_SPEAKERS else 0, config=dump(config),
        environment=json.dumps(env, ensure_ascii=False, indent=2))


def _result_table(results: Results) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows, one a scored set; columns in which no set has anything are left out."""
    columns = ["set", "method", "syllable errors", "95 %", "toneless", "tones", "sandhi-blind", "sentences",
               "characters", "homophones forgiven", "ins / del / sub", "syllables", "utterances", "RTF"]
    rows = []
    for scores in (one.scores for one in results.scored):
        blind, reach = scores.get("sandhi_blind_error_rate"), scores.get("intervals", {}).get("sandhi_blind_error_rate")
        of_hanzi = (scores.get(rate) for rate in ("character_error_rate", "homophone_error_rate"))
        rows.append([scores["set"], scores["method"], percent(scores["syllable_error_rate"]),
                     _interval(scores["ci95"]), percent(scores["toneless_error_rate"]), tone_rate(scores),
                     "" if blind is None else percent(blind) + (f" ({_interval(reach)})" if reach else ""),
                     percent(scores["sentence_error_rate"]),
                     *("" if rate is None else percent(rate) for rate in of_hanzi),
                     f"{scores['ins']} / {scores['del']} / {scores['sub']}", scores["ref_tokens"],
                     scores["utterances"], f"{scores['real_time_factor']:.3f}"])
    filled = [place for place in range(len(columns)) if any(row[place] != "" for row in rows)]
    return [columns[place] for place in filled], [[row[place] for place in filled] for row in rows]


def _interval(ends: Sequence[float]) -> str:
    return f"{100 * ends[0]:.2f} to {100 * ends[1]:.2f}"


def _training(results: Results) -> str:
    """How long training took, and where: `18 epochs, 900 steps, 1.5 minutes on 2 cores of …`."""
    history = results.history
    if not len(history):
        return ""
    last = history.iloc[-1]
    parts = [f"{last['epoch']:.0f} epochs"]
    parts += [f"{last['steps']:.0f} steps"] if "steps" in history else []
    parts += [f"{last['seconds'] / 60:.1f} minutes"] if "seconds" in history else []
    cores = results.env.get("cores", "?")
    machine = f"{cores} {'core' if cores == 1 else 'cores'} of {results.env.get('processor', 'an unknown processor')}"
    return f"{', '.join(parts)} on {machine}."


def _utterances(results: Results, main: Scored, feats: Mapping[str, np.ndarray], text: Mapping[str, str],
                wavs: Mapping[str, str]) -> list[tuple[str, int, Shown]]:
    """(heading, number, utterance) of the worst and of the best."""
    counts = {utt: count(pairs) for utt, pairs in main.alignments.items()}
    ranked = sorted(counts, key=lambda utt: _badness(utt, counts[utt]))
    number = min(SHOWN_UTTERANCES, (len(ranked) + 1) // 2)
    shown = []
    for heading, utts in (("Worst", ranked[::-1][:number]), ("Best", ranked[:min(number, len(ranked) - number)])):
        for place, utt in enumerate(utts, 1):
            pairs = main.alignments[utt]
            picture = spectrogram(feats[utt], results.config.features.frame_shift_ms / 1000, pairs, main.times_of(utt),
                                  f"Spectrogram of {utt}") if utt in feats else ""
            audio = audio_uri(wavs[utt]) if utt in wavs else ""
            shown.append((heading, place, shown_utterance(utt, pairs, text.get(utt, ""), picture, audio)))
    return shown


def _badness(utt: str, counts: Counts) -> tuple:
    """Sorts the best first. Of those without errors the longest is best, of the wholly wrong the longest is worst."""
    length = counts.ref_tokens
    return (rate(counts.errors, length), length if counts.errors else -length, utt)


def _mistake_tables(found: Mistakes) -> list[tuple[str, list[tuple]]]:
    """(what its groups have in common, rows) of each table of mistakes."""
    tables = [("times in training", found.by_seen), ("place in the utterance", found.by_place),
              ("speaking rate", found.by_tempo), *found.by_part.items()]
    return [(kind, [(translated(group.name), percent(group.rate), group.errors, group.deletions, group.syllables)
                    for group in groups]) for kind, groups in tables if groups]


def _speakers(main: Scored) -> list[tuple]:
    """A row a speaker, the worst first."""
    rates = [rate(errors, of) for errors, of in zip(main.speakers["err"], main.speakers["ref_tokens"], strict=True)]
    speakers = main.speakers.assign(rate=rates).sort_values(["rate", "spk"], ascending=[False, True])
    return [(row["spk"], percent(row["rate"]), row["ins"], row["del"], row["sub"], row["ref_tokens"], row["utts"],
             row["wrong_utts"]) for _, row in speakers.iterrows()]
