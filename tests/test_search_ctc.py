"""Greedy decoding against a plain loop; goodness of pronunciation: every edit against all paths, and against a whole
forward pass of its own; the ctm lines."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from steps.search.alignment import Timed, ctm_lines, read_ctm, timed_words
from steps.search.ctc import ctc_cost, edits, greedy


def plain_greedy(log_probs):
    """Frame by frame, as the definition of CTC's best path has it: [token, first, last, highest log-probability]."""
    found, before = [], None
    for frame, row in enumerate(log_probs.tolist()):
        token = max(range(len(row)), key=lambda number: (row[number], -number))
        if token == before:
            if token != 0:
                found[-1][2] = frame
                found[-1][3] = max(found[-1][3], row[token])
        elif token != 0:
            found.append([token, frame, frame, row[token]])
        before = token
    return found


scores = st.floats(-4, 0, width=32)


@given(st.integers(0, 12).flatmap(lambda frames: arrays(np.float32, (frames, 4), elements=scores)))
def test_greedy_is_the_plain_loop(log_probs):
    expected = plain_greedy(log_probs)
    emissions = greedy(log_probs)
    assert [[*one[:3]] for one in emissions] == [one[:3] for one in expected]
    np.testing.assert_allclose([one.posterior for one in emissions], np.exp([one[3] for one in expected]), rtol=1e-6)


def test_ctm_lines_are_read_back(tmp_path):
    times = {"a-1": [Timed(0, 0.25, "ni3", 0.5), Timed(0.25, 0.35, "hao3", 0.98765)], "b-1": [Timed(1, 0.2, "ma5", 1)]}
    lines = list(ctm_lines(times))
    assert lines[:2] == ["a-1 1 0.000 0.250 ni3 0.500", "a-1 1 0.250 0.350 hao3 0.988"]
    (tmp_path / "ctm").write_text("\n".join(lines))
    assert read_ctm(tmp_path / "ctm") == {**times, "a-1": [times["a-1"][0], Timed(0.25, 0.35, "hao3", 0.988)]}
    assert timed_words(times["a-1"], [("你好", 2)]) == [Timed(0, 0.6, "你好", 0.5)]


def log_softmax(logits):
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def random_log_probs(frames, tokens, seed=0, scale=2.0):
    return log_softmax(np.random.default_rng(seed).normal(size=(frames, tokens)) * scale)


def by_all_paths(log_probs):
    """Log-probability of every text that some path spells."""
    texts = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        text = tuple(token for token, _ in itertools.groupby(path) if token)
        texts.setdefault(text, []).append(math.fsum(log_probs[frame, token] for frame, token in enumerate(path)))
    return {text: np.logaddexp.reduce(found) for text, found in texts.items()}


def texts_of(labels, tokens):
    """(place in Edits, the text that it stands for)."""
    for place, token in itertools.product(range(len(labels)), range(tokens)):
        yield ("instead", place, token), (*labels[:place], *([token] if token else []), *labels[place + 1:])
    for place, token in itertools.product(range(len(labels) + 1), range(tokens)):
        yield ("between", place, token), (*labels[:place], *([token] if token else []), *labels[place:])


@settings(max_examples=40)
@given(st.integers(1, 6), st.lists(st.integers(1, 3), max_size=4), st.integers(0, 99))
def test_every_edit_has_the_probability_of_all_its_paths(frames, labels, seed):
    log_probs = random_log_probs(frames, 4, seed)
    expected = by_all_paths(log_probs)
    found = edits(log_probs, labels)
    assert found.total == pytest.approx(expected.get(tuple(labels), -np.inf), abs=1e-9)
    for (kind, place, token), text in texts_of(labels, 4):
        value = getattr(found, kind)[place, token]
        assert value == pytest.approx(expected.get(text, -np.inf), abs=1e-9), (kind, place, token)


def test_agrees_with_a_forward_pass_for_each_text_on_long_ones():
    labels = [5, 5, 9, 1, 2, 2, 2, 30]
    log_probs = random_log_probs(60, 40, scale=5.0)
    found = edits(log_probs, labels)
    for (kind, place, token), text in texts_of(labels, 40):
        assert getattr(found, kind)[place, token] == pytest.approx(-ctc_cost(log_probs, list(text)), abs=1e-7)


def test_a_token_of_probability_zero_is_merely_very_unlikely():
    log_probs = np.full((8, 3), -np.inf)
    log_probs[:, 0] = 0.0
    found = edits(log_probs, [1])
    assert np.isfinite(found.instead).all()
    assert found.instead[0, 0] == pytest.approx(0.0)
    assert (found.total, found.instead[0, 1]) == pytest.approx([-100.0 + math.log(8)] * 2)
