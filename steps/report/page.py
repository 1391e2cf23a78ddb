"""The report of an experiment: one HTML page."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

import numpy as np

from steps.config.load import dump
from steps.report.errors import EPS, TONES, Counts, Pair, confusion_kind, count, operation, rate
from steps.report.experiment import Results, Scored
from steps.report.plots import learning_curves, spectrogram
from steps.report.scores import confusions

CSS = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1rem 1rem 4rem; max-width: 62rem; color: #1f2328; background: #fff;
       font: 16px/1.5 system-ui, "Noto Sans", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1.5rem 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; padding-top: .5rem; border-top: 1px solid #d0d7de; }
h3 { font-size: 1rem; margin: 1.5rem 0 .2rem; }
p { margin: .4rem 0; max-width: 45rem; }
.quiet { color: #59636e; font-size: .9rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; }
.figures figure { flex: 1 1 18rem; max-width: 26rem; }
figure { margin: .5rem 0; }
.figures svg { width: 100%; height: auto; }
.scroll { overflow-x: auto; }
.scroll svg { display: block; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .5rem; text-align: right; white-space: nowrap; }
th { font-weight: 600; border-bottom: 1px solid #8b949e; }
td { border-bottom: 1px solid #eaeef2; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.sides { display: flex; flex-wrap: wrap; gap: 2.5rem; }
.numbers { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; margin: 1rem 0; }
.numbers div { font-size: .85rem; color: #59636e; }
.numbers b { display: block; font-size: 1.8rem; line-height: 1.2; color: #1f2328; font-weight: 600; }
.pairs { display: flex; flex-wrap: wrap; gap: .3rem .55rem; margin: .4rem 0; }
.pairs span { display: grid; justify-items: center; font-size: .9rem; line-height: 1.35; }
.pairs .S, .pairs .D { color: #c62828; } .pairs .I { color: #8e24aa; }
.pairs .C i { color: #8b949e; } .pairs i { font-style: normal; }
details { margin: .6rem 0; } summary { cursor: pointer; font-weight: 600; }
pre { font-size: .8rem; line-height: 1.4; background: #f6f8fa; padding: .8rem; overflow-x: auto; }
""".strip()


def page(title: str, body: Iterable[str]) -> str:
    """A whole document. `title` is plain text, `body` HTML."""
    return "\n".join([
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">', f"<title>{escape(title)}</title>",
        f"<style>\n{CSS}\n</style>", "</head>", "<body>", *body, "</body>", "</html>", ""])


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of plain texts and numbers that scrolls sideways where the screen is narrow."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def shaded_table(corner: str, names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """A square of counts, each cell as dark as its share of its row."""
    rows = []
    for name, row in zip(names, counts, strict=True):
        whole = max(1, sum(row))
        cells = "".join(f'<td style="background: rgb(11 92 173 / {0.5 * count / whole:.3f})" '
                        f'title="{100 * count / whole:.1f} % of {sum(row)}">{count or ""}</td>' for count in row)
        rows.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    head = "".join(f"<th>{escape(name)}</th>" for name in [corner, *names])
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def details(summary: str, text: str) -> str:
    """Preformatted text behind a line to click on."""
    return f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>"


SHOWN_UTTERANCES = 3  # of the best, and of the worst
SHOWN_CONFUSIONS = 20
SHOWN_SPEAKERS = 20


def build_report(results: Results, feats: Mapping[str, np.ndarray], text: Mapping[str, str]) -> str:
    """The report's HTML.

    Args:
        feats: raw features (frames, bins) of the main set; utterances that are not in it get no picture.
        text: hanzi of the main set's utterances, as far as there are any.
    """
    main = results.main
    body = [*_head(results), *_result_table(results), *_curves(results)]
    if main is not None:
        body += [*_utterances(results, main, feats, text), *_confusions(main), *_speakers(main)]
    body += _appendix(results)
    return page(f"{results.config.name}: report", body)


def _head(results: Results) -> Iterator[str]:
    config, env = results.config, results.env
    yield f"<h1>{escape(config.name)}</h1>"
    facts = [f"corpus {config.experiment.corpus}", f"features {config.experiment.features}",
             f"commit {env.get('git_commit') or 'unknown'}", f"{env.get('date', '')[:16].replace('T', ' ')} UTC"]
    yield f'<p class="quiet">{escape(" · ".join(facts))}</p>'
    if results.main is None:
        yield "<p>Nothing has been decoded and scored yet.</p>"
        return
    scores = results.main.scores
    low, high = scores["ci95"]
    numbers = [(_percent(scores["syllable_error_rate"]), f"syllable error rate on {scores['set']}, "
                f"95 % within {100 * low:.2f} to {100 * high:.2f}"),
               (_percent(scores["toneless_error_rate"]), "without tones"),
               (_percent(scores["tone_error_rate"]), "tones wrong on right syllables")]
    yield '<div class="numbers">' + "".join(f"<div><b>{number}</b>{what}</div>" for number, what in numbers) + "</div>"


def _result_table(results: Results) -> Iterator[str]:
    if not results.scored:
        return
    yield "<h2>Results</h2>"
    columns = ["set", "method", "syllable errors", "95 %", "toneless", "tones", "sentences", "characters",
               "ins / del / sub", "syllables", "utterances", "RTF"]
    rows = []
    for scores in (one.scores for one in results.scored):
        low, high = scores["ci95"]
        character_errors = scores.get("character_error_rate")
        rows.append([scores["set"], scores["method"], _percent(scores["syllable_error_rate"]),
                     f"{100 * low:.2f} to {100 * high:.2f}", _percent(scores["toneless_error_rate"]),
                     _percent(scores["tone_error_rate"]), _percent(scores["sentence_error_rate"]),
                     "" if character_errors is None else _percent(character_errors),
                     f"{scores['ins']} / {scores['del']} / {scores['sub']}", scores["ref_tokens"],
                     scores["utterances"], f"{scores['real_time_factor']:.3f}"])
    filled = [place for place in range(len(columns)) if any(row[place] != "" for row in rows)]
    yield table([columns[place] for place in filled], [[row[place] for place in filled] for row in rows])
    yield ('<p class="quiet">Error rates. Toneless: tone digits taken off. Tones: the tone is wrong where the rest of '
           "the syllable is right. Sentences: utterances with any error. RTF: the real-time factor, seconds of "
           "decoding per second of audio.</p>")


def _curves(results: Results) -> Iterator[str]:
    history = results.history
    if not len(history):
        return
    yield "<h2>Training</h2>"
    last = history.iloc[-1]
    parts = [f"{last['epoch']:.0f} epochs"]
    parts += [f"{last['steps']:.0f} steps"] if "steps" in history else []
    parts += [f"{last['seconds'] / 60:.1f} minutes"] if "seconds" in history else []
    machine = f"{results.env.get('cores', '?')} cores of {results.env.get('processor', 'an unknown processor')}"
    yield f"<p>{escape(', '.join(parts))} on {escape(machine)}.</p>"
    yield '<div class="figures">' + "".join(f"<figure>{svg}</figure>" for svg in learning_curves(history)) + "</div>"


def _utterances(results: Results, main: Scored, feats: Mapping[str, np.ndarray],
                text: Mapping[str, str]) -> Iterator[str]:
    yield f"<h2>Utterances of {escape(main.scores['set'])}</h2>"
    yield ('<p class="quiet">Reference above, decoded below; red was heard wrongly or missed, purple is too much. The '
           "pictures show the features, with the frames marked that emitted a syllable.</p>")
    if not feats:
        yield '<p class="quiet">The features are not there any more; stage 3 brings the pictures back.</p>'
    counts = {utt: count(pairs) for utt, pairs in main.alignments.items()}
    ranked = sorted(counts, key=lambda utt: _badness(utt, counts[utt]))
    shown = min(SHOWN_UTTERANCES, (len(ranked) + 1) // 2)
    for heading, utts in (("Worst", ranked[::-1][:shown]), ("Best", ranked[:min(shown, len(ranked) - shown)])):
        for place, utt in enumerate(utts, 1):
            errors = f"{counts[utt].errors} {'error' if counts[utt].errors == 1 else 'errors'}"
            yield f"<h3>{heading} {place}: {escape(utt)}, {errors} in {counts[utt].ref_tokens}</h3>"
            yield aligned_syllables(main.alignments[utt], text.get(utt, ""))
            if utt in feats:
                svg = spectrogram(feats[utt], results.config.features.frame_shift_ms / 1000, main.alignments[utt],
                                  main.times_of(utt), f"Spectrogram of {utt}")
                yield f'<figure class="scroll">{svg}</figure>'


def _badness(utt: str, counts: Counts) -> tuple:
    """Sorts the best first; of the faultless the longest, of the wholly wrong the longest last."""
    length = counts.ref_tokens
    return (rate(counts.errors, length), length if counts.errors else -length, utt)


def aligned_syllables(pairs: list[Pair], text: str = "") -> str:
    """An alignment as HTML, syllable above syllable, under its hanzi where there is one for every syllable."""
    hanzi = iter("".join(text.split()))
    one_each = len("".join(text.split())) == sum(ref != EPS for ref, _ in pairs)
    spans = []
    for ref, hyp in pairs:
        over = f"<b>{escape(next(hanzi) if ref != EPS else '') or '&nbsp;'}</b>" if one_each else ""
        words = [("–" if one == EPS else escape(one)) for one in (ref, hyp)]
        spans.append(f'<span class="{operation((ref, hyp))}">{over}<span>{words[0]}</span><i>{words[1]}</i></span>')
    line = "" if one_each or not text else f"<p>{escape(text)}</p>"
    return f'{line}<div class="pairs">{"".join(spans)}</div>'


def _confusions(main: Scored) -> Iterator[str]:
    found = confusions(main.alignments)
    yield "<h2>Confusions</h2>"
    yield '<div class="sides"><div>'
    yield "<h3>The commonest</h3>"
    if found:
        yield table(["reference", "decoded", "times", "wrong"],
                         [(ref, hyp, times, confusion_kind(ref, hyp)) for ref, hyp, times in found[:SHOWN_CONFUSIONS]])
    else:
        yield "<p>None.</p>"
    yield "</div><div><h3>Tones, where the syllable is right</h3>"
    yield shaded_table("reference", [f"tone {tone}" for tone in TONES], main.scores["tone_confusion"])
    yield '<p class="quiet">Columns: the decoded tone. 5 is the neutral one.</p></div></div>'


def _speakers(main: Scored) -> Iterator[str]:
    rates = [rate(errors, of) for errors, of in zip(main.speakers["err"], main.speakers["ref_tokens"], strict=True)]
    speakers = main.speakers.assign(rate=rates).sort_values(["rate", "spk"], ascending=[False, True])
    yield "<h2>Speakers</h2>"
    yield table(["speaker", "syllable errors", "ins", "del", "sub", "syllables", "utterances", "wrong utterances"],
                     [(row["spk"], _percent(row["rate"]), row["ins"], row["del"], row["sub"], row["ref_tokens"],
                       row["utts"], row["wrong_utts"]) for _, row in speakers.head(SHOWN_SPEAKERS).iterrows()])
    if len(speakers) > SHOWN_SPEAKERS:
        yield f'<p class="quiet">The worst {SHOWN_SPEAKERS} of {len(speakers)}; {main.score_dir}/per_spk has all.</p>'


def _appendix(results: Results) -> list[str]:
    return ["<h2>How it was made</h2>",
            details("Config", dump(results.config)),
            details("Environment", json.dumps(results.env, ensure_ascii=False, indent=2))]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"
