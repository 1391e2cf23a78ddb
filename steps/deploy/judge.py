"""A recording and a text to an assessment: audio, features, the network, the verdicts."""

import itertools
from pathlib import Path

import numpy as np

from steps.common.errors import UserError
from steps.deploy.assess import TokenParts
from steps.deploy.model import NOT_MEASURED, Model
from steps.deploy.pronounce_page import Recorded
from steps.deploy.pronunciation import Span, assess_utterance
from steps.deploy.reading_aloud import ReadingAloud
from steps.deploy.sound import open_sound
from steps.feats.compute import compute_feats
from steps.search.alignment import boundaries, voice_of
from steps.search.ctc import align

SILENCE_MS = 120.0  # at a syllable's end that may belong to it: a stop's closure is shorter
LONGEST_S = 60.0  # of a recording; a longer one must be cut


class Judge:
    """Judges recordings by a model."""

    def __init__(self, model: Model):
        self._model = model
        self.features = model.features
        self.tokens = model.tokens
        self._parts = TokenParts(model.tokens)
        self._place = model.facts.get("spike_place", NOT_MEASURED)

    def recording(self, path: Path, reading: ReadingAloud) -> Recorded:
        """Judge an audio file. Raises UserError, naming it, where it cannot be read or the text does not fit."""
        samples = np.concatenate(list(open_sound(path, self.features.sample_rate).blocks))
        try:
            return self.samples(path.name, samples, reading)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    def samples(self, name: str, samples: np.ndarray, reading: ReadingAloud) -> Recorded:
        """Judge samples, float32 (samples,) at the features' rate. Raises UserError as `recording` does."""
        duration = len(samples) / self.features.sample_rate
        if duration > LONGEST_S:
            raise UserError(f"{duration:.0f} s are too long to judge at once; cut it into parts of {LONGEST_S:.0f} s")
        feats = compute_feats(samples, self.features)
        log_probs = self._model.one(feats)
        assessment = assess_utterance(log_probs, reading, self._parts,
                                      lambda said: self._spans(said, log_probs, feats), duration)
        return Recorded(name, assessment, samples, self.features.sample_rate, feats)

    def _spans(self, said: list[int], log_probs: np.ndarray, feats: np.ndarray) -> list[Span]:
        if not said:
            return []
        shift_ms, factor = self.features.frame_shift_ms, self._model.subsampling_factor
        spikes = [(one.first + one.last) / 2 * factor for one in align(log_probs, said)]
        edges = boundaries(voice_of(feats, self.features), spikes, self._place, shift_ms)
        spans = [without_pauses(feats.mean(axis=1), *edge, SILENCE_MS / shift_ms) for edge in itertools.pairwise(edges)]
        return [Span(begin * shift_ms / 1000, end * shift_ms / 1000) for begin, end in spans]


def without_pauses(loudness: np.ndarray, begin: int, end: int, longest: float) -> tuple[int, int]:
    """A syllable's frames without a silence at either end that is longer than `longest` frames.

    `loudness` (frames,) is the utterance's; silent is what lies below halfway between its quiet and its loud frames.
    """
    loud = begin + np.flatnonzero(loudness[begin:end] >= np.quantile(loudness, [0.05, 0.95]).mean())
    if not len(loud):
        return begin, end
    return (int(loud[0]) if loud[0] - begin > longest else begin,
            int(loud[-1]) + 1 if end - 1 - loud[-1] > longest else end)
