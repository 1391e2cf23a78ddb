"""Alignment and counts against an independent Levenshtein distance; tones; intervals against a numpy bootstrap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.common.errors import UserError
from steps.report.errors import (
    EPS,
    Counts,
    align_bases,
    check_same_utterances,
    confusion_kind,
    count,
    count_tones,
    edit_alignment,
    rate,
    rate_intervals,
    split_tone,
    syllable_error_rate,
    total,
)
from steps.report.scores import confidence_interval, error_rates, sandhi_blind_errors

syllable = st.sampled_from(["ma1", "ma3", "ma5", "shi4", "si4", "guo2"])
utterance = st.lists(syllable, max_size=9)


def levenshtein(ref, hyp):
    """Wagner and Fischer's distance, cell by cell."""
    costs = np.zeros((len(ref) + 1, len(hyp) + 1), int)
    costs[:, 0] = range(len(ref) + 1)
    costs[0] = range(len(hyp) + 1)
    for row in range(len(ref)):
        for column in range(len(hyp)):
            costs[row + 1, column + 1] = min(costs[row, column] + (ref[row] != hyp[column]),
                                             costs[row, column + 1] + 1, costs[row + 1, column] + 1)
    return costs[-1, -1]


def sides(pairs):
    """Reference and hypothesis, read back from an alignment."""
    return [ref for ref, _ in pairs if ref != EPS], [hyp for _, hyp in pairs if hyp != EPS]


@given(utterance, utterance)
def test_counts_are_levenshtein(ref, hyp):
    pairs = edit_alignment(ref, hyp)
    counts = count(pairs)
    assert sides(pairs) == (ref, hyp)
    assert counts.errors == levenshtein(ref, hyp)
    assert counts.ref_tokens == len(ref)
    assert counts.correct + counts.substitutions + counts.insertions == len(hyp)


@given(st.lists(st.tuples(utterance.filter(bool), utterance), min_size=1, max_size=5))
def test_syllable_error_rate_is_pooled(utterances):
    refs = {f"u{number}": ref for number, (ref, _) in enumerate(utterances)}
    hyps = {f"u{number}": hyp for number, (_, hyp) in enumerate(utterances)}
    errors = sum(levenshtein(ref, hyp) for ref, hyp in utterances)
    expected = errors / sum(len(ref) for ref, _ in utterances)
    assert syllable_error_rate(refs, dict(reversed(hyps.items()))) == pytest.approx(expected)


def test_rates_of_nothing():
    assert rate(0, 0) == 0
    assert rate(3, 0) == float("inf")
    assert total([]) == Counts(0, 0, 0, 0)


@pytest.mark.parametrize(("refs", "hyps", "said"), [
    ({"a": [], "b": []}, {"a": []}, "hyp: lacks 1 utterance that ref has, such as b"),
    ({"a": []}, {"a": [], "c": [], "d": []}, "ref: lacks 2 utterances that hyp has, such as c, d"),
])
def test_sets_must_match(refs, hyps, said):
    with pytest.raises(UserError, match=said):
        check_same_utterances(refs, hyps, "ref", "hyp")


def cheapest(ref, hyp):
    """(base errors, wrong tones) of the best alignment, by trying every one of them."""
    if not ref or not hyp:
        return len(ref) + len(hyp), 0
    (bases, tones), same = cheapest(ref[1:], hyp[1:]), ref[0][:-1] == hyp[0][:-1]
    both = (bases, tones + (ref[0] != hyp[0])) if same else (bases + 1, tones)
    others = [(errors + 1, tones) for errors, tones in (cheapest(ref[1:], hyp), cheapest(ref, hyp[1:]))]
    return min(both, *others)


@given(st.lists(syllable, max_size=5), st.lists(syllable, max_size=5))
def test_base_alignment_is_the_best_of_all(ref, hyp):
    assert sides(align_bases(ref, hyp)) == (ref, hyp)
    tones = count_tones(ref, hyp)
    assert (tones.base_errors, tones.wrong_tones) == cheapest(ref, hyp)


@pytest.mark.parametrize(("ref", "hyp", "base_errors", "right_bases", "wrong_tones"), [
    ("zhong1 guo2", "zhong1 guo2", 0, 2, 0),
    ("zhong1 guo2", "zhong4 guo2", 0, 2, 1),
    ("zhong1 guo2", "zong1 guo2", 1, 1, 0),
    ("zhong1 guo2", "zong4 guo3", 1, 1, 1),
    ("ma1 ma5", "ma5", 1, 1, 0),  # a plain alignment of ma ma with ma might pair ma1 with ma5
    ("ma5", "ma1 ma5", 1, 1, 0),
    ("shi4 ma1", "ma2", 1, 1, 1),
    ("shi4", "", 1, 0, 0),
])
def test_tones_by_hand(ref, hyp, base_errors, right_bases, wrong_tones):
    tones = count_tones(ref.split(), hyp.split())
    assert (tones.base_errors, tones.right_bases, tones.wrong_tones) == (base_errors, right_bases, wrong_tones)


def test_tone_confusion_has_rows_of_reference_tones():
    tones = count_tones(["ma1", "ma3", "ni3"], ["ma4", "ma3", "ni5"])
    assert tones.matrix == [[0, 0, 0, 1, 0], [0] * 5, [0, 0, 1, 0, 1], [0] * 5, [0] * 5]


def test_syllables_taken_apart():
    assert split_tone("lv4") == ("lv", "4")
    assert split_tone("ok") == ("ok", "")
    assert [confusion_kind("shi4", hyp) for hyp in ("shi2", "si4", "si2")] == ["tone", "base", "both"]


def noisy_set(utterances, wrong, rng):
    """References, and hypotheses of which a share `wrong` of the syllables is another, missing or doubled."""
    refs, hyps = {}, {}
    for number in range(utterances):
        ref = [f"s{one}" for one in rng.integers(0, 30, rng.integers(1, 15))]
        heard = {"right": 1, "other": 1, "missing": 0, "double": 2}
        kinds = rng.choice(list(heard), len(ref), p=[1 - wrong, wrong / 2, wrong / 4, wrong / 4])
        refs[f"u{number:03d}"] = ref
        hyps[f"u{number:03d}"] = [one if kind != "other" else "x" for one, kind in zip(ref, kinds, strict=True)
                                  for _ in range(heard[kind])]
    return refs, hyps


def test_interval_never_falls_below_nothing():
    refs = {f"u{number}": ["ma1", "shi4"] for number in range(10)}
    hyps = {**refs, "u3": ["ma1"]}
    low, high = confidence_interval(refs, hyps)
    assert low == 0 < 1 / 20 < high


def test_rates_of_a_small_set_by_hand():
    refs = {"a": ["ni3", "hao3"], "b": ["zhong1", "guo2", "ren2"], "c": ["shi4"]}
    hyps = {"a": ["ni2", "hao3"], "b": ["zong1", "guo2"], "c": ["shi4"]}
    rates = error_rates(refs, hyps, {utt: edit_alignment(refs[utt], hyps[utt]) for utt in refs})
    assert (rates["utterances"], rates["ref_tokens"]) == (3, 6)
    assert (rates["ins"], rates["del"], rates["sub"]) == (0, 1, 2)
    assert rates["syllable_error_rate"] == 3 / 6
    assert rates["toneless_error_rate"] == 2 / 6
    assert (rates["tone_error_rate"], rates["tone_tokens"]) == (1 / 4, 4)
    assert rates["sandhi_blind_error_rate"] == 2 / 6  # ni2 hao3 is how ni3 hao3 is said
    assert rates["sentence_error_rate"] == 2 / 3


@pytest.mark.parametrize(("ref", "hyp", "errors"), [
    ("ni3 hao3", "ni2 hao3", 0), ("ni2 hao3", "ni3 hao3", 0), ("ni3 hao3", "ni3 hao2", 1), ("ni3 hao3", "ni4 hao3", 1),
    ("wo3 hen3 hao3", "wo3 hen2 hao3", 0), ("wo3 men5 hao3", "wo2 men5 hao3", 1),
    ("yi1 ge4 bu4 dui4", "yi2 ge4 bu2 dui4", 0), ("yi4 tian1", "yi1 tian1", 0), ("yi1 ge4", "yi4 ge4", 1),
    ("ni3 hao3", "ni3", 1), ("ni3", "ni2 hao3", 2), ("ni3", "ni2", 1)])
def test_errors_blind_to_sandhi(ref, hyp, errors):
    assert sandhi_blind_errors(edit_alignment(ref.split(), hyp.split())) == errors


def test_intervals_are_those_of_a_bootstrap():
    rng = np.random.default_rng(11)
    refs, hyps = noisy_set(150, 0.2, rng)
    rates = error_rates(refs, hyps, {utt: edit_alignment(refs[utt], hyps[utt]) for utt in refs})
    by_utt = [count_tones(refs[utt], hyps[utt]) for utt in refs]
    drawn = rng.integers(0, len(refs), (20_000, len(refs)))
    columns = {"toneless_error_rate": ([one.base_errors for one in by_utt], [one.ref_tokens for one in by_utt]),
               "tone_error_rate": ([one.wrong_tones for one in by_utt], [one.right_bases for one in by_utt]),
               "sentence_error_rate": ([refs[utt] != hyps[utt] for utt in refs], [1] * len(refs)),
               "sandhi_blind_error_rate": ([sandhi_blind_errors(edit_alignment(refs[utt], hyps[utt])) for utt in refs],
                                           [len(refs[utt]) for utt in refs]),
               "syllable_error_rate": ([levenshtein(refs[utt], hyps[utt]) for utt in refs],
                                       [len(refs[utt]) for utt in refs])}
    intervals = rates["intervals"] | {"syllable_error_rate": confidence_interval(refs, hyps)}
    assert set(intervals) == set(columns)
    assert intervals["syllable_error_rate"] == confidence_interval(dict(reversed(refs.items())), hyps)
    for name, (errors, of) in columns.items():
        low, high = intervals[name]
        found = np.array(errors)[drawn].sum(axis=1) / np.array(of)[drawn].sum(axis=1)
        width = high - low
        assert low < rates[name] < high
        np.testing.assert_allclose([low, high], np.percentile(found, [2.5, 97.5]), atol=width / 10)


def test_intervals_where_nothing_can_be_wrong():
    refs, hyps = {"a": ["ma1"], "b": ["shi4"]}, {"a": [], "b": []}
    assert error_rates(refs, hyps, {utt: edit_alignment(refs[utt], []) for utt in refs})["intervals"] == {
        "toneless_error_rate": [1, 1], "tone_error_rate": [0, 0], "sentence_error_rate": [1, 1],
        "sandhi_blind_error_rate": [1, 1]}
    (_, sentences), (_, tokens) = rate_intervals([[1, 3]] * 9 + [[0, 0]], [[1, 2]] * 10)
    assert sentences == 1 < tokens  # no more sentences than there are can be wrong; insertions know no end
