"""Spectrogram and fbank against independent references, and the properties that they must have."""

import itertools
from pathlib import Path

import kaldi_native_fbank as knf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import stft

from steps.common.errors import UserError
from steps.config.load import load_features
from steps.config.schema import Features
from steps.feats.compute import check_config, compute_feats, noise_energy, num_frames, stream_feats

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


def test_spectrogram_equals_the_definition():
    samples = speechlike()
    feats = compute_feats(samples, SPECTROGRAM)
    assert feats.dtype == np.float32 and feats.shape == (98, 200)
    np.testing.assert_allclose(feats, naive_spectrogram(samples), atol=2e-3)


def test_spectrogram_equals_scipy():
    samples, hamming = speechlike(seed=1), np.hamming(400)
    _, _, slices = stft(samples.astype(np.float64) * 32768, window=hamming, nperseg=400, noverlap=240, boundary=None,
                        padded=False)
    reference = np.log(np.abs(slices[:200].T) * hamming.sum())
    np.testing.assert_allclose(compute_feats(samples, SPECTROGRAM), reference, atol=2e-3)


def test_fbank_equals_the_definition():
    samples = speechlike()
    feats = compute_feats(samples, FBANK)
    assert feats.dtype == np.float32 and feats.shape == (98, 80)
    np.testing.assert_allclose(feats, naive_fbank(samples), atol=5e-3)


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


def test_fbank_equals_kaldi_native_fbank_at_its_defaults():
    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 80
    fbank = knf.OnlineFbank(options)
    samples = speechlike(200_000)
    fbank.accept_waveform(16000, (samples * 32768).tolist())
    fbank.input_finished()
    reference = np.stack([fbank.get_frame(frame) for frame in range(fbank.num_frames_ready)])
    feats, floor = compute_feats(samples, FBANK), np.float32(np.log(noise_energy(FBANK)))
    assert (reference > floor).mean() > 0.99
    np.testing.assert_array_equal(feats, np.maximum(reference, floor))


@pytest.mark.parametrize("config", [SPECTROGRAM, FBANK, SHERPA], ids=["spectrogram", "fbank", "sherpa"])
@settings(deadline=None, max_examples=30)
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
@settings(deadline=None, max_examples=30)
@given(samples=st.integers(400, 4000), hops=st.integers(0, 20))
def test_a_shift_by_whole_hops_shifts_the_frames(config, samples, hops):
    audio = speechlike(samples + hops * 160)
    late = compute_feats(audio[hops * 160:], config)
    assert late.shape == (1 + (samples - 400) // 160, config.num_bins)
    np.testing.assert_allclose(compute_feats(audio, config)[hops:], late, atol=1e-3)


@BOTH
@settings(deadline=None, max_examples=30)
@given(gain=st.floats(0.5, 4.0))
def test_gain_adds_to_the_logarithm(config, gain):
    samples = speechlike(4000)
    quiet, loud = compute_feats(samples, config), compute_feats(samples * np.float32(gain), config)
    power = 2 if config.type == "fbank" else 1
    clear = np.minimum(quiet, loud) > quiet.min() + 2  # away from the floor
    np.testing.assert_allclose((loud - quiet)[clear], power * np.log(gain), atol=2e-3)


@BOTH
def test_no_frame_is_lost_at_the_end(config):
    silence = np.zeros(400 + 9 * 160, np.float32)
    last = silence.copy()
    last[-160:] = speechlike(160)
    assert (compute_feats(last, config)[-1] > compute_feats(silence, config)[-1]).any()


@BOTH
@pytest.mark.parametrize("level", [0.0, 1e-12, 1.0, -1.0])
def test_silence_and_full_scale_are_finite(config, level):
    feats = compute_feats(np.full(1600, level, np.float32), config)
    assert np.isfinite(feats).all()
    assert level or (feats == feats.min()).all()


@BOTH
def test_silence_lies_below_the_noise_of_sixteen_bits(config):
    noise = np.random.default_rng(0).integers(-2, 3, 16000) / np.float32(32768)
    silence = compute_feats(np.zeros(400, np.float32), config)
    assert compute_feats(noise.astype(np.float32), config).mean() > silence.max()


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
def test_repeats_bit_for_bit_and_leaves_its_input_alone(config):
    samples = speechlike()
    before = samples.copy()
    np.testing.assert_array_equal(compute_feats(samples, config), compute_feats(samples, config))
    np.testing.assert_array_equal(samples, before)


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
