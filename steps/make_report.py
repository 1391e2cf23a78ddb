"""An experiment's results as one self-contained page, exp/<experiment>/report.html."""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from steps.common.errors import counted, run
from steps.common.files import atomic_open, remove_leftovers
from steps.config.load import Resolved, dump
from steps.corpus.table import read_numbers
from steps.corpus.write import read_pinyin
from steps.report.errors import TONES, Counts, confusion_kind, count, rate
from steps.report.experiment import Results, Scored, advice, find_mistakes
from steps.report.page import BLUE, FAINT, STYLE, Heard, Shown, percent, render, to_svg, tone_rate, translated
from steps.report.scores import confusions

SHOWN_UTTERANCES = 3  # of the best, and of the worst
SHOWN_CONFUSIONS = 20
SHOWN_SPEAKERS = 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.make_report", description=__doc__)
    parser.add_argument("exp_dir", type=Path, help="an experiment's directory, such as exp/mini")
    args = parser.parse_args()
    results = Results(args.exp_dir)
    heard = mistakes = None
    if results.main is not None:
        heard = Heard(results, results.main)
        data_dir = results.config.set_data(results.main.scores["set"])
        mistakes = find_mistakes(results.main.alignments, *_counts_and_seconds(results.config, data_dir))
    page = report_page(results, heard, mistakes)
    remove_leftovers(args.exp_dir)
    with atomic_open(args.exp_dir / "report.html") as file:
        file.write(page)
    print(f"{args.exp_dir / 'report.html'}: {len(page.encode()) / 1e6:.1f} MB")


def _counts_and_seconds(config: Resolved, data_dir: Path) -> tuple[Counter, dict[str, float]]:
    """How often training has each syllable, and how long the utterances of `data_dir` are; empty if it is gone."""
    pinyin, durations = config.set_data("train") / "pinyin", data_dir / "utt2dur"
    training = read_pinyin(pinyin) if pinyin.exists() else {}
    seconds = read_numbers(durations) if durations.exists() else {}
    return Counter(one for syllables in training.values() for one in syllables), seconds


def report_page(results: Results, heard: Heard | None, mistakes: Mapping[str, pd.DataFrame] | None) -> str:
    """The report's HTML. `heard` and `mistakes` are of the main set, where anything is scored."""
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
        utterances=[] if heard is None else _utterances(heard), has_features=bool(heard and heard.feats),
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
    parts = [counted(round(last["epoch"]), "epoch")]
    parts += [counted(round(last["steps"]), "step")] if "steps" in history else []
    parts += [f"{last['seconds'] / 60:.1f} minutes"] if "seconds" in history else []
    cores = results.env.get("cores", "?")
    machine = f"{counted(cores, 'core')} of {results.env.get('processor', 'an unknown processor')}"
    return f"{', '.join(parts)} on {machine}."


def _utterances(heard: Heard) -> list[tuple[str, int, Shown]]:
    """(heading, number, utterance) of the worst and of the best."""
    counts = {utt: count(pairs) for utt, pairs in heard.scored.alignments.items()}
    ranked = sorted(counts, key=lambda utt: _badness(utt, counts[utt]))
    number = min(SHOWN_UTTERANCES, (len(ranked) + 1) // 2)
    groups = ("Worst", ranked[::-1][:number]), ("Best", ranked[:min(number, len(ranked) - number)])
    return [(heading, place, heard.shown(utt)) for heading, utts in groups for place, utt in enumerate(utts, 1)]


def _badness(utt: str, counts: Counts) -> tuple:
    """Sorts the best first. The longest without errors is best, the longest that is all wrong is worst."""
    length = counts.ref_tokens
    return (rate(counts.errors, length), length if counts.errors else -length, utt)


def _mistake_tables(found: Mapping[str, pd.DataFrame]) -> list[tuple[str, list[tuple]]]:
    """(what its groups have in common, rows) of each table of mistakes."""
    return [(kind, [(translated(name), percent(errors / syllables), errors, deletions, syllables)
                    for name, syllables, errors, deletions in groups.itertuples()])
            for kind, groups in found.items() if len(groups)]


def _speakers(main: Scored) -> list[tuple]:
    """A row a speaker, the worst first."""
    rates = [rate(errors, of) for errors, of in zip(main.speakers["err"], main.speakers["ref_tokens"], strict=True)]
    speakers = main.speakers.assign(rate=rates).sort_values(["rate", "spk"], ascending=[False, True])
    return [(row["spk"], percent(row["rate"]), row["ins"], row["del"], row["sub"], row["ref_tokens"], row["utts"],
             row["wrong_utts"]) for _, row in speakers.iterrows()]


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


if __name__ == "__main__":
    run(main)
