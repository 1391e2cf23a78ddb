"""Decoding a set in parts, each by a worker that loads the model itself: see conf/cluster.yaml."""

import functools
from pathlib import Path

from steps.common.parallel import ordered_map
from steps.common.progress import track
from steps.datadir.table import read_table
from steps.feats.archive import FeatureReader
from steps.search.decoding import Acoustic, Decoded, decode_set

PART = 256  # utterances: some seconds of work


def decode_in_parts(exp_dir: Path, feature_dir: Path, method: str, what: str) -> Decoded:
    """What `decode_set` makes of the features in `feature_dir`, with the parts' seconds added up.

    An utterance's result does not depend on its company (see `steps.model.buckets`), hence not on the parts.
    """
    frames = read_table(feature_dir / "utt2num_frames")
    utts = sorted(frames, key=lambda utt: -int(frames[utt]))  # alike lengths share batches, and the longest come first
    parts = [utts[begin:begin + PART] for begin in range(0, len(utts), PART)]
    results = ordered_map(functools.partial(_decode_part, exp_dir, feature_dir / "feats.scp", method), parts)
    done = list(track(results, len(parts), f"{what}, in parts"))
    emissions = {utt: found for part in done for utt, found in part.emissions.items()}
    return Decoded(dict(sorted(emissions.items())), sum(part.frames for part in done),
                   sum(part.seconds for part in done))


def _decode_part(exp_dir: Path, scp: Path, method: str, utts: list[str]) -> Decoded:
    feats = _reader(scp)
    return decode_set(_model(exp_dir), {utt: feats[utt] for utt in utts}, method, "decoding")


@functools.cache
def _reader(scp: Path) -> FeatureReader:
    return FeatureReader(scp)


@functools.cache
def _model(exp_dir: Path) -> Acoustic:
    from steps.model.acoustic import AcousticModel  # MindSpore takes seconds to import

    return AcousticModel(exp_dir)
