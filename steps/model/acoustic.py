"""The trained network as decoding sees it: features in, log-probabilities out."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn

from steps.common.errors import UserError
from steps.config.load import Resolved, load_resolved
from steps.feats.cmvn import apply_cmvn, load_cmvn, mean_std
from steps.model.batches import inference_batches, stack
from steps.model.buckets import read_buckets
from steps.model.cells import Inference
from steps.model.checkpoints import load_weights, named_parameters, tokens_hash
from steps.model.device import set_device
from steps.model.geometry import out_frames, time_reduction
from steps.model.kernels import make_kernels
from steps.model.network import DFCNN
from steps.text.syllables import read_tokens


class LogProbs:
    """Runs a network over utterances in batches of a few shapes.

    Args:
        network: maps (batch, frames, bins) to logits.
        config: what it was made from.
        buckets: the padded lengths that training used.
    """

    def __init__(self, network: nn.Cell, config: Resolved, buckets: list[int]):
        self._inference = Inference(network)
        self._config = config.experiment
        self._buckets = buckets

    def __call__(self, utts: Iterable[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
        """(utt, normalised features (frames, bins)) → (utt, log-probabilities (out_frames, tokens)), in any order."""
        train = self._config.train
        self._inference.set_train(False)
        for names, feats, length, size in inference_batches(utts, self._buckets, train.batch_size, train.batch_frames):
            log_probs = self._inference(ms.Tensor(stack(feats, length, size))).asnumpy()
            for name, matrix, row in zip(names, feats, log_probs, strict=False):
                yield name, row[:out_frames(self._config.model, len(matrix))]


class AcousticModel:
    """The final model of an experiment directory, which holds all it needs.

    Attributes:
        tokens: the tokens, <blk> first.
        frame_shift_s: seconds per output frame.
        checkpoint_sha256: of final.ckpt's facts: which tokens, epoch and dev error it was saved with.
    """

    def __init__(self, exp_dir: Path | str):
        exp_dir = Path(exp_dir)
        self.config = load_resolved(exp_dir)
        self.tokens = read_tokens(exp_dir / "tokens.txt")
        self.frame_shift_s = time_reduction(self.config.experiment.model) * self.config.features.frame_shift_ms / 1000
        self._mean, self._std = mean_std(load_cmvn(exp_dir / "cmvn"))
        set_device(self.config.experiment.device, exp_dir / "log")
        self.network = make_network(self.config, self.tokens)
        self.facts = load_weights(exp_dir / "final.ckpt", named_parameters(self.network))
        if self.facts.get("tokens_sha256") != tokens_hash(self.tokens):
            raise UserError(f"{exp_dir}/tokens.txt is not the list that final.ckpt was trained with; "
                            f"put that list back, or train again")
        self._log_probs = LogProbs(self.network, self.config, read_buckets(exp_dir))

    def log_probs(self, utts: Iterable[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
        """(utt, raw features float32 (frames, bins)) → (utt, log-probabilities float32 (out_frames, tokens)).

        Batched within; the order is not kept.
        """
        return self._log_probs((utt, apply_cmvn(feats, self._mean, self._std)) for utt, feats in utts)


def make_network(config: Resolved, tokens: list[str]) -> DFCNN:
    """The network of a config, its weights random."""
    model = config.experiment.model
    return DFCNN(model, config.features.num_bins, tokens, make_kernels(config.experiment))
