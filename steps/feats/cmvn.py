"""Global cepstral mean and variance normalisation, in Kaldi's statistics."""

import os

import kaldi_native_io as kio
import numpy as np

from steps.common.errors import UserError
from steps.common.files import atomic_path

MIN_STD = 0.1  # of a bin that hardly ever changes in training, lest it dwarf all others when it does


def empty_stats(bins: int) -> np.ndarray:
    """Statistics of no frame: float64 (2, bins + 1), as Kaldi's: sums and count, then sums of squares and 0."""
    return np.zeros((2, bins + 1))


def accumulate(stats: np.ndarray, feats: np.ndarray) -> None:
    """Add the frames of `feats` (frames, bins) to `stats`, in float64."""
    feats = feats.astype(np.float64)
    stats[0, :-1] += feats.sum(axis=0)
    stats[1, :-1] += np.square(feats).sum(axis=0)
    stats[0, -1] += len(feats)


def save_cmvn(path: str | os.PathLike, stats: np.ndarray) -> None:
    """Write statistics as Kaldi's compute-cmvn-stats does: one binary double matrix."""
    with atomic_path(path) as beside:
        kio.DoubleMatrix(stats).write(str(beside), binary=True)


def load_cmvn(path: str | os.PathLike) -> np.ndarray:
    """Statistics float64 (2, bins + 1). Raises UserError where the file is missing or isn't such a matrix."""
    try:
        stats = kio.DoubleMatrix.read(os.fspath(path)).numpy().copy()
    except RuntimeError:
        raise UserError(f"{path}: no readable Kaldi matrix; run stage 3 (features) again") from None
    if stats.shape[0] != 2 or stats[0, -1] < 1:
        raise UserError(f"{path}: not CMVN statistics: {stats.shape[0]} rows; run stage 3 (features) again")
    return stats


def mean_std(stats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each bin, float32 (bins,) both; the deviation at least MIN_STD."""
    count = stats[0, -1]
    mean = stats[0, :-1] / count
    variance = stats[1, :-1] / count - np.square(mean)
    std = np.sqrt(np.maximum(variance, MIN_STD**2))
    return mean.astype(np.float32), std.astype(np.float32)


def apply_cmvn(feats: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """`feats` (frames, bins) with mean 0 and variance 1 over the data that the statistics are of: float32."""
    return (feats - mean) / std
