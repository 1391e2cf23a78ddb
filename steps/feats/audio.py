"""Audio files as the front end wants them: one channel, one sample rate, float32."""

import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import soxr

from steps.corpus.audio import audio_info, read_blocks
from steps.corpus.whole import doubtful_end

CANCELLED = 0.01  # energy of the channels' mean over that of a channel: 20 dB less, as of channels that are inverted


class Audio(NamedTuple):
    """A recording after mixing down and resampling, and what its file held."""

    samples: np.ndarray  # float32 (samples,), full scale is ±1
    file_rate: int  # Hz
    file_channels: int


class AudioStream(NamedTuple):
    """As `Audio`, of a recording of any length."""

    blocks: Iterator[np.ndarray]  # float32 (samples,) each
    file_rate: int
    file_channels: int
    inverted: bool  # the channels' mean would be next to nothing, so that the loudest is taken
    doubt: str | None  # what makes doubtful that the file is whole


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
    blocks = _mono(path, loudest)
    if info.rate != sample_rate:
        blocks = resampled(blocks, info.rate, sample_rate)
    return AudioStream(blocks, info.rate, info.channels, loudest is not None, doubtful_end(path))


def _mono(path: str | os.PathLike, channel: int | None) -> Iterator[np.ndarray]:
    """One channel, or the mean of all where None is given."""
    for block in read_blocks(path):
        if channel is None and block.shape[1] > 1:
            yield block.mean(axis=1, dtype=np.float32)
        else:
            yield np.ascontiguousarray(block[:, channel or 0])


def _loudest_of_inverted(path: str | os.PathLike) -> int | None:
    """The loudest channel where the channels cancel each other; None where they do not."""
    energies, mean_energy = 0.0, 0.0
    for block in read_blocks(path):
        energies = energies + np.square(block, dtype=np.float64).sum(axis=0)
        mean_energy += float(np.square(block.mean(axis=1, dtype=np.float64)).sum())
    return int(np.argmax(energies)) if mean_energy < CANCELLED * np.mean(energies) else None


def resampled(blocks: Iterator[np.ndarray], rate: int, wanted: int) -> Iterator[np.ndarray]:
    """The blocks at another rate, the same as if they were resampled as a whole."""
    resampler = soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
