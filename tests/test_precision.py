"""Micro-batches; precisions below float32: the loss scale, which the CPU can show; what each device refuses; training
at bf16."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pandas as pd
import pytest
from commands import call
from mindspore import amp, nn
from tiny_corpus import BINS, EXPERIMENT, write_tiny

from steps.common.errors import UserError
from steps.config.schema import Experiment, Model
from steps.model import layers, parallel
from steps.model.acoustic import AcousticModel
from steps.model.checkpoints import Checkpoints, named_parameters
from steps.model.layers import CTCObjective, StockLayers, TrainStep
from steps.model.network import DFCNN
from steps.model.onednn import build
from steps.model.parallel import AccumulatedStep, check_precision, keep_with, with_precision

ms.set_context(mode=ms.GRAPH_MODE)


def small_network():
    ms.set_seed(1)
    return nn.SequentialCell([nn.Dense(5, 8, activation="relu"), nn.Dense(8, 4)])


def make_step(network, scaler=None):
    """The step that trains a network, of two micro-batches, its optimizer and the loss scaler."""
    optimizer, kernels = nn.AdamWeightDecay(network.trainable_params(), 0.01), StockLayers()
    if scaler:
        scaler = keep_with(optimizer, scaler)
    step = AccumulatedStep(CTCObjective(network, kernels), optimizer, kernels.clip(1.0), micros=2, workers=1,
                           scaler=scaler)
    return step.set_train(True), optimizer, scaler


def scaled_step():
    network = small_network()
    return network, *make_step(network, amp.DynamicLossScaler(1024.0, 2, 2))


def batch(seed, factor=1.0, frames=12):
    rng = np.random.default_rng(seed)
    feats = (factor * rng.standard_normal((4, frames, 5))).astype(np.float32)
    lengths = np.array([1, 3, 2, 4], np.int32)
    return [ms.Tensor(part) for part in (feats, np.full(4, 12, np.int32), rng.integers(1, 4, (4, 4)).astype(np.int32),
                                         lengths)]


def values(cell):
    return [parameter.asnumpy().copy() for parameter in cell.get_parameters()]


def test_micro_batches_and_a_scaled_loss_train_the_same_weights_as_one_batch():
    """Of different numbers of labels; without batch norm, which sees micro-batches."""
    whole, kernels = small_network(), StockLayers()
    optimizer = nn.AdamWeightDecay(whole.trainable_params(), 0.01)
    whole_step = TrainStep(CTCObjective(whole, kernels), optimizer, kernels.clip(1.0)).set_train(True)
    parts = small_network()
    parts_step, _, _ = make_step(parts)
    scaled, step, _, _ = scaled_step()
    for seed in range(3):
        expected, *others = ([float(value.asnumpy()) for value in one(*batch(seed))]
                             for one in (whole_step, parts_step, step))
        for found in others:
            np.testing.assert_allclose(found, expected, rtol=1e-5)
    for expected, *others in zip(values(whole), values(parts), values(scaled), strict=True):
        for found in others:
            np.testing.assert_allclose(found, expected, atol=2e-6)


def test_an_overflow_leaves_the_update_out_and_halves_the_scale_which_then_grows_again():
    network, step, optimizer, scaler = scaled_step()
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
    checkpoints = Checkpoints(tmp_path)
    network, step, optimizer, scaler = scaled_step()
    step(*batch(1, 1e38))
    checkpoints.save(1, network, optimizer, [])
    network, step, optimizer, scaler = scaled_step()
    checkpoints.restore(checkpoints.latest(), network, optimizer)
    assert scaler.scale_value.asnumpy() == 512


def test_parameters_keep_their_names_and_types():
    network = small_network()
    before = list(named_parameters(network))
    after = named_parameters(with_precision(network, "amp"))
    assert list(after) == before and {parameter.dtype for parameter in after.values()} == {ms.float32}


def test_float16_trains_as_float32_does():
    """On the CPU, which is slow at it: the whole network, from its convolutions to CTC."""
    model = Model(blocks=[{"channels": 8, "layers": 1, "pool": 2}], dense=[16], output="factored")
    said = {}
    for precision in ("fp32", "amp"):
        ms.set_seed(1)
        network = with_precision(DFCNN(model, 5, ["<blk>", "ba1", "guo2", "ma4"], StockLayers()), precision)
        step, _, _ = make_step(network, amp.DynamicLossScaler(2.0**16, 2, 1000) if precision == "amp" else None)
        updates = []
        while len(updates) < 2:  # the first scale may be too high
            loss, norm = (float(value.asnumpy()) for value in step(*batch(1, frames=24)))
            updates += [(loss, norm)] if np.isfinite(norm) else []
        said[precision] = np.array(updates)
    np.testing.assert_allclose(said["amp"], said["fp32"], rtol=1e-2)
    assert (said["amp"] != said["fp32"]).all()


def experiment(precision, **changes):
    return Experiment(**{**EXPERIMENT, "train": {**EXPERIMENT["train"], "precision": precision}, **changes})


def test_the_cpu_has_no_mixed_precision():
    with pytest.raises(UserError, match="amp is for GPU and Ascend"):
        check_precision(experiment("amp"))
    check_precision(experiment("amp", device="GPU"))


def test_bf16_is_refused_where_it_cannot_be_had(monkeypatch):
    monkeypatch.setattr(layers, "available", lambda: "library.so")
    monkeypatch.setattr(parallel, "has_bfloat16", lambda: True)
    check_precision(experiment("bf16"))
    with pytest.raises(UserError, match=r"precision: bf16 is for the CPU; on GPU set it to amp"):
        check_precision(experiment("bf16", device="GPU"))
    monkeypatch.setattr(parallel, "has_bfloat16", lambda: False)
    with pytest.raises(UserError, match="needs a processor that has avx512_bf16"):
        check_precision(experiment("bf16"))
    check_precision(experiment("fp32"))
    monkeypatch.setattr(layers, "available", lambda: None)
    monkeypatch.setattr(layers, "reason", lambda: "this MindSpore does not ship it")
    with pytest.raises(UserError, match=r"bf16 needs the onednn kernels.*this MindSpore does not ship it"):
        check_precision(experiment("bf16"))


@pytest.mark.parametrize(("flags", "expected"), [("avx512f avx512_bf16", True), ("avx512f amx_bf16 amx_tile", True),
                                                 ("avx512f avx512_vnni", False), ("", False)])
def test_a_processor_says_whether_it_has_bfloat16(monkeypatch, flags, expected):
    monkeypatch.setattr(build, "_instructions", lambda: flags)
    assert build.has_bfloat16() == expected


@pytest.mark.skipif(build.available() is None or not build.has_bfloat16(), reason="no kernels here, or no bfloat16")
def test_what_trained_at_bf16_decodes_at_float32_with_any_kernels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path, experiment("bf16").model_dump(mode="json"))
    status, output = call(tmp_path, "steps.stage4_train", "tiny")
    assert status == 0, output
    history = pd.read_csv("exp/tiny/train.csv")
    assert history.train_loss.iloc[-1] < 0.7 * history.train_loss.iloc[0]
    utts = [("utt", np.random.default_rng(1).standard_normal((90, BINS)).astype(np.float32))]
    (_, expected), = AcousticModel("exp/tiny").log_probs(utts)
    config = Path("exp/tiny/config.yaml")
    Path("exp/tiny/SHA256SUMS").unlink()  # as when a user changes a file on purpose
    config.write_text(config.read_text().replace("kernels: auto", "kernels: stock"))
    (_, found), = AcousticModel("exp/tiny").log_probs(utts)
    np.testing.assert_allclose(found, expected, atol=1e-4)
