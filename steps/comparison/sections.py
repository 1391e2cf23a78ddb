"""A comparison as a page."""

from collections.abc import Iterator
from html import escape

from steps.common.errors import UserError
from steps.comparison.changes import (
    Change,
    by_speaker,
    by_syllable,
    by_utterance,
    example,
    most_broken,
    most_fixed,
)
from steps.comparison.comparison import Comparison
from steps.comparison.paired import why_not
from steps.comparison.pictures import Heard, heard_by, syllable_picture, utterance_picture
from steps.comparison.plots import all_curves, sweep_plots
from steps.comparison.rows import SER, Row
from steps.comparison.tables import BEATS_SAID, ERRORS_SAID, tables
from steps.results import html
from steps.results.sections import aligned_syllables

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
