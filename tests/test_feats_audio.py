"""Reading audio of any depth and rate, and changed copies of training utterances: what speed, rooms, noise and levels
do to the sound. What is refused: tests/faults/test_recordings.py."""

import numpy as np
import pytest
import soundfile
from scipy import signal

from steps.config.schema import Copy, Features
from steps.feats.archive import apply_cmvn
from steps.feats.audio import add_noise, change_voice, level_speech, load_audio, perturb, reverberate, speech_level
from steps.feats.compute import compute_feats

RATE = 16000


def tone(seconds=1.0, rate=RATE):
    return (0.1 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


@pytest.mark.parametrize(("subtype", "step"), [("PCM_16", 2**-15), ("PCM_24", 2**-23), ("FLOAT", 0), ("PCM_U8", 2**-7)])
def test_wav_of_any_depth_is_scaled_to_one(tmp_path, subtype, step):
    soundfile.write(tmp_path / "a.wav", tone(), RATE, subtype)
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav", RATE).samples, tone(), rtol=0, atol=step)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_other_rates_are_resampled(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", tone(rate=rate), rate, "FLOAT")
    audio = load_audio(tmp_path / "a.wav", RATE)
    assert (audio.file_rate, audio.file_channels) == (rate, 1)
    assert abs(len(audio.samples) - RATE) <= 1 and audio.samples.dtype == np.float32
    np.testing.assert_allclose(audio.samples[800:15200], tone()[800:15200], atol=1e-3)  # away from the ends


def loudest_hertz(samples):
    return np.argmax(np.abs(np.fft.rfft(samples))) * RATE / len(samples)


@pytest.mark.parametrize("speed", [0.8, 1.0, 1.25])
def test_speed_shortens_and_raises_pitch_alike(speed):
    faster = perturb(tone(), RATE, Copy(speed=speed), "utt")
    assert len(faster) == pytest.approx(RATE / speed, abs=2) and faster.dtype == np.float32
    assert loudest_hertz(faster) == pytest.approx(440 * speed, rel=0.01)


def test_noise_has_the_ratio_that_is_asked_for():
    rng = np.random.default_rng(0)
    speech = tone(seconds=2.0)
    for tilt, falls in ((0.0, False), (1.0, True)):
        noise = add_noise(speech, RATE, 12.0, tilt, rng) - speech
        assert 20 * np.log10(speech_level(speech, RATE) / np.sqrt(np.square(noise).mean())) == pytest.approx(12, abs=.1)
        hertz, power = signal.welch(noise, RATE)
        low, high = power[(hertz > 500) & (hertz < 1000)].mean(), power[(hertz > 4000) & (hertz < 8000)].mean()
        assert (low > 20 * high) if falls else low == pytest.approx(high, rel=0.3)


def test_a_room_adds_a_tail_behind_a_click():
    click = np.zeros(RATE, np.float32)
    click[1000] = 1.0
    heard = reverberate(click, RATE, 0.3, 6.0, np.random.default_rng(0))
    assert len(heard) == len(click) and np.allclose(heard[:1000], 0, atol=1e-6)
    assert heard[1000] == pytest.approx(1.0, abs=1e-5)
    tail = np.square(heard[1001:])
    assert 10 * np.log10(1 / tail.sum()) == pytest.approx(6.0, abs=0.1)
    early, late = tail[RATE // 100:RATE // 20].mean(), tail[RATE // 5:RATE // 4].mean()
    assert 10 * np.log10(early / late) == pytest.approx(60 * (0.225 - 0.03) / 0.3, abs=4)


def test_a_copy_is_the_same_again_and_another_for_another_utterance():
    copy = Copy(speed=1.1, pitch=(0.5, 1.3), formants=(0.85, 1.15), reverb_s=0.4, snr_db=15)
    one, again, other = (perturb(tone(), RATE, copy, utt) for utt in ("a", "a", "b"))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)


def test_levels_become_one_and_silence_stays_silent():
    speech = np.concatenate([np.zeros(RATE // 2, np.float32), tone(), np.zeros(RATE // 2, np.float32)])
    for gain in (0.01, 1.0, 5.0):
        np.testing.assert_allclose(level_speech(gain * speech, RATE, -20.0), level_speech(speech, RATE, -20.0),
                                   rtol=1e-4, atol=1e-7)
    assert 20 * np.log10(speech_level(level_speech(speech, RATE, -20.0), RATE)) == pytest.approx(-20, abs=0.01)
    assert not level_speech(np.zeros(100, np.float32), RATE, -20.0).any()


def test_features_of_a_level_do_not_depend_on_the_recording_s():
    config = Features(type="fbank", window="povey", preemphasis=0.97, low_freq=20.0, floor_db=-67.0, level_db=-14.0)
    rng = np.random.default_rng(0)
    speech = (0.05 * rng.standard_normal(RATE)).astype(np.float32)
    np.testing.assert_allclose(compute_feats(speech, config), compute_feats(0.1 * speech, config), atol=2e-3)


def test_the_utterance_s_own_mean_counts_the_more_the_longer_it_is():
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=5).astype(np.float32), np.full(5, 2.0, np.float32)
    feats = (mean + 3 + rng.normal(size=(300, 5))).astype(np.float32)
    own = feats.astype(np.float64).mean(axis=0)
    for frames in (10, 300):
        part = feats[:frames]
        prior = (part.sum(axis=0) + 100 * mean.astype(np.float64)) / (frames + 100)
        np.testing.assert_allclose(apply_cmvn(part, mean, std, 100), (part - prior) / std, rtol=1e-4, atol=1e-5)
    left = [np.abs(apply_cmvn(feats[:frames], mean, std, 100).mean()) for frames in (10, 300)]
    assert left[0] > 1.2 and left[1] < 0.45
    np.testing.assert_allclose(apply_cmvn(np.tile(feats, (100, 1)), mean, std, 1)[:300], (feats - own) / std, atol=1e-3)


def voice(hertz, formant, seconds=1.0):
    """A buzz of `hertz` through one resonance, with its frequency moving as that of a spoken tone."""
    cycles = np.cumsum(hertz * (1 + 0.1 * np.sin(2 * np.pi * 2 * np.arange(int(RATE * seconds)) / RATE)) / RATE)
    pulses = np.diff(np.floor(cycles), prepend=0.0)
    radius = np.exp(-np.pi * 100 / RATE)
    poles = [1, -2 * radius * np.cos(2 * np.pi * formant / RATE), radius ** 2]
    buzz = signal.lfilter([1.0], poles, pulses)
    return (0.3 * buzz / np.abs(buzz).max()).astype(np.float32)


@pytest.mark.parametrize(("pitch", "formants"), [(0.6, 1.0), (1.3, 0.85), (1.0, 1.15)])
def test_another_voice_has_its_own_pitch_and_formants_and_the_same_length(pitch, formants):
    source = voice(200.0, 1500.0)
    changed = change_voice(source, RATE, pitch, formants)
    assert len(changed) == len(source) and np.isfinite(changed).all()

    def hertz(samples):
        part = np.abs(signal.hilbert(samples[7200:8800]))
        part -= part.mean()
        correlation = signal.correlate(part, part)[len(part) - 1:]
        return RATE / (RATE // 500 + np.argmax(correlation[RATE // 500:RATE // 80]))

    def resonance(samples):
        frequencies, power = signal.welch(samples, RATE, nperseg=512)
        around = (frequencies > 1000) & (frequencies < 2200)
        return (frequencies * power)[around].sum() / power[around].sum()

    assert hertz(changed) / hertz(source) == pytest.approx(pitch, rel=0.05)
    assert resonance(changed) / resonance(source) == pytest.approx(formants, rel=0.05)


@pytest.mark.parametrize("length", [0, 1, 100, 1600])
def test_silence_and_scraps_have_no_voice_to_change(length):
    changed = change_voice(np.zeros(length, np.float32), RATE, 0.6, 0.9)
    assert len(changed) == length and np.abs(changed).max(initial=0.0) < 1e-6
