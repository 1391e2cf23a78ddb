"""Decoding a whole set: the network's output through a search, into the files of stage 5."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from steps.common.errors import UserError
from steps.common.files import write_json, write_lines
from steps.common.progress import track
from steps.search.ctm import ctm_lines
from steps.search.emission import Emission
from steps.search.greedy import greedy

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
    for name in (*FILES, "text"):
        (out_dir / name).unlink(missing_ok=True)


def write_decoded(out_dir: Path, decoded: Decoded, model: Acoustic, facts: Mapping[str, Any]) -> None:
    """Write pinyin, ctm and decode.json, which holds `facts`."""
    tokens = model.tokens
    write_lines(out_dir / "pinyin", (" ".join([utt, *(tokens[one.token] for one in emissions)])
                                     for utt, emissions in decoded.emissions.items()))
    write_lines(out_dir / "ctm", (line for utt, emissions in decoded.emissions.items()
                                  for line in ctm_lines(utt, emissions, tokens, model.frame_shift_s)))
    write_json(out_dir / "decode.json", facts)
