"""Holes in a spectrogram: what mp3 and its like, or a lower sample rate, have left out of it."""

import numpy as np

from steps.config.schema import Features
from steps.diagnosis.context import Context
from steps.diagnosis.features import ABOVE_FLOOR, Feats, feature_floor
from steps.diagnosis.finding import Finding, graded, percent

EMPTY = 0.9  # share of the frames in which a bin is at the floor that never holds speech
SPARE = 0.02  # share of the bins that may be empty
HOLES = 0.02, 0.5  # share of values at the floor, in the other bins, of frames with sound: none in plain recordings


def check_holes(context: Context) -> Finding:
    """Where there is sound, no bin is digital silence."""
    return judge_holes(context.raw_feats("train"), context.config.features)


def judge_holes(feats: Feats, config: Features) -> Finding:
    """`feats` are as stored, (frames, bins) by utterance.

    Coders leave out what nobody would hear, and at low rates all high frequencies. At the floor such values lie far
    below everything else: they rule a bin's deviation, and are learnt by heart.
    """
    floor = feature_floor(config)
    everything = np.concatenate(list(feats.values()))
    sound = everything[everything.max(axis=1) > floor + ABOVE_FLOOR]
    if not len(sound):
        return Finding("holes", "skipped", "there is no sound in the utterances looked at")
    at_floor = sound < floor + 0.01
    empty = at_floor.mean(axis=0) > EMPTY
    share = float(at_floor[:, ~empty].mean()) if not empty.all() else 0.0
    quiet = float(np.quantile(sound[~at_floor], 0.25))  # where the recordings' own noise is
    if quiet < floor + ABOVE_FLOOR:
        share = 0.0  # the floor lies in the recordings' own noise: where that ebbs is no hole
    severity = graded(share, *HOLES)
    if severity == "ok" and empty.mean() <= SPARE:
        return Finding("holes", "ok", "where there is sound, the bins hold it")
    evidence, remedies = [f"the floor is {floor:.1f} (floor_db: {config.floor_db:g})"], []
    if empty.mean() > SPARE:
        names = ", ".join(map(str, np.flatnonzero(empty)))
        evidence.append(f"bins at the floor in {percent(EMPTY)} of the frames with sound: {names}")
        top = np.flatnonzero(~empty)
        if len(top) and empty[-1]:
            remedies.append(f"high_freq: {upper_frequency(int(top[-1]), config):.0f}" if config.type == "fbank"
                            else f"num_bins: {top[-1] + 1}")
    if severity != "ok":
        evidence.append(f"{percent(share)} of the values of the other bins are at the floor while there is sound")
        remedies.append(f"floor_db: {floor_at(quiet, config):.0f}")
    return Finding("holes", "warning" if severity == "ok" else severity,
                   f"{int(empty.sum())} of {len(empty)} bins are empty, {percent(share)} of the rest is holes, as mp3 "
                   "and lower sample rates leave them", evidence,
                   f"use features with {', '.join(remedies)} (conf/features/fbank_mp3.yaml is an example)"
                   if remedies else "set low_freq and high_freq to where the recordings begin and end")


def floor_at(level: float, config: Features) -> float:
    """The floor_db that puts the floor of such features at `level`."""
    power = 1 if config.type == "fbank" else 2
    return config.floor_db + power * (level - feature_floor(config)) * 10 / np.log(10)


def upper_frequency(bin_: int, config: Features) -> float:
    """The frequency (Hz) at which the mel filter of a bin ends."""
    high = config.high_freq + (config.sample_rate / 2 if config.high_freq <= 0 else 0)
    low, high = (1127 * np.log1p(frequency / 700) for frequency in (config.low_freq, high))
    return float(700 * np.expm1((low + (high - low) * (bin_ + 2) / (config.num_bins + 1)) / 1127))
