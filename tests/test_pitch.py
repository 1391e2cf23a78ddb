"""The pitch contour: known pitches of synthetic voices, silence, noise."""

import numpy as np
import pytest

from steps.deploy.pronounce_page import SHIFT_S, pitch

RATE = 16000


def voice(hertz):
    """A buzz with the given pitch at each sample, as a voice has it: harmonics that fall off."""
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    return sum(np.sin(number * phase) / number for number in range(1, 9)).astype(np.float32) * 0.2


@pytest.mark.parametrize("begin,end", [(200, 200), (120, 120), (250, 90), (100, 220), (380, 300), (75, 75)])
def test_finds_the_pitch_of_a_glide(begin, end):
    hertz = np.linspace(begin, end, RATE)
    found = pitch(voice(hertz), RATE)
    expected = hertz[((np.arange(len(found)) + 0.5) * SHIFT_S * RATE).astype(int)]
    inner = slice(3, -3)
    assert np.nanmax(np.abs(found[inner] / expected[inner] - 1)) < 0.04
    assert np.isnan(found[inner]).mean() < 0.02


def test_silence_and_noise_have_none():
    noise = np.random.default_rng(0).normal(size=RATE).astype(np.float32) * 0.1
    assert np.isnan(pitch(np.zeros(RATE, np.float32), RATE)).all()
    assert np.isnan(pitch(noise, RATE)).mean() > 0.9
    assert len(pitch(np.zeros(10, np.float32), RATE)) == 0


def test_voiced_part_alone():
    sound = np.concatenate([np.zeros(RATE // 2, np.float32), voice(np.full(RATE // 2, 150.0)),
                            np.zeros(RATE // 2, np.float32)])
    found = pitch(sound, RATE)
    voiced = np.flatnonzero(~np.isnan(found))
    assert 47 <= voiced[0] <= 53
    assert 95 <= voiced[-1] <= 103
