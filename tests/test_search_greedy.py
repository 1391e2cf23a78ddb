"""Greedy decoding against a plain loop, and the ctm lines."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from steps.search.alignment import Timed, ctm_lines, read_ctm, timed_words
from steps.search.ctc import greedy


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
