"""Pronunciation assessment: texts, verdicts on made-up sound, the JSON; from samples to times and pauses, and what
cannot be judged."""

import numpy as np
import pytest
import soundfile

from steps.common.errors import UserError
from steps.config.schema import Features
from steps.deploy.assess import DOUBT, TokenParts, assess, listen, part_score, reading_aloud, wrong_parts
from steps.deploy.pronunciation import Judge, Span, assess_utterance, azure, scores, summary, without_pauses
from steps.search.ctc import ctc_cost
from tests.test_demo import voice

TOKENS = ["<blk>", "ai4", "bu2", "bu4", "hao3", "hao4", "hou3", "li3", "ma1", "ma5", "ni2", "ni3", "ni4", "nin2",
          "shi4", "ta1", "ta2", "wo3"]
PARTS = TokenParts(TOKENS)


def sound(said, doubt=()):
    """Log-probabilities of a voice that says `said`, two frames each between blanks; `doubt` is heard a little."""
    frames = []
    for syllable in said.split():
        likely = np.full(len(TOKENS), -9.0)
        likely[PARTS.ids[syllable]] = 0.0
        for other in doubt:
            likely[PARTS.ids[other]] = -2.0
        blank = np.full(len(TOKENS), -9.0)
        blank[0] = 0.0
        frames += [blank, likely, likely]
    frames = np.array([*frames, blank])
    return frames - np.logaddexp.reduce(frames, axis=1, keepdims=True)


def errors(text, said):
    heard, verdicts = assess(sound(said), reading_aloud(text), PARTS)
    inserted = [TOKENS[one.token] for one in heard if one.target is None]
    return [verdict.error for verdict in verdicts], inserted


@pytest.mark.parametrize("text,accepted", [
    ("你好", [("ni3", "ni2"), ("hao3",)]),
    ("ni3hao3 ma", [("ni3", "ni2"), ("hao3",), ("ma5",)]),
    ("nǐ Hǎo", [("ni3", "ni2"), ("hao3",)]),
    ("不是", [("bu4", "bu2"), ("shi4",)]),
    ("一个", [("yi1", "yi2"), ("ge4",)]),
    ("第一次", [("di4",), ("yi1",), ("ci4",)]),
    ("bu4 shi4", [("bu4",), ("shi4",)]),
    ("lu:4 lǜ", [("lv4",), ("lv4",)]),
])
def test_a_text_and_the_tones_that_count_as_right(text, accepted):
    assert [target.accepted for target in reading_aloud(text).targets] == accepted


@pytest.mark.parametrize("text,words", [
    ("", "holds no syllable"), ("…", "holds no syllable"), ("ni hao", "without tones"), ("hello3", "not a syllable"),
    ("ni7 hao3", "7 is not a part"), ("ni33", "3 is not a part"), ("你😀", "no reading is known for"),
])
def test_a_text_that_cannot_be_read(text, words):
    with pytest.raises(UserError, match=words):
        reading_aloud(text)


@pytest.mark.parametrize("said,wrong,inserted", [
    ("ni3 hao3 ma5", "None None None", []),
    ("ni2 hao3 ma5", "None None None", []),
    ("ni4 hao3 ma5", "Mispronunciation None None", []),
    ("li3 hou3 ma1", "Mispronunciation Mispronunciation Mispronunciation", []),
    ("ni3 ma5", "None Omission None", []),
    ("hao3", "Omission None Omission", []),
    ("ni3 hao3 hao3 ma5", "None None None", ["hao3"]),
    ("wo3 ni3 hao3 ma5 ai4", "None None None", ["wo3", "ai4"]),
    ("ni3 ma5 ta1 bu4", "None Omission None", ["ta1", "bu4"]),
    ("ni4 ma1", "Mispronunciation Omission Mispronunciation", []),
])
def test_verdicts(said, wrong, inserted):
    assert errors("你好吗", said) == (wrong.split(), inserted)


def test_a_wrong_tone_is_told_from_a_wrong_initial_and_a_wrong_final():
    for said, odd in (("ni4", "tone"), ("li3", "initial"), ("nin2", None)):
        _, [verdict] = assess(sound(said), reading_aloud("ni3"), PARTS)
        for part, odds in verdict.log_odds._asdict().items():
            assert (odds < -5) == (part == odd), (said, part)
        assert verdict.said == said


def test_accuracy_is_the_probability_of_the_right_forms():
    _, [verdict] = assess(sound("ni3", doubt=["ni4"]), reading_aloud("ni3"), PARTS)
    assert verdict.accuracy + dict(verdict.nbest)["ni4"] == pytest.approx(1, abs=0.01)
    assert verdict.error == "None"
    assert verdict.log_odds.tone == pytest.approx(np.log(verdict.accuracy), abs=0.01)


def test_listening_never_makes_it_less_likely():
    rng = np.random.default_rng(5)
    for _ in range(20):
        frames = rng.normal(size=(12, len(TOKENS))) * 3
        log_probs = frames - np.logaddexp.reduce(frames, axis=1, keepdims=True)
        labels = list(rng.integers(1, len(TOKENS), 4))
        said, found = listen(log_probs, labels)
        assert found.total >= max(found.instead.max(), found.between.max()) - DOUBT
        assert found.total == pytest.approx(-ctc_cost(log_probs, said))


def test_what_is_a_little_likelier_than_the_text_is_not_taken_for_said():
    for said, error in (("ni3", "None"), ("ni4", "Mispronunciation")):
        _, [verdict] = assess(sound(said, doubt=["ni3"]), reading_aloud("ni3"), PARTS)
        assert verdict.error == error
    unsure = np.logaddexp(sound("ni4"), sound("ni3") - 1)
    _, [verdict] = assess(unsure, reading_aloud("ni3"), PARTS)
    assert (verdict.error, verdict.said, verdict.nbest[0][0]) == ("None", "ni3", "ni4")


def test_of_right_forms_the_likeliest_was_said_and_neither_tone_is_wrong():
    reading = reading_aloud("你好")
    heard, [verdict, _] = assess(np.logaddexp(sound("ni2 hao3"), sound("ni3 hao3") - 1), reading, PARTS)
    assert (verdict.error, verdict.said, TOKENS[heard[0].token]) == ("None", "ni2", "ni2")
    _, [verdict, _] = assess(sound("li3 hao3"), reading, PARTS)
    assert wrong_parts(reading.targets[0], verdict) == ["initial"]
    _, [verdict, _] = assess(sound("nin2 hao3"), reading, PARTS)
    assert wrong_parts(reading.targets[0], verdict) == ["final"]  # the second tone is right before a third one
    _, [verdict, _] = assess(sound("hao3"), reading, PARTS)
    assert wrong_parts(reading.targets[0], verdict) == []


def test_parts_that_are_wrong_together_have_the_syllables_score():
    reading = reading_aloud("ni3")
    _, [verdict] = assess(sound("hao3"), reading, PARTS)
    scores = [part_score(reading.targets[0], verdict, part) for part in ("initial", "final", "tone")]
    assert wrong_parts(reading.targets[0], verdict) == ["initial", "final"]
    assert scores[:2] == [verdict.accuracy] * 2 and verdict.accuracy < 0.05 < scores[2]


def spans_of(said):
    return [Span(0.5 * number, 0.5 * number + 0.4) for number in range(len(said))]


def test_json_has_azure_s_fields():
    found = assess_utterance(sound("wo3 ni4 hao3"), reading_aloud("你好吗"), PARTS, spans_of, 2.0)
    best = azure(found, TOKENS)["NBest"][0]
    assert [word["Word"] for word in best["Words"]] == ["wo3", "你好", "吗"]
    assert [word["PronunciationAssessment"]["ErrorType"] for word in best["Words"]] == [
        "Insertion", "Mispronunciation", "Omission"]
    assert (best["Words"][1]["Offset"], best["Words"][1]["Duration"]) == (5_000_000, 9_000_000)
    ni, hao = best["Words"][1]["Syllables"]
    assert (ni["Syllable"], ni["Grapheme"], ni["Said"], ni["Accepted"]) == ("ni3", "你", "ni4", ["ni3", "ni2"])
    assert ni["PronunciationAssessment"]["AccuracyScore"] < 1 < 99 < hao["PronunciationAssessment"]["AccuracyScore"]
    phonemes = best["Words"][1]["Phonemes"]
    assert [one["Phoneme"] for one in phonemes] == ["n", "i", "3", "h", "ao", "3"]
    assert [one["PronunciationAssessment"]["AccuracyScore"] > 50 for one in phonemes] == [1, 1, 0, 1, 1, 1]
    assert best["PronunciationAssessment"]["CompletenessScore"] == pytest.approx(66.7)
    assert best["Lexical"] == "wo3 ni4 hao3"


@pytest.mark.parametrize("text,said,words", [
    ("你好吗", "wo3 ni4 hao3", "wo3 added, 你 ni3 as ni4 (tone), 吗 ma5 left out"),
    ("ni3 hao3", "ni3 hou3", "hao3 as hou3 (final)"), ("你好", "ni2 hao3", "nothing wrong"),
])
def test_a_line_says_what_was_read_wrong(text, said, words):
    found = assess_utterance(sound(said), reading_aloud(text), PARTS, spans_of, 2.0)
    assert summary(found, TOKENS) == f"{scores(found)['PronScore']}\t{words}"


def test_a_long_pause_costs_fluency_and_one_syllable_has_none():
    whole = assess_utterance(sound("ni3 hao3"), reading_aloud("你好"), PARTS, spans_of, 2.0)
    assert scores(whole)["FluencyScore"] == 100
    halting = whole._replace(spans=[Span(0, 0.5), Span(1.5, 2.0)])
    assert scores(halting)["FluencyScore"] == 50
    assert scores(halting)["PronScore"] < scores(whole)["PronScore"]
    assert "FluencyScore" not in scores(assess_utterance(sound("ni3"), reading_aloud("ni3"), PARTS, spans_of, 1.0))


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
