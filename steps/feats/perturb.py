"""Changed copies of a training utterance, made from its waveform: another voice, another room, noise.

Played faster, pitch and formants rise together, as of a smaller speaker (Ko et al. 2015, "Audio augmentation for speech
recognition"). Another voice has pitch and formants of its own, by analysis and synthesis (WORLD, Morise et al. 2016).
Rooms and noise are made up, so that nothing need be downloaded (as Ko et al. 2017 simulate them).
"""

import hashlib

import numpy as np
import pyworld
import soxr

from steps.config.schema import Copy

FRAME_S = 0.025  # over which loudness is measured
BLOCK = 4096  # frames at once: an hour of audio would take gigabytes
LOUD = 0.9  # quantile of the frames' energies that is the level of speech
TILTS = 0.0, 1.0  # how steeply the amplitude of noise falls with frequency: from not at all to in proportion
SHORTEST_REVERB_S = 0.1
DIRECT_DB = 0.0, 12.0  # direct sound over reverberation
DIRECT_S = 0.003  # nothing arrives so soon behind the direct sound
SNR_SPREAD_DB = 20.0  # above the lowest ratio
PITCH_HZ = 60.0, 600.0  # where voices are looked for
VOICE_SHIFT_MS = 10.0  # between frames of analysis


def level_speech(samples: np.ndarray, sample_rate: int, level_db: float) -> np.ndarray:
    """`samples` scaled so that the level of speech is `level_db` (dBFS); digital silence stays as it is."""
    level = speech_level(samples, sample_rate)
    return samples * np.float32(10 ** (level_db / 20) / level) if level > 0 else samples


def speech_level(samples: np.ndarray, sample_rate: int) -> float:
    """Root mean square of the frame at the quantile LOUD of all frames, full scale 1."""
    length = min(len(samples), int(FRAME_S * sample_rate))
    frames = samples[:len(samples) // length * length].reshape(-1, length)
    energies = [np.square(frames[begin:begin + BLOCK].astype(np.float64)).mean(axis=1)
                for begin in range(0, len(frames), BLOCK)]
    return float(np.sqrt(np.quantile(np.concatenate(energies), LOUD)))


def perturb(samples: np.ndarray, sample_rate: int, copy: Copy, utt: str) -> np.ndarray:
    """A changed copy of float32 `samples` (samples,), full scale ±1; `utt` and `copy` alone decide its noise."""
    rng = np.random.default_rng(list(hashlib.sha256(f"{utt} {copy!r}".encode()).digest()[:8]))
    if copy.speed != 1:
        samples = soxr.resample(samples, sample_rate * copy.speed, sample_rate, quality="HQ")
    if {*copy.pitch, *copy.formants} != {1.0}:
        pitch, formants = np.exp(rng.uniform(*np.log(copy.pitch))), rng.uniform(*copy.formants)
        samples = change_voice(samples, sample_rate, pitch, formants)
    if copy.reverb_s:
        seconds = rng.uniform(min(SHORTEST_REVERB_S, copy.reverb_s), copy.reverb_s)
        samples = reverberate(samples, sample_rate, seconds, rng.uniform(*DIRECT_DB), rng)
    if copy.snr_db is not None:
        snr_db = copy.snr_db + rng.uniform(0, SNR_SPREAD_DB)
        samples = add_noise(samples, sample_rate, snr_db, rng.uniform(*TILTS), rng)
    return samples.astype(np.float32)


def change_voice(samples: np.ndarray, sample_rate: int, pitch: float, formants: float) -> np.ndarray:
    """The same speech, as long as before, by a voice with `pitch` times the pitch and `formants` times the formants."""
    from scipy.interpolate import interp1d  # here, as for fftconvolve below: it takes half a second to import

    wave = samples.astype(np.float64)
    low, high = PITCH_HZ
    hertz, times = pyworld.dio(wave, sample_rate, f0_floor=low, f0_ceil=high, frame_period=VOICE_SHIFT_MS)
    hertz = pyworld.stonemask(wave, hertz, times, sample_rate)
    envelope = pyworld.cheaptrick(wave, hertz, times, sample_rate, f0_floor=low)  # power, (frames, bins)
    aperiodicity = pyworld.d4c(wave, hertz, times, sample_rate, fft_size=2 * (envelope.shape[1] - 1))
    bins = np.arange(envelope.shape[1])
    sources = np.minimum(bins / formants, bins[-1])
    envelope, aperiodicity = (np.ascontiguousarray(interp1d(bins, values)(sources))
                              for values in (envelope, aperiodicity))
    spoken = pyworld.synthesize(hertz * pitch, envelope, aperiodicity, sample_rate, VOICE_SHIFT_MS)[:len(samples)]
    return np.pad(spoken, (0, len(samples) - len(spoken)))


def reverberate(samples: np.ndarray, sample_rate: int, seconds: float, direct_db: float, rng: np.random.Generator
                ) -> np.ndarray:
    """Speech in a room: the direct sound, and behind it noise that decays by 60 dB in `seconds`, as long as before.

    Args:
        direct_db: energy of the direct sound over that of the noise.
    """
    from scipy.signal import fftconvolve  # a second, which recognition and most features need not wait for

    times = np.arange(max(2, int(seconds * sample_rate))) / sample_rate
    response = rng.standard_normal(len(times)) * 10 ** (-3 * times / seconds)
    response[:int(DIRECT_S * sample_rate)] = 0
    response *= 10 ** (-direct_db / 20) / np.sqrt(np.square(response).sum() + 1e-20)
    response[0] = 1.0
    return fftconvolve(samples, response)[:len(samples)]


def add_noise(samples: np.ndarray, sample_rate: int, snr_db: float, tilt: float, rng: np.random.Generator
              ) -> np.ndarray:
    """Speech with steady noise, whose level is `snr_db` below that of speech.

    Args:
        tilt: 0: white; 1: its amplitude falls in proportion to frequency, above 100 Hz.
    """
    spectrum = np.fft.rfft(rng.standard_normal(len(samples)))
    hertz = np.fft.rfftfreq(len(samples), 1 / sample_rate)
    noise = np.fft.irfft(spectrum / np.maximum(hertz, 100.0) ** tilt, len(samples))
    noise *= speech_level(samples, sample_rate) * 10 ** (-snr_db / 20) / np.sqrt(np.square(noise).mean())
    return samples + noise
