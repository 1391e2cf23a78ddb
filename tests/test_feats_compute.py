"""Spectrogram and fbank against independent references, and the properties that they must have."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.common.errors import UserError
from steps.config.load import load_features
from steps.config.schema import Features
from steps.feats.compute import check_config, compute_feats, num_frames, stream_feats

CONF = Path(__file__).parent.parent / "conf"
SPECTROGRAM, SHERPA = load_features("spectrogram", CONF), load_features("fbank", CONF)
FBANK = SHERPA.model_copy(update={"high_freq": 0.0, "snip_edges": True})  # Kaldi's defaults
BOTH = pytest.mark.parametrize("config", [SPECTROGRAM, FBANK], ids=["spectrogram", "fbank"])


def speechlike(samples: int = 16000, seed: int = 0) -> np.ndarray:
    """A gliding harmonic tone in noise: float32, well above one 16-bit step in every band."""
    rng = np.random.default_rng(seed)
    phase = 2 * np.pi * np.cumsum(np.linspace(120, 240, samples)) / 16000
    tones = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 20))
    return (0.1 * tones + 0.01 * rng.normal(size=samples)).astype(np.float32)


def naive_spectrogram(samples: np.ndarray, bins: int = 200) -> np.ndarray:
    """Frame by frame by the definition of the DFT, in float64."""
    time = np.arange(400)
    hamming = 0.54 - 0.46 * np.cos(2 * np.pi * time / 399)
    dft = np.exp(-2j * np.pi * np.outer(time, np.arange(bins)) / 400)
    rows = []
    for begin in range(0, len(samples) - 400 + 1, 160):
        frame = samples[begin:begin + 400].astype(np.float64) * 32768 * hamming
        rows.append(np.log(np.maximum(np.abs(frame @ dft), np.sqrt((hamming**2).sum()))))
    return np.array(rows)


def naive_fbank(samples: np.ndarray, bins: int = 80) -> np.ndarray:
    """Kaldi's compute-fbank-feats by its documentation, in float64: povey window, mel triangles, 512-point FFT."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)

    def mel(hertz):
        return 1127 * np.log(1 + np.asarray(hertz) / 700)

    edges = np.linspace(mel(20), mel(8000), bins + 2)
    at = mel(np.arange(256) * 16000 / 512)[:, None]
    triangles = np.maximum(0, np.minimum((at - edges[:-2]) / (edges[1:-1] - edges[:-2]),
                                         (edges[2:] - at) / (edges[2:] - edges[1:-1])))
    rows = []
    for begin in range(0, len(samples) - 400 + 1, 160):
        frame = samples[begin:begin + 400].astype(np.float64) * 32768
        frame = frame - frame.mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.rfft(frame * hann**0.85, 512)[:256])**2
        rows.append(np.log(np.maximum(power @ triangles, (hann**1.7).sum())))
    return np.array(rows)


@pytest.mark.parametrize(("config", "definition"), [(SPECTROGRAM, naive_spectrogram), (FBANK, naive_fbank)],
                         ids=["spectrogram", "fbank"])
@pytest.mark.parametrize("samples", [400, 559, 560, 16000])
def test_features_equal_the_definition(config, definition, samples):
    """Of speech, and of silence behind it."""
    audio = np.concatenate([speechlike(samples), np.zeros(1600, np.float32)])
    before = audio.copy()
    feats = compute_feats(audio, config)
    assert feats.dtype == np.float32
    np.testing.assert_allclose(feats, definition(audio), atol=5e-3)
    np.testing.assert_array_equal(audio, before)


def test_mirrored_edges_equal_the_definition():
    """Frame t has 160 t to 160 (t + 1) for its middle; what lies outside the audio is its mirror image."""
    samples = speechlike(16_090)
    config = SHERPA.model_copy(update={"high_freq": 0.0})
    frames = num_frames(len(samples), config)
    assert frames == 101
    mirrored = np.concatenate([samples[:120][::-1], samples, samples[::-1][:400]])
    feats = compute_feats(samples, config)
    assert feats.shape == (frames, 80)
    np.testing.assert_allclose(feats, naive_fbank(mirrored)[:frames], atol=5e-3)


@pytest.mark.parametrize("config", [SPECTROGRAM, FBANK, SHERPA], ids=["spectrogram", "fbank", "sherpa"])
@settings(max_examples=30)
@given(cuts=st.lists(st.integers(0, 5000), max_size=6), samples=st.integers(1200, 5000))
def test_a_stream_gives_what_the_whole_does(config, cuts, samples):
    """However the audio is cut, also into nothing."""
    audio = speechlike(samples)
    edges = [0, *sorted(min(cut, samples) for cut in cuts), samples]
    parts = stream_feats((audio[begin:end] for begin, end in itertools.pairwise(edges)), config)
    np.testing.assert_array_equal(np.concatenate(list(parts)), compute_feats(audio, config))


@BOTH
def test_long_audio_in_blocks_equals_its_parts(config):
    samples = speechlike(160 * 9000)
    whole, part = compute_feats(samples, config), compute_feats(samples[160 * 4000:160 * 4400], config)
    assert len(whole) == num_frames(len(samples), config)
    np.testing.assert_allclose(whole[4000:4000 + len(part)], part, atol=1e-4)


@BOTH
def test_nothing_lies_below_white_noise_at_floor_db(config):
    high = config.model_copy(update={"floor_db": -50.0})
    noise = np.random.default_rng(0).normal(scale=10 ** (-50 / 20), size=160_000).astype(np.float32)
    power = 1 if config.type == "fbank" else 2
    silence = compute_feats(np.zeros(400, np.float32), high)
    assert (silence == silence[0, 0]).all()
    if config.type == "spectrogram":
        loudness = np.log(np.mean(np.exp(power * compute_feats(noise, config))))
        assert abs(power * silence[0, 0] - loudness) < 0.1
    np.testing.assert_array_equal(compute_feats(speechlike(), high),
                                  np.maximum(compute_feats(speechlike(), config), silence[0, 0]))


@BOTH
@pytest.mark.parametrize("samples", [0, 1, 399])
def test_shorter_than_a_frame(config, samples):
    with pytest.raises(UserError, match="shorter than a frame of 25 ms"):
        compute_feats(np.zeros(samples, np.float32), config)


def test_other_rates_and_windows():
    config = Features(type="spectrogram", sample_rate=8000, num_bins=101, window="povey", frame_shift_ms=12.5)
    assert compute_feats(speechlike(8000), config).shape == (79, 101)
    config = Features(type="fbank", sample_rate=8000, num_bins=40, low_freq=100.0, high_freq=-200.0)
    assert compute_feats(speechlike(8000), config).shape == (98, 40)


@pytest.mark.parametrize("wrong, word", [
    ({"type": "spectrogram", "num_bins": 202}, "201 bins"),
    ({"type": "spectrogram", "preemphasis": 0.97}, "fbank alone"),
    ({"type": "spectrogram", "snip_edges": False}, "fbank alone"),
    ({"type": "fbank", "frame_shift_ms": 0.01}, "a sample"),
])
def test_configs_that_make_no_sense(wrong, word):
    with pytest.raises(ValueError, match=word):
        Features(**wrong)


@pytest.mark.parametrize("wrong", [{"num_bins": 2}, {"num_bins": 250}, {"high_freq": 9000.0}])
def test_configs_that_kaldi_refuses(wrong):
    with pytest.raises(UserError, match=r"^my\.yaml: "):
        check_config(Features(type="fbank", **wrong), "my.yaml")
