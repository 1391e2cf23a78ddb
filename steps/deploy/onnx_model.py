"""Writing a trained network: as one ONNX model that takes features as stage 3 makes them, and as MindSpore's MINDIR.

The ONNX model's inputs are `x`, float32 (batch, frames, bins), and `x_lens`, int64 (batch,); outputs `log_probs`,
float32 (batch, out_frames, tokens), and `log_probs_lens`, int64 (batch,). So does WeNet's CTC export, which sherpa-onnx
runs (sherpa-onnx/csrc/offline-wenet-ctc-model.cc). An utterance's result does not depend on the frames after its end.
MINDIR is made of MindSpore's own operators.
"""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import mindspore as ms
import numpy as np
import onnx
from mindspore import nn, ops
from onnx import TensorProto, helper, numpy_helper

from steps.config.load import Resolved
from steps.config.schema import Model
from steps.feats.compute import noise_energy
from steps.model.batches import ROUND
from steps.model.checkpoints import load_weights, named_parameters
from steps.model.layers import Inference, NormReLU, StockLayers
from steps.model.network import (
    DFCNN,
    ConvBlock,
    FactoredOutput,
    ResidualUnit,
    convolutions,
    out_sizes,
    right_reach,
    syllable_parts,
    time_reduction,
)

OPSET, IR_VERSION = 13, 8  # old enough for every ONNX Runtime that is in use


Constant = np.ndarray | list[int] | float | int  # Python's integers become int64, its floats float32


class Graph:
    """An ONNX graph that grows node by node."""

    def __init__(self):
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str | Constant, name: str = "", **attributes) -> str:
        """Append a node. Inputs are names of other nodes' outputs, or constants. Returns the name of its output."""
        name = name or f"{op.lower()}_{len(self.nodes)}"
        names = [one if isinstance(one, str) else self._constant(one) for one in inputs]
        self.nodes.append(helper.make_node(op, names, [name], name, **attributes))
        return name

    def _constant(self, value: Constant) -> str:
        array = np.asarray(value)
        if not isinstance(value, np.ndarray):
            array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name


def _cells(graph: Graph, x: str, cells: Iterable[nn.Cell]) -> str:
    """Cells of `DFCNN.stack`, one after the other: (batch, channels, frames, bins) → the same axes."""
    for cell in cells:
        if isinstance(cell, ConvBlock):
            layers = list(cell.cells_.cells())
            for conv, norm in zip(layers[::2], layers[1::2], strict=True):
                x = graph.add("Relu", _conv(graph, x, conv, norm))
        elif isinstance(cell, ResidualUnit):
            y = graph.add("Relu", _norm(graph, x, cell.norm1))
            if cell.projects:
                x = _conv(graph, y, cell.shortcut)
            y = graph.add("Relu", _conv(graph, y, cell.conv1, cell.norm2))
            x = graph.add("Add", x, _conv(graph, y, cell.conv2))
        elif isinstance(cell, nn.MaxPool2d):
            x = graph.add("MaxPool", x, kernel_shape=list(cell.kernel_size), strides=list(cell.kernel_size))
        else:
            x = _norm(graph, x, cell)
            x = graph.add("Relu", x) if isinstance(cell, NormReLU) else x
    return x


def _conv(graph: Graph, x: str, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None) -> str:
    """A convolution, the batch norm after it made part of its weights."""
    weight = conv.weight.asnumpy()
    bias = np.zeros(len(weight), np.float32)
    if norm:
        gamma, beta, mean, variance = (array.astype(np.float64) for array in _arrays(norm))
        scale = gamma / np.sqrt(variance + norm.eps)
        weight, bias = weight * scale[:, None, None, None], beta - mean * scale
    pads = 2 * [size // 2 for size in conv.kernel_size]  # before and after
    return graph.add("Conv", x, weight.astype(np.float32), bias.astype(np.float32),
                     kernel_shape=list(conv.kernel_size), strides=list(conv.stride), pads=pads)


def _norm(graph: Graph, x: str, norm: nn.BatchNorm2d) -> str:
    """A batch norm that has no convolution before it."""
    return graph.add("BatchNormalization", x, *_arrays(norm), epsilon=norm.eps)


def _arrays(norm: nn.BatchNorm2d) -> list[np.ndarray]:
    return [one.asnumpy() for one in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)]


def _dense(graph: Graph, x: str, network: DFCNN, tokens: list[str]) -> str:
    """The dense layers and the output: (batch, out_frames, width) → logits (batch, out_frames, tokens)."""
    def affine(x: str, weight: np.ndarray, bias: np.ndarray) -> str:
        return graph.add("Add", graph.add("MatMul", x, weight.T), bias)

    for cell in network.dense.cells():
        x = graph.add("Relu", affine(x, cell.weight.asnumpy(), cell.bias.asnumpy()))
    weight, bias = network.output.weight.asnumpy(), network.output.bias.asnumpy()
    if isinstance(network.output, FactoredOutput):
        parts = syllable_parts(tokens)
        weight, bias = weight[parts].sum(axis=0), bias[parts].sum(axis=0)
    return affine(x, weight, bias)


def onnx_model(config: Resolved, tokens: list[str], network: DFCNN, mean: np.ndarray, std: np.ndarray
               ) -> onnx.ModelProto:
    """The model of an experiment.

    Args:
        network: of MindSpore's own operators, as `read_network` gives it.
        mean, std: of each bin in training, float32 (bins,).
    """
    model, bins, graph = config.experiment.model, config.features.num_bins, Graph()
    x = _cells(graph, graph.add("Unsqueeze", _input(graph, config, mean, std), [1]), network.stack.cells())
    width = model.blocks[-1].channels * out_sizes(model, 1 << 20, bins)[1]
    x = graph.add("Reshape", graph.add("Transpose", x, perm=[0, 2, 3, 1]), [0, 0, width])
    x = graph.add("LogSoftmax", _dense(graph, x, network, tokens), axis=-1)
    lens = "x_lens"
    for added, divisor in length_steps(model):  # `steps.model.network.out_frames` of it
        lens = graph.add("Div", graph.add("Add", lens, added), divisor)
    lens = graph.add("Max", lens, 0, name="log_probs_lens")
    graph.add("Slice", x, [0], graph.add("ReduceMax", lens, axes=[0], keepdims=1), [1], name="log_probs")
    value = helper.make_tensor_value_info
    proto = helper.make_graph(
        graph.nodes, "yinjie",
        [value("x", TensorProto.FLOAT, ["batch", "frames", bins]), value("x_lens", TensorProto.INT64, ["batch"])],
        [value("log_probs", TensorProto.FLOAT, ["batch", "out_frames", len(tokens)]),
         value("log_probs_lens", TensorProto.INT64, ["batch"])], graph.constants)
    made = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                             producer_name="yinjie")
    helper.set_model_props(made, {
        "model_type": "wenet_ctc",
        "vocab_size": str(len(tokens)),
        "subsampling_factor": str(time_reduction(model)),
        "experiment": config.name,
    })
    onnx.checker.check_model(made)
    return made


def _input(graph: Graph, config: Resolved, mean: np.ndarray, std: np.ndarray) -> str:
    """`x` floored as stage 3 floors it (others' front ends do not), normalised, and after each utterance's end as
    many zeros as the network sees there: the least that makes a multiple of ROUND, as `steps.model.batches` pads."""
    x = "x"
    if config.features.type == "fbank":
        x = graph.add("Max", x, float(np.log(noise_energy(config.features))))
    frames = graph.add("Gather", graph.add("Shape", "x"), 1)
    within = graph.add("Less", graph.add("Range", 0, frames, 1), graph.add("Unsqueeze", "x_lens", [1]))
    keep = graph.add("Unsqueeze", graph.add("Cast", within, to=TensorProto.FLOAT), [2])
    offset = _mean(graph, x, keep, mean, config.features.cmn_frames)
    x = graph.add("Mul", graph.add("Div", graph.add("Sub", x, offset), std), keep)
    padded = graph.add("Add", frames, right_reach(config.experiment.model) + ROUND - 1)
    rounded = graph.add("Mul", graph.add("Div", padded, ROUND), ROUND)
    behind = graph.add("Reshape", graph.add("Sub", rounded, frames), [1])
    return graph.add("Pad", x, graph.add("Concat", [0, 0, 0, 0], behind, [0], axis=0))


def _mean(graph: Graph, x: str, keep: str, mean: np.ndarray, cmn_frames: int) -> str | np.ndarray:
    """The mean that `steps.feats.archive.apply_cmvn` subtracts: (bins,), or (batch, 1, bins) with one an utterance."""
    if not cmn_frames:
        return mean
    total = graph.add("Add", graph.add("ReduceSum", graph.add("Mul", x, keep), [1]), cmn_frames * mean)
    return graph.add("Div", total, graph.add("Add", graph.add("ReduceSum", keep, [1]), float(cmn_frames)))


def length_steps(model: Model) -> list[tuple[int, int]]:
    """`steps.model.network.out_frames` as steps of (length + added) // divisor, without those that change nothing."""
    steps = []
    for block in model.blocks:
        steps += [(stride - 1, stride) for (stride, _), _ in convolutions(block)]
        steps.append((0, block.pool[0]))
    return [step for step in steps if step != (0, 1)]


class FromFeatures(nn.Cell):
    """The network after CMVN, with the zeros that it sees after an utterance's end."""

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
