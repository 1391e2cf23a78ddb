"""The network, a deep fully convolutional one (DFCNN): a spectrogram in, a logit for every token and output frame out.

After Wang, Pan and Liu 2018 (DFCNN) and the student project. Residual units are those of He et al. 2016 ("Identity
mappings"). A ReLU follows every batch norm, except the last one of `final_norm`.
"""

import itertools

import numpy as np
from mindspore import Parameter, Tensor, dtype, nn, ops
from mindspore.common.initializer import Uniform, initializer

from steps.config.schema import Block, Model
from steps.text.syllables import split


def convolutions(block: Block) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(stride, kernel) of each convolution of a block, in order. A residual unit has two."""
    count = block.layers * (2 if block.residual else 1)
    return [(block.stride, (3, 3)), *[((1, 1), block.kernel)] * (count - 1)]


def conv_size(size: int, stride: int) -> int:
    """Positions that a convolution leaves of `size`, whatever its kernel: it is padded by half of it."""
    return -(-size // stride)


def out_sizes(model: Model, frames: int, bins: int) -> tuple[int, int]:
    """(frames, bins) in front of the dense layers, for an input of (frames, bins)."""
    sizes = [frames, bins]
    for block in model.blocks:
        for axis in (0, 1):
            for stride, _ in convolutions(block):
                sizes[axis] = conv_size(sizes[axis], stride[axis])
            sizes[axis] //= block.pool[axis]
    return sizes[0], sizes[1]


def out_frames(model: Model, frames: int) -> int:
    """Output frames of an utterance of `frames` input frames; 0 if none is left."""
    return max(0, out_sizes(model, frames, 1 << 20)[0])


def time_reduction(model: Model) -> int:
    """Input frames per output frame."""
    factor = 1
    for block in model.blocks:
        factor *= block.stride[0] * block.pool[0]
    return factor


def sight(model: Model) -> tuple[int, int]:
    """The first and the last input frame that output frame 0 sees, padding counted (it comes before frame 0).

    Output frame i sees those i × `time_reduction` later.
    """
    first, last, jump = 0, 0, 1
    for block in model.blocks:
        for (stride, _), (kernel, _) in convolutions(block):
            before = kernel // 2
            first -= jump * before
            last += jump * (kernel - 1 - before)
            jump *= stride
        last += jump * (block.pool[0] - 1)
        jump *= block.pool[0]
    return first, last


def right_reach(model: Model) -> int:
    """How many frames after an utterance's end its last output frame sees, whatever the utterance's length."""
    step, last = time_reduction(model), sight(model)[1]
    return max(0, *(step * (out_frames(model, frames) - 1) + last - (frames - 1)
                    for frames in range(1 << 10, (1 << 10) + step + 1)))


def contexts(model: Model) -> dict[str, int]:
    """What running the network in windows takes: input frames per output frame, and how many of them output frame i
    sees before and after i × subsampling_factor."""
    first, last = sight(model)
    return {"subsampling_factor": time_reduction(model), "left_context": -first,
            "right_context": max(last, right_reach(model))}


def frames_needed(labels: list[int]) -> int:
    """Output frames without which CTC has no path: one a label, and a blank between equal neighbours."""
    return len(labels) + sum(a == b for a, b in itertools.pairwise(labels))


def row_names(kind: str, tokens: list[str]) -> list[str] | list[tuple[str, str]]:
    """The meaning of each row of the layer's weight and bias: a token, or in a factored one (kind of part, part)."""
    if kind == "plain":
        return tokens
    return list(dict.fromkeys(part for token in tokens for part in _parts(token)))


def syllable_parts(tokens: list[str]) -> np.ndarray:
    """The parts that each token's row is the sum of.

    Returns int32 (4, len(tokens)): for each token a row number for its initial, final, tone, and final with tone,
    which together are the token's alone. Row numbers count over all parts of all kinds; <blk> has parts of its own.
    """
    rows = {part: number for number, part in enumerate(row_names("factored", tokens))}
    parts = [[rows[part] for part in _parts(token)] for token in tokens]
    return np.array(parts, np.int32).T


def _parts(token: str) -> list[tuple[str, str]]:
    if token == "<blk>":
        return [(kind, token) for kind in ("initial", "final", "tone", "final_tone")]
    initial, final, tone = split(token)
    return [("initial", initial), ("final", final), ("tone", tone), ("final_tone", final + tone)]


class FactoredOutput(nn.Cell):
    """A token's row is the sum of rows for its initial, final, tone, and final with tone.

    Rare syllables share the rows of their parts with frequent ones. A syllable that training never saw has the rows of
    its parts, too. With additional rows for whole syllables, frequent syllables get better and rare ones worse.
    """

    def __init__(self, hidden: int, tokens: list[str], make):
        super().__init__()
        parts = syllable_parts(tokens)
        kinds, rows = len(parts), int(parts.max()) + 1
        bound = 1 / np.sqrt(hidden * kinds)
        self.parts = Tensor(parts)
        self.sum_rows = make.sum_rows()
        self.product = ops.MatMul(transpose_b=True)
        self.weight = Parameter(initializer(Uniform(bound), (rows, hidden), dtype.float32), name="weight")
        self.bias = Parameter(initializer("zeros", (rows,), dtype.float32), name="bias")

    def construct(self, x):
        """float32 (batch, frames, hidden) → logits, float32 (batch, frames, tokens)."""
        weight = self.sum_rows(self.weight, self.parts)
        bias = self.sum_rows(self.bias.expand_dims(1), self.parts)
        rows = self.product(x.reshape(-1, x.shape[-1]), weight) + bias.reshape(-1)
        return rows.reshape(*x.shape[:-1], -1)


class ConvBlock(nn.Cell):
    """Convolutions, each with batch norm and ReLU."""

    def __init__(self, in_channels: int, block: Block, make):
        super().__init__()
        cells = []
        for stride, kernel in convolutions(block):
            cells += [make.conv(in_channels, block.channels, stride, kernel), make.norm_relu(block.channels)]
            in_channels = block.channels
        self.cells_ = nn.SequentialCell(cells)

    def construct(self, x):
        """(batch, channels, frames, bins) → (batch, channels, frames, bins), smaller by the strides."""
        return self.cells_(x)


class ResidualUnit(nn.Cell):
    """x + conv(bn_relu(conv(bn_relu(x)))), with a 1×1 convolution beside it if the shape changes.

    Args:
        stride: of the first convolution.
        kernel1, kernel2: of both.
    """

    def __init__(self, in_channels: int, channels: int, stride: tuple[int, int], kernel1: tuple[int, int],
                 kernel2: tuple[int, int], make):
        super().__init__()
        self.norm1 = make.norm_relu(in_channels)
        self.conv1 = make.conv(in_channels, channels, stride, kernel1)
        self.norm2 = make.norm_relu(channels)
        self.conv2 = make.conv(channels, channels, (1, 1), kernel2)
        self.fork = make.fork()
        self.add = make.add()
        self.projects = in_channels != channels or stride != (1, 1)
        if self.projects:
            self.shortcut = make.conv(in_channels, channels, stride, (1, 1))

    def construct(self, x):
        """(batch, in_channels, frames, bins) → (batch, channels, frames, bins), smaller by the stride."""
        if self.projects:
            x, y = self.fork(self.norm1(x))
            x = self.shortcut(x)
        else:
            x, y = self.fork(x)
            y = self.norm1(y)
        y = self.conv2(self.norm2(self.conv1(y)))
        return self.add(x, y)


class DFCNN(nn.Cell):
    """The network.

    Args:
        model: its config.
        bins: feature bins of the input.
        tokens: the tokens, <blk> first; the output has one logit each.
        make: makes the layers (`steps.model.layers`). It decides the layout in memory, not the weights.
    """

    def __init__(self, model: Model, bins: int, tokens: list[str], make):
        super().__init__()
        self.channels_last = make.layout == "NHWC"
        self.narrow, self.widen = nn.Identity(), nn.Identity()  # see steps.model.parallel
        self.stack = nn.SequentialCell(_stack(model, make))
        channels = model.blocks[-1].channels
        width = channels * out_sizes(model, 1 << 20, bins)[1]
        dense = []
        for size in model.dense:
            dense.append(nn.Dense(width, size, activation="relu", weight_init="HeUniform"))
            width = size
        self.dense = nn.SequentialCell(dense) if dense else nn.Identity()
        self.output = nn.Dense(width, len(tokens)) if model.output == "plain" else FactoredOutput(width, tokens, make)

    def construct(self, x):
        """float32 (batch, frames, bins) → logits, float32 (batch, out_frames, tokens)."""
        if self.channels_last:
            x = self.widen(self.stack(self.narrow(ops.expand_dims(x, 3))))
        else:
            x = self.stack(ops.expand_dims(x, 1)).transpose(0, 2, 3, 1)
        batch, frames, bins, channels = x.shape
        x = x.reshape(batch, frames, bins * channels)
        return self.output(self.dense(x))


def freeze_norms(network: nn.Cell) -> None:
    """Let batch norm use its moving averages in training, too, and leave them as they are."""
    for _, cell in network.cells_and_names():
        if hasattr(cell, "use_batch_statistics"):
            cell.use_batch_statistics = False


def _stack(model: Model, make) -> list[nn.Cell]:
    cells: list[nn.Cell] = []
    channels = 1
    for number, block in enumerate(model.blocks):
        if block.residual:
            shapes = convolutions(block)
            for (stride, kernel1), (_, kernel2) in zip(shapes[::2], shapes[1::2], strict=True):
                cells.append(ResidualUnit(channels, block.channels, stride, kernel1, kernel2, make))
                channels = block.channels
            if number + 1 == len(model.blocks) or not model.blocks[number + 1].residual:
                cells.append(make.norm_relu(channels))  # without it learning takes twice as long
        else:
            cells.append(ConvBlock(channels, block, make))
        channels = block.channels
        if block.pool != (1, 1):
            cells.append(make.max_pool(block.pool))
    if model.final_norm:
        cells.append(make.norm(channels))
    return cells
