"""A trained network at work: on ONNX Runtime where it is exported, else on MindSpore."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from steps.common.checksums import check_sums
from steps.common.errors import UserError
from steps.common.files import read_json, sha256
from steps.config.load import check_known
from steps.config.schema import Features
from steps.text.syllables import read_tokens

EXPORT_AGAIN = "export again: python -m steps.export exp/<experiment>"
CONTEXTS = {"subsampling_factor": 1, "left_context": 0, "right_context": 0}  # frames, and the least of them
MOST_CONTEXT = 10**6
NOT_MEASURED = 0.5  # the middle: where in a syllable its spike lies, as long as dev has not told


class OnnxModel:
    """An exported directory at work. Needs no MindSpore.

    Attributes:
        tokens: the tokens, <blk> first.
        features: what the front end must compute.
        frame_shift_s: seconds per output frame.
        subsampling_factor: input frames per output frame.
        left_context, right_context: input frames that output frame i sees before and behind i × subsampling_factor.
        facts: all of export.json.
    """

    def __init__(self, folder: Path, facts: dict[str, Any] | None = None):
        import onnxruntime

        self.facts = read_facts(folder) if facts is None else facts
        self.tokens = read_tokens(folder / "tokens.txt")
        noted = read_json(folder / "features.json", f"; {EXPORT_AGAIN}", EXPORT_AGAIN)
        self.features = check_known(noted, Features, folder / "features.json")[0]
        _share(self)
        model = folder / "model.onnx"
        try:
            self._session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own kinds have no common base but this
            raise UserError(f"{model}: not readable as a network ({str(error)[:100]}); {EXPORT_AGAIN}") from None

    def one(self, feats: np.ndarray) -> np.ndarray:
        """Raw features float32 (frames, bins) → log-probabilities float32 (out_frames, tokens)."""
        lens = np.array([len(feats)], np.int64)
        return self._session.run(["log_probs"], {"x": feats[None], "x_lens": lens})[0][0]

    def log_probs(self, utts: Iterable[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
        """As `steps.model.acoustic.AcousticModel.log_probs`, one by one."""
        return ((utt, self.one(feats)) for utt, feats in utts)


class MindSporeModel:
    """A trained experiment that is not exported, as `OnnxModel`."""

    def __init__(self, exp_dir: Path):
        from steps.model.acoustic import AcousticModel  # seconds
        from steps.model.network import contexts

        self._model = AcousticModel(exp_dir)
        self.tokens = self._model.tokens
        self.features = self._model.config.features
        self.facts = {"experiment": self._model.config.name, **contexts(self._model.config.experiment.model)}
        _share(self)

    def one(self, feats: np.ndarray) -> np.ndarray:
        """As `OnnxModel.one`."""
        return next(self._model.log_probs([("", feats)]))[1]

    def log_probs(self, utts: Iterable[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
        """As `OnnxModel.log_probs`."""
        return self._model.log_probs(utts)


Model = OnnxModel | MindSporeModel


def load_model(exp_dir: Path) -> Model:
    """The model of an experiment's directory, or of an exported one that was copied elsewhere.

    Raises UserError where there is neither.
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
                        "train it first, or name another directory")
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


def _share(model: Model) -> None:
    model.subsampling_factor = model.facts["subsampling_factor"]
    model.left_context, model.right_context = model.facts["left_context"], model.facts["right_context"]
    model.frame_shift_s = model.subsampling_factor * model.features.frame_shift_ms / 1000
