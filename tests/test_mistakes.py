"""Which mistakes remain: groups of syllables counted against a plain count, and what is said of them."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from steps.report.errors import EPS, count, total
from steps.report.experiment import advice, find_mistakes
from steps.report.page import chinese

SYLLABLES = ["ma1", "ma3", "shi4", "zhang1", "yi1", "er4"]
PAIRS = st.lists(st.tuples(st.sampled_from([*SYLLABLES, EPS]), st.sampled_from([*SYLLABLES, EPS])).filter(
    lambda pair: pair != (EPS, EPS)), max_size=8)


@given(st.dictionaries(st.sampled_from("abcdef"), PAIRS, min_size=1))
def test_groups_hold_every_reference_syllable_once(alignments):
    found = find_mistakes(alignments, Counter({"ma1": 3, "shi4": 500}), dict.fromkeys(alignments, 2.0))
    counts = total(count(pairs) for pairs in alignments.values())
    whole = {"syllables": counts.ref_tokens, "errors": counts.substitutions + counts.deletions,
             "deletions": counts.deletions}
    for kind in ("times in training", "place in the utterance", "speaking rate"):
        assert found[kind].sum().to_dict() == whole
    for part in ("initial", "final", "tone"):
        assert found[part]["syllables"].sum() == counts.ref_tokens
        assert counts.deletions <= found[part]["errors"].sum() <= whole["errors"]


def test_parts_places_tempos_and_times_in_training():
    alignments = {"slow": [("ma1", "ma3"), (EPS, "er4"), ("shi4", "si4"), ("zhang1", "zhang1")],
                  "fast": [("ma1", EPS), ("zhang1", "zhan1"), ("er4", "er4")]}
    found = find_mistakes(alignments, Counter({"ma1": 4, "shi4": 5}), {"slow": 3.0, "fast": 0.5})
    assert found["initial"]["errors"].to_dict() == {"m": 1, "sh": 1, "zh": 0, "–": 0}
    assert found["tone"]["errors"].to_dict() == {"1": 2, "4": 0}
    assert rows(found["place in the utterance"]) == [("first", 2, 2, 1), ("second", 2, 2, 0), ("last", 2, 0, 0)]
    assert rows(found["times in training"]) == [("never", 3, 1, 0), ("1 to 4", 2, 2, 1), ("5 to 19", 1, 1, 0)]
    assert rows(found["speaking rate"]) == [("slowest quarter", 3, 2, 0), ("fastest quarter", 3, 2, 1)]


def rows(table):
    return list(table.itertuples(name=None))


def test_without_durations_and_training():
    found = find_mistakes({"a": [("ma1", "ma1")]}, Counter(), {})
    assert rows(found["speaking rate"]) == [] and rows(found["place in the utterance"]) == [("alone", 1, 0, 0)]
    assert rows(found["times in training"]) == [("never", 1, 0, 0)]
    assert all(rows(table) == [] for table in find_mistakes({}, Counter(), {}).values())


def test_advice_names_what_stands_out_alone():
    good, rare, left_out = ("ma1", "ma1"), ("zhang1", "zhan1"), ("ma1", EPS)
    training = Counter({"ma1": 900, "zhang1": 2})
    even = {f"u{i}": [good, good, ("ma1", "ba1"), good, good] for i in range(30)}
    assert advice(find_mistakes(even, training, {})) == []
    by_chance = {f"u{i}": [("ma1", "ba1") if i < 4 else good, *[("ma1", "ba1") if i < 2 else good] * 5]
                 for i in range(100)}
    assert advice(find_mistakes(by_chance, training, {})) == []  # 4 errors of 100 where 2.3 were expected
    some = even | {f"r{i}": [good, good, rare, good, good] for i in range(25)}
    [(text, values)] = advice(find_mistakes(some, training, {}))
    assert "fewer than 5 times" in text and values == {"rate": "100.0 %", "errors": 25, "deletions": 0}
    hurried = even | {f"f{i}": [good, left_out, left_out, left_out, good] for i in range(12)}
    seconds = {utt: 1.0 if utt.startswith("f") else 2.0 for utt in hurried}
    said = [text for text, _ in advice(find_mistakes(hurried, training, seconds))]
    assert any("left out: let augment.time_warp" in text for text in said)
    assert any("train longer" in text for text in said)
    assert all(text in chinese() for text in said)
