"""The oneDNN kernels against MindSpore's own operators and against float64 arithmetic."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from steps.common.errors import UserError
from steps.model.onednn import build

pytestmark = pytest.mark.skipif(build.available() is None, reason=build.reason() if build.available() is None else "")

import mindspore as ms  # noqa: E402
from mindspore import nn, ops  # noqa: E402
from onednn_cases import CONVOLUTIONS, NORMS, close, conv_float64, norm_float64, run  # noqa: E402

from steps.config.schema import Model, Optimizer  # noqa: E402
from steps.model.layers import CTCObjective, StockLayers, TrainStep  # noqa: E402
from steps.model.network import DFCNN, freeze_norms  # noqa: E402
from steps.model.optimizer import make_optimizer  # noqa: E402


@pytest.fixture(scope="module")
def onednn():
    ms.set_context(mode=ms.GRAPH_MODE)
    from steps.model.onednn.cells import OnednnLayers

    return OnednnLayers()


@pytest.fixture(scope="module")
def stock():
    return StockLayers()


def nchw(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def nhwc(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def copy_parameters(source: nn.Cell, target: nn.Cell) -> None:
    for old, new in zip(source.get_parameters(), target.get_parameters(), strict=True):
        assert (old.name, old.shape, old.requires_grad) == (new.name, new.shape, new.requires_grad)
        new.set_data(ms.Tensor(old.asnumpy()))


@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_conv_equals_stock_and_float64(onednn, stock, shape):
    batch, frames, bins, channels, out, stride, kernel = shape
    rng = np.random.default_rng(1)
    ours, theirs = onednn.conv(channels, out, stride, kernel), stock.conv(channels, out, stride, kernel)
    copy_parameters(theirs, ours)
    x = rng.standard_normal((batch, frames, bins, channels), np.float32)
    w = rng.standard_normal((batch, -(-frames // stride[0]), -(-bins // stride[1]), out), np.float32)
    y, dx, (dweight,) = run(ours, x, w)
    for actual, expected in zip((y, dx, dweight), conv_float64(x, ours.weight.asnumpy(), w, stride), strict=True):
        close(actual, expected)
    y_stock, dx_stock, (dweight_stock,) = run(theirs, nchw(x), nchw(w))
    close(y, nhwc(y_stock))
    close(dx, nhwc(dx_stock))
    close(dweight, dweight_stock)


@pytest.mark.parametrize("frozen", [False, True], ids=["batch", "frozen"])
@pytest.mark.parametrize("name", ["norm", "norm_relu"])
@pytest.mark.parametrize("shape", NORMS, ids=str)
def test_norm_equals_stock_and_float64(onednn, stock, name, shape, frozen):
    rng = np.random.default_rng(2)
    ours, theirs = getattr(onednn, name)(shape[-1]), getattr(stock, name)(shape[-1])
    if frozen:
        freeze_norms(ours), freeze_norms(theirs)
    for parameter in theirs.get_parameters():
        parameter.set_data(ms.Tensor(rng.uniform(0.5, 2, parameter.shape).astype(np.float32)))
    copy_parameters(theirs, ours)
    x = (3 * rng.standard_normal(shape) + rng.uniform(-5, 5, shape[-1])).astype(np.float32)
    w = rng.standard_normal(shape, np.float32)
    y, dx, (dgamma, dbeta) = run(ours, x, w)
    moving = (ours.moving_mean.asnumpy(), ours.moving_variance.asnumpy()) if frozen else ()
    expected = norm_float64(x, ours.gamma.asnumpy(), ours.beta.asnumpy(), w, name == "norm_relu", *moving)
    for one, other in zip((y, dx, dgamma, dbeta), expected, strict=True):
        close(one, other)
    y_stock, dx_stock, (dgamma_stock, dbeta_stock) = run(theirs, nchw(x), nchw(w))
    close(y, nhwc(y_stock))
    close(dx, nhwc(dx_stock))
    close(dgamma, dgamma_stock)
    close(dbeta, dbeta_stock)
    for one, other in zip(ours.get_parameters(), theirs.get_parameters(), strict=True):
        close(one.asnumpy(), other.asnumpy())


def test_variance_survives_a_mean_far_from_zero(onednn):
    rng = np.random.default_rng(3)
    x = (1000 + rng.standard_normal((2, 50, 20, 16))).astype(np.float32)
    net = onednn.norm(16)
    net.set_train(True)
    net(ms.Tensor(x))
    expected = 0.9 + 0.1 * x.astype(float).reshape(-1, 16).var(0, ddof=1)
    np.testing.assert_allclose(net.moving_variance.asnumpy(), expected, rtol=1e-5)


def test_nan_is_not_swallowed(onednn):
    x = np.ones((1, 4, 4, 16), np.float32)
    x[0, 1, 2, 3] = np.nan
    net = onednn.norm_relu(16)
    net.set_train(True)
    y = net(ms.Tensor(x)).asnumpy()
    assert np.isnan(y[..., 3]).all()
    assert np.isfinite(np.delete(y, 3, axis=3)).all()


@pytest.mark.parametrize(("shape", "size"), [((2, 33, 25, 16), (2, 2)), ((2, 9, 8, 20), (3, 2)), ((1, 8, 7, 1), (1, 2)),
                                             ((2, 6, 5, 128), (2, 1))], ids=str)
def test_max_pool_equals_stock(onednn, stock, shape, size):
    rng = np.random.default_rng(4)
    x = rng.integers(-3, 4, shape).astype(np.float32)  # with ties
    w = rng.standard_normal((shape[0], shape[1] // size[0], shape[2] // size[1], shape[3]), np.float32)
    y, dx, _ = run(onednn.max_pool(size), x, w)
    y_stock, dx_stock, _ = run(stock.max_pool(size), nchw(x), nchw(w))
    np.testing.assert_array_equal(y, nhwc(y_stock))
    np.testing.assert_array_equal(dx, nhwc(dx_stock))


class WeightedRows(nn.Cell):
    """Σ sum_rows(matrix, where) · w, so that w is the gradient at the sums."""

    def __init__(self, kernels, where: np.ndarray):
        super().__init__()
        self.sum_rows = kernels.sum_rows()
        self.where = ms.Tensor(where)

    def construct(self, matrix, w):
        sums = self.sum_rows(matrix, self.where)
        return (sums * w).sum(), sums


@pytest.mark.parametrize("width", [1, 20, 256])
def test_sum_rows_equals_stock_and_numpy(onednn, stock, width):
    rng = np.random.default_rng(6)
    where = rng.integers(0, 29, (6, 50)).astype(np.int32)  # row 29 is in no sum, many are in several
    matrix, w = rng.standard_normal((30, width), np.float32), rng.standard_normal((50, width), np.float32)
    expected = np.zeros((30, width))
    np.add.at(expected, where, w.astype(float))
    for kernels in (onednn, stock):
        step = ms.jit(ops.value_and_grad(WeightedRows(kernels, where), 0, has_aux=True))
        (_, sums), dmatrix = step(ms.Tensor(matrix), ms.Tensor(w))
        close(sums.asnumpy(), matrix.astype(float)[where].sum(0))
        close(dmatrix.asnumpy(), expected)


@pytest.mark.parametrize(("lengths", "labels"), [([5], [[1]]), ([4], [[7]]), ([4], [[-1]])])
def test_ctc_refuses_what_does_not_fit(onednn, lengths, labels):
    arguments = (np.zeros((1, 4, 7), np.float32), *(np.array(value, np.int32) for value in (lengths, labels, [1])))
    with pytest.raises(RuntimeError):
        onednn.ctc_loss()(*map(ms.Tensor, arguments)).asnumpy()


def test_the_training_step_equals_stock(onednn, stock):
    """The whole of it, over several shapes: residual network, pooling, factored output, CTC, clipping, AdamW."""
    tokens = ["<blk>", "a1", "a4", "ba1", "bao4", "ma1", "ma3"]
    blocks = [{"channels": 16, "layers": 1, "stride": 2, "pool": [1, 2]},
              {"channels": 24, "layers": 1, "stride": 2, "residual": True, "kernel": [1, 3]}]
    model = Model(blocks=blocks, dense=[32], output="factored")
    networks = [DFCNN(model, 20, tokens, kernels) for kernels in (onednn, stock)]
    copy_parameters(*networks)
    steps = []
    for network, kernels in zip(networks, (onednn, stock), strict=True):
        optimizer = make_optimizer(Optimizer(warmup_steps=1), network, 10, kernels)
        steps.append(TrainStep(CTCObjective(network, kernels), optimizer, kernels.clip(5.0)).set_train())
    rng = np.random.default_rng(9)
    for frames in (40, 24, 40, 40):
        batch = (rng.standard_normal((3, frames, 20), np.float32), np.full(3, frames // 4, np.int32),
                 rng.integers(1, 7, (3, 3)).astype(np.int32), np.array([3, 1, 2], np.int32))
        ours, theirs = ([value.asnumpy() for value in step(*map(ms.Tensor, batch))] for step in steps)
        np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    for one, other in zip(*(step.get_parameters() for step in steps), strict=True):
        assert one.name == other.name
        np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), rtol=1e-2, atol=1e-3)
    copy_parameters(*networks)
    y, y_stock = (network.set_train(False)(ms.Tensor(batch[0])).asnumpy() for network in networks)
    close(y, y_stock)


def test_inference_leaves_the_moving_averages_alone(onednn):
    net = onednn.norm_relu(16)
    net.set_train(False)
    net(ms.Tensor(np.ones((1, 4, 4, 16), np.float32)))
    assert not net.moving_mean.asnumpy().any()


FORK = """
import multiprocessing, os
import numpy as np, mindspore as ms
from mindspore import nn
from steps.model.onednn.cells import OnednnLayers

ms.set_context(mode=ms.GRAPH_MODE)
ms.set_device("CPU")
kernels = OnednnLayers()
net = nn.SequentialCell([kernels.conv(16, 32), kernels.conv(32, 32), kernels.norm_relu(32), kernels.max_pool((2, 2))])
x = ms.Tensor(np.random.default_rng(1).standard_normal((8, 64, 40, 16), np.float32))

def run():
    print(float(net(x).asnumpy().sum()), flush=True)

net.set_train(True)
run()
for attempt in range(5):
    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    child.join(15)
    if child.exitcode is not None:
        break
    child.kill()  # forked on a busy machine, MindSpore's own runtime at times spins for ever
assert child.exitcode == 0, child.exitcode
run()
"""


def test_runs_on_in_a_forked_child_and_in_its_parent(tmp_path):
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", FORK], env=env, capture_output=True, text=True, timeout=300,
                          cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    results = done.stdout.split()
    assert len(results) == 3
    assert len(set(results)) == 1


def test_pooling_window_beyond_a_byte_is_refused(onednn):
    with pytest.raises(UserError, match="16 × 17"):
        onednn.max_pool((16, 17))
