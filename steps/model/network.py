"""The deep fully convolutional network: a spectrogram in, a logit for every token and output frame out.

After Wang, Pan and Liu 2018 (DFCNN) and the student project; residual units after He et al. 2016 ("Identity
mappings"), so that batch norm and ReLU always stand together.
"""

from mindspore import nn, ops

from steps.config.schema import Block, Model
from steps.model.dropout import Dropout
from steps.model.geometry import convolutions, out_sizes
from steps.model.inter import InterCTC
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
        blocks = _blocks(model, kernels)
        self.stack = nn.SequentialCell([cell for block in blocks for cell in block])
        self.inter = None
        if model.inter_ctc:
            self.below = sum(map(len, blocks[:model.inter_ctc]))
            self.fork = kernels.fork()
            self.inter = InterCTC(model, bins, tokens, kernels)
        width = model.blocks[-1].channels * out_sizes(model, 1 << 20, bins)[1]
        dense = []
        for size in model.dense:
            dense.append(nn.Dense(width, size, activation="relu", weight_init="HeUniform"))
            if model.use_dropout:
                dense.append(Dropout(model.dense_dropout, salt=1000 + len(dense)))
            width = size
        self.dense = nn.SequentialCell(dense) if dense else nn.Identity()
        self.output = make_output(model.output, width, tokens, kernels)

    def construct(self, x):
        """float32 (batch, frames, bins) → logits, float32 (batch, out_frames, tokens).

        Where the model has `inter_ctc`, in training: those, and the logits of `steps.model.inter`.
        """
        x = self.narrow(ops.expand_dims(x, 3 if self.channels_last else 1))
        if self.inter is None or not self.training:
            return self.output(self.dense(self._columns(self.stack(x))))
        for cell in self.stack.cell_list[:self.below]:
            x = cell(x)
        x, between = self.fork(x)
        for cell in self.stack.cell_list[self.below:]:
            x = cell(x)
        return self.output(self.dense(self._columns(x))), self.inter.classify(self._columns(self.inter.norm(between)))

    def _columns(self, x):
        """Activations as a vector a frame, float32 (batch, frames, bins × channels)."""
        x = self.widen(x) if self.channels_last else x.transpose(0, 2, 3, 1)
        return x.reshape(*x.shape[:2], -1)


def _blocks(model: Model, kernels) -> list[list[nn.Cell]]:
    """The cells of each block; the last ones close the stack."""
    blocks = []
    channels = 1
    for number, block in enumerate(model.blocks):
        cells: list[nn.Cell] = []
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
        blocks.append(cells)
    if model.final_norm:
        blocks[-1].append(kernels.norm(channels))
    return blocks
