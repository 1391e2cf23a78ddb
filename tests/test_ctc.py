"""CTC: the numpy cost and MindSpore's operator, as the network uses it, against brute force and forward-backward."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.search.ctc import align, ctc_cost, greedy

TOKENS = 4


def log_softmax(logits):
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def collapse(path):
    return [token for token, _ in itertools.groupby(path) if token != 0]


def brute_force(log_probs, labels):
    """Sum over every path through so few frames that there are few."""
    total = -np.inf
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        if collapse(path) == labels:
            total = np.logaddexp(total, sum(frame[token] for frame, token in zip(log_probs, path, strict=True)))
    return -total


def forward_backward(logits, labels):
    """Cost and gradient with respect to the logits, float64 (Graves et al. 2006, equations 6 to 16)."""
    log_probs = log_softmax(logits.astype(np.float64))
    frames, tokens = log_probs.shape
    path = [0]
    for label in labels:
        path += [label, 0]
    alpha = np.full((frames, len(path)), -np.inf)
    beta = np.full((frames, len(path)), -np.inf)
    alpha[0, :2] = log_probs[0, path[:2]]
    beta[-1, -2:] = 0
    for t in range(1, frames):
        for s in range(len(path)):
            terms = [alpha[t - 1, s]]
            terms += [alpha[t - 1, s - 1]] if s > 0 else []
            terms += [alpha[t - 1, s - 2]] if s > 1 and path[s] not in (0, path[s - 2]) else []
            alpha[t, s] = np.logaddexp.reduce(terms) + log_probs[t, path[s]]
    for t in range(frames - 2, -1, -1):
        for s in range(len(path)):
            terms = [beta[t + 1, s] + log_probs[t + 1, path[s]]]
            terms += [beta[t + 1, s + 1] + log_probs[t + 1, path[s + 1]]] if s + 1 < len(path) else []
            if s + 2 < len(path) and path[s + 2] not in (0, path[s]):
                terms.append(beta[t + 1, s + 2] + log_probs[t + 1, path[s + 2]])
            beta[t, s] = np.logaddexp.reduce(terms)
    total = np.logaddexp.reduce((alpha + beta)[0])
    occupancy = np.zeros((frames, tokens))
    for s, token in enumerate(path):
        occupancy[:, token] += np.exp(alpha[:, s] + beta[:, s] - total)
    return -total, np.exp(log_probs) - occupancy


def kernels(kind: str):
    """The makers of both losses; skips the test where there is only one."""
    from steps.model.layers import StockLayers
    from steps.model.onednn import build

    if kind == "stock":
        return StockLayers()
    if build.available() is None:
        pytest.skip(build.reason())
    from steps.model.onednn.cells import OnednnLayers

    return OnednnLayers()


labels_strategy = st.lists(st.integers(1, TOKENS - 1), max_size=3)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), labels_strategy, st.integers(0, 2**32 - 1))
def test_cost_equals_the_sum_over_all_paths(frames, labels, seed):
    log_probs = log_softmax(np.random.default_rng(seed).normal(size=(frames, TOKENS)))
    assert ctc_cost(log_probs, labels) == pytest.approx(brute_force(log_probs, labels), rel=1e-9)


def test_cost_is_infinite_where_no_path_is():
    log_probs = log_softmax(np.zeros((2, TOKENS)))
    assert ctc_cost(log_probs, [1, 1]) == np.inf
    assert ctc_cost(log_probs, [1, 2]) < np.inf


@pytest.mark.parametrize("kind", ["stock", "onednn"])
def test_trained_loss_and_gradient_equal_forward_backward(kind):
    """The very objective that is trained, with padding, unequal lengths, repeats and an extreme frame."""
    import mindspore as ms

    from steps.model.layers import CTCObjective

    class Logits(ms.nn.Cell):
        def construct(self, x):
            return x

    ms.set_context(mode=ms.GRAPH_MODE)
    rng = np.random.default_rng(3)
    logits = rng.normal(scale=2, size=(4, 12, 7)).astype(np.float32)
    logits[1, 3] *= 20
    labels = [[1, 1, 2], [6], [3, 4, 3, 3, 5], [2, 6]]
    lengths = [12, 5, 9, 7]
    matrix = np.zeros((4, 6), np.int32)
    for row, ids in zip(matrix, labels, strict=True):
        row[:len(ids)] = ids
    objective = CTCObjective(Logits(), kernels(kind))
    arguments = [ms.Tensor(value) for value in (logits, np.array(lengths, np.int32), matrix,
                                                np.array([len(ids) for ids in labels], np.int32))]
    loss, grad = ms.value_and_grad(objective, 0)(*arguments)

    count = sum(map(len, labels))
    expected_grad = np.zeros(logits.shape)
    expected = 0.0
    for i, (ids, length) in enumerate(zip(labels, lengths, strict=True)):
        cost, expected_grad[i, :length] = forward_backward(logits[i, :length], ids)
        assert cost == pytest.approx(ctc_cost(log_softmax(logits[i, :length].astype(np.float64)), ids), rel=1e-9)
        expected += cost
    assert float(loss.asnumpy()) == pytest.approx(expected / count, rel=1e-5)
    np.testing.assert_allclose(grad.asnumpy(), expected_grad / count, atol=2e-6)


def test_without_frames_only_nothing_can_be_said():
    nothing = np.zeros((0, 4))
    assert ctc_cost(nothing, []) == 0 and ctc_cost(nothing, [1]) == np.inf
    assert align(nothing, [1]) is None and greedy(nothing) == []
