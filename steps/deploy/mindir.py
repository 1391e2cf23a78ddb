"""Writing a trained network as MindSpore's own MINDIR, made of MindSpore's own operators."""

import os
import tempfile
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from steps.config.load import Resolved
from steps.deploy.onnx_model import length_steps
from steps.model.checkpoints import load_weights, named_parameters
from steps.model.layers import StockLayers
from steps.model.loss import Inference
from steps.model.network import DFCNN, right_reach


class FromFeatures(nn.Cell):
    """The network behind CMVN, with the zeros that it sees behind an utterance's end."""

    def __init__(self, network: nn.Cell, config: Resolved, mean: np.ndarray, std: np.ndarray):
        super().__init__()
        self.inference = Inference(network)
        self.mean, self.std = ms.Tensor(mean), ms.Tensor(std)
        self.cmn_frames = config.features.cmn_frames
        self.behind = right_reach(config.experiment.model)
        self.length_steps = length_steps(config.experiment.model)

    def construct(self, x):
        """float32 (batch, frames, bins) → log-probabilities, float32 (batch, out_frames, tokens)."""
        out_frames = x.shape[1]
        for added, divisor in self.length_steps:
            out_frames = (out_frames + added) // divisor
        mean = self.mean
        if self.cmn_frames:
            mean = (x.sum(axis=1, keepdims=True) + self.cmn_frames * mean) / (x.shape[1] + self.cmn_frames)
        return self.inference(ops.pad((x - mean) / self.std, (0, 0, 0, self.behind)))[:, :out_frames]


def read_network(exp_dir: Path, config: Resolved, tokens: list[str]) -> DFCNN:
    """The network of exp_dir/final.ckpt, of MindSpore's own operators, for inference."""
    ms.set_context(mode=ms.GRAPH_MODE)
    network = DFCNN(config.experiment.model, config.features.num_bins, tokens, StockLayers())
    load_weights(exp_dir / "final.ckpt", named_parameters(network))
    network.set_train(False)
    return network


def write_mindir(path: Path, network: nn.Cell, config: Resolved, mean: np.ndarray, std: np.ndarray) -> None:
    """Write the network with any batch size and any number of frames; `path` ends in .mindir."""
    cell = FromFeatures(network, config, mean, std)
    cell.set_train(False)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".mindir.") as folder:
        beside = Path(folder) / path.name
        ms.export(cell, ms.Tensor(shape=[None, None, len(mean)], dtype=ms.float32), file_name=str(beside),
                  file_format="MINDIR")
        beside.chmod(0o644)  # MindSpore lets only its owner read it
        os.replace(beside, path)
