"""Forced alignment: the best of all paths; boundaries where the voice says they are; the script."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_experiment import make_experiment, run_script
from test_ctc import collapse, log_softmax

from steps import align as script
from steps.config.schema import Features
from steps.search.alignment import boundaries, read_ctm, spike_place, voice_of
from steps.search.ctc import align, ctc_cost

FBANK = Features(type="fbank", num_bins=20)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6), st.lists(st.integers(1, 2), min_size=1, max_size=4), st.integers(0, 999))
def test_the_path_is_the_best_of_all(frames, labels, seed):
    log_probs = log_softmax(2 * np.random.default_rng(seed).normal(size=(frames, 3)))
    scores = {path: sum(log_probs[t, token] for t, token in enumerate(path))
              for path in itertools.product(range(3), repeat=frames) if collapse(path) == labels}
    found = align(log_probs, labels)
    assert (found is None) == (not scores) == (ctc_cost(log_probs, labels) == np.inf)
    if found is None:
        return
    path = np.zeros(frames, int)
    for one in found:
        path[one.first:one.last + 1] = one.token
        assert one.posterior == pytest.approx(np.exp(log_probs[one.first:one.last + 1, one.token].max()))
    assert [one.token for one in found] == labels
    assert all(before.last < after.first for before, after in itertools.pairwise(found))
    assert scores[tuple(path.tolist())] == pytest.approx(max(scores.values()))


def word(syllables: list[int], before: int = 25, after: int = 30, seed: int = 0) -> tuple[np.ndarray, list[int]]:
    """Features of a word: each syllable a quiet, hissing initial of 8 frames and a loud vowel; and their begins."""
    rng = np.random.default_rng(seed)
    low, high, begins = [6.0] * before, [6.0] * before, []
    for length in syllables:
        begins.append(len(low))
        low += [8.0] * 8 + [18.0] * (length - 8)
        high += [17.0] * 8 + [14.0] * (length - 8)
    low, high = np.array(low + [6.0] * after), np.array(high + [6.0] * after)
    feats = np.repeat(np.stack([low, high], axis=1), 10, axis=1)
    return feats + 0.3 * rng.normal(size=feats.shape), begins


@pytest.mark.parametrize("place", [0.1, 0.4, 0.8])
def test_boundaries_are_where_initials_begin_wherever_the_spikes_are(place):
    rng = np.random.default_rng(1)
    utts = []
    for number in range(30):
        lengths = rng.integers(24, 36, 1 + number % 3).tolist()
        feats, begins = word(lengths, seed=number)
        utts.append((feats, begins, [begin + place * length for begin, length in zip(begins, lengths, strict=True)]))
    voices = [voice_of(feats, FBANK) for feats, _, _ in utts]
    measured = spike_place((voice, spikes) for voice, (_, _, spikes) in zip(voices, utts, strict=True))
    assert measured == pytest.approx(place, abs=0.05)
    for voice, (feats, begins, spikes) in zip(voices, utts, strict=True):
        found = boundaries(voice, spikes, measured, 10.0)
        assert np.abs(np.array(found) - [*begins, len(feats) - 30]).max() <= 3


@settings(deadline=None)
@given(st.integers(1, 60), st.lists(st.floats(0, 60), min_size=1, max_size=6), st.floats(0, 1), st.integers(0, 99))
def test_boundaries_always_ascend(frames, spikes, place, seed):
    feats = np.random.default_rng(seed).normal(size=(frames, 20))
    voice = voice_of(feats, FBANK)
    found = boundaries(voice, sorted(min(spike, frames - 1) for spike in spikes), place, 10.0)
    assert len(found) == len(spikes) + 1 and found == sorted(found)


def test_the_script_aligns_what_it_can(monkeypatch, tmp_path, capsys):
    exp_dir = make_experiment(monkeypatch, tmp_path)
    run_script(monkeypatch, script, str(exp_dir), "test")
    times = read_ctm(exp_dir / "ali/test/ctm")
    assert {utt: [one.syllable for one in found] for utt, found in times.items()} == {
        "amy-1": ["ni3", "hao3"], "amy-2": ["zhong1", "guo2"]}
    left_out = json.loads((exp_dir / "ali/test/ali.json").read_text())["left_out"]
    assert list(left_out.values()) == [["bob-1"], ["bob-2"]]  # shi4 is not a token; 4 syllables in 3 frames
    assert "left out 1 utterance, such as bob-2" in capsys.readouterr().out
