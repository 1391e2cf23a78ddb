"""The scripts of demo.html in node, against Python."""

import itertools
import json
import re

import numpy as np
import onnxruntime
import pytest

from steps.common.errors import UserError
from steps.config.schema import Features
from steps.deploy.assess import TokenParts, assess, reading_aloud
from steps.deploy.demo import _dictionary, front_end, write_demo
from steps.deploy.model import Calibration
from steps.deploy.onnx_model import onnx_model
from steps.deploy.pronounce_page import pitch
from steps.deploy.pronunciation import without_pauses
from steps.feats.compute import compute_feats
from steps.model.network import out_frames
from steps.search.alignment import boundaries, voice_of
from steps.search.ctc import align, edits, greedy
from steps.text.syllables import accented, all_syllables, split
from tests.run_js import needs_node, run_js
from tests.test_onnx_model import KINDS, TOKENS, experiment, random_network

FBANK = Features(type="fbank", window="povey", preemphasis=0.97, low_freq=20.0, num_bins=80)
pytestmark = needs_node


def voice(seconds=0.8, seed=0):
    """A gliding buzz in some noise, float32."""
    rng, count = np.random.default_rng(seed), int(16000 * seconds)
    phase = 2 * np.pi * np.cumsum(np.linspace(220, 120, count)) / 16000
    buzz = sum(np.sin(number * phase) / number for number in range(1, 20))
    return (0.1 * buzz + 0.003 * rng.normal(size=count)).astype(np.float32)


def log_probs_of(frames, tokens, seed=0):
    logits = np.random.default_rng(seed).normal(size=(frames, tokens)) * 3
    logits[::2, 0] += 4
    return (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)


def as_js(log_probs):
    return {"frames": log_probs.shape[0], "tokens": log_probs.shape[1], "data": log_probs.astype(float).ravel()}


@pytest.mark.parametrize("changes", [
    {}, {"high_freq": 6400.0, "floor_db": -67.0}, {"window": "hamming", "preemphasis": 0.0, "num_bins": 40},
    {"window": "hanning", "frame_shift_ms": 12.5}, {"window": "blackman", "high_freq": -400.0},
    {"high_freq": -400.0, "snip_edges": False}, {"frame_shift_ms": 12.5, "snip_edges": False},
    {"level_db": -14.0},
])
def test_fbank_equals_kaldi_native_fbank(changes):
    config = FBANK.model_copy(update=changes)
    samples = np.concatenate([voice(), np.zeros(3000, np.float32), 1e-4 * voice(0.2, 1)])
    found = run_js("({samples, config}) => fbank(levelled(samples, config), config)",
                   {"samples": samples.astype(float), "config": front_end(config)})
    expected = compute_feats(samples, config)
    assert (found["frames"], found["bins"]) == expected.shape
    np.testing.assert_allclose(np.reshape(found["data"], expected.shape), expected, atol=1e-3)


def test_pitch():
    samples = np.concatenate([np.zeros(4000, np.float32), voice(), np.zeros(4000, np.float32)])
    found = np.array(run_js("pitch", samples.astype(float)), float)
    expected = pitch(samples, 16000)
    assert len(found) == len(expected)
    assert (np.isnan(found) == np.isnan(expected)).mean() > 0.95
    assert np.nanmax(np.abs(np.log(found / expected))) < 0.04


def test_greedy_and_alignment():
    log_probs = log_probs_of(40, 12)
    emissions = greedy(log_probs)
    labels = [one.token for one in emissions]
    for function, expected in (("greedy", emissions), ("log => align(log, greedy(log).map(one => one.token))",
                                                       align(log_probs, labels))):
        found = run_js(function, as_js(log_probs))
        assert [(one["token"], one["first"], one["last"]) for one in found] == [tuple(one[:3]) for one in expected]
        np.testing.assert_allclose([one["posterior"] for one in found], [one.posterior for one in expected], rtol=1e-5)


def test_times_of_syllables():
    silence = np.zeros(5000, np.float32)
    samples = np.concatenate([silence, voice(0.3), silence, voice(0.5, 2), silence])
    feats, spikes = compute_feats(samples, FBANK), [44, 100, 115]
    edges = boundaries(voice_of(feats, FBANK), spikes, 0.4, 10.0)
    expected = [without_pauses(feats.mean(axis=1), *edge, 12) for edge in itertools.pairwise(edges)]
    assert [first for first, _ in expected] + [expected[-1][1]] != edges
    emissions = [{"first": spike / 2 - 1, "last": spike / 2 + 1} for spike in spikes]
    found = run_js("([emissions, features]) => spans(emissions, features, 2, 0.4, 10)", [
        emissions, {"frames": feats.shape[0], "bins": feats.shape[1], "data": feats.astype(float).ravel()}])
    np.testing.assert_allclose([[one["begin"], one["end"]] for one in found], np.array(expected) / 100)


@pytest.mark.parametrize("labels", [[], [3], [3, 3, 7, 1]])
def test_edits(labels):
    log_probs = log_probs_of(25, 9, seed=len(labels))
    found = run_js("([log, labels]) => edits(log, labels)", [as_js(log_probs), labels])
    expected = edits(log_probs, labels)
    assert found["total"] == pytest.approx(expected.total, abs=1e-6)
    np.testing.assert_allclose(found["between"], expected.between, atol=1e-6)
    np.testing.assert_allclose(np.reshape(found["instead"], expected.instead.shape), expected.instead, atol=1e-6)


def test_verdicts():
    tokens = ["<blk>", *(token for token in all_syllables() if token[:-1] in ("ni", "li", "hao", "ma", "wo", "bu"))]
    parts, reading = TokenParts(tokens), reading_aloud("你好我不马")
    for seed in range(5):
        log_probs = log_probs_of(30, len(tokens), seed)
        heard, verdicts = assess(log_probs, reading, parts)
        found = run_js("({log, targets, tokens, parts}) => judge(log, targets, tokens, parts)", {
            "log": as_js(log_probs), "tokens": tokens,
            "parts": [["", "", ""], *(list(split(one)) for one in tokens[1:])],
            "targets": [target._asdict() for target in reading.targets]})
        assert [(one["target"], one["token"]) for one in found["heard"]] == [tuple(one) for one in heard]
        assert [one["error"] for one in found["verdicts"]] == [one.error for one in verdicts]
        for name, values in (("accuracy", [one.accuracy for one in verdicts]),
                             ("parts", np.exp([one.log_odds for one in verdicts]))):
            np.testing.assert_allclose([one[name] for one in found["verdicts"]], values, atol=1e-6)


def test_accents_and_digits_of_all_syllables():
    syllables = [one for one in all_syllables() if any(vowel in one for vowel in "aeiouv")]
    marked, back = run_js("all => [all.map(accent), all.map(one => digits(accent(one)))]", syllables)
    assert marked == [accented(one) for one in syllables]
    assert back == syllables
    assert run_js("all => all.map(digits)", ["Lü4", "lu:4", "NI3", "de", "de0", "jǘ"]) == [
        "lv4", "lv4", "ni3", "de5", "de5", "ju2"]


def test_texts():
    texts = ["你好", "不是一个人", "第一次看一看", "银行的音乐", "我想买五把雨伞，好吗？", "ni3hao3 ma", "nǐ hǎo",
             "他觉得很快乐。"]
    found = run_js("([texts, dictionary]) => texts.map(text => readText(text, loadDictionary(dictionary)))",
                   [texts, _dictionary()])
    for text, one in zip(texts, found, strict=True):
        assert one["unknown"] == []
        expected = reading_aloud(text).targets
        assert [target["syllable"] for target in one["targets"]] == [target.syllable for target in expected], text
        assert [sorted(target["accepted"]) for target in one["targets"]] == [
            sorted(target.accepted) for target in expected], text


def small_page(path, kind, features=FBANK, std=3):
    """The demo of a network with random weights. Returns its config and its ONNX model."""
    config = experiment(KINDS[kind]).model_copy(update={"features": features})
    network = random_network(config, TOKENS, features.num_bins)
    statistics = np.linspace(7, 9, features.num_bins, dtype=np.float32), np.full(features.num_bins, std, np.float32)
    model = onnx_model(config, TOKENS, network, *statistics)
    write_demo(path, model, config, TOKENS, statistics, {"spike_place": 0.4})
    return config, model


@pytest.mark.parametrize("kind,cmn_frames", [*((kind, 0) for kind in KINDS), ("residual", 200)])
def test_network_equals_onnx_runtime(tmp_path, kind, cmn_frames):
    changes = {"num_bins": 20, "cmn_frames": cmn_frames}
    config, model = small_page(tmp_path / "demo.html", kind, FBANK.model_copy(update=changes))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    page = (tmp_path / "demo.html").read_text(encoding="utf-8")
    for frames in (33, 64, 71):
        feats = np.random.default_rng(frames).normal(8, 6, (frames, 20)).astype(np.float32)
        [expected] = session.run(["log_probs"], {"x": feats[None], "x_lens": np.array([frames])})
        found = run_js("({model, weights, feats}) => runNetwork(loadModel(model, weights), {...feats, data: "
                       "Float32Array.from(feats.data)})", {
            "model": json.loads(re.search('id="model">(.*?)</script>', page)[1]),
            "weights": re.search('id="weights">(.*?)</script>', page)[1],
            "feats": {"frames": frames, "bins": 20, "data": feats.astype(float).ravel()}})
        assert found["frames"] == out_frames(config.experiment.model, frames) == expected.shape[1]
        np.testing.assert_allclose(np.reshape(found["data"], expected[0].shape), expected[0], atol=1e-4)


def test_confidences_are_calibrated():
    probabilities = [0.0, 0.2, 0.9, 0.999, 1.0]
    found = run_js("values => values.map(value => calibrated({slope: 0.7, offset: -0.3}, value))", probabilities)
    np.testing.assert_allclose(found, [Calibration(0.7, -0.3)(one) for one in probabilities], rtol=1e-9)


def test_nothing_in_the_page_comes_from_elsewhere(tmp_path):
    small_page(tmp_path / "demo.html", "residual")
    page = (tmp_path / "demo.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["']|@import|url\(|https?://""", page)
    assert "default-src 'none'" in page


def test_spectrograms_have_no_page(tmp_path):
    with pytest.raises(UserError, match="fbank"):
        small_page(tmp_path / "demo.html", "plain", Features(type="spectrogram", num_bins=20))
    assert not (tmp_path / "demo.html").exists()
