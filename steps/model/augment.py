"""Augmentation: changes of a training utterance's features, drawn anew every epoch."""

import numpy as np

from steps.config.schema import Augment

FILTER_KNOTS = 3, 7  # of a filter's curve, ends included


def draw_time_factors(config: Augment, count: int, rng: np.random.Generator) -> np.ndarray:
    """How much longer each of `count` utterances becomes: float64 (count,)."""
    return rng.uniform(*config.time_warp, size=count)


def warped_frames(frames: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Lengths after stretching by `factors`: int64, at least 1."""
    return np.maximum(1, np.rint(frames * factors)).astype(np.int64)


def resample(feats: np.ndarray, frames: int, bin_factor: float, bin_shift: float) -> np.ndarray:
    """Stretch (frames_in, bins) to `frames` frames, and its frequency axis by `bin_factor` after shifting it.

    Linear interpolation; beyond the edges the last bin repeats. float32 in and out.
    """
    if frames != len(feats):
        feats = _interpolate(feats, np.linspace(0, len(feats) - 1, frames), axis=0)
    if bin_factor != 1 or bin_shift != 0:
        feats = _interpolate(feats, np.arange(feats.shape[1]) / bin_factor - bin_shift, axis=1)
    return feats


def augment(feats: np.ndarray, frames: int, config: Augment, rng: np.random.Generator) -> np.ndarray:
    """One random variant of `feats` (frames_in, bins), `frames` long: float32 (frames, bins)."""
    shift = float(rng.integers(-config.freq_shift, config.freq_shift + 1))
    feats = resample(feats, frames, rng.uniform(*config.freq_warp), shift)
    feats = feats + np.float32(rng.uniform(-config.level, config.level))
    if config.filter:
        feats += draw_filter(feats.shape[1], config.filter, rng)
    for _ in range(config.time_masks):  # together at most a third: a word must not be hidden as a whole
        _mask(feats, min(config.time_mask_frames, len(feats) // (3 * config.time_masks)), rng)
    for _ in range(config.freq_masks):
        _mask(feats.T, config.freq_mask_bins, rng)
    return feats


def draw_filter(bins: int, most: float, rng: np.random.Generator) -> np.ndarray:
    """The response of a random microphone, added to each of `bins`, at most `most` up or down: float32 (bins,).

    Straight lines between a few random points (the linear kind of FilterAugment, Nam et al. 2022).
    """
    knots = int(rng.integers(FILTER_KNOTS[0], FILTER_KNOTS[1] + 1))
    places = np.concatenate([[0], np.sort(rng.uniform(0, bins - 1, knots - 2)), [bins - 1]])
    return np.interp(np.arange(bins), places, rng.uniform(-most, most, knots)).astype(np.float32)


def _interpolate(feats: np.ndarray, positions: np.ndarray, axis: int) -> np.ndarray:
    positions = np.clip(positions, 0, feats.shape[axis] - 1)
    low = np.minimum(positions.astype(np.int64), max(0, feats.shape[axis] - 2))
    high = np.minimum(low + 1, feats.shape[axis] - 1)
    weight = (positions - low).astype(np.float32)
    weight = weight[:, None] if axis == 0 else weight
    return feats.take(low, axis) * (1 - weight) + feats.take(high, axis) * weight


def _mask(feats: np.ndarray, widest: int, rng: np.random.Generator) -> None:
    width = int(rng.integers(0, widest + 1))
    begin = int(rng.integers(0, max(1, len(feats) - width + 1)))
    feats[begin:begin + width] = 0  # the mean, since features are normalised
