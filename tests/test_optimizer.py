"""AdamW, Muon and clipping, stock and fused, against float64 arithmetic after PyTorch's documentation."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from steps.config.schema import Optimizer
from steps.model.layers import StockLayers
from steps.model.onednn import build
from steps.model.optimizer import learning_rate, make_optimizer

KINDS = ["stock", pytest.param("onednn", marks=pytest.mark.skipif(build.available() is None, reason="not built here"))]
SHAPES = [(70, 300), (3, 3), (5,)]
DECAYS = [0.1, 0.1, 0.0]
SCHEDULE = Optimizer(learning_rate=0.1, warmup_steps=3, weight_decay=DECAYS[0])


def make(kind):
    ms.set_context(mode=ms.GRAPH_MODE)
    if kind == "stock":
        return StockLayers()
    from steps.model.onednn.cells import OnednnLayers

    return OnednnLayers()


class Updates(nn.Cell):
    """What comes behind the gradients: clipping, and the optimizer."""

    def __init__(self, kernels, limit: float):
        super().__init__()
        rng = np.random.default_rng(7)
        network = nn.Cell()
        for i, shape in enumerate(SHAPES):
            network.insert_param_to_cell(f"w{i}", ms.Parameter(rng.standard_normal(shape, np.float32), f"w{i}"))
        self.optimizer = make_optimizer(SCHEDULE, network, 20, kernels)
        self.clip = kernels.clip(limit)

    def construct(self, *grads):
        grads, norm = self.clip(grads)
        return ops.depend(norm, self.optimizer(grads)) * 1.0


def torch_adamw(weights, gradients, rates, beta1=0.9, beta2=0.999, eps=1e-8, decays=DECAYS):
    """The algorithm in the documentation of torch.optim.AdamW, in float64: weights after all `gradients`."""
    weights = [weight.astype(float) for weight in weights]
    m, v = ([np.zeros_like(weight) for weight in weights] for _ in range(2))
    for t, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        for i, g in enumerate(gradient):
            weights[i] = weights[i] - rate * decays[i] * weights[i]
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g**2
            m_hat, v_hat = m[i] / (1 - beta1**t), v[i] / (1 - beta2**t)
            weights[i] = weights[i] - rate * m_hat / (np.sqrt(v_hat) + eps)
    return weights


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [0.0, 3.0, 1e9])
def test_clipping_and_adamw_follow_the_definition(kind, limit):
    rng = np.random.default_rng(8)
    step = Updates(make(kind), limit)
    start = [weight.asnumpy().copy() for weight in step.optimizer.parameters]
    gradients = []
    for number in range(12):
        # The scale varies, and one weight's gradients are as small as eps: only then does eps matter.
        grads = [rng.standard_normal(shape, np.float32) * np.float32(10.0 ** (number % 3 - 1)) for shape in SHAPES]
        grads[1][0] *= np.float32(1e-8)
        norm = step(*map(ms.Tensor, grads)).asnumpy()
        expected = np.sqrt(sum((grad.astype(float) ** 2).sum() for grad in grads))
        np.testing.assert_allclose(norm, expected, rtol=1e-5)
        scale = min(1.0, limit / expected) if limit else 1.0
        gradients.append([grad.astype(float) * scale for grad in grads])
    expected = torch_adamw(start, gradients, [learning_rate(SCHEDULE, 20, number) for number in range(12)])
    for weight, value in zip(step.optimizer.parameters, expected, strict=True):
        np.testing.assert_allclose(weight.asnumpy(), value, rtol=2e-4, atol=2e-5)
    assert step.optimizer.global_step.asnumpy() == [12]


def torch_muon(weight, gradients, rates, decay, momentum=0.95):
    """The algorithm in the documentation of torch.optim.Muon with adjust_lr_fn="match_rms_adamw", in float64."""
    mean = np.zeros_like(weight)
    for g, rate in zip(gradients, rates, strict=True):
        mean = momentum * mean + (1 - momentum) * g
        x = (momentum * mean + (1 - momentum) * g).reshape(len(g), -1)
        x = x / np.linalg.norm(x)
        for _ in range(5):
            x = 3.4445 * x - 4.7750 * x @ x.T @ x + 2.0315 * x @ x.T @ x @ x.T @ x
        weight = weight - rate * decay * weight
        weight = weight - rate * 0.2 * np.sqrt(max(x.shape)) * x.reshape(weight.shape)
    return weight


@pytest.mark.parametrize("kind", KINDS)
def test_muon_follows_the_definition(kind):
    rng = np.random.default_rng(9)
    shapes = {"conv.weight": (6, 4, 3, 3), "dense.weight": (8, 5), "norm.gamma": (6,), "output.weight": (7, 8)}
    network = nn.Cell()
    for name, shape in shapes.items():
        network.insert_param_to_cell(name.replace(".", "_"), ms.Parameter(rng.standard_normal(shape, np.float32), name))
    optimizer = make_optimizer(SCHEDULE.model_copy(update={"name": "muon"}), network, 20, make(kind))
    start = {weight.name: weight.asnumpy().astype(float) for weight in optimizer.parameters}
    gradients = [[rng.standard_normal(start[weight.name].shape, np.float32) for weight in optimizer.parameters]
                 for _ in range(6)]
    for grads in gradients:
        optimizer(tuple(map(ms.Tensor, grads)))
    rates = [learning_rate(SCHEDULE, 20, number) for number in range(6)]
    for i, weight in enumerate(optimizer.parameters):
        of_weight = [grads[i].astype(float) for grads in gradients]
        if weight.name in ("conv.weight", "dense.weight"):
            expected = torch_muon(start[weight.name], of_weight, rates, SCHEDULE.weight_decay)
        else:
            decay = SCHEDULE.weight_decay if weight.ndim > 1 else 0.0
            expected = torch_adamw([start[weight.name]], [[g] for g in of_weight], rates, decays=[decay])[0]
        np.testing.assert_allclose(weight.asnumpy(), expected, rtol=2e-4, atol=2e-5, err_msg=weight.name)
    assert optimizer.global_step.asnumpy() == [6]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_clipping_does_not_swallow_nan(kind, place):
    gradients = [np.ones(3, np.float32) for _ in range(3)]
    gradients[place][1] = np.nan
    grads, norm = make(kind).clip(1.0)(tuple(map(ms.Tensor, gradients)))
    assert np.isnan(norm.asnumpy()) and np.isnan(grads[place].asnumpy()).any()
