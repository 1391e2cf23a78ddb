"""The oneDNN kernels as Cells, with the parameters of nn.Conv2d and nn.BatchNorm2d: checkpoints fit either kind.

Activations are float32 or bfloat16 (batch, frames, bins, channels), parameters float32. Each cell returns the type that
it was given. Shapes are static: MindSpore compiles once for each shape.
"""

import ctypes
import functools
import os

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import HeNormal, initializer

from steps.common.errors import UserError
from steps.model import optimizer
from steps.model.onednn.build import available, reason


def operator(name: str, out_shape, out_dtype, bprop=None) -> ops.Custom:
    """The library's function `name`; `out_shape` and `out_dtype` are functions of its inputs' shapes and types."""
    return ops.Custom(f"{library()}:{name}", out_shape, out_dtype, "aot", bprop=bprop)


@functools.cache
def library() -> str:
    """The library's path, once loaded. Raises UserError if it is not built, or MindSpore's oneDNN is another."""
    path = available()
    if path is None:
        raise UserError(f"the oneDNN kernels are not there: {reason()}")
    # MindSpore loads operators only from folders that are named here.
    os.environ.setdefault("MS_CUSTOM_AOT_WHITE_LIST", os.path.dirname(path))
    loaded = ctypes.CDLL(path)
    if not loaded.onednn_fits():
        raise UserError(f"the oneDNN kernels: {path} was made for another oneDNN than MindSpore's; set `train: "
                        f"{{kernels: stock}}`")
    loaded.use_all_instructions()
    return path


class Clip(nn.Cell):
    """As `steps.model.layers.Clip`."""

    def __init__(self, limit: float):
        super().__init__()
        self.limit = Tensor([limit], ms.float32)
        self.clip = operator("clip", lambda *shapes: shapes, lambda *types: types)

    def construct(self, grads):
        results = self.clip(*grads, self.limit)
        return results[:-1], results[-1].reshape(())


class AdamW(optimizer.AdamW):
    """`steps.model.optimizer.AdamW`, all parameters in one operator."""

    def __init__(self, groups: list[dict], rate):
        super().__init__(groups, rate)
        # It writes weights and moments, and MindSpore does not know that. This is safe: it waits for all gradients, and
        # therefore for all operators that read the weights. What waits for its result finds them updated.
        self.update = operator("adamw", lambda *shapes: shapes[-5], lambda *types: types[-5])

    def construct(self, gradients):
        rate, eps, decay = self.corrected()
        return self.update(*self._parameters, *self.moments1, *self.moments2, *gradients, rate, self.beta1, self.beta2,
                           eps, decay)


class Conv(nn.Cell):
    """Convolution, padded by kernel // 2, without bias. `weight` is (out, in, *kernel)."""

    def __init__(self, in_channels: int, out_channels: int, stride: tuple[int, int] = (1, 1),
                 kernel: tuple[int, int] = (3, 3)):
        super().__init__()
        shape = (out_channels, in_channels, *kernel)
        self.weight = Parameter(initializer(HeNormal(), shape, ms.float32))
        self.stride = Tensor(stride, ms.int64)
        backward_data = operator("conv_backward_data", lambda dy, w, s, x: x, lambda dy, w, s, x: x)
        backward_weights = operator("conv_backward_weights", lambda dy, x, s, w: w, lambda dy, x, s, w: w)

        def bprop(x, weight, stride, out, dout):
            return backward_data(dout, weight, stride, x), backward_weights(dout, x, stride, weight), \
                ops.zeros_like(stride)

        def out_shape(x, weight, _):
            return [x[0], (x[1] - 1) // stride[0] + 1, (x[2] - 1) // stride[1] + 1, weight[0]]

        self.forward = operator("conv_forward", out_shape, lambda x, w, s: x, bprop)

    def construct(self, x):
        """(batch, frames, bins, in) → (batch, frames / stride, bins / stride, out), both rounded up."""
        return self.forward(x, self.weight, self.stride)


class Norm(nn.Cell):
    """Batch norm, and a ReLU after it if `name` is norm_relu; eps and momentum are nn.BatchNorm2d's defaults."""

    def __init__(self, channels: int, name: str):
        super().__init__()
        self.use_batch_statistics: bool | None = None  # False: never, as nn.BatchNorm2d has it
        # In the order and by the names of nn.BatchNorm2d.
        self.moving_mean = Parameter(initializer("zeros", (channels,), ms.float32), "mean", requires_grad=False)
        self.moving_variance = Parameter(initializer("ones", (channels,), ms.float32), "variance", requires_grad=False)
        self.gamma = Parameter(initializer("ones", (channels,), ms.float32), "gamma")
        self.beta = Parameter(initializer("zeros", (channels,), ms.float32), "beta")

        def out(x, gamma, beta, mean, variance):
            return x, mean, mean

        def backward_out(dy, x, gamma, beta, mean, deviation):
            return x, gamma, beta

        train_backward = operator(f"{name}_train_backward", backward_out, backward_out)
        infer_backward = operator(f"{name}_infer_backward", backward_out, backward_out)

        def train_bprop(x, gamma, beta, moving_mean, moving_variance, out, dout):
            dx, dgamma, dbeta = train_backward(dout[0], x, gamma, beta, out[1], out[2])
            return dx, dgamma, dbeta, ops.zeros_like(moving_mean), ops.zeros_like(moving_variance)

        def infer_bprop(x, gamma, beta, moving_mean, moving_variance, out, dout):
            dx, dgamma, dbeta = infer_backward(dout, x, gamma, beta, moving_mean, moving_variance)
            return dx, dgamma, dbeta, ops.zeros_like(moving_mean), ops.zeros_like(moving_variance)

        self.train = operator(f"{name}_train", out, out, train_bprop)
        self.infer = operator(f"{name}_infer", lambda x, *of_channels: x, lambda x, *of_channels: x, infer_bprop)

    def construct(self, x):
        """(batch, frames, bins, channels) → the same shape."""
        if not self.training or self.use_batch_statistics is False:
            return self.infer(x, self.gamma, self.beta, self.moving_mean, self.moving_variance)
        # It also changes the moving averages. MindSpore does not know that, but nothing else in the graph reads them.
        return self.train(x, self.gamma, self.beta, self.moving_mean, self.moving_variance)[0]


class Add(nn.Cell):
    """The sum of two equal shapes."""

    def __init__(self):
        super().__init__()

        def bprop(x, y, out, dout):
            return dout, dout

        self.add = operator("add", lambda x, y: x, lambda x, y: x, bprop)

    def construct(self, x, y):
        return self.add(x, y)


class Fork(nn.Cell):
    """x, twice. Its gradients are added here, because MindSpore has no sum for bfloat16."""

    def __init__(self):
        super().__init__()
        self.add = Add()

    def construct(self, x):
        return x, x

    def bprop(self, x, out, dout):
        """The sum of both gradients."""
        return (self.add(dout[0], dout[1]),)


class Convert(nn.Cell):
    """float32 to bfloat16, or the reverse; gradients the other way. At inference it changes nothing."""

    def __init__(self):
        super().__init__()

        # One operator for all cases, which looks at its input's type: MindSpore takes those of one name for the same.
        def other(tensor):
            return ms.bfloat16 if tensor.element_type() == ms.float32 else ms.float32

        def bprop(x, out, dout):
            return (convert(dout),)

        convert = self.convert = operator("convert", lambda x: x, other, bprop)

    def construct(self, x):
        """Any shape, float32 or bfloat16 → the same shape in the other type."""
        return self.convert(x) if self.training else x


class MaxPool(nn.Cell):
    """Max pooling over (frames, bins) whose windows lie side by side; a remainder at the edge is dropped."""

    def __init__(self, size: tuple[int, int]):
        super().__init__()
        if size[0] * size[1] > 256:
            raise UserError(f"a pooling window of {size[0]} × {size[1]} is too large: at most 256 values")
        self.size = Tensor(size, ms.int64)
        backward = operator("max_pool_backward", lambda dy, w, s, x: x, lambda dy, w, s, x: x)

        def bprop(x, size, out, dout):
            return backward(dout[0], out[1], size, x), ops.zeros_like(size)

        def out_shape(x, _):
            shape = [x[0], x[1] // size[0], x[2] // size[1], x[3]]
            return shape, shape

        self.forward = operator("max_pool_forward", out_shape, lambda x, s: (x, ms.uint8), bprop)

    def construct(self, x):
        """(batch, frames, bins, channels) → the same with frames and bins divided by `size`, rounded down."""
        return self.forward(x, self.size)[0]


class SumRows(nn.Cell):
    """As `steps.model.layers.SumRows`, without the large matrix in between."""

    def __init__(self):
        super().__init__()
        backward = operator("sum_rows_backward", lambda dy, where, matrix: matrix, lambda dy, where, matrix: matrix)

        def bprop(matrix, where, out, dout):
            return backward(dout, where, matrix), ops.zeros_like(where)

        self.forward = operator("sum_rows", lambda matrix, where: [where[1], matrix[1]],
                                 lambda matrix, where: matrix, bprop)

    def construct(self, matrix, where):
        return self.forward(matrix, where)


class CTCLoss(nn.Cell):
    """float32 logits (batch, frames, tokens), lengths, labels, their numbers → losses (batch,), in nats; blank is 0."""

    def __init__(self):
        super().__init__()
        backward = operator("ctc_backward", lambda dloss, gradient: gradient, lambda dloss, gradient: gradient)

        def bprop(logits, lengths, labels, label_lengths, out, dout):
            return backward(dout[0], out[1]), ops.zeros_like(lengths), ops.zeros_like(labels), \
                ops.zeros_like(label_lengths)

        self.forward = operator("ctc", lambda logits, n, labels, m: ([logits[0]], logits),
                                lambda logits, n, labels, m: (logits, logits), bprop)

    def construct(self, logits, lengths, labels, label_lengths):
        return self.forward(logits, lengths, labels, label_lengths)[0]


class OnednnLayers:
    """As `steps.model.layers.StockLayers`, of oneDNN's kernels. Raises UserError if the library is not built."""

    layout = "NHWC"
    conv = Conv
    max_pool = MaxPool
    fork = Fork
    add = Add
    sum_rows = SumRows
    ctc_loss = CTCLoss
    clip = Clip
    adamw = AdamW

    def __init__(self):
        library()

    def norm(self, channels: int) -> nn.Cell:
        """Batch norm."""
        return Norm(channels, "norm")

    def norm_relu(self, channels: int) -> nn.Cell:
        """Batch norm and ReLU in one."""
        return Norm(channels, "norm_relu")
