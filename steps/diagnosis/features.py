"""Checks of audio and features: silence, clipping, scale, holes."""

from collections.abc import Iterable, Mapping

import kaldi_native_fbank as knf
import numpy as np
from scipy.stats import median_abs_deviation

from steps.common.errors import UserError
from steps.config.schema import Features
from steps.corpus.table import read_table
from steps.diagnosis.context import Context, Finding, few, graded, percent, spread_sample
from steps.feats.audio import Audio, load_audio
from steps.feats.compute import noise_energy

Feats = Mapping[str, np.ndarray]  # (frames, bins) by utterance
SEARCHED = 10000  # utterances, at most, for a single NaN
STILL = 1e-3  # standard deviation of what does not change
ABOVE_FLOOR = 3.0  # nats that anything audible is above digital silence
HEADROOM = 6.0  # nats from the typical utterance's level; speech of one corpus stays within about 3
AGAIN = "mend or remove the recordings (skip_bad: true leaves out what cannot be read), then run stage 3 again"


def judge_finite(feats: Iterable[tuple[str, np.ndarray]]) -> Finding:
    """No NaN, no infinity. Any feature that is not a number makes every weight NaN in the first step that sees it."""
    finite = {utt: bool(np.isfinite(matrix).all()) for utt, matrix in feats}
    broken = [utt for utt, fine in finite.items() if not fine]
    if not broken:
        return Finding("ok", f"no NaN or infinity in the features of {len(finite)} utterances examined")
    return Finding("error", f"{len(broken)} of {len(finite)} utterances examined have features that are NaN "
                   "or infinite", [few(broken)], AGAIN)


def judge_constant(feats: Feats) -> Finding:
    """Features change over time, in every bin. Bins that never change in any utterance, and utterances that never
    change in any bin."""
    deviations = {utt: np.nanstd(matrix, axis=0) for utt, matrix in feats.items()}
    everything = np.concatenate(list(feats.values()))
    bins = np.flatnonzero(np.nanstd(everything, axis=0) < STILL)
    utts = [utt for utt, deviation in deviations.items() if np.nanmax(deviation) < STILL]
    if not len(bins) and not utts:
        return Finding("ok", f"all {everything.shape[1]} bins and all utterances change over time")
    evidence = [f"bins {few([str(one) for one in bins])}"] if len(bins) else []
    evidence += [f"utterances {few(utts)}"] if utts else []
    worst = max(len(bins) / everything.shape[1], len(utts) / len(feats))
    return Finding("error" if worst >= 0.2 else "warning",
                   f"{len(bins)} of {everything.shape[1]} bins and {len(utts)} of {len(feats)} utterances are constant",
                   evidence, "bins: high_freq and num_bins must lie within what the recordings hold (8 kHz audio has "
                   "nothing above 4 kHz); utterances: " + AGAIN)


def judge_silent(feats: Feats, config: Features) -> Finding:
    """There is sound in every recording. Utterances whose loudest frames are hardly above digital silence, and frames
    that are digital silence."""
    floor = feature_floor(config)
    loudest = {utt: np.quantile(np.nan_to_num(matrix.mean(axis=1), nan=floor), 0.95) for utt, matrix in feats.items()}
    silent = [utt for utt, level in loudest.items() if level < floor + ABOVE_FLOOR]
    zeros = np.array([np.mean(matrix.max(axis=1) < floor + 0.1) for matrix in feats.values()])
    evidence = [f"digital silence is {floor:.1f}; the loudest twentieth of frames lies above "
                f"{np.median(list(loudest.values())):.1f} in the median utterance",
                f"{percent(zeros.mean())} of frames are digital silence"]
    if silent:
        return Finding(graded(len(silent) / len(feats), 0, 0.05), f"{len(silent)} of {len(feats)} utterances "
                       f"hold almost no sound", [*evidence, few(silent)], "listen to them; " + AGAIN)
    if zeros.mean() > 0.3:
        return Finding("warning", f"{percent(zeros.mean())} of frames are digital silence", evidence,
                       "cut the silence off the recordings: it costs time and says nothing")
    return Finding("ok", f"there is sound in all of {len(feats)} utterances", evidence)


def feature_floor(config: Features) -> float:
    """What digital silence is in such features."""
    return float(np.log(noise_energy(config)) * (0.5 if config.type == "spectrogram" else 1.0))


def judge_clipped(feats: Feats) -> Finding:
    """Features are not cut off at a highest value. The share of values that equal their utterance's highest one: of
    continuous values, one an utterance does."""
    shares = {utt: float(np.mean(matrix >= np.nanmax(matrix))) for utt, matrix in feats.items()}
    clipped = [utt for utt, share in shares.items() if share > 0.002 and share * feats[utt].size > 3
               and np.nanstd(feats[utt]) > STILL]
    share = len(clipped) / len(feats)
    if not clipped:
        return Finding("ok", "no utterance's features are cut off at a highest value")
    return Finding("error" if share > 0.2 else "warning",
                   f"the features of {len(clipped)} of {len(feats)} utterances are cut off at a highest value",
                   [f"{utt}: {percent(shares[utt])} of values are {np.nanmax(feats[utt]):.3g}" for utt in clipped[:3]],
                   "compute the features again, without a limit; `compress: false` shows whether compression did it")


def judge_scale(feats: Feats) -> Finding:
    """Normalised features have mean 0 and deviation 1 in every bin; no utterance stands far off. `feats` are
    normalised."""
    everything = np.concatenate(list(feats.values())).astype(np.float64)
    mean, std = np.nanmean(everything, axis=0), np.nanstd(everything, axis=0)
    evidence = [f"normalised bins have means from {mean.min():.2f} to {mean.max():.2f} and deviations from "
                f"{std.min():.2f} to {std.max():.2f}"]
    if np.abs(mean).max() > 0.5 or std.max() > 2 or np.median(std) < 0.5:
        return Finding("error", "normalised features do not have mean 0 and deviation 1: the CMVN statistics "
                       "are not of these features", evidence, "run stage 3 (features) again, whole")
    return _odd_levels(feats, evidence)


def _odd_levels(feats: Feats, evidence: list[str]) -> Finding:
    levels = {utt: float(matrix.mean()) for utt, matrix in feats.items()}
    middle = np.median(list(levels.values()))
    spread = median_abs_deviation(list(levels.values()), scale="normal")
    odd = [utt for utt, level in levels.items() if not abs(level - middle) < max(2.0, HEADROOM * spread)]
    evidence.append(f"levels of utterances: median {middle:.2f}, deviation {spread:.2f} (robust)")
    if not odd:
        return Finding("ok", "normalised features have mean 0 and deviation 1", evidence)
    return Finding(graded(len(odd) / len(feats), 0, 0.1), f"{len(odd)} of {len(feats)} utterances are on "
                   "another scale than the rest", [*evidence, *(f"{utt}: {levels[utt]:.2f}" for utt in odd[:3])],
                   "look for recordings at another level, in another format, or without speech; " + AGAIN)


EMPTY = 0.9  # share of the frames in which a bin is at the floor that never holds speech
SPARE = 0.02  # share of the bins that may be empty
HOLES = 0.02, 0.5  # share of values at the floor, in the other bins, of frames with sound: none in plain recordings


def judge_holes(feats: Feats, config: Features) -> Finding:
    """If there is sound, no bin is digital silence. `feats` are as stored, (frames, bins) by utterance.

    Coders leave out what cannot be heard, and at low rates all high frequencies. Such values are at the floor, far
    below all others: they decide a bin's deviation, and the network learns them.
    """
    floor = feature_floor(config)
    everything = np.concatenate(list(feats.values()))
    sound = everything[everything.max(axis=1) > floor + ABOVE_FLOOR]
    if not len(sound):
        return Finding("skipped", "there is no sound in the utterances examined")
    at_floor = sound < floor + 0.01
    empty = at_floor.mean(axis=0) > EMPTY
    share = float(at_floor[:, ~empty].mean()) if not empty.all() else 0.0
    quiet = float(np.quantile(sound[~at_floor], 0.25))  # where the recordings' own noise is
    if quiet < floor + ABOVE_FLOOR:
        share = 0.0  # the floor lies in the recordings' own noise: where that ebbs is not a hole
    severity = graded(share, *HOLES)
    if severity == "ok" and empty.mean() <= SPARE:
        return Finding("ok", "the bins hold what sound there is")
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
    return Finding("warning" if severity == "ok" else severity,
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
    low, high = map(knf.MelBanks.mel_scale, (config.low_freq, high))
    return knf.MelBanks.inverse_mel_scale(low + (high - low) * (bin_ + 2) / (config.num_bins + 1))


LISTENED = 60  # recordings
FULL = 0.98  # of full scale, or of the recording's own highest sample if that is lower
RUN = 3  # neighbouring samples at the peak that only clipping makes
DC = 0.02


def check_audio(context: Context) -> Finding:
    """A sample of train's recordings is not clipped, silent, offset or of too low a sample rate."""
    table = context.config.data_dir / "train" / "wav.scp"
    if not table.exists():
        return Finding("skipped", f"{table} is not there")
    paths = read_table(table)
    recordings, gone = {}, []
    for utt in spread_sample(list(paths), LISTENED):
        try:
            recordings[utt] = load_audio(paths[utt], context.config.features.sample_rate)
        except UserError as error:
            gone.append(str(error))
    if not recordings:
        return Finding("skipped", "none of the recordings examined can be read any more", gone[:1])
    return judge_audio(recordings, context.config.features.sample_rate)


def judge_audio(recordings: Mapping[str, Audio], sample_rate: int) -> Finding:
    """`recordings` are mixed down and resampled to `sample_rate`; their own rates and channels stand beside."""
    clipped = [utt for utt, audio in recordings.items() if is_clipped(audio.samples)]
    offset = [utt for utt, audio in recordings.items() if abs(audio.samples.mean()) > DC]
    silent = [utt for utt, audio in recordings.items() if np.abs(audio.samples).max() < 1e-3]
    narrow = [utt for utt, audio in recordings.items() if audio.file_rate < sample_rate]
    faults = [(clipped, "are clipped", "record or convert them at a lower level; what is cut off cannot be mended"),
              (silent, "are silent", "check their files"),
              (offset, "have a DC offset", "remove it with a high-pass filter, or take fbank with low_freq above 20"),
              (narrow, f"have a lower sample rate than {sample_rate} Hz, so that their upper bins are empty",
               f"set sample_rate to {min(audio.file_rate for audio in recordings.values())} in conf/features, or leave "
               "these recordings out")]
    found = [(utts, what, remedy) for utts, what, remedy in faults if len(utts) > 0.02 * len(recordings)]
    peaks = [np.abs(audio.samples).max() for audio in recordings.values()]
    evidence = [f"peaks of {len(recordings)} recordings: median {np.median(peaks):.2f}, highest {max(peaks):.2f} of "
                "full scale"]
    if not found:
        return Finding("ok", f"{len(recordings)} recordings examined are sound", evidence)
    said = "; ".join(f"{percent(len(utts) / len(recordings))} of recordings {what}" for utts, what, _ in found)
    severity = "error" if any(len(utts) > len(recordings) / 2 for utts, _, _ in found) else "warning"
    return Finding(severity, said, [*evidence, *(f"{what}: {few(utts)}" for utts, what, _ in found)],
                   "; ".join(remedy for _, _, remedy in found))


def is_clipped(samples: np.ndarray) -> bool:
    """Whether float32 `samples` (samples,) stand still at their highest value, more than once in a thousand loud ones.

    A recording that was clipped and then turned down stands still at its own peak, and not at full scale.
    """
    peak = np.abs(samples).max()
    at_peak = np.abs(samples) >= FULL * peak
    runs = np.flatnonzero(np.convolve(at_peak, np.ones(RUN), "valid") == RUN)
    still = sum(np.ptp(samples[begin:begin + RUN]) < 1e-4 * peak for begin in runs)
    return peak > 0.05 and still > max(2, 1e-3 * np.sum(np.abs(samples) > 0.5 * peak))
