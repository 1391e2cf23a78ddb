"""What the tests of the oneDNN kernels share: shapes, how a Cell is run with its gradients, and float64 arithmetic."""

import functools

import mindspore as ms
import numpy as np
from mindspore import nn, ops

TOLERANCE = 2e-5  # of the largest value


def close(actual, expected) -> None:
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= TOLERANCE * max(1, np.abs(expected).max())


class Weighted(nn.Cell):
    """Σ net(x) · w, so that w is the gradient at the net's output."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def construct(self, x, w):
        y = self.net(x)
        return (y * w).sum(), y


def run(net: nn.Cell, x: np.ndarray, w: np.ndarray):
    """(output, gradient at x, gradients at the trained parameters)"""
    (_, y), grads = _step(net.set_train(True))(ms.Tensor(x), ms.Tensor(w))
    dx, dweights = grads if net.trainable_params() else (grads, ())
    return y.asnumpy(), dx.asnumpy(), [grad.asnumpy() for grad in dweights]


@functools.lru_cache(maxsize=1)
def _step(net: nn.Cell):
    """Compiled once for each shape, although several calls come with the same net."""
    return ms.jit(ops.value_and_grad(Weighted(net), 0, net.trainable_params() or None, has_aux=True))


def conv_float64(x: np.ndarray, weight: np.ndarray, w: np.ndarray, stride: tuple[int, int]):
    """Convolution of (batch, frames, bins, channels); its gradients at x and weight where w is that at the output."""
    kernel = weight.shape[2:]
    pad = [size // 2 for size in kernel]
    padded = np.pad(x.astype(float), ((0, 0), (pad[0],) * 2, (pad[1],) * 2, (0, 0)))
    out = [(size - 1) // step + 1 for size, step in zip(x.shape[1:3], stride, strict=True)]
    y = np.zeros((len(x), *out, len(weight)))
    dpadded, dweight = np.zeros_like(padded), np.zeros(weight.shape)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            here = np.s_[:, i:i + stride[0] * out[0]:stride[0], j:j + stride[1] * out[1]:stride[1]]
            y += padded[here] @ weight[:, :, i, j].T
            dpadded[here] += w @ weight[:, :, i, j]
            dweight[:, :, i, j] = np.einsum("ntfo,ntfi->oi", w, padded[here])
    return y, dpadded[:, pad[0]:pad[0] + x.shape[1], pad[1]:pad[1] + x.shape[2]], dweight


CONVOLUTIONS = [  # batch, frames, bins, in, out, stride, kernel
    (2, 33, 25, 1, 16, (1, 1), (3, 3)),
    (2, 33, 25, 1, 16, (2, 2), (3, 3)),
    (3, 16, 20, 16, 32, (1, 1), (3, 3)),
    (3, 16, 20, 16, 32, (2, 2), (3, 3)),
    (2, 17, 25, 16, 32, (2, 2), (1, 1)),
    (2, 17, 25, 20, 20, (2, 1), (3, 3)),
    (2, 17, 25, 20, 20, (1, 2), (3, 3)),
    (1, 1, 7, 20, 3, (2, 2), (3, 3)),
    (1, 8, 1, 32, 16, (1, 1), (1, 1)),
    (2, 5, 6, 64, 128, (1, 1), (3, 3)),
    (2, 17, 25, 48, 32, (1, 1), (3, 3)),
    (3, 1, 1, 32, 48, (1, 1), (3, 3)),
    (5, 18, 1, 32, 32, (1, 1), (3, 3)),
    (2, 7, 8, 40, 48, (1, 1), (3, 3)),
    (2, 5, 6, 32, 32, (1, 1), (1, 3)),
    (2, 17, 25, 16, 20, (1, 1), (3, 1)),
]


def norm_float64(x, gamma, beta, w, relu: bool, mean=None, variance=None):
    """Batch norm and its gradients at x, gamma and beta; with the batch's statistics where none are given."""
    x = x.astype(float)
    axes = (0, 1, 2)
    of_batch = mean is None
    if of_batch:
        mean, variance = x.mean(axes), x.var(axes)
    deviation = np.sqrt(variance + 1e-5)
    normalised = (x - mean) / deviation
    y = normalised * gamma + beta
    if relu:
        w = w * (y > 0)
        y = np.maximum(y, 0)
    dbeta, dgamma = w.sum(axes), (w * normalised).sum(axes)
    count = x.size / x.shape[-1]
    through_statistics = (dbeta + normalised * dgamma) / count if of_batch else 0
    return y, gamma / deviation * (w - through_statistics), dgamma, dbeta


NORMS = [(2, 33, 25, 16), (3, 17, 7, 20), (1, 40, 3, 1), (2, 4, 5, 128), (2, 2, 3, 600), (4, 64, 40, 32), (1, 1, 2, 16)]
