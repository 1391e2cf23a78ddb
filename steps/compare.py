"""Experiments side by side: errors, what differs in their configs, and what changed from the first to the others.

Shows tables, and writes them as a page, as Markdown and as JSON: exp/compare.{html,md,json}, or for chosen experiments
exp/compare_<name>_<name>.{html,md,json}.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from steps.common.errors import UserError, run
from steps.common.files import atomic_open, remove_leftovers
from steps.corpus.table import read_table
from steps.feats.archive import FeatureReader
from steps.report.errors import EPS, Pair
from steps.report.experiment import Scored
from steps.report.page import all_curves, audio_uri, percent, render, shown_utterance, spectrogram, sweep_plots
from steps.report.paired import (
    Change,
    Comparison,
    Place,
    as_json,
    by_speaker,
    by_syllable,
    by_utterance,
    compare,
    example,
    most_broken,
    most_fixed,
    why_not,
)
from steps.report.rows import EXP, SER, SORT_KEYS, Row, find_runs, is_one, open_run
from steps.report.tables import BEATS_SAID, ERRORS_SAID, as_markdown, make_console, publish, show, tables
from steps.search.alignment import Timed

MOST_PAIRS = 3  # of experiments whose changes are shown
SHOWN_UTTERANCES = SHOWN_PICTURES = 3
SHOWN_SPEAKERS = SHOWN_SYLLABLES = 10
NEIGHBOURS = 2  # decoded syllables shown on either side of one
MARGIN_S = 0.1
WAYS = (("fixed", most_fixed), ("broken", most_broken))


def main() -> None:
    args = parse_args()
    if args.html and args.html.suffix != ".html":
        raise UserError(f"{args.html}: the page's name must end in .html")
    paths = find_runs(args.experiments)
    named = bool(args.experiments) and is_one(args.experiments[0])
    found = compare([open_run(path) for path in paths], args.sort, named)
    if args.json:
        print(json.dumps(as_json(found), ensure_ascii=False, indent=2))
        return
    if args.md:
        print("\n".join(markdown(found)))
        return
    show(found, make_console())
    page = args.html or page_path(args.experiments)
    remove_leftovers(page.parent, [page.with_suffix(suffix).name for suffix in (".md", ".json", ".html")])
    for path, text in ((page.with_suffix(".md"), "\n".join([*markdown(found), ""])),
                       (page.with_suffix(".json"), json.dumps(as_json(found), ensure_ascii=False, indent=2) + "\n"),
                       (page, compare_page(found))):
        with atomic_open(path) as file:
            file.write(text)
    print(f"{page}: the same with curves and what changed", file=sys.stderr)
    if args.publish:
        print("".join(f"{line}\n" for line in publish(found)), end="", file=sys.stderr)


def markdown(found: Comparison) -> list[str]:
    """The lines of a Markdown document."""
    lines = []
    for table in tables(found):
        lines += [f"### {table.title}", "", *as_markdown(table), ""]
    return [*lines, *(f"- {note}" for note in found.notes),
            *(f"- left out: {one.path}: {one.problem}" for one in found.left_out)]


def page_path(words: Sequence[str]) -> Path:
    """Where the page goes: exp/compare.html is that of all experiments, exp/compare_a_b.html that of a and b."""
    names = [re.sub(r"[^\w@.,+-]", "_", Path(word).absolute().name) for word in words]
    if len(names) > 2:
        names = [names[0], "and", str(len(names) - 1), "more"]
    return EXP / f"{'_'.join(['compare', *names])}.html"


class Heard(NamedTuple):
    """The utterances that an experiment decoded, with their features."""

    scored: Scored
    feats: Mapping[str, np.ndarray]  # raw (frames, bins) by utterance; those that are gone are not in it
    frame_shift_s: float
    text: Mapping[str, str]  # hanzi by utterance, as far as there are any
    wavs: Mapping[str, str]  # paths of recordings, as far as they are known


def heard_by(row: Row, part: str) -> Heard:
    """The first run's decoding of a set."""
    config = row.first.config
    scp, data_dir = config.set_feats(part, row.first.exp_dir) / "feats.scp", config.set_data(part)
    try:
        feats = FeatureReader(scp) if scp.exists() else {}
    except UserError:  # damaged: then without pictures
        feats = {}
    return Heard(row.scored(part)[0], feats, config.features.frame_shift_ms / 1000, _table(data_dir / "text"),
                 _table(data_dir / "wav.scp"))


def _table(path: Path) -> dict[str, str]:
    """A table; empty if it is gone or damaged."""
    try:
        return read_table(path)
    except UserError:
        return {}


def utterance_picture(heard: Heard, utt: str) -> str:
    """An utterance with its decoded syllables as SVG; empty if features or times are gone."""
    try:
        pairs, times = heard.scored.alignments[utt], heard.scored.times_of(utt)
        return spectrogram(heard.feats[utt], heard.frame_shift_s, pairs, times, f"Spectrogram of {utt}")
    except (UserError, KeyError):
        return ""


def syllable_picture(heard: Heard, place: Place) -> str:
    """A syllable that was heard rightly, among its neighbours, as SVG; empty if features or times are gone."""
    try:
        pairs, times = heard.scored.alignments[place.utt], heard.scored.times_of(place.utt)
        feats = heard.feats[place.utt]
    except (UserError, KeyError):
        return ""
    some_pairs, some_times = _around(pairs, times, place.index)
    shift = heard.frame_shift_s
    first = max(0, int((some_times[0].begin - MARGIN_S) / shift))
    last = int((some_times[-1].begin + some_times[-1].duration + MARGIN_S) / shift) + 1
    moved = [one._replace(begin=one.begin - first * shift) for one in some_times]
    return spectrogram(feats[first:last], shift, some_pairs, moved, f"Spectrogram of a part of {place.utt}")


def _around(pairs: list[Pair], times: list[Timed], index: int) -> tuple[list[Pair], list[Timed]]:
    """The pairs from NEIGHBOURS decoded syllables before reference syllable `index` to as many behind it."""
    centre = [place for place, (ref, _) in enumerate(pairs) if ref != EPS][index]
    decoded = [place for place, (_, hyp) in enumerate(pairs) if hyp != EPS]
    middle = decoded.index(centre)
    first, last = max(0, middle - NEIGHBOURS), min(len(decoded) - 1, middle + NEIGHBOURS)
    return pairs[decoded[first]:decoded[last] + 1], times[first:last + 1]


def compare_page(found: Comparison) -> str:
    """The comparison's HTML, which needs no other file. Names of experiments link to their reports beside the page."""
    pairs = [(found.baselines[row.label], row) for row in found.rows if found.baselines[row.label] is not row]
    links = {row.label: f"{row.runs[0].path.name}/report.html" for row in found.rows
             if (row.runs[0].path / "report.html").exists()}
    curves = all_curves(found.rows)
    return render(
        "compare.html", tables=tables(found) if found.rows else [], links=links, errors_said=ERRORS_SAID,
        beats_said=BEATS_SAID, curves=Markup(curves) if curves else "",
        lists=[("Notes", found.notes), ("Left out", [f"{run.path}: {run.problem}" for run in found.left_out])],
        sweeps=[(sweep, [Markup(svg) for svg in sweep_plots(points)]) for sweep, points in found.sweeps.items()],
        too_many=len(pairs) > MOST_PAIRS, changes=[_change(a, b) for a, b in pairs] if len(pairs) <= MOST_PAIRS else [])


def _change(a: Row, b: Row) -> dict[str, Any]:
    """What changed from one row to another on the second one's main set, or the problem that forbids to say."""
    part = b.main_set
    shown: dict[str, Any] = {"a": a.label, "b": b.label, "set": part, "problem": ""}
    if not a.scored(part):
        return {**shown, "problem": f"{a.label} has not been scored on {part}."}
    heard_a, heard_b = heard_by(a, part), heard_by(b, part)
    try:
        obstacle = why_not(heard_a.scored, heard_b.scored)
        if obstacle:
            return {**shown, "problem": f"Not comparable: {obstacle}."}
        return {**shown, "first_seeds": len(a.runs) > 1 or len(b.runs) > 1, **_what_changed(heard_a, heard_b)}
    except UserError as error:
        return {**shown, "problem": str(error)}


def _what_changed(a: Heard, b: Heard) -> dict[str, Any]:
    utterances, syllables = by_utterance(a.scored, b.scored), by_syllable(a.scored, b.scored)
    return {
        "before": percent(a.scored.scores[SER]), "after": percent(b.scored.scores[SER]), "all": len(utterances),
        "better": sum(one.fixed > 0 for one in utterances), "worse": sum(one.fixed < 0 for one in utterances),
        "has_features": bool(a.feats or b.feats),
        "tables": [("Speakers", _both_ways("speaker", by_speaker(a.scored, b.scored), SHOWN_SPEAKERS)),
                   ("Syllables", _both_ways("syllable", syllables, SHOWN_SYLLABLES))],
        "syllables": _syllables(a, b, syllables), "utterances": _utterances(a, b, utterances)}


def _both_ways(what: str, changes: list[Change], number: int) -> list[tuple[str, list[tuple]]]:
    """(heading, rows) of the most fixed and of the most broken."""
    return [(f"most {way} {what}", [(one.key, f"{one.errors_a} → {one.errors_b}", one.of)
                                    for one in choose(changes, number)]) for way, choose in WAYS]


def _syllables(a: Heard, b: Heard, changes: list[Change]) -> list[tuple[str, Markup]]:
    """(caption, picture) of the most changed syllables, where one of the two experiments decodes them rightly."""
    shown = []
    for way, choose in WAYS:
        wrong, right = (a, b) if way == "fixed" else (b, a)
        for one in choose(changes, SHOWN_PICTURES):
            place = example(wrong.scored, right.scored, one.key)
            picture = syllable_picture(right, place)
            if picture:
                which = "second" if way == "fixed" else "first"
                shown.append((f"{one.key}, {way}: the {which} experiment decodes it rightly in {place.utt}",
                              Markup(picture)))
    return shown


def _utterances(a: Heard, b: Heard, changes: list[Change]) -> list[tuple]:
    """(heading, before, after) of the most changed utterances."""
    shown = []
    for way, choose in WAYS:
        for place, one in enumerate(choose(changes, SHOWN_UTTERANCES), 1):
            heading = f"Most {way} {place}: {one.key}, {one.errors_a} → {one.errors_b} errors in {one.of}"
            audio = audio_uri(b.wavs[one.key]) if one.key in b.wavs else ""
            before, after = (shown_utterance(one.key, heard.scored.alignments[one.key], heard.text.get(one.key, ""),
                                             utterance_picture(heard, one.key)) for heard in (a, b))
            shown.append((heading, before._replace(audio=audio), after))
    return shown


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.compare", description=__doc__)
    parser.add_argument("experiments", nargs="*", help="directories, names, sweeps or patterns such as 'mini*' (all of "
                        "exp/); the first is what the others are compared with, unless it is a sweep or pattern: then, "
                        "the best on dev is")
    parser.add_argument("--sort", choices=list(SORT_KEYS), help="order of the rows, within a corpus")
    parser.add_argument("--json", action="store_true", help="print everything as JSON, and nothing else")
    parser.add_argument("--md", action="store_true", help="print the tables as Markdown, and nothing else")
    parser.add_argument("--html", type=Path, help="where to write the page")
    parser.add_argument("--publish", action="store_true",
                        help="for maintainers: write the tables of conf/RESULTS.md and README.md, too")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
