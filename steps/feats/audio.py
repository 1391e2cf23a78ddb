"""Audio files as the front end wants them: one channel, one sample rate, float32."""

import os
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from steps.common.errors import UserError
from steps.corpus.validate import cut_short


class Audio(NamedTuple):
    """A recording after mixing down and resampling, and what its file held."""

    samples: np.ndarray  # float32 (samples,), full scale is ±1
    file_rate: int  # Hz
    file_channels: int


def read_audio(path: str | os.PathLike, sample_rate: int) -> np.ndarray:
    """The samples of an audio file, float32 (samples,) at `sample_rate` Hz, full scale ±1, channels averaged.

    Reads whatever libsndfile does (wav, flac, ogg, mp3…). Raises UserError as `load_audio` does.
    """
    return load_audio(path, sample_rate).samples


def load_audio(path: str | os.PathLike, sample_rate: int) -> Audio:
    """As `read_audio`, with the file's own sample rate and channel count.

    Raises UserError naming a file that is missing, that libsndfile can't decode to its end, or that holds no sample, or
    NaN or infinity.
    """
    samples, file_rate = _decode(path)
    if not len(samples):
        raise UserError(f"{path}: holds no sample")
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: holds samples that are NaN or infinite")
    channels = samples.shape[1]
    mono = samples[:, 0] if channels == 1 else samples.mean(axis=1, dtype=np.float32)
    if file_rate != sample_rate:
        mono = soxr.resample(mono, file_rate, sample_rate, quality="HQ")
    return Audio(mono, file_rate, channels)


def _decode(path: str | os.PathLike) -> tuple[np.ndarray, int]:
    """All samples, float32 (samples, channels), and their rate."""
    if not os.path.exists(path):
        raise UserError(f"{path}: no such file")
    if os.path.getsize(path) == 0:
        raise UserError(f"{path}: the file is empty")
    try:
        with soundfile.SoundFile(path) as file:
            samples = file.read(dtype="float32", always_2d=True)
            promised, file_rate, short = file.frames, file.samplerate, cut_short(file.extra_info)
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        reason = getattr(error, "error_string", str(error)).rstrip(".")
        raise UserError(f"{path}: not readable as audio: {reason}") from None
    if short:
        raise UserError(f"{path}: {short}")
    if len(samples) < promised:
        raise UserError(f"{path}: cut short or damaged: {len(samples)} of {promised} samples can be decoded")
    return samples, file_rate
