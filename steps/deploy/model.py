"""A trained network at work: on ONNX Runtime if it is exported, else on MindSpore; and how sure its syllables are.

A decoded syllable's highest probability is calibrated on dev, so that it tells how often such a syllable is right.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import kaldialign
import numpy as np
from scipy.special import expit, logit

from steps.common.checksums import check_sums
from steps.common.errors import UserError
from steps.common.files import read_json, sha256
from steps.common.parallel import track
from steps.config.load import check_known
from steps.config.schema import Features
from steps.search.alignment import align_set
from steps.search.ctc import Acoustic, Emission, greedy
from steps.text.syllables import read_tokens

EXPORT_AGAIN = "export again: python -m steps.export exp/<experiment>"
CONTEXTS = {"subsampling_factor": 1, "left_context": 0, "right_context": 0}  # frames, and the least of them
MOST_CONTEXT = 10**6
NOT_MEASURED = 0.5  # the middle: where in a syllable its spike lies, as long as dev has not told


class Model:
    """A trained network at work.

    Attributes:
        tokens: the tokens, <blk> first.
        features: what the front end must compute.
        facts: all of export.json, or the experiment's name and the next three.
        subsampling_factor: input frames per output frame.
        left_context, right_context: input frames that output frame i sees before and after i × subsampling_factor.
        frame_shift_s: seconds per output frame.
    """

    def __init__(self, tokens: list[str], features: Features, facts: dict[str, Any]):
        self.tokens, self.features, self.facts = tokens, features, facts
        self.subsampling_factor, self.left_context, self.right_context = (facts[key] for key in CONTEXTS)
        self.frame_shift_s = self.subsampling_factor * features.frame_shift_ms / 1000

    def one(self, feats: np.ndarray) -> np.ndarray:
        """Raw features float32 (frames, bins) → log-probabilities float32 (out_frames, tokens)."""
        raise NotImplementedError

    def log_probs(self, utts: Iterable[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
        """As `steps.model.acoustic.AcousticModel.log_probs`, one by one."""
        return ((utt, self.one(feats)) for utt, feats in utts)


class OnnxModel(Model):
    """An exported directory at work. Does not need MindSpore."""

    def __init__(self, folder: Path, facts: dict[str, Any] | None = None):
        import onnxruntime

        facts = read_facts(folder) if facts is None else facts
        noted = read_json(folder / "features.json", f"; {EXPORT_AGAIN}", EXPORT_AGAIN)
        features, _ = check_known(noted, Features, folder / "features.json")
        super().__init__(read_tokens(folder / "tokens.txt"), features, facts)
        model = folder / "model.onnx"
        try:
            self._session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own kinds have no common base but this
            raise UserError(f"{model}: not readable as a network ({str(error)[:100]}); {EXPORT_AGAIN}") from None

    def one(self, feats: np.ndarray) -> np.ndarray:
        lens = np.array([len(feats)], np.int64)
        return self._session.run(["log_probs"], {"x": feats[None], "x_lens": lens})[0][0]


class MindSporeModel(Model):
    """A trained experiment that is not exported."""

    def __init__(self, exp_dir: Path):
        from steps.model.acoustic import AcousticModel  # seconds
        from steps.model.network import contexts

        self._model = AcousticModel(exp_dir)
        config = self._model.config
        super().__init__(self._model.tokens, config.features,
                         {"experiment": config.name, **contexts(config.experiment.model)})

    def one(self, feats: np.ndarray) -> np.ndarray:
        return next(self._model.log_probs([("", feats)]))[1]


def load_model(exp_dir: Path) -> Model:
    """The model of an experiment's directory, or of an exported one that was copied elsewhere.

    Raises UserError if there is neither.
    """
    if (exp_dir / "export.json").exists():
        return OnnxModel(exp_dir)
    folder, checkpoint = exp_dir / "export", exp_dir / "final.ckpt"
    if (folder / "export.json").exists():
        if not checkpoint.exists() or read_facts(folder).get("checkpoint_hash") == sha256(checkpoint):
            return OnnxModel(folder)
        print(f"warning: {folder} is of an earlier training than {checkpoint}, and not used; export again: "
              f"python -m steps.export {exp_dir}", file=sys.stderr)
    if not checkpoint.exists():
        raise UserError(f"{exp_dir}: holds no trained experiment (final.ckpt) and no exported one (export.json); "
                        "train it first, or name another directory, such as exp/mini")
    return MindSporeModel(exp_dir)


def read_facts(folder: Path) -> dict[str, Any]:
    """The contents of export.json. Raises UserError if it is not readable, or if other files have changed since."""
    path = folder / "export.json"
    facts = read_json(path, f"; {EXPORT_AGAIN}", EXPORT_AGAIN)
    lacking = [key for key, least in CONTEXTS.items()
               if type(facts.get(key)) is not int or not least <= facts[key] < MOST_CONTEXT]
    if lacking:
        raise UserError(f"{path}: {', '.join(lacking)}: not there, or not possible; {EXPORT_AGAIN}")
    check_sums(folder, EXPORT_AGAIN)
    return facts


CLOSEST = 1e-6  # that a probability may come to 0 and 1
BINS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)  # edges of the reliability table: most syllables are sure


class Calibration(NamedTuple):
    """Platt scaling (Platt 1999): a logistic function of the logit of a probability. By default it changes nothing."""

    slope: float = 1.0
    offset: float = 0.0

    def __call__(self, probability: float) -> float:
        """The share of syllables of this probability that are right."""
        return float(expit(self.slope * logit(np.clip(probability, CLOSEST, 1 - CLOSEST)) + self.offset))


class Bin(NamedTuple):
    """A row of a reliability table."""

    low: float
    high: float
    syllables: int
    confidence: float  # mean
    right: float  # share


def measure(model: Acoustic, config: Features, feats: Mapping[str, np.ndarray],
            pinyin: Mapping[str, list[str]]) -> dict[str, Any]:
    """Facts of a model, from a dev set: where in a syllable its spike lies, and its calibration with its reliability.

    The calibration changes nothing if that tells better, out of fold, which syllables are right.

    Args:
        config: of the features.
        feats: float32 (frames, bins) by utterance, as stored.
        pinyin: the syllables of the same utterances, and perhaps of others.
    """
    place = align_set(model, config, feats, pinyin, "aligning dev").place
    found = track(model.log_probs((utt, feats[utt]) for utt in feats), len(feats), "decoding dev")
    emissions = {utt: greedy(log_probs) for utt, log_probs in found}
    probabilities, right = outcomes(emissions, pinyin, model.tokens)
    folded = out_of_fold(probabilities, right)
    pays = log_loss(folded, right) < log_loss(probabilities, right)
    raw, table = reliability(probabilities, right), reliability(folded if pays else probabilities, right)
    return {
        "spike_place": place,
        "calibration": (fit(probabilities, right) if pays else Calibration())._asdict(),
        "syllables": len(right),
        "right": int(right.sum()),
        "calibration_error_before": calibration_error(raw),
        "calibration_error": calibration_error(table),
        "reliability": [row._asdict() for row in table],
    }


def outcomes(emissions: Mapping[str, list[Emission]], pinyin: Mapping[str, Sequence[str]],
             tokens: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities of all decoded syllables, float (syllables,), and whether each is right, bool (syllables,).

    A syllable is right if the alignment of least edits pairs it with its equal.
    """
    probabilities, right = [], []
    for utt, found in emissions.items():
        if utt not in pinyin:
            continue
        pairs = kaldialign.align(list(pinyin[utt]), [tokens[one.token] for one in found], "*")
        right += [ref == hyp for ref, hyp in pairs if hyp != "*"]
        probabilities += [one.posterior for one in found]
    return np.array(probabilities), np.array(right, bool)


def fit(probabilities: np.ndarray, right: np.ndarray) -> Calibration:
    """The likeliest calibration of `probabilities`, float (syllables,), by which are `right`, bool (syllables,).

    Platt's targets lie a little off 0 and 1: with 0 and 1 the slope would have no bound.
    """
    from scipy.optimize import minimize  # slow, and wanted by export alone

    x = logit(np.clip(probabilities, CLOSEST, 1 - CLOSEST))
    positive, negative = int(right.sum()), int((~right).sum())
    target = np.where(right, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        z = weights[0] * x + weights[1]
        error = expit(z) - target
        return float(np.sum(np.logaddexp(0, z) - target * z)), np.array([error @ x, error.sum()])

    if not len(x):
        return Calibration()
    slope, offset = minimize(loss, np.array([1.0, 0.0]), jac=True, bounds=[(0, None), (None, None)]).x
    return Calibration(float(slope), float(offset))


def reliability(confidences: np.ndarray, right: np.ndarray) -> list[Bin]:
    """The table: syllables of similar confidence, and how many of them are right. Empty bins are left out.

    `confidences` are float (syllables,), `right` bool (syllables,).
    """
    where = np.clip(np.searchsorted(BINS, confidences, side="right") - 1, 0, len(BINS) - 2)
    return [Bin(BINS[number], BINS[number + 1], int(mine.sum()), float(confidences[mine].mean()),
                float(right[mine].mean()))
            for number in range(len(BINS) - 1) if (mine := where == number).any()]


def calibration_error(table: list[Bin]) -> float:
    """The mean distance of confidence and share of right syllables (ECE, Naeini et al. 2015)."""
    total = sum(row.syllables for row in table)
    return sum(row.syllables * abs(row.confidence - row.right) for row in table) / total if total else 0.0


def out_of_fold(probabilities: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Confidences, float (syllables,), of each half by a calibration of the other half: a table of them is honest."""
    confidences = np.empty(len(probabilities))
    half = np.arange(len(probabilities)) % 2 == 0
    for mine in (half, ~half):
        calibration = fit(probabilities[~mine], right[~mine])
        confidences[mine] = [calibration(one) for one in probabilities[mine]]
    return confidences


def log_loss(confidences: np.ndarray, right: np.ndarray) -> float:
    """The log loss of confidences, float (syllables,), for `right`, bool (syllables,): nats in total."""
    p = np.clip(confidences, CLOSEST, 1 - CLOSEST)
    return float(-np.log(np.where(right, p, 1 - p)).sum())


def table_lines(measured: Mapping[str, Any]) -> list[str]:
    """The reliability that `measure` gives, as text."""
    lines = [f"confidences on dev, where {measured['right']} of {measured['syllables']} syllables are right: the mean "
             f"distance from the share that is right is {measured['calibration_error']:.4f}; uncalibrated it was "
             f"{measured['calibration_error_before']:.4f}", "confidence  syllables  mean confidence  right"]
    for row in measured["reliability"]:
        lines.append(f"{row['low']:.2f}–{row['high']:.2f}  {row['syllables']:>9}  {row['confidence']:>15.3f}  "
                     f"{row['right']:>5.3f}")
    return lines
