"""Changes between two runs by utterance, speaker and syllable, with pictures."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from steps.common.errors import UserError
from steps.corpus.table import read_table
from steps.feats.archive import FeatureReader
from steps.report.errors import EPS, Pair, count
from steps.report.experiment import Scored
from steps.report.plots import spectrogram
from steps.report.rows import Row
from steps.search.ctm import Timed


class Change(NamedTuple):
    """Errors of something in both experiments."""

    key: str  # utterance, speaker or syllable
    of: int  # reference syllables
    errors_a: int
    errors_b: int

    @property
    def fixed(self) -> int:
        """Errors that b has not any more; negative where it has new ones."""
        return self.errors_a - self.errors_b


class Place(NamedTuple):
    """A reference syllable in a set."""

    utt: str
    index: int  # among the utterance's reference syllables


def most_fixed(changes: list[Change], number: int) -> list[Change]:
    """Those with most errors less."""
    return _most(changes, number, lambda change: change.fixed)


def most_broken(changes: list[Change], number: int) -> list[Change]:
    """Those with most errors more."""
    return _most(changes, number, lambda change: -change.fixed)


def _most(changes: list[Change], number: int, gain: Callable[[Change], int]) -> list[Change]:
    return sorted((one for one in changes if gain(one) > 0), key=lambda one: (-gain(one), one.of, one.key))[:number]


def by_utterance(a: Scored, b: Scored) -> list[Change]:
    """A change for every utterance; both must hold the same."""
    return [Change(utt, count(pairs).ref_tokens, count(pairs).errors, count(b.alignments[utt]).errors)
            for utt, pairs in a.alignments.items()]


def by_speaker(a: Scored, b: Scored) -> list[Change]:
    """A change for every speaker. Raises UserError where per_spk is missing or damaged."""
    theirs = b.speakers.set_index("spk")["err"]
    return [Change(spk, int(of), int(errors), int(theirs[spk]))
            for spk, of, errors in zip(a.speakers["spk"], a.speakers["ref_tokens"], a.speakers["err"], strict=True)
            if spk in theirs]


def by_syllable(a: Scored, b: Scored) -> list[Change]:
    """A change for every syllable of the references: how often it was not heard as itself."""
    counts: dict[str, list[int]] = {}
    for utt in a.alignments:
        for (ref, hyp_a), (_, hyp_b) in zip(heard(a.alignments[utt]), heard(b.alignments[utt]), strict=True):
            one = counts.setdefault(ref, [0, 0, 0])
            for place, number in enumerate((1, hyp_a != ref, hyp_b != ref)):
                one[place] += number
    return [Change(ref, *numbers) for ref, numbers in sorted(counts.items())]


def example(wrong: Scored, right: Scored, syllable: str) -> Place:
    """The first place where `syllable` was heard rightly in the one and not in the other."""
    for utt in wrong.alignments:
        both = zip(heard(wrong.alignments[utt]), heard(right.alignments[utt]), strict=True)
        for index, ((ref, bad), (_, good)) in enumerate(both):
            if ref == good == syllable != bad:
                return Place(utt, index)
    raise KeyError(syllable)


def heard(pairs: list[Pair]) -> list[Pair]:
    """An alignment without its insertions: what was heard for each reference syllable."""
    return [pair for pair in pairs if pair[0] != EPS]


NEIGHBOURS = 2  # decoded syllables shown on either side of one
MARGIN_S = 0.1


class Heard(NamedTuple):
    """The utterances that an experiment decoded, with their features."""

    scored: Scored
    feats: Mapping[str, np.ndarray]  # raw (frames, bins) by utterance; those that are gone are not in it
    frame_shift_s: float
    text: Mapping[str, str]  # hanzi by utterance, as far as there are any
    wavs: Mapping[str, str]  # paths of recordings, as far as they are known


def heard_by(row: Row, part: str) -> Heard:
    """The first run's decoding of a set."""
    config = row.first.config
    scp, data_dir = config.set_feats(part, row.first.exp_dir) / "feats.scp", config.set_data(part)
    try:
        feats = FeatureReader(scp) if scp.exists() else {}
    except UserError:  # damaged: then without pictures
        feats = {}
    return Heard(row.scored(part)[0], feats, config.features.frame_shift_ms / 1000, _table(data_dir / "text"),
                 _table(data_dir / "wav.scp"))


def _table(path: Path) -> dict[str, str]:
    """A table; empty where it is gone or damaged."""
    try:
        return read_table(path)
    except UserError:
        return {}


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
