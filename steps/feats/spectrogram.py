"""The log magnitude spectrogram: the image that DFCNN was made for."""

import numpy as np
from scipy import fft

from steps.config.schema import Features
from steps.feats.frames import FULL_SCALE, frame_length, frame_shift, noise_energy, window

FRAME_BLOCK = 4096  # frames transformed at once, lest an hour of audio take gigabytes


def compute_spectrogram(samples: np.ndarray, config: Features) -> np.ndarray:
    """ln |FFT| of each windowed frame, its lowest `num_bins` bins: float32 (frames, num_bins).

    `samples` are float32 (samples,), full scale ±1, at least a frame. The FFT is as long as the frame: at 25 ms bin k
    lies at 40 k Hz. Magnitudes are of 16-bit numbers, and floored at `floor_db`.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame_length(config))[::frame_shift(config)]
    scaled = window(config) * np.float32(FULL_SCALE)
    floor = np.float32(noise_energy(config) ** 0.5)
    spectrogram = np.empty((len(frames), config.num_bins), np.float32)
    for begin in range(0, len(frames), FRAME_BLOCK):
        spectrum = fft.rfft(frames[begin:begin + FRAME_BLOCK] * scaled, axis=1)[:, :config.num_bins]
        spectrogram[begin:begin + FRAME_BLOCK] = np.log(np.maximum(np.abs(spectrum), floor))
    return spectrogram
