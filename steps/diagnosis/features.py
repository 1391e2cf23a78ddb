"""Checks of the features, as stored and as normalised: NaN, constants, silence, clipping, scale."""

from collections.abc import Iterable, Mapping

import numpy as np

from steps.config.schema import Features
from steps.diagnosis.context import Context
from steps.diagnosis.finding import Finding, few, graded, percent
from steps.feats.frames import noise_energy

Feats = Mapping[str, np.ndarray]  # (frames, bins) by utterance
SEARCHED = 10000  # utterances, at most, for a single NaN
STILL = 1e-3  # standard deviation of what does not change
ABOVE_FLOOR = 3.0  # nats that anything audible is above digital silence
HEADROOM = 6.0  # nats from the typical utterance's level; speech of one corpus stays within some 3
AGAIN = "mend or remove the recordings (skip_bad: true leaves out what can't be read), then run stage 3 again"


def check_finite(context: Context) -> Finding:
    """No NaN, no infinity."""
    return judge_finite(context.stream("train", SEARCHED))


def judge_finite(feats: Iterable[tuple[str, np.ndarray]]) -> Finding:
    """Any feature that is not a number makes every weight NaN in the first step that sees it."""
    finite = {utt: bool(np.isfinite(matrix).all()) for utt, matrix in feats}
    broken = [utt for utt, fine in finite.items() if not fine]
    if not broken:
        return Finding("finite", "ok", f"no NaN or infinity in the features of {len(finite)} utterances looked at")
    return Finding("finite", "error", f"{len(broken)} of {len(finite)} utterances looked at have features that are NaN "
                   "or infinite", [few(broken)], AGAIN)


def check_constant(context: Context) -> Finding:
    """Features change over time, in every bin."""
    return judge_constant(context.raw_feats("train"))


def judge_constant(feats: Feats) -> Finding:
    """Bins that never change in any utterance, and utterances that never change in any bin."""
    deviations = {utt: np.nanstd(matrix, axis=0) for utt, matrix in feats.items()}
    everything = np.concatenate(list(feats.values()))
    bins = np.flatnonzero(np.nanstd(everything, axis=0) < STILL)
    utts = [utt for utt, deviation in deviations.items() if np.nanmax(deviation) < STILL]
    if not len(bins) and not utts:
        return Finding("constant", "ok", f"all {everything.shape[1]} bins and all utterances change over time")
    evidence = [f"bins {few([str(one) for one in bins])}"] if len(bins) else []
    evidence += [f"utterances {few(utts)}"] if utts else []
    worst = max(len(bins) / everything.shape[1], len(utts) / len(feats))
    return Finding("constant", "error" if worst >= 0.2 else "warning",
                   f"{len(bins)} of {everything.shape[1]} bins and {len(utts)} of {len(feats)} utterances are constant",
                   evidence, "bins: high_freq and num_bins must lie within what the recordings hold (8 kHz audio has "
                   "nothing above 4 kHz); utterances: " + AGAIN)


def check_silent(context: Context) -> Finding:
    """There is sound in every recording."""
    return judge_silent(context.raw_feats("train"), context.config.features)


def judge_silent(feats: Feats, config: Features) -> Finding:
    """Utterances whose loudest frames are hardly above digital silence, and frames that are digital silence."""
    floor = feature_floor(config)
    loudest = {utt: np.quantile(np.nan_to_num(matrix.mean(axis=1), nan=floor), 0.95) for utt, matrix in feats.items()}
    silent = [utt for utt, level in loudest.items() if level < floor + ABOVE_FLOOR]
    zeros = np.array([np.mean(matrix.max(axis=1) < floor + 0.1) for matrix in feats.values()])
    evidence = [f"digital silence is {floor:.1f}; the loudest twentieth of frames lies above "
                f"{np.median(list(loudest.values())):.1f} in the median utterance",
                f"{percent(zeros.mean())} of frames are digital silence"]
    if silent:
        return Finding("silent", graded(len(silent) / len(feats), 0, 0.05), f"{len(silent)} of {len(feats)} utterances "
                       f"hold next to no sound", [*evidence, few(silent)], "listen to them; " + AGAIN)
    if zeros.mean() > 0.3:
        return Finding("silent", "warning", f"{percent(zeros.mean())} of frames are digital silence", evidence,
                       "cut the silence off the recordings: it costs time and says nothing")
    return Finding("silent", "ok", f"there is sound in all of {len(feats)} utterances", evidence)


def feature_floor(config: Features) -> float:
    """What digital silence is in such features."""
    return float(np.log(noise_energy(config)) * (0.5 if config.type == "spectrogram" else 1.0))


def check_clipped(context: Context) -> Finding:
    """Features are not cut off at a highest value."""
    return judge_clipped(context.raw_feats("train"))


def judge_clipped(feats: Feats) -> Finding:
    """The share of values that equal their utterance's highest one: of continuous values, one an utterance does."""
    shares = {utt: float(np.mean(matrix >= np.nanmax(matrix))) for utt, matrix in feats.items()}
    clipped = [utt for utt, share in shares.items() if share > 0.002 and share * feats[utt].size > 3
               and np.nanstd(feats[utt]) > STILL]
    share = len(clipped) / len(feats)
    if not clipped:
        return Finding("features clipped", "ok", "no utterance's features are cut off at a highest value")
    return Finding("features clipped", "error" if share > 0.2 else "warning",
                   f"the features of {len(clipped)} of {len(feats)} utterances are cut off at a highest value",
                   [f"{utt}: {percent(shares[utt])} of values are {np.nanmax(feats[utt]):.3g}" for utt in clipped[:3]],
                   "compute the features again, without a limit; `compress: false` shows whether compression did it")


def check_scale(context: Context) -> Finding:
    """Normalised features have mean 0 and deviation 1 in every bin; no utterance stands far off."""
    return judge_scale(context.feats("train"))


def judge_scale(feats: Feats) -> Finding:
    """`feats` are normalised."""
    everything = np.concatenate(list(feats.values())).astype(np.float64)
    mean, std = np.nanmean(everything, axis=0), np.nanstd(everything, axis=0)
    evidence = [f"normalised bins have means from {mean.min():.2f} to {mean.max():.2f} and deviations from "
                f"{std.min():.2f} to {std.max():.2f}"]
    if np.abs(mean).max() > 0.5 or std.max() > 2 or np.median(std) < 0.5:
        return Finding("scale", "error", "normalised features do not have mean 0 and deviation 1: the CMVN statistics "
                       "are not of these features", evidence, "run stage 3 (features) again, whole")
    return _odd_levels(feats, evidence)


def _odd_levels(feats: Feats, evidence: list[str]) -> Finding:
    levels = {utt: float(matrix.mean()) for utt, matrix in feats.items()}
    middle = np.median(list(levels.values()))
    spread = 1.4826 * np.median(np.abs(np.array(list(levels.values())) - middle))
    odd = [utt for utt, level in levels.items() if not abs(level - middle) < max(2.0, HEADROOM * spread)]
    evidence.append(f"levels of utterances: median {middle:.2f}, deviation {spread:.2f} (robust)")
    if not odd:
        return Finding("scale", "ok", "normalised features have mean 0 and deviation 1", evidence)
    return Finding("scale", graded(len(odd) / len(feats), 0, 0.1), f"{len(odd)} of {len(feats)} utterances are on "
                   "another scale than the rest", [*evidence, *(f"{utt}: {levels[utt]:.2f}" for utt in odd[:3])],
                   "look for recordings at another level, in another format, or without speech; " + AGAIN)
