"""Where syllables begin and end in the sound: what the spikes of a forced alignment and the features tell together.

CTC emits a syllable within a frame or two, at a place in it that no loss decides: it differs from one training to the
next. That place is measured, from utterances' first and last spikes; between two spikes the boundary is then sought
where the voice ebbs away, so that a syllable begins with its initial.
"""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter1d

from steps.config.schema import Features

SMOOTH = 5  # frames that the voice's level is averaged over
REACH_MS = 80.0  # that a boundary may lie from where the spikes alone would put it
PULL = 0.7  # nats that its full reach costs a boundary
EBB = 0.3  # of the fall from a vowel to the dip behind it that is left where the syllable ends
SHORTEST_MS = 80.0  # of a syllable


class Voice(NamedTuple):
    """How loud an utterance is."""

    level: np.ndarray  # float (frames,), nats, of the frequencies below some 2 kHz, where voices are
    onset: int  # the first frame of speech
    offset: int  # and the last


def voice_of(feats: np.ndarray, config: Features) -> Voice:
    """From features as stored, (frames, bins). Speech is what lies above halfway between its quiet and loud frames."""
    bins = feats.shape[1] // (2 if config.type == "fbank" else 4)
    level = uniform_filter1d(feats[:, :bins].mean(axis=1, dtype=np.float64), SMOOTH, mode="nearest")
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
    """The frames at which syllables begin, and behind them the one at which the last has ended: len(spikes) + 1.

    Args:
        spikes: the frame of each syllable's spike, ascending.
        place: see `spike_place`.
    """
    found = [voice.onset]
    for spike, following in itertools.pairwise(spikes):
        expected = round(spike + (1 - place) * (following - spike))
        found.append(_boundary(voice.level, expected, round(spike), found[-1], frame_shift_ms))
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
