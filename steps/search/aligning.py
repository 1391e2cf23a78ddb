"""Aligning a whole set: a ctm of syllables that fill their utterance from its first to its last sound."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from steps.common.errors import UserError
from steps.common.files import write_json, write_lines
from steps.common.progress import track
from steps.config.schema import Features
from steps.search.align import align
from steps.search.boundaries import Voice, boundaries, spike_place, voice_of
from steps.search.ctm import Timed, ctm_line
from steps.search.decoding import Acoustic
from steps.search.emission import Emission

UNKNOWN = "a syllable of theirs is no token of the model"
TOO_SHORT = "they have more syllables than the model leaves frames for"


class Aligned(NamedTuple):
    """An aligned set."""

    times: dict[str, list[Timed]]  # by utterance, in C order
    place: float  # where in a syllable its spike lies (see steps.search.boundaries)
    left_out: dict[str, list[str]]  # utterances by the reason for which they could not be aligned


def align_set(model: Acoustic, config: Features, feats: Mapping[str, np.ndarray], pinyin: Mapping[str, list[str]],
              what: str) -> Aligned:
    """Align the utterances that have both features (float32 (frames, bins) each, as stored) and pinyin.

    `config` is that of the features, `what` is what progress calls it. Raises UserError where none can be aligned.
    """
    ids = {token: number for number, token in enumerate(model.tokens)}
    utts = [utt for utt in sorted(pinyin) if utt in feats]
    known = [utt for utt in utts if all(syllable in ids for syllable in pinyin[utt])]
    unknown = sorted(set(utts) - set(known))
    voices: dict[str, Voice] = {}
    emissions: dict[str, list[Emission]] = {}
    for utt, log_probs in track(model.log_probs(_hearing(known, feats, config, voices)), len(known), what):
        found = align(log_probs, [ids[syllable] for syllable in pinyin[utt]])
        if found is not None:
            emissions[utt] = found
    short = [utt for utt in known if utt not in emissions]
    if not emissions:
        raise UserError(f"{what}: none of {len(utts)} utterances: {len(unknown)}: {UNKNOWN}; {len(short)}: {TOO_SHORT}")
    place, times = _times(model, config, voices, emissions)
    left_out = {why: some for why, some in ((UNKNOWN, unknown), (TOO_SHORT, short)) if some}
    return Aligned(times, place, left_out)


def _hearing(utts: list[str], feats: Mapping[str, np.ndarray], config: Features,
             voices: dict[str, Voice]) -> Iterator[tuple[str, np.ndarray]]:
    """(utt, features); notes the utterance's voice, so that features are read once."""
    for utt in utts:
        matrix = feats[utt]
        voices[utt] = voice_of(matrix, config)
        yield utt, matrix


def _times(model: Acoustic, config: Features, voices: dict[str, Voice],
           emissions: dict[str, list[Emission]]) -> tuple[float, dict[str, list[Timed]]]:
    reduction = model.frame_shift_s * 1000 / config.frame_shift_ms
    spikes = {utt: [(one.first + one.last) / 2 * reduction for one in found] for utt, found in emissions.items()}
    place = spike_place((voices[utt], spikes[utt]) for utt in emissions)
    times = {}
    for utt, found in sorted(emissions.items()):
        edges = np.array(boundaries(voices[utt], spikes[utt], place, config.frame_shift_ms))
        begins, durations = (values * config.frame_shift_ms / 1000 for values in (edges[:-1], np.diff(edges)))
        times[utt] = [Timed(begin, duration, model.tokens[one.token], one.posterior)
                      for begin, duration, one in zip(begins, durations, found, strict=True)]
    return place, times


def write_aligned(out_dir: Path, aligned: Aligned) -> None:
    """Write ali.json, with what was left out and why, and ctm, which comes last."""
    (out_dir / "ctm").unlink(missing_ok=True)
    write_json(out_dir / "ali.json", {"utterances": len(aligned.times), "spike_place": aligned.place,
                                      "left_out": aligned.left_out})
    write_lines(out_dir / "ctm", (ctm_line(utt, one) for utt, found in aligned.times.items() for one in found))
