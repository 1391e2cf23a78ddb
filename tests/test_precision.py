"""Mixed precision: the loss scale, which the CPU can show; float16 itself is for other devices."""

import numpy as np
import pytest
from tiny_corpus import EXPERIMENT

from steps.common.errors import UserError
from steps.config.schema import Experiment, Model


def make_step(scaled):
    """A small network with the step that trains it, its optimizer and the loss scaler (or None)."""
    import mindspore as ms
    from mindspore import amp, nn

    from steps.model.accumulation import AccumulatedStep
    from steps.model.cells import CTCObjective
    from steps.model.precision import keep_with
    from steps.model.stock import StockKernels

    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_seed(1)
    network = nn.SequentialCell([nn.Dense(5, 8, activation="relu"), nn.Dense(8, 4)])
    optimizer = nn.AdamWeightDecay(network.trainable_params(), 0.01)
    scaler = keep_with(optimizer, amp.DynamicLossScaler(1024.0, 2, 2)) if scaled else None
    kernels = StockKernels(Model(blocks=[]))
    step = AccumulatedStep(CTCObjective(network, kernels), optimizer, kernels.clip(1.0), micros=2, workers=1,
                           scaler=scaler)
    step.set_train(True)
    return network, optimizer, scaler, step


def batch(seed, factor=1.0, frames=12):
    import mindspore as ms

    rng = np.random.default_rng(seed)
    feats = (factor * rng.standard_normal((4, frames, 5))).astype(np.float32)
    lengths = np.array([1, 3, 2, 4], np.int32)
    return [ms.Tensor(part) for part in (feats, np.full(4, 12, np.int32), rng.integers(1, 4, (4, 4)).astype(np.int32),
                                         lengths)]


def values(cell):
    return [parameter.asnumpy().copy() for parameter in cell.get_parameters()]


def test_a_scaled_loss_trains_the_same_weights():
    plain, _, _, plain_step = make_step(scaled=False)
    scaled, _, _, scaled_step = make_step(scaled=True)
    for seed in range(3):
        expected = [float(value.asnumpy()) for value in plain_step(*batch(seed))]
        found = [float(value.asnumpy()) for value in scaled_step(*batch(seed))]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    for one, other in zip(values(plain), values(scaled), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6)


def test_an_overflow_leaves_the_update_out_and_halves_the_scale_which_then_grows_again():
    network, optimizer, scaler, step = make_step(scaled=True)
    scales = []
    for number, factor in enumerate((1, 1e38, 1, 1, 1)):
        before = values(network)
        _, norm = step(*batch(number, factor))
        same = all(np.array_equal(one, other) for one, other in zip(before, values(network), strict=True))
        assert same == (factor > 1) and np.isfinite(norm.asnumpy()) == (factor == 1)
        scales.append(float(scaler.scale_value.asnumpy()))
    assert scales == [1024, 512, 512, 1024, 1024]
    assert optimizer.global_step.asnumpy().tolist() == [4]


def test_the_scale_is_part_of_a_checkpoint(tmp_path):
    from steps.model.checkpoints import Checkpoints

    checkpoints = Checkpoints(tmp_path)
    network, optimizer, scaler, step = make_step(scaled=True)
    step(*batch(1, 1e38))
    checkpoints.save(1, network, optimizer, {})
    network, optimizer, scaler, step = make_step(scaled=True)
    checkpoints.restore(1, network, optimizer)
    assert scaler.scale_value.asnumpy() == 512


def test_parameters_keep_their_names_and_types():
    import mindspore as ms

    from steps.model.checkpoints import named_parameters
    from steps.model.precision import with_precision

    network = make_step(scaled=False)[0]
    before = list(named_parameters(network))
    after = named_parameters(with_precision(network, "amp"))
    assert list(after) == before and {parameter.dtype for parameter in after.values()} == {ms.float32}


def test_float16_trains_as_float32_does():
    """On the CPU, which is slow at it: the whole network, from its convolutions to CTC."""
    import mindspore as ms
    from mindspore import nn

    from steps.model.accumulation import AccumulatedStep
    from steps.model.cells import CTCObjective
    from steps.model.network import DFCNN
    from steps.model.precision import loss_scaler, with_precision
    from steps.model.stock import StockKernels

    ms.set_context(mode=ms.GRAPH_MODE)
    model = Model(blocks=[{"channels": 8, "layers": 1, "pool": 2}], dense=[16], output="factored")
    kernels, said = StockKernels(model), {}
    for precision in ("fp32", "amp"):
        ms.set_seed(1)
        network = with_precision(DFCNN(model, 5, ["<blk>", "ba1", "guo2", "ma4"], kernels), precision)
        optimizer = nn.AdamWeightDecay(network.trainable_params(), 0.01)
        scaler = loss_scaler(optimizer) if precision == "amp" else None
        step = AccumulatedStep(CTCObjective(network, kernels), optimizer, kernels.clip(1.0), micros=2, workers=1,
                               scaler=scaler)
        step.set_train(True)
        updates = []
        while len(updates) < 2:  # the first scale may be too high
            loss, norm = (float(value.asnumpy()) for value in step(*batch(1, frames=24)))
            updates += [(loss, norm)] if np.isfinite(norm) else []
        said[precision] = np.array(updates)
    np.testing.assert_allclose(said["amp"], said["fp32"], rtol=1e-2)
    assert (said["amp"] != said["fp32"]).all()


def test_the_cpu_has_no_mixed_precision():
    from steps.model.precision import check_precision

    experiment = Experiment(**{**EXPERIMENT, "train": {"precision": "amp"}})
    with pytest.raises(UserError, match="amp is for GPU and Ascend"):
        check_precision(experiment)
    check_precision(experiment.model_copy(update={"device": "GPU"}))
