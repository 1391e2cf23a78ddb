"""MindSpore's own operators as the parts of a network: runs on every device. Layout (batch, channels, frames, bins)."""

from mindspore import nn, ops

from steps.config.schema import Model


class Add(nn.Cell):
    """The sum of a residual unit."""

    def construct(self, x, y):
        return x + y


class NormReLU(nn.BatchNorm2d):
    """Batch norm, then ReLU. Parameters are named as nn.BatchNorm2d's."""

    def construct(self, x):
        return ops.relu(super().construct(x))


class SumRows(nn.Cell):
    """Gathers rows and sums them."""

    def construct(self, matrix, where):
        return ops.gather(matrix, where, 0).sum(axis=0)


class StockKernels:
    """Makes the parts of a network."""

    layout = "NCHW"

    def __init__(self, model: Model):
        self._model = model

    def conv(self, in_channels: int, out_channels: int, stride: tuple[int, int] = (1, 1), kernel: int = 3) -> nn.Cell:
        """A `kernel` × `kernel` convolution; 1×1 ones (shortcuts) are never padded."""
        pad_mode, padding = (self._model.pad_mode, self._model.padding) if kernel > 1 else ("valid", 0)
        return nn.Conv2d(in_channels, out_channels, kernel, stride, pad_mode, padding,
                         has_bias=self._model.has_bias and kernel > 1)

    def norm_relu(self, channels: int) -> nn.Cell:
        """Batch norm and ReLU."""
        return NormReLU(channels)

    def norm(self, channels: int) -> nn.Cell:
        """Batch norm alone."""
        return nn.BatchNorm2d(channels)

    def add(self) -> nn.Cell:
        """The sum of two equal shapes."""
        return Add()

    def max_pool(self, size: tuple[int, int]) -> nn.Cell:
        """Max pooling; a remainder at the edge is dropped."""
        return nn.MaxPool2d(size, size, pad_mode="valid")

    def sum_rows(self) -> nn.Cell:
        """float32 (rows, width), int32 (kinds, sums) → float32 (sums, width): each the sum of a row of every kind."""
        return SumRows()
