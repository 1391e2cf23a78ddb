"""How samples become frames: lengths and windows, shared by every kind of features."""

import functools

import kaldi_native_fbank as knf
import numpy as np

from steps.config.schema import Features

FULL_SCALE = 32768.0  # Kaldi computes on 16-bit numbers


@functools.lru_cache(maxsize=8)
def frame_options(config: Features) -> knf.FrameExtractionOptions:
    """The config as Kaldi's FrameExtractionOptions: no dither, whole frames alone (snip_edges)."""
    options = knf.FrameExtractionOptions()
    options.samp_freq = config.sample_rate
    options.frame_length_ms = config.frame_length_ms
    options.frame_shift_ms = config.frame_shift_ms
    options.window_type = config.window
    options.preemph_coeff = config.preemphasis
    options.dither = 0.0
    options.snip_edges = True
    return options


@functools.lru_cache(maxsize=8)
def window(config: Features) -> np.ndarray:
    """The window function, float32 (frame_length,)."""
    return np.array(knf.FeatureWindowFunction(frame_options(config)).window, np.float32)


@functools.lru_cache(maxsize=8)
def noise_energy(config: Features) -> float:
    """Energy that white noise of `floor_db` has in a bin of the FFT: the floor of all features.

    By default the noise is of one 16-bit step, which Kaldi's default dither leaves in digital silence; without it that
    would be minus infinity. A higher floor fills the holes that mp3 and its like cut into a spectrogram. Nothing is
    random here.
    """
    deviation = FULL_SCALE * 10 ** (config.floor_db / 20)
    return float(deviation**2 * np.square(window(config), dtype=np.float64).sum())


def frame_length(config: Features) -> int:
    """Samples of a frame."""
    return int(config.sample_rate * config.frame_length_ms * 0.001)


def frame_shift(config: Features) -> int:
    """Samples from a frame's begin to the next one's."""
    return int(config.sample_rate * config.frame_shift_ms * 0.001)


def num_frames(samples: int, config: Features) -> int:
    """Frames that fit whole into `samples` (Kaldi's snip_edges): frame t begins at t × frame_shift."""
    return max(0, 1 + (samples - frame_length(config)) // frame_shift(config))
