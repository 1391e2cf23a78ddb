"""Spectrograms of what changed, where the features are still there."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from steps.common.errors import UserError
from steps.comparison.changes import Place
from steps.comparison.rows import Row
from steps.feats.archive import FeatureReader
from steps.results.errors import EPS, Pair
from steps.results.experiment import Scored
from steps.results.plots import spectrogram
from steps.search.ctm import Timed

NEIGHBOURS = 2  # decoded syllables shown on either side of one
MARGIN_S = 0.1


class Heard(NamedTuple):
    """What an experiment decoded, with the features that it was decoded from."""

    scored: Scored
    feats: Mapping[str, np.ndarray]  # raw (frames, bins) by utterance; those that are gone are not in it
    frame_shift_s: float


def heard_by(row: Row, part: str) -> Heard:
    """The first run's decoding of a set."""
    config = row.first.config
    scp = config.feature_dir / part / "feats.scp"
    try:
        feats = FeatureReader(scp) if scp.exists() else {}
    except UserError:  # damaged: then without pictures
        feats = {}
    return Heard(row.scored(part)[0], feats, config.features.frame_shift_ms / 1000)


def utterance_picture(heard: Heard, utt: str) -> str:
    """An utterance with its decoded syllables as SVG; empty where features or times are gone."""
    try:
        pairs, times = heard.scored.alignments[utt], heard.scored.times_of(utt)
        return spectrogram(heard.feats[utt], heard.frame_shift_s, pairs, times, f"Spectrogram of {utt}")
    except (UserError, KeyError):
        return ""


def syllable_picture(heard: Heard, place: Place) -> str:
    """A syllable that was heard rightly, among its neighbours, as SVG; empty where features or times are gone."""
    try:
        pairs, times = heard.scored.alignments[place.utt], heard.scored.times_of(place.utt)
        feats = heard.feats[place.utt]
    except (UserError, KeyError):
        return ""
    some_pairs, some_times = _around(pairs, times, place.index)
    shift = heard.frame_shift_s
    first = max(0, int((some_times[0].begin - MARGIN_S) / shift))
    last = int((some_times[-1].begin + some_times[-1].duration + MARGIN_S) / shift) + 1
    moved = [one._replace(begin=one.begin - first * shift) for one in some_times]
    return spectrogram(feats[first:last], shift, some_pairs, moved, f"Spectrogram of a part of {place.utt}")


def _around(pairs: list[Pair], times: list[Timed], index: int) -> tuple[list[Pair], list[Timed]]:
    """The pairs from NEIGHBOURS decoded syllables before reference syllable `index` to as many behind it."""
    centre = [place for place, (ref, _) in enumerate(pairs) if ref != EPS][index]
    decoded = [place for place, (_, hyp) in enumerate(pairs) if hyp != EPS]
    middle = decoded.index(centre)
    first, last = max(0, middle - NEIGHBOURS), min(len(decoded) - 1, middle + NEIGHBOURS)
    return pairs[decoded[first]:decoded[last] + 1], times[first:last + 1]
