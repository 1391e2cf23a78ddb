"""Checks of the recordings behind the features: clipping, level, bandwidth."""

from collections.abc import Mapping

import numpy as np

from steps.common.errors import UserError
from steps.datadir.table import read_table
from steps.diagnosis.context import Context, spread_sample
from steps.diagnosis.finding import Finding, few, percent
from steps.feats.audio import Audio, load_audio

LISTENED = 60  # recordings
FULL = 0.98  # of full scale, or of the recording's own highest sample where that is lower
RUN = 3  # neighbouring samples at the peak that only clipping makes
DC = 0.02


def check_audio(context: Context) -> Finding:
    """A sample of train's recordings is not clipped, silent, offset or of too low a sample rate."""
    table = context.config.data_dir / "train" / "wav.scp"
    if not table.exists():
        return Finding("audio", "skipped", f"{table} is not there")
    paths = read_table(table)
    recordings, gone = {}, []
    for utt in spread_sample(list(paths), LISTENED):
        try:
            recordings[utt] = load_audio(paths[utt], context.config.features.sample_rate)
        except UserError as error:
            gone.append(str(error))
    if not recordings:
        return Finding("audio", "skipped", "none of the recordings looked at can be read any more", gone[:1])
    return judge_audio(recordings, context.config.features.sample_rate)


def judge_audio(recordings: Mapping[str, Audio], sample_rate: int) -> Finding:
    """`recordings` are mixed down and resampled to `sample_rate`; their own rates and channels stand beside."""
    clipped = [utt for utt, audio in recordings.items() if is_clipped(audio.samples)]
    offset = [utt for utt, audio in recordings.items() if abs(audio.samples.mean()) > DC]
    silent = [utt for utt, audio in recordings.items() if np.abs(audio.samples).max() < 1e-3]
    narrow = [utt for utt, audio in recordings.items() if audio.file_rate < sample_rate]
    faults = [(clipped, "are clipped", "record or convert them at a lower level; what is cut off can't be mended"),
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
        return Finding("audio", "ok", f"{len(recordings)} recordings listened to are sound", evidence)
    said = "; ".join(f"{percent(len(utts) / len(recordings))} of recordings {what}" for utts, what, _ in found)
    severity = "error" if any(len(utts) > len(recordings) / 2 for utts, _, _ in found) else "warning"
    return Finding("audio", severity, said,
                   [*evidence, *(f"{what}: {few(utts)}" for utts, what, _ in found)],
                   "; ".join(remedy for _, _, remedy in found))


def is_clipped(samples: np.ndarray) -> bool:
    """Whether float32 `samples` (samples,) stand still at their highest value, more than once in a thousand loud ones.

    A recording that was clipped and then turned down stands still at its own peak, hence not at full scale.
    """
    peak = np.abs(samples).max()
    at_peak = np.abs(samples) >= FULL * peak
    runs = np.flatnonzero(np.convolve(at_peak, np.ones(RUN), "valid") == RUN)
    still = sum(np.ptp(samples[begin:begin + RUN]) < 1e-4 * peak for begin in runs)
    return peak > 0.05 and still > max(2, 1e-3 * np.sum(np.abs(samples) > 0.5 * peak))
