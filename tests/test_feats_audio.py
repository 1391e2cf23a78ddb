"""Reading audio of every kind. What is refused: tests/faults/test_recordings.py."""

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from steps.feats.audio import load_audio, read_audio

RATE = 16000
TONE_HZ = 440.0


def tone(rate: int, seconds: float = 0.5, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * TONE_HZ * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def inner_error(read: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference away from the ends, where resamplers and codecs differ."""
    length = min(len(read), len(expected))
    return float(np.abs(read[:length] - expected[:length])[800:-800].max())


@pytest.mark.parametrize("subtype, step", [("PCM_16", 2**-15), ("PCM_24", 2**-23), ("FLOAT", 0.0), ("PCM_U8", 2**-7)])
def test_wav_of_any_depth_is_scaled_to_one(tmp_path, subtype, step):
    soundfile.write(tmp_path / "a.wav", tone(RATE), RATE, subtype)
    read = read_audio(tmp_path / "a.wav", RATE)
    assert read.dtype == np.float32 and read.shape == (8000,)
    assert np.abs(read - tone(RATE)).max() <= step


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_other_rates_are_resampled(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", tone(rate), rate, "FLOAT")
    audio = load_audio(tmp_path / "a.wav", RATE)
    assert (audio.file_rate, audio.file_channels) == (rate, 1)
    assert abs(len(audio.samples) - 8000) <= 1
    assert audio.samples.dtype == np.float32
    assert inner_error(audio.samples, tone(RATE)) < 1e-3


def test_resampling_agrees_with_scipy(tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, 48000)
    noise = resample_poly(noise, 1, 8)[:6000]  # a band that both filters leave alone
    noise = resample_poly(noise, 8, 1).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, 48000, "FLOAT")
    assert inner_error(read_audio(tmp_path / "a.wav", RATE), resample_poly(noise, 1, 3)) < 1e-3


def test_what_lies_above_the_new_band_is_removed(tmp_path):
    high = np.sin(2 * np.pi * 11000 * np.arange(48000) / 48000)
    soundfile.write(tmp_path / "a.wav", high, 48000, "FLOAT")
    assert np.abs(read_audio(tmp_path / "a.wav", RATE)[800:-800]).max() < 1e-4


def test_channels_are_averaged(tmp_path):
    left, right = tone(RATE), np.random.default_rng(0).uniform(-0.5, 0.5, 8000).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), RATE, "FLOAT")
    audio = load_audio(tmp_path / "a.wav", RATE)
    assert audio.file_channels == 2
    np.testing.assert_allclose(audio.samples, (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("name, tolerance", [("a.flac", 2**-15), ("a.ogg", 0.03), ("a.mp3", 0.03)])
def test_compressed_files(tmp_path, name, tolerance):
    soundfile.write(tmp_path / name, tone(RATE), RATE)
    assert inner_error(read_audio(tmp_path / name, RATE), tone(RATE)) < tolerance
