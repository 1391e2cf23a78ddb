"""Kaldi's log mel filterbank, computed by kaldi-native-fbank."""

import functools

import kaldi_native_fbank as knf
import numpy as np

from steps.config.schema import Features
from steps.feats.frames import FULL_SCALE, frame_options, noise_energy

SAMPLE_BLOCK = 1 << 16  # samples handed over at once, lest an hour of audio take gigabytes


@functools.lru_cache(maxsize=8)
def fbank_options(config: Features) -> knf.FbankOptions:
    """The config as Kaldi's FbankOptions. Against Kaldi's defaults: no dither, and the floor that stands for it."""
    options = knf.FbankOptions()
    options.frame_opts = frame_options(config)
    options.mel_opts.num_bins = config.num_bins
    options.mel_opts.low_freq = config.low_freq
    options.mel_opts.high_freq = config.high_freq
    options.eps = noise_energy(config)
    return options


def compute_fbank(samples: np.ndarray, config: Features) -> np.ndarray:
    """ln mel energies of 16-bit numbers, as compute-fbank-feats gives them: float32 (frames, num_bins).

    `samples` are float32 (samples,), full scale ±1, at least a frame.
    """
    fbank = knf.OnlineFbank(fbank_options(config))
    for begin in range(0, len(samples), SAMPLE_BLOCK):
        block = samples[begin:begin + SAMPLE_BLOCK] * np.float32(FULL_SCALE)
        fbank.accept_waveform(config.sample_rate, block.tolist())  # pybind11 converts a list twice as fast as an array
    fbank.input_finished()
    return np.stack([fbank.get_frame(frame) for frame in range(fbank.num_frames_ready)])
