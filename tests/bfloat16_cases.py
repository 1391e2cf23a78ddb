"""The oneDNN kernels on bfloat16 against float64 arithmetic on the same rounded numbers, and a training step.

test_onednn_bfloat16.py runs these, in a process of their own: `pytest tests/bfloat16_cases.py`.
"""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops
from onednn_cases import CONVOLUTIONS, NORMS, close, conv_float64, norm_float64, run

from steps.config.schema import Model, Optimizer, Train
from steps.model.layers import CTCObjective
from steps.model.network import DFCNN
from steps.model.optimizer import make_optimizer
from steps.model.parallel import Workers, make_step, with_precision

SHAPES = [(2, 33, 25, 16), (3, 17, 7, 20), (1, 40, 3, 1), (1, 1, 1, 3), (2, 33, 25, 16)]
TOKENS = ["<blk>", "a1", "a4", "ba1", "bao4", "ma1", "ma3"]


@pytest.fixture(scope="module")
def kernels():
    ms.set_context(mode=ms.GRAPH_MODE)
    from steps.model.onednn.cells import OnednnLayers

    return OnednnLayers()


class Narrowed(nn.Cell):
    """A cell whose input and output are float32 but which sees bfloat16 in training, as do their gradients."""

    def __init__(self, net: nn.Cell):
        super().__init__()
        from steps.model.onednn.cells import Convert

        self.narrow, self.net, self.widen = Convert(), net, Convert()

    def construct(self, x):
        return self.widen(self.net(self.narrow(x)))


def rounded(x: np.ndarray) -> np.ndarray:
    """To 8 significant bits; of two equally near ones the even."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(mantissa * 256), exponent - 8).astype(np.float32)


def close_rounded(actual: np.ndarray, expected: np.ndarray) -> None:
    """That `actual` is `expected` to the nearest bfloat16, but for what float32 arithmetic is off."""
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(actual, rounded(actual))
    assert (np.abs(actual - expected) <= 2**-8 * np.abs(expected) + 2e-5 * max(1, np.abs(expected).max())).all()


def sample(seed: int, *shape: int) -> np.ndarray:
    return rounded(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_conv_equals_float64(kernels, shape):
    batch, frames, bins, channels, out, stride, kernel = shape
    net = Narrowed(kernels.conv(channels, out, stride, kernel))
    weight = net.net.weight.asnumpy()
    for length in (frames, frames + 3, frames) if channels == 16 else [frames]:  # each is compiled again
        x = sample(1, batch, length, bins, channels)
        w = sample(2, batch, -(-length // stride[0]), -(-bins // stride[1]), out)
        y, dx, (dweight,) = run(net, x, w)
        y64, dx64, dweight64 = conv_float64(x, rounded(weight), w, stride)
        close_rounded(y, y64)
        close_rounded(dx, dx64)
        close(dweight, dweight64)
        assert np.abs(dweight - rounded(dweight)).max() > 0  # which float32 holds in full


def test_the_same_shape_in_both_types_in_turn(kernels):
    net, x = Narrowed(kernels.conv(16, 16)), sample(3, 2, 9, 8, 16)
    exact, _, _ = conv_float64(x, net.net.weight.asnumpy(), np.zeros_like(x), (1, 1))
    for training in (True, False, True, False):
        y = net.set_train(training)(ms.Tensor(x)).asnumpy()
        assert np.array_equal(y, rounded(y)) == training
        assert np.abs(y - exact).max() < (0.05 if training else 1e-4)


@pytest.mark.parametrize("name", ["norm", "norm_relu"])
@pytest.mark.parametrize("shape", NORMS, ids=str)
def test_norm_equals_float64(kernels, name, shape):
    rng = np.random.default_rng(4)
    net = Narrowed(getattr(kernels, name)(shape[-1]))
    for parameter in (net.net.gamma, net.net.beta):
        parameter.set_data(ms.Tensor(rng.uniform(0.5, 2, parameter.shape).astype(np.float32)))
    for frames in (shape[1], shape[1] + 2) if shape[-1] == 16 else shape[1:2]:
        x = rounded(3 * rng.standard_normal((shape[0], frames, *shape[2:])) + rng.uniform(-5, 5, shape[-1]))
        w, before = sample(5, *x.shape), net.net.moving_mean.asnumpy().copy()
        y, dx, gradients = run(net, x, w)
        y64, dx64, *gradients64 = norm_float64(x, net.net.gamma.asnumpy(), net.net.beta.asnumpy(), w,
                                               name == "norm_relu")
        close_rounded(y, y64)
        close_rounded(dx, dx64)
        for one, other in zip(gradients, gradients64, strict=True):
            close(one, other)
        close(net.net.moving_mean.asnumpy(), 0.9 * before + 0.1 * x.astype(float).mean((0, 1, 2)))


@pytest.mark.parametrize("size", [(2, 2), (3, 2), (1, 2), (2, 1)], ids=str)
def test_max_pool_is_exact_and_gives_ties_to_the_first(kernels, size):
    net = Narrowed(kernels.max_pool(size))
    for shape in ((2, 33, 25, 16), (2, 9, 8, 20), (1, 8, 7, 1), (2, 33, 25, 16)):
        x = np.random.default_rng(6).integers(-3, 4, shape).astype(np.float32)
        rows, columns = shape[1] // size[0], shape[2] // size[1]
        w = sample(7, shape[0], rows, columns, shape[3])
        y, dx, _ = run(net, x, w)
        inside = np.s_[:, :rows * size[0], :columns * size[1]]
        windows = x[inside].reshape(shape[0], rows, size[0], columns, size[1], shape[3]).transpose(0, 1, 3, 5, 2, 4)
        windows = windows.reshape(*windows.shape[:4], -1)
        np.testing.assert_array_equal(y, windows.max(-1))
        winner = np.eye(size[0] * size[1])[windows.argmax(-1)] * w[..., None]
        expected = np.zeros_like(x)
        expected[inside] = winner.reshape(*w.shape, *size).transpose(0, 1, 4, 2, 5, 3).reshape(x[inside].shape)
        np.testing.assert_array_equal(dx, expected)


class Residual(nn.Cell):
    """3 x, by way of two forks."""

    def __init__(self, kernels):
        super().__init__()
        self.fork1, self.fork2 = kernels.fork(), kernels.fork()
        self.add1, self.add2 = kernels.add(), kernels.add()

    def construct(self, x):
        one, rest = self.fork1(x)
        two, three = self.fork2(rest)
        return self.add1(one, self.add2(two, three))


def test_sums_and_gradients_of_forks_are_rounded_once_each(kernels):
    net = Narrowed(Residual(kernels))
    for shape in SHAPES:
        x, w = sample(8, *shape), sample(9, *shape)
        y, dx, _ = run(net, x, w)
        np.testing.assert_array_equal(y, rounded(3 * x))
        np.testing.assert_array_equal(dx, rounded(3 * w))


def test_conversion_rounds_to_the_nearest_and_keeps_what_is_no_number(kernels):
    bits = np.random.default_rng(10).integers(0x00800000, 0x7f000000, 40000, np.uint32)
    bits[::4] = bits[::4] & 0xffff0000 | 0x8000  # half-way
    bits[1::4] |= 0x80000000
    special = np.array([0, 0x80000000, 0x7f800000, 0xff800000, 0x7f7fffff, 0x7fffffff, 0xffffffff, 0x7f800001],
                       np.uint32)
    x = np.concatenate([bits, special]).view(np.float32)
    expected = np.concatenate([rounded(x[:-4]), np.full(4, np.nan, np.float32)])
    expected[-4] = np.inf  # the largest float32 is nearer to 2**128 than to any bfloat16 below
    y = Narrowed(nn.Identity()).set_train(True)(ms.Tensor(x)).asnumpy()
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(np.signbit(y[:-3]), np.signbit(x[:-3]))


@pytest.mark.parametrize("part", ["norm_relu", "conv", "add"])
def test_nan_is_not_swallowed(kernels, part):
    cells = {"norm_relu": lambda: kernels.norm_relu(16), "conv": lambda: kernels.conv(16, 16),
             "add": lambda: Residual(kernels)}
    x = np.ones((1, 8, 8, 16), np.float32)
    x[0, 1, 2, 3] = np.nan
    y, _, gradients = run(Narrowed(cells[part]()), x, np.ones_like(x))
    assert np.isnan(y[0, 1, 2, 3]) and np.isfinite(y).any()
    assert part == "add" or np.isnan(gradients[0]).any()
    assert part == "conv" or np.isfinite(np.delete(y, 3, axis=3)).all()


class Gradients(nn.Cell):
    """The loss, and its gradients at the weights."""

    def __init__(self, objective: nn.Cell, weights):
        super().__init__()
        self.objective = objective  # for set_train
        self.gradients = ops.value_and_grad(objective, None, weights)

    def construct(self, feats, out_lengths, labels, label_lengths):
        return self.gradients(feats, out_lengths, labels, label_lengths)


BLOCKS = {
    "plain": [{"channels": 16, "layers": 1, "pool": 2}, {"channels": 24, "layers": 1, "pool": [2, 1]}],
    "residual": [{"channels": 16, "layers": 1, "stride": 2},
                 {"channels": 24, "layers": 1, "stride": 2, "residual": True, "kernel": [1, 3]}],
}


@pytest.fixture(params=BLOCKS)
def networks(request, kernels):
    """Two networks with the same weights: at bf16 and at fp32."""
    model = Model(blocks=BLOCKS[request.param], dense=[32], output="factored")
    pair = []
    for precision in ("bf16", "fp32"):
        ms.set_seed(1)
        pair.append(with_precision(DFCNN(model, 20, TOKENS, kernels), precision))
    names = [[(parameter.name, parameter.dtype) for parameter in network.get_parameters()] for network in pair]
    assert names[0] == names[1]
    for one, other in zip(*(network.get_parameters() for network in pair), strict=True):
        other.set_data(ms.Tensor(one.asnumpy()))
    return pair


def batch(frames: int) -> list[ms.Tensor]:
    rng = np.random.default_rng(frames)
    arrays = (rng.standard_normal((3, frames, 20), np.float32), np.full(3, frames // 4, np.int32),
              rng.integers(1, 7, (3, 3)).astype(np.int32), np.array([3, 1, 2], np.int32))
    return list(map(ms.Tensor, arrays))


def test_loss_and_gradients_are_those_of_float32(kernels, networks):
    steps = [Gradients(CTCObjective(network, kernels), ms.ParameterTuple(network.trainable_params())).set_train()
             for network in networks]
    (loss, found), (loss32, expected) = (step(*batch(40)) for step in steps)
    np.testing.assert_allclose(loss.asnumpy(), loss32.asnumpy(), rtol=1e-2)
    assert loss.asnumpy() != loss32.asnumpy()
    assert {gradient.dtype for gradient in found} == {ms.float32}
    whole, whole32 = (np.concatenate([part.asnumpy().ravel() for part in parts]) for parts in (found, expected))
    assert whole @ whole32 > 0.998 * np.linalg.norm(whole) * np.linalg.norm(whole32)
    for one, other in zip(found, expected, strict=True):  # of which some are 0, but for rounding
        one, other = one.asnumpy(), other.asnumpy()
        assert np.linalg.norm(one - other) < 0.3 * np.linalg.norm(other) + 0.001 * np.linalg.norm(whole32)


@pytest.mark.parametrize("networks", ["residual"], indirect=True)
def test_it_trains_and_infers_at_float32(kernels, networks):
    """By AccumulatedStep; test_precision.py trains by TrainStep."""
    network, at_float32 = networks
    optimizer = make_optimizer(Optimizer(warmup_steps=1), network, 100, kernels)
    train = Train(precision="bf16", accum_grad=2)
    step = make_step(CTCObjective(network, kernels), optimizer, kernels.clip(5.0), train, Workers()).set_train()
    losses = [float(step(*batch(40))[0].asnumpy()) for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]
    for one, other in zip(*(each.get_parameters() for each in networks), strict=True):
        other.set_data(ms.Tensor(one.asnumpy()))
    logits = [each.set_train(False)(batch(24)[0]).asnumpy() for each in (network, at_float32)]
    np.testing.assert_array_equal(*logits)
