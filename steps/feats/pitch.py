"""The pitch contour of a recording, for pictures of tones.

Kaldi's way (Ghahremani et al. 2014): the normalised cross-correlation of each frame with itself, later by one period,
on a logarithmic grid of pitches; Viterbi's algorithm finds the contour that is high in it and does not jump.
"""

import numpy as np
import soxr

RATE = 4000  # Hz: a pitch needs no more
SHIFT_S = 0.01
WINDOW = 100  # samples: 25 ms
LOWEST, HIGHEST = 60.0, 500.0  # Hz
STEPS = 140  # of the grid, 1.5 % each
JUMP = 30.0  # cost of a jump of a factor e from one frame to the next
REACH = 12  # steps that a contour may jump
VOICED = 0.6  # correlation from which a frame is voiced
QUIET = 0.05  # of the loudest frame's amplitude, below which none is


def pitch(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Pitch in Hz, float64 (frames,), NaN where unvoiced; frame t is centred at (t + 1/2) × 10 ms.

    `samples` are float32 (samples,) at `sample_rate` Hz.
    """
    grid = np.geomspace(LOWEST, HIGHEST, STEPS)
    frames, behind = _frames(soxr.resample(samples, sample_rate, RATE))
    if not len(frames):
        return np.empty(0)
    height = _correlations(frames, behind, RATE / grid)
    path = _smoothest(height * (1 - 0.1 * grid[::-1] / HIGHEST))  # of a pitch and its half, the higher
    loudness = frames.std(axis=1)
    voiced = (height[np.arange(len(path)), path] > VOICED) & (loudness > QUIET * loudness.max())
    return np.where(voiced, grid[path], np.nan)


def _frames(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(frames, WINDOW) of the signal, and of each what also lies up to a longest period behind it."""
    longest = int(RATE / LOWEST) + 2
    shift = round(RATE * SHIFT_S)
    count = len(samples) // shift
    whole = np.concatenate([np.zeros(WINDOW // 2), samples, np.zeros(WINDOW + longest)])
    behind = np.lib.stride_tricks.sliding_window_view(whole, WINDOW + longest)[shift // 2::shift][:count]
    return behind[:, :WINDOW], behind


def _correlations(frames: np.ndarray, behind: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Normalised cross-correlation (frames, lags) at fractional lags, in samples."""
    windows = np.lib.stride_tricks.sliding_window_view(behind, WINDOW, axis=1)
    products = np.einsum("tw,tlw->tl", frames, windows)
    energies = np.einsum("tlw,tlw->tl", windows, windows)
    whole = products / np.sqrt(energies * energies[:, :1] + 1e-12)
    below = lags.astype(int)
    part = lags - below
    return whole[:, below] * (1 - part) + whole[:, below + 1] * part


def _smoothest(height: np.ndarray) -> np.ndarray:
    """The path (frames,) through (frames, steps) with the greatest sum of heights less the cost of its jumps."""
    octave = np.log(HIGHEST / LOWEST) / (STEPS - 1)
    jumps = np.arange(-REACH, REACH + 1)
    costs = JUMP * (jumps * octave) ** 2
    score, origins = height[0], np.zeros(height.shape, int)
    for frame in range(1, len(height)):
        padded = np.pad(score, REACH, constant_values=-np.inf)
        from_each = np.lib.stride_tricks.sliding_window_view(padded, len(jumps)) - costs
        best = from_each.argmax(axis=1)
        origins[frame] = np.arange(STEPS) + jumps[best]
        score = height[frame] + from_each[np.arange(STEPS), best]
    path = np.empty(len(height), int)
    path[-1] = score.argmax()
    for frame in range(len(height) - 1, 0, -1):
        path[frame - 1] = origins[frame, path[frame]]
    return path
