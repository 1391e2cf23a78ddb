"""The log magnitude spectrogram: the image that DFCNN was made for."""

import numpy as np
from scipy import fft

from steps.config.schema import Features
from steps.feats.frames import FULL_SCALE, frame_length, frame_shift, noise_energy, window


def compute_spectrogram(samples: np.ndarray, config: Features) -> np.ndarray:
    """ln |FFT| of each windowed frame, its lowest `num_bins` bins: float32 (frames, num_bins).

    `samples` are float32 (samples,), full scale ±1, at least a frame. The FFT is as long as the frame: bin k lies at
    k / 25 ms. Magnitudes are of 16-bit numbers, and floored at that of noise of one 16-bit step.
    """
    length, shift = frame_length(config), frame_shift(config)
    frames = np.lib.stride_tricks.sliding_window_view(samples, length)[::shift]
    scaled = window(config) * np.float32(FULL_SCALE)
    magnitude = np.abs(fft.rfft(frames * scaled, axis=1)[:, :config.num_bins])
    return np.log(np.maximum(magnitude, np.float32(noise_energy(config) ** 0.5)))
