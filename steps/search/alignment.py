"""Forced alignment of a set: where each syllable begins and ends; and NIST's ctm format, which holds such times.

CTC emits a syllable within a frame or two, at a place in the syllable that differs from one training to the next. That
place is measured from the first and last spikes of utterances. Between two spikes the boundary is put where the voice
is weakest, so that a syllable begins with its initial.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter1d

from steps.common.checksums import forget_sums, write_sums
from steps.common.errors import UserError
from steps.common.files import utf8_lines, write_json, write_lines
from steps.common.parallel import track
from steps.config.schema import Features
from steps.search.ctc import Acoustic, Emission, align


class Timed(NamedTuple):
    """A decoded syllable with its time."""

    begin: float  # seconds
    duration: float  # seconds
    syllable: str
    confidence: float  # its highest probability


def timed_words(times: list[Timed], words: Sequence[tuple[str, int]]) -> list[Timed]:
    """Words, each given with the number of its syllables, from its first syllable to its last."""
    found, at = [], 0
    for word, syllables in words:
        own = times[at:at + syllables]
        at += syllables
        if own:
            end = own[-1].begin + own[-1].duration
            found.append(Timed(own[0].begin, end - own[0].begin, word, min(one.confidence for one in own)))
    return found


def ctm_lines(times: Mapping[str, list[Timed]]) -> Iterator[str]:
    """The lines of some utterances, in the order of time."""
    return (ctm_line(utt, one) for utt, found in times.items() for one in found)


def ctm_line(utt: str, one: Timed) -> str:
    """The line `utt 1 begin duration syllable confidence`, times in seconds."""
    return f"{utt} 1 {one.begin:.3f} {one.duration:.3f} {one.syllable} {one.confidence:.3f}"


def read_ctm(path: Path) -> dict[str, list[Timed]]:
    """A ctm file by utterance; utterances without output are not in it.

    Raises UserError if it is missing or damaged.
    """
    by_utt: dict[str, list[Timed]] = {}
    lines = utf8_lines(path, "; run stage 5 (decode) first", if_not_utf8="; decode again")
    for number, line in enumerate(lines, 1):
        try:
            utt, _, begin, duration, syllable, confidence = line.split()
            one = Timed(float(begin), float(duration), syllable, float(confidence))
        except ValueError:
            one = None
        if one is None or not (0 <= one.begin < math.inf and 0 <= one.duration < math.inf):
            raise UserError(f"{path}:{number}: not `utt 1 begin duration syllable confidence`; decode again")
        by_utt.setdefault(utt, []).append(one)
    return by_utt


SMOOTH = 5  # frames that the voice's level is averaged over
REACH_MS = 80.0  # that a boundary may lie from where the spikes alone would put it
PULL = 0.7  # nats that its full reach costs a boundary
EBB = 0.3  # of the fall from a vowel to the dip after it that is left where the syllable ends
SHORTEST_MS = 80.0  # of a syllable


class Voice(NamedTuple):
    """How loud an utterance is."""

    level: np.ndarray  # float32 (frames,), nats, of the frequencies below about 2 kHz, where voices are
    onset: int  # the first frame of speech
    offset: int  # and the last


def voice_of(feats: np.ndarray, config: Features) -> Voice:
    """From features as stored, (frames, bins). Speech is what lies above halfway between its quiet and loud frames."""
    bins = feats.shape[1] // (2 if config.type == "fbank" else 4)
    level = uniform_filter1d(feats[:, :bins].mean(axis=1, dtype=np.float64), SMOOTH, mode="nearest").astype(np.float32)
    loudness = feats.mean(axis=1)
    speech = np.flatnonzero(loudness >= np.quantile(loudness, [0.05, 0.95]).mean())
    return Voice(level, int(speech[0]), int(speech[-1]))


def spike_place(utts: Iterable[tuple[Voice, list[float]]]) -> float:
    """Where in a syllable its spike lies, from 0 (its begin) to 1: the median over utterances, each with its spikes'
    frames, of the first's distance from the onset and the last's from the offset, as parts of the mean syllable."""
    places = []
    for voice, spikes in utts:
        syllable = max(1, voice.offset - voice.onset) / len(spikes)
        places.append(((spikes[0] - voice.onset) + syllable - (voice.offset - spikes[-1])) / (2 * syllable))
    return float(np.clip(np.median(places), 0, 1))


def boundaries(voice: Voice, spikes: list[float], place: float, frame_shift_ms: float) -> list[int]:
    """The frames at which syllables begin, and after them the one at which the last has ended: len(spikes) + 1.

    Args:
        spikes: the frame of each syllable's spike, ascending.
        place: see `spike_place`.
    """
    found = [voice.onset]
    for spike, following in itertools.pairwise(spikes):
        expected = round(spike + (1 - place) * (following - spike))
        found.append(max(found[-1] + 1, _boundary(voice.level, expected, round(spike), found[-1], frame_shift_ms)))
    return [*found, max(voice.offset + 1, found[-1] + 1)]


def _boundary(level: np.ndarray, expected: int, spike: int, before: int, frame_shift_ms: float) -> int:
    reach, shortest = round(REACH_MS / frame_shift_ms), round(SHORTEST_MS / frame_shift_ms)
    first = min(max(expected - reach, before + shortest), len(level) - 1)
    window = np.arange(first, max(first + 1, min(expected + reach + 1, len(level) - shortest)))
    dip = int(window[np.argmin(level[window] + PULL * ((window - expected) / reach) ** 2)])
    peak = min(spike, dip) + int(np.argmax(level[min(spike, dip):dip + 1]))
    left = level[dip] + EBB * (level[peak] - level[dip])
    while dip - 1 > peak and level[dip - 1] < left:
        dip -= 1
    return max(dip, min(before + shortest, len(level) - 1))


FEATURELESS = "they have no features"
UNKNOWN = "a syllable of theirs is not a token of the model"
TOO_SHORT = "they have more syllables than the model leaves frames for"


class Aligned(NamedTuple):
    """An aligned set."""

    times: dict[str, list[Timed]]  # by utterance, in C order
    place: float  # where in a syllable its spike lies (see steps.search.alignment)
    left_out: dict[str, list[str]]  # utterances by the reason for which they could not be aligned


def align_set(model: Acoustic, config: Features, feats: Mapping[str, np.ndarray], pinyin: Mapping[str, list[str]],
              what: str) -> Aligned:
    """Align the utterances that have both features (float32 (frames, bins) each, as stored) and pinyin.

    `config` is that of the features, `what` is what progress calls it. Raises UserError if none can be aligned, with
    the reasons.
    """
    ids = {token: number for number, token in enumerate(model.tokens)}
    utts = [utt for utt in sorted(pinyin) if utt in feats]
    known = [utt for utt in utts if all(syllable in ids for syllable in pinyin[utt])]
    left_out = {FEATURELESS: sorted(pinyin.keys() - set(utts)), UNKNOWN: sorted(set(utts) - set(known))}
    voices: dict[str, Voice] = {}
    emissions: dict[str, list[Emission]] = {}
    for utt, log_probs in track(model.log_probs(_hearing(known, feats, config, voices)), len(known), what):
        found = align(log_probs, [ids[syllable] for syllable in pinyin[utt]])
        if found is not None:
            emissions[utt] = found
    left_out = {why: some for why, some in
                {**left_out, TOO_SHORT: [utt for utt in known if utt not in emissions]}.items() if some}
    if not emissions:
        reasons = "; ".join(f"{len(some)}: {why}" for why, some in left_out.items())
        raise UserError(f"{what}: none of the {len(pinyin)} utterances of its pinyin can be aligned: {reasons}")
    place, times = set_times(model, config, voices, emissions)
    return Aligned(times, place, left_out)


def _hearing(utts: list[str], feats: Mapping[str, np.ndarray], config: Features,
             voices: dict[str, Voice]) -> Iterator[tuple[str, np.ndarray]]:
    """(utt, features); notes the utterance's voice, so that features are read once."""
    for utt in utts:
        matrix = feats[utt]
        voices[utt] = voice_of(matrix, config)
        yield utt, matrix


def set_times(model: Acoustic, config: Features, voices: Mapping[str, Voice],
              emissions: Mapping[str, list[Emission]]) -> tuple[float, dict[str, list[Timed]]]:
    """Where in a syllable its spike lies in a set, and the syllables of its utterances, at least one in each."""
    factor = round(model.frame_shift_s * 1000 / config.frame_shift_ms)
    place = spike_place((voices[utt], _spikes(found, factor)) for utt, found in emissions.items())
    return place, {utt: timed(found, voices[utt], model.tokens, place, factor, config.frame_shift_ms)
                   for utt, found in sorted(emissions.items())}


def timed(found: list[Emission], voice: Voice, tokens: list[str], place: float, factor: int,
          frame_shift_ms: float) -> list[Timed]:
    """Emissions, at least one, as syllables that fill the time from the voice's onset to its offset.

    Args:
        place: see `spike_place`.
        factor: input frames per output frame.
    """
    edges = np.array(boundaries(voice, _spikes(found, factor), place, frame_shift_ms)) * frame_shift_ms / 1000
    return [Timed(begin, end - begin, tokens[one.token], one.posterior)
            for begin, end, one in zip(edges[:-1].tolist(), edges[1:].tolist(), found, strict=True)]


def _spikes(found: list[Emission], factor: int) -> list[float]:
    return [(one.first + one.last) / 2 * factor for one in found]


def write_aligned(out_dir: Path, aligned: Aligned) -> None:
    """Write ali.json, with what was left out and why, and ctm, which comes last."""
    forget_sums(out_dir, ["ali.json", "ctm"])
    (out_dir / "ctm").unlink(missing_ok=True)
    write_json(out_dir / "ali.json", {"utterances": len(aligned.times), "spike_place": aligned.place,
                                      "left_out": aligned.left_out})
    write_lines(out_dir / "ctm", ctm_lines(aligned.times))
    write_sums(out_dir, ["ali.json", "ctm"])
