"""Audio files as the front end wants them: one channel, one sample rate, float32."""

import os
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from steps.common.errors import UserError


class Audio(NamedTuple):
    """A recording after resampling and mixing down, and what its file held."""

    samples: np.ndarray  # float32 (samples,), full scale is 1
    file_rate: int  # Hz
    file_channels: int


def read_audio(path: str | os.PathLike, sample_rate: int) -> np.ndarray:
    """The samples of an audio file, float32 (samples,) at `sample_rate` Hz, full scale ±1, channels averaged.

    Reads whatever libsndfile does (wav, flac, ogg, mp3…). Raises UserError as `load_audio` does.
    """
    return load_audio(path, sample_rate).samples


def load_audio(path: str | os.PathLike, sample_rate: int) -> Audio:
    """As `read_audio`, with the file's own sample rate and channel count.

    Raises UserError for a file that is missing, that libsndfile can't decode, or that holds no sample, NaN or infinity.
    """
    try:
        samples, file_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        reason = "no such file" if not os.path.exists(path) else f"not readable as audio: {_reason(error)}"
        raise UserError(f"{path}: {reason}") from None
    if not len(samples):
        raise UserError(f"{path}: holds no sample")
    channels = samples.shape[1]
    mono = samples[:, 0] if channels == 1 else samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise UserError(f"{path}: holds samples that are NaN or infinite")
    if file_rate != sample_rate:
        mono = soxr.resample(mono, file_rate, sample_rate, quality="HQ")
    return Audio(mono, file_rate, channels)


def _reason(error: Exception) -> str:
    """libsndfile's own words, where it has any."""
    return getattr(error, "error_string", str(error)).rstrip(".")
