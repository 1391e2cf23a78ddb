"""How a text was read aloud: a recording to an assessment, and that as a line for people and as JSON with the fields of
Azure's pronunciation assessment."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from steps.common.errors import UserError
from steps.deploy.assess import (
    PARTS,
    ReadingAloud,
    Spoken,
    Target,
    TokenParts,
    Verdict,
    assess,
    part_score,
    wrong_parts,
)
from steps.deploy.model import NOT_MEASURED, Model
from steps.deploy.sound import open_sound
from steps.feats.compute import compute_feats
from steps.search.alignment import boundaries, voice_of
from steps.search.ctc import align
from steps.text.syllables import split

TICKS = 10_000_000  # a second in Azure's unit, 100 ns
PAUSE_S = 0.25  # a silence between two syllables that is longer is a pause
SILENCE_MS = 120.0  # at a syllable's end that may belong to it: a stop's closure is shorter
LONGEST_S = 60.0  # of a recording; a longer one must be cut


class Span(NamedTuple):
    """Where a syllable is, in seconds."""

    begin: float
    end: float


class Assessment(NamedTuple):
    """An utterance, assessed."""

    reading: ReadingAloud
    heard: list[Spoken]
    verdicts: list[Verdict]
    spans: list[Span | None]  # of `heard`; None if nothing was said
    duration: float  # seconds


def assess_utterance(log_probs: np.ndarray, reading: ReadingAloud, parts: TokenParts,
                     spans_of: Callable[[list[int]], list[Span]], duration: float) -> Assessment:
    """Assess log-probabilities, float (frames, tokens). `spans_of` gives spans to the token ids that were said.

    Raises UserError if the text has a syllable that the model does not know, or does not fit into the recording.
    """
    heard, verdicts = assess(log_probs, reading, parts)
    spans = iter(spans_of([one.token for one in heard if one.token]))
    return Assessment(reading, heard, verdicts, [next(spans) if one.token else None for one in heard], duration)


class Recorded(NamedTuple):
    """An assessed recording, with what its picture is made of."""

    name: str
    assessment: Assessment
    samples: np.ndarray  # float32 (samples,)
    sample_rate: int
    feats: np.ndarray  # float32 (frames, bins), as the network sees them


class Judge:
    """Judges recordings by a model."""

    def __init__(self, model: Model):
        self._model = model
        self.features = model.features
        self.tokens = model.tokens
        self._parts = TokenParts(model.tokens)
        self._place = model.facts.get("spike_place", NOT_MEASURED)

    def recording(self, path: Path, reading: ReadingAloud) -> Recorded:
        """Judge an audio file. Raises UserError, naming it, if it cannot be read or the text does not fit."""
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


def scores(assessment: Assessment) -> dict[str, float]:
    """Azure's scores of the whole, 0 to 100.

    Accuracy is the mean over the syllables that were said, completeness the share of the text's that were. Fluency is
    the share of time between the first syllable and the last that is not a pause (the phonation-time ratio,
    Cucchiarini et al. 2000); one syllable has none. The whole is their mean, in which the lowest weighs three times as
    much.
    """
    said = [verdict.accuracy for verdict in assessment.verdicts if verdict.error != "Omission"]
    found = {"AccuracyScore": 100 * float(np.mean(said)) if said else 0.0,
             "CompletenessScore": 100 * len(said) / len(assessment.verdicts)}
    spans = [span for span in assessment.spans if span]
    if len(spans) > 1:
        gaps = [after.begin - before.end for before, after in itertools.pairwise(spans)]
        pauses = sum(gap for gap in gaps if gap >= PAUSE_S)
        found["FluencyScore"] = 100 * (1 - pauses / (spans[-1].end - spans[0].begin))
    lowest = min(found.values())
    found["PronScore"] = (sum(found.values()) + 2 * lowest) / (len(found) + 2)
    return {name: round(value, 1) for name, value in found.items()}


def summary(assessment: Assessment, tokens: list[str]) -> str:
    """The score of the whole and what was read wrong: `41.2<TAB>好 hao3 as hao2 (tone), 吗 ma5 left out`."""
    off = []
    for one in assessment.heard:
        if one.target is None:
            off.append(f"{tokens[one.token]} added")
            continue
        target, verdict = assessment.reading.targets[one.target], assessment.verdicts[one.target]
        syllable = " ".join(dict.fromkeys([target.grapheme, target.syllable]))  # of a text in pinyin both are one
        if verdict.error == "Omission":
            off.append(f"{syllable} left out")
        elif verdict.error != "None":
            off.append(f"{syllable} as {verdict.said} ({', '.join(wrong_parts(target, verdict))})")
    return f"{scores(assessment)['PronScore']:.1f}\t{', '.join(off) or 'nothing wrong'}"


def azure(assessment: Assessment, tokens: list[str]) -> dict[str, Any]:
    """The JSON. Beside Azure's fields each syllable has ErrorType, Said and Accepted, each phoneme Part and Said."""
    words, numbers = [], [target.word for target in assessment.reading.targets]
    for one, span in zip(assessment.heard, assessment.spans, strict=True):
        if one.target is None:
            words.append({"Word": tokens[one.token], **_times(span),
                          "PronunciationAssessment": {"ErrorType": "Insertion"}})
        elif numbers[one.target] not in numbers[one.target + 1:]:  # a word's last syllable
            words.append(_word(assessment, numbers[one.target]))
    begin, end = _extent(assessment.spans)
    return {
        "RecognitionStatus": "Success",
        **_times(Span(begin, end)),
        "DisplayText": assessment.reading.text,
        "NBest": [{
            "Lexical": " ".join(tokens[one.token] for one in assessment.heard if one.token),
            "Display": assessment.reading.text,
            "PronunciationAssessment": scores(assessment),
            "Words": words,
        }],
    }


def _word(assessment: Assessment, number: int) -> dict[str, Any]:
    targets = assessment.reading.targets
    mine = [at for at, target in enumerate(targets) if target.word == number]
    spans = {one.target: span for one, span in zip(assessment.heard, assessment.spans, strict=True)}
    verdicts = [assessment.verdicts[at] for at in mine]
    said = [verdict.accuracy for verdict in verdicts if verdict.error != "Omission"]
    errors = {verdict.error for verdict in verdicts}
    error = "Omission" if errors == {"Omission"} else "None" if errors == {"None"} else "Mispronunciation"
    syllables = [_syllable(targets[at], assessment.verdicts[at], spans[at]) for at in mine]
    phonemes = [phoneme for at in mine for phoneme in _phonemes(targets[at], assessment.verdicts[at], spans[at])]
    return {
        "Word": assessment.reading.words[number],
        **_times(Span(*_extent([spans[at] for at in mine]))),
        "PronunciationAssessment": {"AccuracyScore": _percent(np.mean(said) if said else 0.0), "ErrorType": error},
        "Syllables": syllables,
        "Phonemes": phonemes,
    }


def _syllable(target: Target, verdict: Verdict, span: Span | None) -> dict[str, Any]:
    nbest = [{"Syllable": syllable, "Score": _percent(probability)} for syllable, probability in verdict.nbest]
    return {
        "Syllable": target.syllable,
        "Grapheme": target.grapheme,
        **_times(span),
        "PronunciationAssessment": {"AccuracyScore": _percent(verdict.accuracy), "ErrorType": verdict.error,
                                    "NBestSyllables": nbest},
        "Said": verdict.said,
        "Accepted": list(target.accepted),
    }


def _phonemes(target: Target, verdict: Verdict, span: Span | None) -> list[dict[str, Any]]:
    """Initial, final and tone; a syllable without an initial has none."""
    wanted = split(target.syllable)
    return [{
        "Phoneme": getattr(wanted, part),
        **_times(span),
        "PronunciationAssessment": {"AccuracyScore": _percent(part_score(target, verdict, part))},
        "Part": part,
        "Said": getattr(verdict.heard, part),
    } for part in PARTS if part != "initial" or wanted.initial or verdict.heard.initial]


def _times(span: Span | None) -> dict[str, int]:
    """Azure's Offset and Duration; both 0 if nothing was said."""
    if span is None:
        return {"Offset": 0, "Duration": 0}
    return {"Offset": round(span.begin * TICKS), "Duration": round((span.end - span.begin) * TICKS)}


def _extent(spans: list[Span | None]) -> tuple[float, float]:
    said = [span for span in spans if span]
    return (said[0].begin, said[-1].end) if said else (0.0, 0.0)


def _percent(probability: float) -> float:
    return round(100 * float(probability), 1)
