"""Features of one utterance, whatever their kind."""

import numpy as np

from steps.common.errors import UserError
from steps.config.schema import Features
from steps.feats.fbank import compute_fbank
from steps.feats.frames import frame_length, num_frames
from steps.feats.spectrogram import compute_spectrogram

COMPUTE = {"spectrogram": compute_spectrogram, "fbank": compute_fbank}


def compute_feats(samples: np.ndarray, config: Features) -> np.ndarray:
    """Features of float32 `samples` (samples,) at the config's sample rate, full scale ±1: float32 (frames, num_bins).

    Frame t begins t × frame_shift_ms after the first sample; only whole frames count.
    Raises UserError where there is none.
    """
    if not num_frames(len(samples), config):
        raise UserError(f"{len(samples) / config.sample_rate * 1000:.1f} ms of audio are shorter than a frame "
                        f"of {config.frame_length_ms:g} ms")
    return COMPUTE[config.type](samples, config)


def check_config(config: Features, where: str) -> None:
    """Raise UserError, naming `where`, for options that kaldi-native-fbank refuses (frequencies, too many bins)."""
    try:
        compute_feats(np.zeros(frame_length(config), np.float32), config)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
