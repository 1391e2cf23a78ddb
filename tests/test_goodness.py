"""Goodness of pronunciation: every edit against all paths, and against a whole forward pass of its own."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.search.ctc import ctc_cost, edits


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


@settings(max_examples=40, deadline=None)
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
