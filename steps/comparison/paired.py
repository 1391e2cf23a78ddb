"""Whether one experiment is better than another, and whether that can be said at all."""

import statistics
from typing import NamedTuple

import kaldialign
from scipy import stats

from steps.common.errors import UserError
from steps.comparison.rows import SER, Row
from steps.results.bootstrap import REPLICATIONS, SEED
from steps.results.errors import EPS, Pair
from steps.results.experiment import Scored

SIGNIFICANT = 0.05


class Verdict(NamedTuple):
    """How b fares against a on a set."""

    a: str
    b: str
    part: str
    difference: float  # of the syllable error rates, b's less a's
    probability: float | None  # that b beats a, of two single runs; None where it is refused
    p_value: float | None  # of Welch's t-test over the seeds
    said: str  # in words; where there is neither, why


def judge(a: Row, b: Row, part: str) -> Verdict | None:
    """Compare two rows on a set; None where one of them was not scored on it.

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
        return probability, None, said
    if min(len(scored_a), len(scored_b)) == 1:
        one = a.label if len(scored_a) == 1 else b.label
        return None, None, f"{one} has one seed only: whether the difference exceeds the seeds' spread is unknown"
    return None, *_welch([one.scores[SER] for one in scored_a], [one.scores[SER] for one in scored_b], difference)


def why_not(a: Scored, b: Scored) -> str:
    """Why two scores must not be compared; empty where they may.

    Raises UserError where the alignments that show it are missing or damaged.
    """
    for key, what in (("scoring", "they were scored by other rules"), ("tokens_hash", "their tokens differ"),
                      ("ref_hash", "their test sets or references differ")):
        if a.scores.get(key) != b.scores.get(key):
            return what
    if a.alignments.keys() != b.alignments.keys():
        return f"{len(a.alignments.keys() ^ b.alignments.keys())} utterances were scored in one of them only"
    other = [utt for utt in a.alignments if references(a.alignments[utt]) != references(b.alignments[utt])]
    return f"{len(other)} utterances have other references, such as {other[0]}" if other else ""


def references(pairs: list[Pair]) -> list[str]:
    """The reference side of an alignment."""
    return [ref for ref, _ in pairs if ref != EPS]


def _hypotheses(pairs: list[Pair]) -> list[str]:
    return [hyp for _, hyp in pairs if hyp != EPS]


def _bootstrap(a: Scored, b: Scored) -> tuple[float | None, str]:
    utts = sorted(a.alignments)
    hyps_a, hyps_b = ([_hypotheses(one.alignments[utt]) for utt in utts] for one in (a, b))
    if hyps_a == hyps_b:
        return None, "both decoded the very same"
    found = kaldialign.bootstrap_wer_ci([references(a.alignments[utt]) for utt in utts], hyps_a, hyps_b,
                                        replications=REPLICATIONS, seed=SEED)
    return found["p_s2_improv_over_s1"], ""


def _welch(rates_a: list[float], rates_b: list[float], difference: float) -> tuple[float | None, str]:
    if len(set(rates_a)) == len(set(rates_b)) == 1:
        return None, "no seed makes a difference" + (": it exceeds their spread, which is nil" if difference else "")
    facts = [fact for rates in (rates_a, rates_b)
             for fact in (statistics.fmean(rates), statistics.stdev(rates), len(rates))]
    p_value = float(stats.ttest_ind_from_stats(*facts, equal_var=False).pvalue)
    said = "exceeds" if p_value < SIGNIFICANT else "does not exceed"
    return p_value, f"the difference {said} the spread of {len(rates_a)} and {len(rates_b)} seeds"


def find_baseline(row: Row, rows: list[Row], named: bool) -> Row:
    """What a row is compared with: the first row where the user has `named` it; else the row that is best on dev of all
    with the same references of their main set.
    """
    if named:
        return rows[0]
    reference = row.scored(row.main_set)[0].scores.get("ref_hash")
    alike = [other for other in rows if other.scored(other.main_set)[0].scores.get("ref_hash") == reference]
    return min(alike, key=_dev_rate)


def _dev_rate(row: Row) -> float:
    return row.value("dev" if "dev" in row.sets else row.main_set, SER).mean
