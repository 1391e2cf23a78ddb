"""Comparing in numbers: paired bootstrap and Welch's test against independent ones, what is refused, what changed."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from compared import make_run, noisy, some_references
from hypothesis import given
from hypothesis import strategies as st

from steps.config.variants import parse_name
from steps.report.errors import count, edit_alignment, total
from steps.report.experiment import Results
from steps.report.paired import by_speaker, by_syllable, by_utterance, example, judge, most
from steps.report.rows import SER, differing, flat_config, make_rows, open_run, seed_notes
from steps.report.scores import per_spk_counts

REFS = some_references(60)


@pytest.fixture
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return Path("exp")


def rows_of(*paths):
    return make_rows([open_run(path) for path in paths])


def errors_by_utt(path, part="test"):
    alignments = Results(path).main.alignments
    return np.array([count(pairs).errors for pairs in alignments.values()])


@pytest.mark.parametrize(("wrong_a", "wrong_b"), [(0.2, 0.2), (0.2, 0.15), (0.15, 0.25)])
def test_probability_is_that_of_an_independent_paired_bootstrap(here, wrong_a, wrong_b):
    a = make_run(here / "a", REFS, {"test": noisy(REFS, wrong_a, 1)})
    b = make_run(here / "b", REFS, {"test": noisy(REFS, wrong_b, 2)})
    verdict = judge(*rows_of(a, b), "test")
    draw = np.random.default_rng(5)
    drawn = draw.integers(0, len(REFS), (20_000, len(REFS)))
    better = (errors_by_utt(b)[drawn].sum(axis=1) < errors_by_utt(a)[drawn].sum(axis=1)).mean()
    assert verdict.probability == pytest.approx(better, abs=0.015)
    lengths = sum(map(len, REFS.values()))
    assert verdict.difference == pytest.approx((errors_by_utt(b).sum() - errors_by_utt(a).sum()) / lengths)
    assert verdict.said == "" and verdict.p_value == pytest.approx(2 * min(better, 1 - better), abs=0.03)


def test_interval_of_the_table_is_that_of_an_independent_bootstrap(here):
    path = make_run(here / "a", REFS, {"test": noisy(REFS, 0.2, 1)})
    lengths = np.array([len(ref) for ref in REFS.values()])
    drawn = np.random.default_rng(6).integers(0, len(REFS), (20_000, len(REFS)))
    rates = errors_by_utt(path)[drawn].sum(axis=1) / lengths[drawn].sum(axis=1)
    low, high = rows_of(path)[0].value("test", SER).interval
    np.testing.assert_allclose([low, high], np.percentile(rates, [2.5, 97.5]), atol=(high - low) / 10)


def test_the_same_output_is_no_contest(here):
    hyps = noisy(REFS, 0.2, 1)
    a, b = (make_run(here / name, REFS, {"test": hyps}) for name in "ab")
    verdict = judge(*rows_of(a, b), "test")
    assert (verdict.probability, verdict.said) == (None, "both decoded exactly the same")


def scores_of(path):
    return json.loads((path / "score/test_greedy/score.json").read_text())


def edit_scores(path, **changes):
    (path / "score/test_greedy/score.json").write_text(json.dumps({**scores_of(path), **changes}))


@pytest.mark.parametrize(("changes", "said"), [
    ({"ref_hash": "0"}, "test sets or references differ"),
    ({"tokens_hash": "0"}, "tokens differ"),
    ({"scoring": 0}, "scored by other rules"),
])
def test_what_differs_gets_no_probability(here, changes, said):
    a, b = (make_run(here / name, REFS, {"test": noisy(REFS, 0.2, number)}) for number, name in enumerate("ab"))
    edit_scores(b, **changes)
    verdict = judge(*rows_of(a, b), "test")
    assert verdict.probability is None and said in verdict.said and verdict.difference


def test_other_utterances_or_references_under_the_same_hash(here):
    a, b, c = (make_run(here / name, REFS, {"test": noisy(REFS, 0.2, number)}) for number, name in enumerate("abc"))
    lines = (b / "score/test_greedy/per_utt").read_text().splitlines()
    (b / "score/test_greedy/per_utt").write_text("\n".join(lines[4:]))
    edit_scores(b, utterances=len(REFS) - 1)
    assert "one of them alone has scores of 1 utterance" in judge(*rows_of(a, b), "test").said
    text = (c / "score/test_greedy/per_utt").read_text()
    (c / "score/test_greedy/per_utt").write_text(text.replace(" ni3 ", " ni4 "))
    assert "references differ in " in judge(*rows_of(a, c), "test").said


def test_alignments_that_are_gone(here):
    a, b = (make_run(here / name, REFS, {"test": noisy(REFS, 0.2, number)}) for number, name in enumerate("ab"))
    (b / "score/test_greedy/per_utt").unlink()
    assert "not comparable: exp/b/score/test_greedy/per_utt: no such file" in judge(*rows_of(a, b), "test").said


def test_a_set_that_one_of_them_lacks(here):
    a = make_run(here / "a", REFS, {"test": noisy(REFS, 0.2, 1)})
    b = make_run(here / "b", REFS, {"dev": noisy(REFS, 0.2, 1)})
    assert judge(*rows_of(a, b), "test") is None


def seeded(here, name, wrongs, **config):
    return [make_run(here / f"{name}@{seed}", REFS, {"test": noisy(REFS, wrong, 10 * seed)}, seed=seed, **config)
            for seed, wrong in enumerate(wrongs, 1)]


@pytest.mark.parametrize(("wrongs", "said"), [((0.3, 0.32, 0.35), "exceeds"), ((0.08, 0.11, 0.2), "does not exceed")])
def test_seeds_are_averaged_and_compared_by_welch(here, wrongs, said):
    rows = rows_of(*seeded(here, "a", (0.1, 0.1, 0.12)), *seeded(here, "b", wrongs))
    assert [row.label for row in rows] == ["a", "b"]
    rates = [np.array([one.scores[SER] for one in row.scored("test")]) for row in rows]
    for row, found in zip(rows, rates, strict=True):
        assert row.value("test", SER) == pytest.approx((found.mean(), None, found.std(ddof=1)))
    verdict = judge(*rows, "test")
    assert verdict.p_value == pytest.approx(scipy.stats.ttest_ind(*rates, equal_var=False).pvalue)
    assert verdict.said == f"the difference {said} the spread of 3 and 3 seeds"
    assert verdict.probability is None


def test_one_seed_against_several_is_not_decided(here):
    rows = rows_of(*seeded(here, "a", (0.1, 0.2)), make_run(here / "b", REFS, {"test": noisy(REFS, 0.1, 1)}))
    verdict = judge(*rows, "test")
    assert verdict.said.startswith("b has one seed only") and verdict.p_value is None


def test_seeds_of_different_configs_are_told(here):
    runs = [*seeded(here, "a", (0.1,)), make_run(here / "a@2", REFS, {"test": REFS}, seed=2, epochs=2)]
    assert seed_notes(rows_of(*runs)) == ["The seeds of a differ in train.epochs, too: their mean means little."]
    assert seed_notes(rows_of(*seeded(here, "b", (0.1, 0.2)))) == []


def test_config_differences_by_dotted_key(here):
    a = make_run(here / "a", REFS, {"test": REFS}, model={"blocks": [{"channels": 4}, {"channels": 8}]})
    b = make_run(here / "b", REFS, {"test": REFS}, model={"blocks": [{"channels": 4}, {"channels": 16}]},
                 train={"epochs": 5, "optimizer": {"learning_rate": 0.01}})
    configs = [flat_config(Results(path).config) for path in (a, b)]
    assert differing(configs) == {"model.blocks.1.channels": ["8", "16"], "train.epochs": ["3", "5"],
                                  "train.optimizer.learning_rate": ["0.001", "0.01"]}
    assert differing([{"corpus": "a", "corpus.root": "x"}, {"corpus": "b"}]) == {"corpus": ["a", "b"]}
    assert differing([{"corpus": "a", "corpus.root": "x"}, {"corpus": "a"}]) == {"corpus.root": ["x", "–"]}
    assert differing([{"x": "1"}, {"y": "1"}]) == {"x": ["1", "–"], "y": ["–", "1"]}


@pytest.mark.parametrize(("name", "group", "seed", "sweep", "point"), [
    ("mini", "mini", None, None, {}),
    ("mini@2", "mini", 2, None, {}),
    ("lr@epochs-2,dense-64_32", "lr@epochs-2,dense-64_32", None, "lr", {"epochs": "2", "dense": "64_32"}),
    ("lr@learning_rate-1e-3@12", "lr@learning_rate-1e-3", 12, "lr", {"learning_rate": "1e-3"}),
])
def test_names_taken_apart(name, group, seed, sweep, point):
    assert parse_name(name) == (group, seed, sweep, point)


def test_a_run_from_before_there_were_seeds_stays_alone(here):
    rows = rows_of(make_run(here / "a", REFS, {"test": REFS}), *seeded(here, "a", (0.1, 0.2)))
    assert [(row.label, len(row.runs)) for row in rows] == [("a (without seed)", 1), ("a", 2)]


def test_rows_are_told_apart(here, tmp_path):
    a = make_run(here / "a", REFS, {"test": REFS})
    copy = make_run(tmp_path / "elsewhere/a", REFS, {"test": REFS})
    two = make_run(here / "two", REFS, {"test": REFS})
    make_run(two, REFS, {"test": REFS}, method="prefix")
    assert [row.label for row in rows_of(a, copy, two)] == [
        "exp/a", f"{tmp_path}/elsewhere/a", "two (greedy)", "two (prefix)"]


hypotheses = st.lists(st.lists(st.sampled_from(["ma1", "ma3", "shi4"]), max_size=5), min_size=4, max_size=4)
FOUR = {"a-1": ["ma1"], "a-2": ["shi4", "ma3"], "b-1": ["ma3", "ma1", "shi4"], "b-2": ["shi4", "shi4"]}


def scored(hyps):
    """What the changes are told from, without files."""
    alignments = {utt: edit_alignment(ref, hyps[utt]) for utt, ref in FOUR.items()}
    by_spk = per_spk_counts(alignments, {utt: utt[0] for utt in FOUR})
    speakers = [(spk, counts.ref_tokens, counts.errors) for spk, (_, _, counts) in by_spk.items()]
    return SimpleNamespace(alignments=alignments, speakers=pd.DataFrame(speakers, columns=["spk", "ref_tokens", "err"]))


@given(hypotheses, hypotheses)
def test_changes_add_up(heard_a, heard_b):
    a, b = (scored(dict(zip(FOUR, heard, strict=True))) for heard in (heard_a, heard_b))
    totals = [total(map(count, one.alignments.values())) for one in (a, b)]
    for changes in (by_utterance(a, b), by_speaker(a, b)):
        assert sum(one.fixed for one in changes) == totals[0].errors - totals[1].errors
        assert sum(one.of for one in changes) == 8
    syllables = by_syllable(a, b)
    assert sum(one.errors_b for one in syllables) == totals[1].substitutions + totals[1].deletions
    assert {one.key: one.of for one in syllables} == {"ma1": 2, "ma3": 2, "shi4": 4}
    for one in most("fixed", syllables, 3):
        utt, index = example(a, b, one.key)
        assert FOUR[utt][index] == one.key
    assert {one.key for one in most("fixed", syllables, 9)}.isdisjoint(one.key for one in most("broken", syllables, 9))


def test_changes_by_hand():
    a = scored({**FOUR, "a-2": ["shi4", "ma1"], "b-2": []})
    b = scored({**FOUR, "a-1": ["ma3"], "b-2": ["shi4"]})
    assert [one[:1] + one[2:] for one in most("fixed", by_utterance(a, b), 9)] == [("a-2", 1, 0), ("b-2", 2, 1)]
    assert most("broken", by_utterance(a, b), 9) == [("a-1", 1, 0, 1)]
    assert most("fixed", by_speaker(a, b), 9) == [("b", 5, 2, 1)]
    assert most("fixed", by_syllable(a, b), 9) == [("ma3", 2, 1, 0), ("shi4", 4, 2, 1)]
    assert most("broken", by_syllable(a, b), 9) == [("ma1", 2, 0, 1)]
    assert example(b, a, "ma1") == ("a-1", 0)
