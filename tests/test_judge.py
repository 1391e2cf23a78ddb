"""From samples to an assessment: times, pauses, and what cannot be judged."""

import numpy as np
import pytest
import soundfile

from steps.common.errors import UserError
from steps.config.schema import Features
from steps.deploy.assess import reading_aloud
from steps.deploy.pronunciation import Judge, scores, without_pauses
from tests.test_demo import voice

TOKENS = ["<blk>", "hao3", "ma5", "ni3"]


class TwoSyllables:
    """A model that hears ni3 where the first sound of an utterance is, and hao3 where the last one is."""

    tokens = TOKENS
    features = Features(type="fbank", num_bins=40, window="povey", preemphasis=0.97)
    facts = {"spike_place": 0.5}
    subsampling_factor = 4

    def one(self, feats):
        loud = np.flatnonzero(feats.mean(axis=1) > feats.mean())
        frames = -(-len(feats) // 4)
        log_probs = np.full((frames, len(TOKENS)), -8.0, np.float32)
        log_probs[:, 0] = -0.01
        for frame, token in ((loud[0] + 12, "ni3"), (loud[-1] - 12, "hao3")):
            log_probs[frame // 4] = -8.0
            log_probs[frame // 4, TOKENS.index(token)] = -0.01
        return log_probs


def with_pause(seconds):
    silence = np.zeros(8000, np.float32)
    return np.concatenate([silence, voice(0.3), np.zeros(int(16000 * seconds), np.float32), voice(0.3, 1), silence])


def test_times_and_fluency(tmp_path):
    soundfile.write(tmp_path / "a.wav", with_pause(1.0), 16000)
    judge = Judge(TwoSyllables())
    halting = judge.recording(tmp_path / "a.wav", reading_aloud("你好")).assessment
    (first, end), (begin, last) = halting.spans
    assert (first, end, begin, last) == pytest.approx((0.5, 0.8, 1.8, 2.1), abs=0.06)
    assert [verdict.error for verdict in halting.verdicts] == ["None", "None"]
    assert scores(halting)["FluencyScore"] == pytest.approx(100 * 0.6 / 1.6, abs=6)
    fluent = judge.samples("a", with_pause(0.05), reading_aloud("你好")).assessment
    assert scores(fluent)["FluencyScore"] == 100


def test_what_cannot_be_judged(tmp_path):
    judge = Judge(TwoSyllables())
    for samples, words in ((np.zeros(100, np.float32), "a.wav: .*shorter than a frame"),
                           (np.zeros(16000 * 61, np.float32), "a.wav: 61 s are too long")):
        soundfile.write(tmp_path / "a.wav", samples, 16000)
        with pytest.raises(UserError, match=words):
            judge.recording(tmp_path / "a.wav", reading_aloud("你好"))
    with pytest.raises(UserError, match=r"none\.wav: no such file"):
        judge.recording(tmp_path / "none.wav", reading_aloud("你好"))


def test_a_short_silence_belongs_to_its_syllable():
    level = np.array([0.0] * 20 + [9.0] * 20 + [0.0] * 5 + [9.0] * 20 + [0.0] * 35)
    assert without_pauses(level, 20, 45, 12) == (20, 45)
    assert without_pauses(level, 45, 100, 12) == (45, 65)
    assert without_pauses(level, 0, 40, 12) == (20, 40)
    assert without_pauses(level, 70, 90, 12) == (70, 90)
