"""The comparison of runs: baseline, paired bootstrap, verdicts; and changes by utterance, speaker and syllable."""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import kaldialign

from steps.common.errors import UserError, counted
from steps.report.errors import EPS, REPLICATIONS, SEED, Pair, count
from steps.report.experiment import Scored
from steps.report.rows import (
    RATES,
    SER,
    Row,
    Run,
    differing,
    make_rows,
    row_config,
    seed_notes,
    sets_of,
    sort_rows,
)

SIGNIFICANT = 0.05


class Verdict(NamedTuple):
    """How b fares against a on a set."""

    a: str
    b: str
    part: str
    difference: float  # of the syllable error rates, b's less a's
    probability: float | None  # that b beats a, of two single runs; None if it is refused
    p_value: float | None  # of no difference: two-sided, by the same bootstrap, or by Welch's t-test over seeds
    said: str  # in words; if there is neither, why


def judge(a: Row, b: Row, part: str) -> Verdict | None:
    """Compare two rows on a set; None if one of them was not scored on it.

    Two single runs by a paired bootstrap over utterances (Bisani and Ney 2004); rows of several seeds each by Welch's
    t-test, which asks whether their difference exceeds the spread of the seeds.
    """
    value_a, value_b = a.value(part, SER), b.value(part, SER)
    if value_a is None or value_b is None:
        return None
    difference = value_b.mean - value_a.mean
    try:
        probability, p_value, said = _test(a, b, part, difference)
    except UserError as error:
        probability, p_value, said = None, None, f"not comparable: {error}"
    return Verdict(a.label, b.label, part, difference, probability, p_value, said)


def _test(a: Row, b: Row, part: str, difference: float) -> tuple[float | None, float | None, str]:
    scored_a, scored_b = a.scored(part), b.scored(part)
    for other in [*scored_a[1:], *scored_b]:
        obstacle = why_not(scored_a[0], other)
        if obstacle:
            return None, None, f"not comparable: {obstacle}"
    if len(scored_a) == len(scored_b) == 1:
        probability, said = _bootstrap(scored_a[0], scored_b[0])
        return probability, None if probability is None else 2 * min(probability, 1 - probability), said
    if min(len(scored_a), len(scored_b)) == 1:
        one = a.label if len(scored_a) == 1 else b.label
        return None, None, f"{one} has one seed only: whether the difference exceeds the seeds' spread is unknown"
    return None, *_welch([one.scores[SER] for one in scored_a], [one.scores[SER] for one in scored_b], difference)


def why_not(a: Scored, b: Scored) -> str:
    """Why two scores must not be compared; empty if they may.

    Raises UserError if the alignments that show it are missing or damaged.
    """
    for key, what in (("scoring", "they were scored by other rules"), ("tokens_hash", "their tokens differ"),
                      ("ref_hash", "their test sets or references differ")):
        if a.scores.get(key) != b.scores.get(key):
            return what
    if a.alignments.keys() != b.alignments.keys():
        alone = len(a.alignments.keys() ^ b.alignments.keys())
        return f"one of them alone has scores of {counted(alone, 'utterance')}"
    other = [utt for utt in a.alignments if references(a.alignments[utt]) != references(b.alignments[utt])]
    return f"references differ in {counted(len(other), 'utterance')}, such as {other[0]}" if other else ""


def references(pairs: list[Pair]) -> list[str]:
    return [ref for ref, _ in pairs if ref != EPS]


def _bootstrap(a: Scored, b: Scored) -> tuple[float | None, str]:
    utts = sorted(a.alignments)
    hyps_a, hyps_b = ([[hyp for _, hyp in one.alignments[utt] if hyp != EPS] for utt in utts] for one in (a, b))
    if hyps_a == hyps_b:
        return None, "both decoded exactly the same"
    found = kaldialign.bootstrap_wer_ci([references(a.alignments[utt]) for utt in utts], hyps_a, hyps_b,
                                        replications=REPLICATIONS, seed=SEED)
    return found["p_s2_improv_over_s1"], ""


def _welch(rates_a: list[float], rates_b: list[float], difference: float) -> tuple[float | None, str]:
    if len(set(rates_a)) == len(set(rates_b)) == 1:
        return None, "no seed makes a difference" + (": it exceeds their spread, which is 0" if difference else "")
    from scipy import stats  # here, since it takes a second to import, and most comparisons have one seed

    facts = [fact for rates in (rates_a, rates_b)
             for fact in (statistics.fmean(rates), statistics.stdev(rates), len(rates))]
    p_value = float(stats.ttest_ind_from_stats(*facts, equal_var=False).pvalue)
    said = "exceeds" if p_value < SIGNIFICANT else "does not exceed"
    return p_value, f"the difference {said} the spread of {len(rates_a)} and {len(rates_b)} seeds"


def find_baseline(row: Row, rows: list[Row], named: bool) -> Row:
    """The row that another is compared with: the first, if the user has `named` it; else the best on dev of those with
    the same references of their main set.
    """
    if named:
        return rows[0]
    reference = row.scored(row.main_set)[0].scores.get("ref_hash")
    alike = [other for other in rows if other.scored(other.main_set)[0].scores.get("ref_hash") == reference]
    return min(alike, key=lambda row: row.value("dev" if "dev" in row.sets else row.main_set, SER).mean)


class Comparison(NamedTuple):
    """Rows in the order in which they are shown."""

    rows: list[Row]
    baselines: dict[str, Row]  # by label, what a row was judged against
    verdicts: dict[tuple[str, str], Verdict]  # by label and set
    sweeps: dict[str, list[Row]]  # the rows of sweeps, by sweep, in the order of their names
    notes: list[str]
    left_out: list[Run]

    @property
    def differences(self) -> dict[str, list[str]]:
        """The config keys that differ, and their values in `plain_rows`."""
        return differing([row_config(row) for row in self.plain_rows])

    @property
    def plain_rows(self) -> list[Row]:
        """The rows that are not points of `sweeps`, which have tables of their own."""
        points = {row.label for rows in self.sweeps.values() for row in rows}
        return [row for row in self.rows if row.label not in points]


def compare(runs: Sequence[Run], sort: str | None, named: bool) -> Comparison:
    """Compare runs. `named`: the user put one of them first, for the others to be judged against; unless `sort` says
    otherwise they stand in the user's order then, and else sorted by their error on test.
    """
    rows = make_rows(runs)
    baselines = {row.label: find_baseline(row, rows, named) for row in rows}
    verdicts = [judge(baselines[row.label], row, part) for row in rows for part in row.sets
                if baselines[row.label] is not row]
    if sort or not named:
        rows = sort_rows(rows, sort or "test")
    known = [verdict for verdict in verdicts if verdict is not None]
    notes = [*seed_notes(rows), *_verdict_notes(known, {row.label: row.short for row in rows})]
    return Comparison(rows, baselines, {(one.b, one.part): one for one in known}, _sweeps(rows), notes,
                      [run for run in runs if run.problem])


def _verdict_notes(verdicts: list[Verdict], short: dict[str, str]) -> list[str]:
    """A sentence for what is said of verdicts, each once."""
    of: dict[tuple[str, str], list[str]] = {}
    for one in verdicts:
        if one.said:
            of.setdefault((one.a, one.said), []).append(f"{short[one.b]} on {one.part}")
    return [f"{'; '.join(these)}; against {short[a]}: {said}." for (a, said), these in of.items()]


def _sweeps(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.label):
        if row.runs[0].name.sweep:
            found.setdefault(row.runs[0].name.sweep, []).append(row)
    return {sweep: points for sweep, points in found.items() if len(points) > 1}


def as_json(found: Comparison) -> dict[str, Any]:
    """All of it as plain values; rates are fractions."""
    configs = differing([row_config(row) for row in found.rows])
    return {
        "experiments": [_row_json(row, {key: values[place] for key, values in configs.items()})
                        for place, row in enumerate(found.rows)],
        "comparisons": [verdict._asdict() for verdict in found.verdicts.values()],
        "notes": found.notes,
        "left_out": [{"path": str(run.path), "problem": run.problem} for run in found.left_out],
    }


def _row_json(row: Row, config: dict[str, str]) -> dict[str, Any]:
    return {
        "name": row.label, "method": row.method, "paths": [str(run.path) for run in row.runs],
        "seeds": [run.results.config.experiment.seed for run in row.runs],
        "sets": {part: {rate: {"mean": value.mean, "ci95": value.interval, "spread": value.spread}
                        for rate in RATES if (value := row.value(part, rate))}
                 for part in sets_of([row])},
        "weights": row.weights, "minutes": row.minutes, "real_time_factor": row.real_time_factor,
        "git_commit": row.commit, "date": row.date, "config": config,
    }


class Change(NamedTuple):
    """Errors of something in both experiments."""

    key: str  # utterance, speaker or syllable
    of: int  # reference syllables
    errors_a: int
    errors_b: int

    @property
    def fixed(self) -> int:
        """Errors that b no longer has; negative if it has new ones."""
        return self.errors_a - self.errors_b


def most(way: str, changes: list[Change], number: int) -> list[Change]:
    """The changes with the most errors less (`fixed`) or more (`broken`)."""
    sign = {"fixed": 1, "broken": -1}[way]
    found = (one for one in changes if sign * one.fixed > 0)
    return sorted(found, key=lambda one: (-sign * one.fixed, one.of, one.key))[:number]


def by_utterance(a: Scored, b: Scored) -> list[Change]:
    """A change for every utterance; both must hold the same."""
    return [Change(utt, count(pairs).ref_tokens, count(pairs).errors, count(b.alignments[utt]).errors)
            for utt, pairs in a.alignments.items()]


def by_speaker(a: Scored, b: Scored) -> list[Change]:
    """A change for every speaker. Raises UserError if per_spk is missing or damaged."""
    theirs = b.speakers.set_index("spk")["err"]
    return [Change(spk, int(of), int(errors), int(theirs[spk]))
            for spk, of, errors in zip(a.speakers["spk"], a.speakers["ref_tokens"], a.speakers["err"], strict=True)
            if spk in theirs]


def by_syllable(a: Scored, b: Scored) -> list[Change]:
    """A change for every syllable of the references: how often it was not decoded as itself."""
    counts: dict[str, list[int]] = {}
    for utt in a.alignments:
        for (ref, hyp_a), (_, hyp_b) in zip(heard(a.alignments[utt]), heard(b.alignments[utt]), strict=True):
            one = counts.setdefault(ref, [0, 0, 0])
            for place, number in enumerate((1, hyp_a != ref, hyp_b != ref)):
                one[place] += number
    return [Change(ref, *numbers) for ref, numbers in sorted(counts.items())]


def example(wrong: Scored, right: Scored, syllable: str) -> tuple[str, int]:
    """The first utterance, and place in its reference, where `right` alone decodes `syllable` correctly."""
    for utt in wrong.alignments:
        both = zip(heard(wrong.alignments[utt]), heard(right.alignments[utt]), strict=True)
        for index, ((ref, bad), (_, good)) in enumerate(both):
            if ref == good == syllable != bad:
                return utt, index
    raise KeyError(syllable)


def heard(pairs: list[Pair]) -> list[Pair]:
    """An alignment without its insertions: what was decoded for each reference syllable."""
    return [pair for pair in pairs if pair[0] != EPS]
