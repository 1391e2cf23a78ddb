"""Stage 3 over one set: from wav.scp to feats.scp."""

import contextlib
import functools
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from steps.common.checksums import write_sums
from steps.common.errors import UserError
from steps.common.files import write_lines
from steps.common.parallel import ordered_map, track
from steps.config.schema import Copy, Features
from steps.corpus.table import read_numbers, read_table, refuse
from steps.corpus.validate import VALUE_CHECKS
from steps.feats.archive import FILES, accumulate, empty_stats, feature_writer
from steps.feats.audio import perturb, stream_audio
from steps.feats.compute import compute_feats

AS_RECORDED = Copy()
CHUNK = 8  # utterances a task: few enough for memory, enough to make the passing of tasks cheap
LONG_S = 600.0  # recordings that are worked on here, one at a time: results on their way would take gigabytes
SILENT = "digital silence, every sample is the same"
INVERTED = "the channels are inverted against each other: the loudest one is taken instead of their mean"


class Extracted(NamedTuple):
    """One utterance's features, or why there are none."""

    utt: str
    feats: np.ndarray | None
    error: str = ""
    file_rate: int = 0
    file_channels: int = 0
    doubt: str = ""  # what is odd about its audio


class Extraction(NamedTuple):
    """The outcome of extracting a set."""

    stats: np.ndarray  # CMVN statistics of its frames
    formats: Counter  # of (sample rate, channels)
    skipped: list[str]  # `utt reason`
    doubts: dict[str, list[str]]  # utterances by what is odd about them


def extract_set(data_dir: Path, out_dir: Path, config: Features, jobs: int | None = None, copy: Copy = AS_RECORDED,
                named: Path | None = None) -> Extraction:
    """Write the features of all utterances of data_dir/wav.scp to `out_dir`, the same for any number of `jobs`.

    With `copy` they are those of a changed copy of the set, under the same ids. `named` is the folder that `out_dir`
    will be moved to, if any. After an error what was there before is there still.

    Raises UserError naming utterance and file for audio that can't be used; with config.skip_bad such utterances are
    left out and listed in out_dir/skipped, and only a set without any usable utterance is an error.
    """
    wavs = read_wav_scp(data_dir / "wav.scp")
    stats, formats, skipped, doubts = empty_stats(config.num_bins), Counter(), [], {}
    everything = _extract_all(wavs, read_seconds(data_dir), config, jobs, copy)
    with feature_writer(out_dir, config.compress, named) as write, contextlib.closing(everything) as results:
        for done in track(results, len(wavs), f"{named or out_dir}"):
            if done.feats is None:
                skipped.append(f"{done.utt} {done.error}")
                continue
            write(done.utt, done.feats)
            accumulate(stats, done.feats)
            formats[done.file_rate, done.file_channels] += 1
            if done.doubt:
                doubts.setdefault(done.doubt, []).append(done.utt)
        if not formats:
            raise UserError(f"{data_dir / 'wav.scp'}: no usable utterance; the first: {skipped[0]}")
    if skipped:
        write_lines(out_dir / "skipped", skipped)
    write_sums(out_dir, [*FILES, "skipped"])
    return Extraction(stats, formats, skipped, doubts)


def _extract_all(wavs: list[tuple[str, str]], seconds: dict[str, float], config: Features, jobs: int | None,
                 copy: Copy) -> Iterator[Extracted]:
    """Features of all utterances, in order."""
    extract = functools.partial(extract_chunk, config=config, copy=copy)
    for alone, group in itertools.groupby(wavs, lambda pair: seconds.get(pair[0], 0.0) > LONG_S):
        some = list(group)
        size = 1 if alone else CHUNK
        chunks = [some[begin:begin + size] for begin in range(0, len(some), size)]
        yield from itertools.chain.from_iterable(map(extract, chunks) if alone else ordered_map(extract, chunks, jobs))


def extract_chunk(wavs: list[tuple[str, str]], config: Features, copy: Copy = AS_RECORDED) -> list[Extracted]:
    """Features of some (utt, path) pairs. Raises UserError for the first bad one unless config.skip_bad."""
    return [_extract(utt, path, config, copy) for utt, path in wavs]


def _extract(utt: str, path: str, config: Features, copy: Copy) -> Extracted:
    try:
        audio = stream_audio(path, config.sample_rate)
        silent = SilenceCheck(audio.blocks)
        try:
            if copy == AS_RECORDED:
                feats = compute_feats(silent, config)
            else:
                samples = np.concatenate(list(silent))
                feats = compute_feats(perturb(samples, config.sample_rate, copy, utt), config)
        except UserError as error:
            raise UserError(str(error) if path in str(error) else f"{path}: {error}") from None
    except UserError as error:
        if config.skip_bad:
            return Extracted(utt, None, str(error))
        raise UserError(f"utterance {utt}: {error}; mend or remove it, or leave such files out "
                        "by `skip_bad: true` in conf/features") from None
    doubt = SILENT if silent.silent else INVERTED if audio.inverted else audio.doubt or ""
    return Extracted(utt, feats, "", audio.file_rate, audio.file_channels, doubt)


class SilenceCheck:
    """Passes blocks of samples on, and tells whether all of them were digital silence."""

    def __init__(self, blocks: Iterator[np.ndarray]):
        self._blocks, self.silent = blocks, True

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self._blocks:
            self.silent = self.silent and not (block.size and np.ptp(block))
            yield block


def read_wav_scp(path: Path) -> list[tuple[str, str]]:
    """(utterance, path) in order. Raises UserError where stage 1 has not written it, and for what is no path."""
    if not path.exists():
        raise UserError(f"{path}: no such file; run stage 1 (prepare) first")
    wavs = list(read_table(path).items())
    refuse([f"{path}: {utt}: {fault}" for utt, wav in wavs if (fault := VALUE_CHECKS["wav.scp"](wav))])
    return wavs


def read_seconds(data_dir: Path) -> dict[str, float]:
    """Durations by utterance, of data_dir/utt2dur; none where there is no such file."""
    path = data_dir / "utt2dur"
    return read_numbers(path) if path.exists() else {}
