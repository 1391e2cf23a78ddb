"""Prefix beam search against all paths of small cases, and properties of its N-best lists."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_search_ctc import by_all_paths, log_softmax

from steps.search.arpa import write_arpa
from steps.search.lm import estimate
from steps.search.ngram import perplexity, vocabulary
from steps.search.prefix import SyllableLm, prefix_search

TOKENS = ["<blk>", "ba1", "da4", "ge5"]
TEXT = [["ba1", "da4"], ["ba1", "da4", "ge5"], ["ge5", "ge5"], ["da4"], ["ba1", "ba1", "da4"]]
EVERYTHING = {"beam": 10 ** 6, "margin": math.inf, "tokens": 99, "least": 0.0}


@pytest.fixture(scope="module")
def model():
    return estimate(TEXT, vocabulary(TOKENS[1:]), 2)


@pytest.fixture(scope="module")
def arpa(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("lm") / "arpa"
    write_arpa(path, model)
    return path


def all_sequences(log_probs, model, weight, insertion):
    """Every sequence of tokens and ln of its probability, path by path."""
    scores = {}
    for spelled, log_prob in by_all_paths(log_probs).items():
        lm = -(len(spelled) + 1) * math.log(perplexity(model, [[TOKENS[token] for token in spelled]]))
        scores[spelled] = log_prob + weight * lm + insertion * len(spelled)
    return scores


matrices = st.integers(0, 5).flatmap(
    lambda frames: arrays(np.float32, (frames, 4), elements=st.floats(-4, 0, width=32)))


@settings(max_examples=40)
@given(matrices, st.floats(0, 2), st.floats(-2, 2))
def test_search_is_exact_without_pruning(model, arpa, scores, weight, insertion):
    log_probs = log_softmax(scores)
    expected = all_sequences(log_probs, model, weight, insertion)
    found = prefix_search(log_probs, SyllableLm(arpa, TOKENS, weight, insertion), **EVERYTHING)
    assert {one.tokens for one in found} == set(expected)
    np.testing.assert_allclose([one.score for one in found], [expected[one.tokens] for one in found], atol=1e-4)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    total = np.logaddexp.reduce(list(expected.values()))
    np.testing.assert_allclose([one.posterior for one in found],
                               [math.exp(expected[one.tokens] - total) for one in found], atol=1e-4)


@settings(max_examples=40)
@given(matrices, st.integers(1, 6))
def test_pruned_lists_are_short_and_no_better_than_exact(arpa, scores, beam):
    log_probs, lm = log_softmax(scores), SyllableLm(arpa, TOKENS, 0.7, 0.0)
    exact = {one.tokens: one.score for one in prefix_search(log_probs, lm, **EVERYTHING)}
    found = prefix_search(log_probs, lm, beam=beam)
    assert 1 <= len(found) <= beam and len({one.tokens for one in found}) == len(found)
    assert sum(one.posterior for one in found) == pytest.approx(1)
    assert all(one.score <= exact[one.tokens] + 1e-6 for one in found)


def test_long_utterances_do_not_underflow(arpa):
    log_probs = log_softmax(np.random.default_rng(1).normal(size=(3000, 4)))
    found = prefix_search(log_probs, SyllableLm(arpa, TOKENS, 1.0, 0.0))
    assert np.isfinite(found[0].score) and len(found[0].tokens) > 100


def test_the_language_model_decides_between_likes(arpa):
    log_probs = np.log(np.array([[0.02, 0.9, 0.04, 0.04], [0.9, 0.03, 0.03, 0.04], [0.02, 0.02, 0.47, 0.49]]))
    without, with_lm = (prefix_search(log_probs, SyllableLm(arpa, TOKENS, weight, 0.0))[0].tokens for weight in (0, 1))
    assert (without, with_lm) == ((1, 3), (1, 2))
