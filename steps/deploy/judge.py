"""A recording and a text to an assessment: audio, features, the network, the verdicts."""

import itertools
from pathlib import Path

import numpy as np

from steps.common.errors import UserError
from steps.deploy.assess import TokenParts
from steps.deploy.pronounce_page import Recorded
from steps.deploy.pronunciation import Span, assess_utterance
from steps.deploy.reading_aloud import ReadingAloud
from steps.feats.audio import read_audio
from steps.feats.compute import compute_feats
from steps.search.alignment import boundaries, voice_of
from steps.search.ctc import align

SPIKE_PLACE = 0.5  # where in a syllable its spike is taken to be
LONGEST_S = 60.0  # of a recording: whoever reads aloud a longer one should cut it


class Judge:
    """The model of an experiment, judging recordings. Raises UserError where there is none."""

    def __init__(self, exp_dir: Path):
        from steps.model.acoustic import AcousticModel

        self._model = AcousticModel(exp_dir)
        self.features = self._model.config.features
        self.tokens = self._model.tokens
        self._parts = TokenParts(self.tokens)

    def recording(self, path: Path, reading: ReadingAloud) -> Recorded:
        """Judge an audio file. Raises UserError, naming it, where it cannot be read or the text does not fit."""
        samples = read_audio(path, self.features.sample_rate)
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
        [(_, log_probs)] = self._model.log_probs([(name, feats)])
        assessment = assess_utterance(log_probs, reading, self._parts,
                                      lambda said: self._spans(said, log_probs, feats), duration)
        return Recorded(name, assessment, samples, self.features.sample_rate, feats)

    def _spans(self, said: list[int], log_probs: np.ndarray, feats: np.ndarray) -> list[Span]:
        if not said:
            return []
        shift_ms = self.features.frame_shift_ms
        reduction = self._model.frame_shift_s * 1000 / shift_ms
        spikes = [(one.first + one.last) / 2 * reduction for one in align(log_probs, said)]
        edges = boundaries(voice_of(feats, self.features), spikes, SPIKE_PLACE, shift_ms)
        return [Span(begin * shift_ms / 1000, end * shift_ms / 1000) for begin, end in itertools.pairwise(edges)]
