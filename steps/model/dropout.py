"""Dropout that a resumed training draws as an uninterrupted one would."""

import numpy as np
from mindspore import Parameter, Tensor, dtype, nn, ops


class Dropout(nn.Cell):
    """Drops with probability `p`, and scales what stays by 1 / (1 - p).

    nn.Dropout keeps the state of its random numbers in the operator, where no checkpoint reaches it. Here the mask is a
    hash (Wang's integer mix) of the position, the layer's `salt` and the number of the step, which is a parameter.
    """

    def __init__(self, p: float, salt: int):
        super().__init__()
        self.p = p
        self.salt = salt
        self.step = Parameter(Tensor(np.zeros(1, np.int32)), name="step", requires_grad=False)

    def construct(self, x):
        if not self.training or self.p == 0:
            return x
        step = ops.assign_add(self.step, Tensor([1], dtype.int32))
        h = ops.arange(0, x.size, 1, dtype=dtype.int32) * 668265263 + step * 374761393 + self.salt * 40503
        h = ops.bitwise_xor(h, ops.bitwise_right_shift(h, Tensor(15, dtype.int32))) * 739982445
        h = ops.bitwise_xor(h, ops.bitwise_right_shift(h, Tensor(12, dtype.int32))) * 695872825
        h = ops.bitwise_xor(h, ops.bitwise_right_shift(h, Tensor(15, dtype.int32)))
        uniform = ops.cast(ops.bitwise_and(h, Tensor(0xFFFFFF, dtype.int32)), dtype.float32) / 0x1000000
        keep = ops.cast(uniform >= self.p, dtype.float32).reshape(x.shape)
        return ops.cast(x * ops.stop_gradient(keep) / (1 - self.p), x.dtype)
