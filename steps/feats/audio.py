"""Audio as the front end wants it (one channel, one sample rate, float32), and changed copies of it for training.

Played faster, pitch and formants rise together, as of a smaller speaker (Ko et al. 2015, "Audio augmentation for speech
recognition"). Another voice has pitch and formants of its own, by analysis and synthesis (WORLD, Morise et al. 2016).
Rooms and noise are generated, so that nothing must be downloaded (as Ko et al. 2017 simulate them).
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyworld
import soxr

from steps.config.schema import Copy
from steps.corpus.audio import SILENT, audio_info, read_blocks
from steps.corpus.whole import doubtful_end

CANCELLED = 0.01  # energy of the channels' mean over that of a channel: 20 dB less, as of channels that are inverted
TOO_LOUD = 0.32  # root mean square of all samples, full scale 1: speech has up to 0.24, misread bits 0.33 or more
LOUD_NOISE = ("louder on the whole than speech can be: is it overdriven, or has a sample other bits than its header "
              "tells?")
DOUBLED = "each sample is there twice: are two channels read as one, because its header tells one?"


class Audio(NamedTuple):
    """A recording after mixing down and resampling, and what its file held."""

    samples: np.ndarray  # float32 (samples,), full scale is ±1
    file_rate: int  # Hz
    file_channels: int


class SampleCheck:
    """Passes blocks of samples on. After the last one, `doubt` says whether they can be speech."""

    def __init__(self, blocks: Iterator[np.ndarray]):
        self._blocks, self._count, self._energy = blocks, 0, 0.0
        self._silent = self._doubled = True

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self._blocks:
            self._count += len(block)
            self._energy += float(np.square(block, dtype=np.float64).sum())
            self._silent = self._silent and not np.ptp(block)
            self._doubled = self._doubled and np.array_equal(block[:-1:2], block[1::2])
            yield block

    @property
    def doubt(self) -> str | None:
        """What is odd about the samples, in words."""
        if self._silent:
            return SILENT
        if self._energy > TOO_LOUD**2 * self._count:
            return LOUD_NOISE
        return DOUBLED if self._doubled and self._count > 1 else None


class AudioStream(NamedTuple):
    """As `Audio`, of a recording of any length."""

    blocks: Iterable[np.ndarray]  # float32 (samples,) each
    file_rate: int
    file_channels: int
    inverted: bool  # the channels' mean would be almost nothing, so that the loudest is taken
    doubt: str | None  # what makes doubtful that the file is whole
    check: SampleCheck  # of its samples as they are in the file


def read_audio(path: str | os.PathLike, sample_rate: int) -> np.ndarray:
    """The samples of an audio file, float32 (samples,) at `sample_rate` Hz, full scale ±1, channels averaged.

    Reads whatever libsndfile does (wav, flac, ogg, mp3…). Raises UserError as `stream_audio` does.
    """
    return load_audio(path, sample_rate).samples


def load_audio(path: str | os.PathLike, sample_rate: int) -> Audio:
    """As `read_audio`, with the file's own sample rate and channel count."""
    stream = stream_audio(path, sample_rate)
    return Audio(np.concatenate(list(stream.blocks)), stream.file_rate, stream.file_channels)


def stream_audio(path: str | os.PathLike, sample_rate: int) -> AudioStream:
    """A recording in blocks at `sample_rate` Hz, its channels averaged; they are decoded as they are asked for.

    Raises UserError, at once or from `blocks`, for a file that `steps.corpus.audio.read_blocks` refuses.
    """
    info = audio_info(path)
    loudest = _loudest_of_inverted(path) if info.channels > 1 else None
    check = SampleCheck(_mono(path, loudest))
    blocks = check if info.rate == sample_rate else resampled(check, info.rate, sample_rate)
    return AudioStream(blocks, info.rate, info.channels, loudest is not None, doubtful_end(path), check)


def _mono(path: str | os.PathLike, channel: int | None) -> Iterator[np.ndarray]:
    """One channel, or the mean of all if None is given."""
    for block in read_blocks(path):
        if channel is None and block.shape[1] > 1:
            yield block.mean(axis=1, dtype=np.float32)
        else:
            yield np.ascontiguousarray(block[:, channel or 0])


def _loudest_of_inverted(path: str | os.PathLike) -> int | None:
    """The loudest channel if the channels cancel each other; None if they do not."""
    energies, mean_energy = 0.0, 0.0
    for block in read_blocks(path):
        energies = energies + np.square(block, dtype=np.float64).sum(axis=0)
        mean_energy += float(np.square(block.mean(axis=1, dtype=np.float64)).sum())
    return int(np.argmax(energies)) if mean_energy < CANCELLED * np.mean(energies) else None


def resampled(blocks: Iterable[np.ndarray], rate: int, wanted: int) -> Iterator[np.ndarray]:
    """Blocks, float32 (samples,), at `rate` Hz as blocks at `wanted` Hz: as if the whole were resampled (soxr, HQ)."""
    resampler = soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


FRAME_S = 0.025  # over which loudness is measured
BLOCK = 4096  # frames at once: an hour of audio would take gigabytes
LOUD = 0.9  # quantile of the frames' energies that is the level of speech
TILTS = 0.0, 1.0  # how steeply the amplitude of noise falls with frequency: from not at all to in proportion
SHORTEST_REVERB_S = 0.1
DIRECT_DB = 0.0, 12.0  # direct sound over reverberation
DIRECT_S = 0.003  # nothing arrives so soon after the direct sound
SNR_SPREAD_DB = 20.0  # above the lowest ratio
PITCH_HZ = 60.0, 600.0  # where voices are looked for
VOICE_SHIFT_MS = 10.0  # between frames of analysis


def level_speech(samples: np.ndarray, sample_rate: int, level_db: float) -> np.ndarray:
    """float32 `samples` (samples,) scaled so that the level of speech is `level_db` (dBFS). Digital silence stays."""
    level = speech_level(samples, sample_rate)
    return samples * np.float32(10 ** (level_db / 20) / level) if level > 0 else samples


def speech_level(samples: np.ndarray, sample_rate: int) -> float:
    """Root mean square of the frame at the quantile LOUD of all frames of `samples` (samples,), full scale 1."""
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
    """The same speech by a voice with `pitch` times the pitch and `formants` times the formants (WORLD).

    `samples` float (samples,) → float64 (samples,), as long as before.
    """
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
    """Speech in a room: the direct sound, and after it noise that decays by 60 dB in `seconds`.

    Args:
        samples: float (samples,); the result is as long.
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
        samples: float (samples,); the result is as long, float64.
        tilt: 0: white; 1: its amplitude falls in proportion to frequency, above 100 Hz.
    """
    spectrum = np.fft.rfft(rng.standard_normal(len(samples)))
    hertz = np.fft.rfftfreq(len(samples), 1 / sample_rate)
    noise = np.fft.irfft(spectrum / np.maximum(hertz, 100.0) ** tilt, len(samples))
    noise *= speech_level(samples, sample_rate) * 10 ** (-snr_db / 20) / np.sqrt(np.square(noise).mean())
    return samples + noise
