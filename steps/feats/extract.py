"""Stage 3 over one set: from wav.scp to feats.scp."""

import functools
import itertools
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from steps.common.errors import UserError
from steps.common.files import write_lines
from steps.common.parallel import ordered_map, track
from steps.config.schema import Copy, Features
from steps.corpus.table import read_table
from steps.feats.archive import accumulate, empty_stats, feature_writer
from steps.feats.audio import load_audio
from steps.feats.compute import compute_feats
from steps.feats.perturb import perturb

AS_RECORDED = Copy()
CHUNK = 8  # utterances a task: few enough for memory, enough to make the passing of tasks cheap


class Extracted(NamedTuple):
    """One utterance's features, or why there are none."""

    utt: str
    feats: np.ndarray | None
    error: str = ""
    file_rate: int = 0
    file_channels: int = 0


class Extraction(NamedTuple):
    """What was done to a set."""

    stats: np.ndarray  # CMVN statistics of its frames
    formats: Counter  # of (sample rate, channels)
    skipped: list[str]  # `utt reason`


def extract_set(data_dir: Path, out_dir: Path, config: Features, jobs: int | None = None, copy: Copy = AS_RECORDED
                ) -> Extraction:
    """Write the features of all utterances of data_dir/wav.scp to `out_dir`, the same for any number of `jobs`.

    With `copy` they are those of a changed copy of the set, under the same ids.

    Raises UserError naming utterance and file for audio that can't be used; with config.skip_bad such utterances are
    left out and listed in out_dir/skipped, and only a set without any usable utterance is an error.
    """
    wavs = _read_wav_scp(data_dir / "wav.scp")
    chunks = [wavs[begin:begin + CHUNK] for begin in range(0, len(wavs), CHUNK)]
    stats, formats, skipped = empty_stats(config.num_bins), Counter(), []
    with feature_writer(out_dir, config.compress) as write:
        results = ordered_map(functools.partial(extract_chunk, config=config, copy=copy), chunks, jobs)
        for done in track(itertools.chain.from_iterable(results), len(wavs), f"{out_dir}"):
            if done.feats is None:
                skipped.append(f"{done.utt} {done.error}")
                continue
            write(done.utt, done.feats)
            accumulate(stats, done.feats)
            formats[done.file_rate, done.file_channels] += 1
        if not formats:
            raise UserError(f"{data_dir / 'wav.scp'}: no usable utterance; the first: {skipped[0]}")
        if skipped:
            write_lines(out_dir / "skipped", skipped)
    return Extraction(stats, formats, skipped)


def extract_chunk(wavs: list[tuple[str, str]], config: Features, copy: Copy = AS_RECORDED) -> list[Extracted]:
    """Features of some (utt, path) pairs. Raises UserError for the first bad one unless config.skip_bad."""
    return [_extract(utt, path, config, copy) for utt, path in wavs]


def _extract(utt: str, path: str, config: Features, copy: Copy) -> Extracted:
    try:
        audio = load_audio(path, config.sample_rate)
        samples = audio.samples if copy == AS_RECORDED else perturb(audio.samples, config.sample_rate, copy, utt)
        try:
            feats = compute_feats(samples, config)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
    except UserError as error:
        if config.skip_bad:
            return Extracted(utt, None, str(error))
        raise UserError(f"utterance {utt}: {error}; mend or remove it, or leave such files out "
                        "by `skip_bad: true` in conf/features") from None
    return Extracted(utt, feats, "", audio.file_rate, audio.file_channels)


def _read_wav_scp(path: Path) -> list[tuple[str, str]]:
    if not path.exists():
        raise UserError(f"{path}: no such file; run stage 1 (prepare) first")
    return list(read_table(path).items())
