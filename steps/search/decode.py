"""Stage 5: decodes a set, on one machine or in parts on a cluster."""

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from steps.common.checksums import SUMS, write_sums
from steps.common.errors import UserError
from steps.common.files import write_json, write_lines
from steps.common.parallel import ordered_map, track
from steps.corpus.table import read_table
from steps.feats.archive import FeatureReader
from steps.search.ctc import Emission, greedy
from steps.search.ctm import ctm_lines

SEARCHES: dict[str, Callable[[np.ndarray], list[Emission]]] = {"greedy": greedy}
FILES = ("decode.json", "ctm", "pinyin")  # decode.json is written last and removed first: where it is, all is


class Acoustic(Protocol):
    """What decoding needs of `steps.model.acoustic.AcousticModel`."""

    tokens: list[str]
    frame_shift_s: float

    def log_probs(self, utts: Iterator[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]: ...


class Decoded(NamedTuple):
    """A decoded set."""

    emissions: dict[str, list[Emission]]  # by utterance, in C order
    frames: int  # feature frames
    seconds: float  # of wall time, reading features included, making the model not


def decode_set(model: Acoustic, feats: Mapping[str, np.ndarray], method: str, what: str) -> Decoded:
    """Decode all utterances of `feats` (float32 (frames, bins) each); `what` is what progress calls it.

    Raises UserError for an utterance whose log-probabilities are not numbers.
    """
    search, frames = SEARCHES[method], 0

    def utterances() -> Iterator[tuple[str, np.ndarray]]:
        nonlocal frames
        for utt in feats:
            matrix = feats[utt]
            frames += len(matrix)
            yield utt, matrix

    begin = time.perf_counter()
    emissions = {}
    for utt, log_probs in track(model.log_probs(utterances()), len(feats), what):
        if np.isnan(log_probs).any():
            raise UserError(f"utterance {utt}: the network's output is not a number; its training diverged, or the "
                            "features are broken: look at dev_loss in train.csv, and run stage 3 (features) again")
        emissions[utt] = search(log_probs)
    if len(emissions) != len(feats):
        raise RuntimeError(f"{what}: {len(feats)} utterances went into the network, {len(emissions)} came out")
    return Decoded(dict(sorted(emissions.items())), frames, time.perf_counter() - begin)


def discard(out_dir: Path) -> None:
    """Remove an earlier result, `text` (hanzi made from it) included."""
    for name in (SUMS, *FILES, "text"):
        (out_dir / name).unlink(missing_ok=True)


def write_decoded(out_dir: Path, decoded: Decoded, model: Acoustic, facts: Mapping[str, Any]) -> None:
    """Write pinyin, ctm and decode.json, which holds `facts`."""
    tokens = model.tokens
    write_lines(out_dir / "pinyin", (" ".join([utt, *(tokens[one.token] for one in emissions)])
                                     for utt, emissions in decoded.emissions.items()))
    write_lines(out_dir / "ctm", (line for utt, emissions in decoded.emissions.items()
                                  for line in ctm_lines(utt, emissions, tokens, model.frame_shift_s)))
    write_json(out_dir / "decode.json", facts)
    write_sums(out_dir, FILES)


PART = 256  # utterances: some seconds of work


def decode_in_parts(exp_dir: Path, feature_dir: Path, method: str, what: str) -> Decoded:
    """What `decode_set` makes of the features in `feature_dir`, with the parts' seconds added up.

    An utterance's result does not depend on its company (see `steps.model.batches`), hence not on the parts.
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
