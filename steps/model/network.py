"""The deep fully convolutional network: a spectrogram in, a logit for every token and output frame out.

After Wang, Pan and Liu 2018 (DFCNN) and the student project; residual units after He et al. 2016 ("Identity
mappings"), so that batch norm and ReLU always stand together.
"""

from mindspore import nn, ops

from steps.config.schema import Block, Model
from steps.model.dropout import Dropout
from steps.model.geometry import convolutions, out_sizes
from steps.model.output import make_output


class ConvBlock(nn.Cell):
    """Convolutions, each with batch norm and ReLU."""

    def __init__(self, in_channels: int, block: Block, kernels):
        super().__init__()
        cells = []
        for stride, kernel in convolutions(block):
            cells += [kernels.conv(in_channels, block.channels, stride, kernel), kernels.norm_relu(block.channels)]
            in_channels = block.channels
        self.cells_ = nn.SequentialCell(cells)

    def construct(self, x):
        return self.cells_(x)


class ResidualUnit(nn.Cell):
    """x + conv(bn_relu(conv(bn_relu(x)))), with a 1×1 convolution beside it where the shape changes.

    Args:
        stride: of the first convolution.
        kernel1, kernel2: of both.
    """

    def __init__(self, in_channels: int, channels: int, stride: tuple[int, int], kernel1: tuple[int, int],
                 kernel2: tuple[int, int], kernels):
        super().__init__()
        self.norm1 = kernels.norm_relu(in_channels)
        self.conv1 = kernels.conv(in_channels, channels, stride, kernel1)
        self.norm2 = kernels.norm_relu(channels)
        self.conv2 = kernels.conv(channels, channels, (1, 1), kernel2)
        self.fork = kernels.fork()
        self.add = kernels.add()
        self.projects = in_channels != channels or stride != (1, 1)
        if self.projects:
            self.shortcut = kernels.conv(in_channels, channels, stride, (1, 1))

    def construct(self, x):
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
        kernels: what makes its parts (`steps.model.kernels`); decides the layout within, not the weights.
    """

    def __init__(self, model: Model, bins: int, tokens: list[str], kernels):
        super().__init__()
        self.channels_last = kernels.layout == "NHWC"
        self.narrow, self.widen = nn.Identity(), nn.Identity()  # see steps.model.precision
        self.stack = nn.SequentialCell(_stack(model, kernels))
        channels = model.blocks[-1].channels
        width = channels * out_sizes(model, 1 << 20, bins)[1]
        dense = []
        for size in model.dense:
            dense.append(nn.Dense(width, size, activation="relu", weight_init="HeUniform"))
            if model.use_dropout:
                dense.append(Dropout(model.dense_dropout, salt=1000 + len(dense)))
            width = size
        self.dense = nn.SequentialCell(dense) if dense else nn.Identity()
        self.output = make_output(model.output, width, tokens, kernels)

    def construct(self, x):
        """float32 (batch, frames, bins) → logits, float32 (batch, out_frames, tokens)."""
        if self.channels_last:
            x = self.widen(self.stack(self.narrow(ops.expand_dims(x, 3))))
        else:
            x = self.stack(ops.expand_dims(x, 1)).transpose(0, 2, 3, 1)
        batch, frames, bins, channels = x.shape
        x = x.reshape(batch, frames, bins * channels)
        return self.output(self.dense(x))


def _stack(model: Model, kernels) -> list[nn.Cell]:
    cells: list[nn.Cell] = []
    channels = 1
    for number, block in enumerate(model.blocks):
        if block.residual:
            shapes = convolutions(block)
            for (stride, kernel1), (_, kernel2) in zip(shapes[::2], shapes[1::2], strict=True):
                cells.append(ResidualUnit(channels, block.channels, stride, kernel1, kernel2, kernels))
                channels = block.channels
            if number + 1 == len(model.blocks) or not model.blocks[number + 1].residual:
                cells.append(kernels.norm_relu(channels))  # without it learning is half as fast
        else:
            cells.append(ConvBlock(channels, block, kernels))
        channels = block.channels
        if block.pool != (1, 1):
            cells.append(kernels.max_pool(block.pool))
        if model.use_dropout:
            cells.append(Dropout(model.conv_dropout, salt=number))
    if model.final_norm:
        cells.append(kernels.norm(channels))
    return cells
