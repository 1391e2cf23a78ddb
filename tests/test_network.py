"""The network: the student project's layers, sizes as computed, the factored output."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from steps.common.errors import UserError
from steps.config.load import load_experiment
from steps.config.schema import Model
from steps.model.acoustic import check_size, memory_needed
from steps.model.layers import StockLayers
from steps.model.network import DFCNN, FactoredOutput, out_frames, out_sizes, sight, syllable_parts, time_reduction
from steps.text.syllables import all_syllables, split

ms.set_context(mode=ms.GRAPH_MODE)
TOKENS = ["<blk>", "ba1", "ma1", "ma3", "zhong1"]
CONF = Path(__file__).parent.parent / "conf"
RESIDUAL = [{"channels": 8, "layers": 1, "stride": 2}, {"channels": 8, "layers": 1, "stride": [1, 2], "residual": True},
            {"channels": 16, "layers": 1, "stride": 2, "residual": True}]


def make(bins=16, tokens=TOKENS, **config):
    model = Model(**config)
    return model, DFCNN(model, bins, tokens, StockLayers())


def test_thchs30_dfcnn_1a_has_the_student_projects_network():
    """Layer by layer: 64-64 | 128-128 | 256×3 | 512×3 | 512×3, pools 2,2,2,1,1, BN, 4096-4096-C."""
    model = load_experiment("thchs30_dfcnn_1a", CONF).experiment.model
    network = DFCNN(model, 200, TOKENS, StockLayers())
    assert time_reduction(model) == 8 and out_sizes(model, 160, 200) == (20, 25)
    layers = []
    for _, cell in network.cells_and_names():
        if isinstance(cell, nn.Conv2d):
            layers.append(("conv", cell.in_channels, cell.out_channels, cell.kernel_size, cell.stride, cell.pad_mode,
                           cell.padding, cell.has_bias))
        elif isinstance(cell, nn.BatchNorm2d):
            layers.append(("norm", cell.num_features))
        elif isinstance(cell, nn.MaxPool2d):
            layers.append(("pool", cell.kernel_size, cell.stride))
        elif isinstance(cell, nn.Dense):
            layers.append(("dense", cell.in_channels, cell.out_channels, cell.activation is not None))
    expected = []
    channels = 1
    for widths, pool in ([(64, 64), 2], [(128, 128), 2], [(256,) * 3, 2], [(512,) * 3, 1], [(512,) * 3, 1]):
        for width in widths:
            expected += [("conv", channels, width, (3, 3), (1, 1), "pad", (1,) * 4, False), ("norm", width)]
            channels = width
        expected += [("pool", (pool, pool), (pool, pool))] if pool > 1 else []
    expected += [("norm", 512), ("dense", 25 * 512, 4096, True), ("dense", 4096, 4096, True),
                 ("dense", 4096, len(TOKENS), False)]
    assert layers == expected


@pytest.mark.parametrize("config", [
    {"blocks": RESIDUAL, "final_norm": False},
    {"blocks": [{"channels": 4, "layers": 2, "stride": [2, 1], "pool": [2, 3]}], "dense": []},
    {"blocks": [{"channels": 4, "layers": 2, "stride": 2, "kernel": [1, 3]}, {"channels": 4, "kernel": [3, 1]}]},
])
def test_sizes_are_as_computed(config):
    model, network = make(bins=32, **config)
    for frames in (37, 64):
        logits = network(ms.Tensor(np.zeros((2, frames, 32), np.float32)))
        assert logits.shape == (2, out_frames(model, frames), len(TOKENS))


def test_a_kernel_of_one_frame_sees_no_further():
    blocks = [{"channels": 4, "layers": 1}, {"channels": 4, "layers": 2, "kernel": [1, 3], "residual": True}]
    _, network = make(blocks=blocks)
    network.set_train(False)
    feats = np.random.default_rng(0).normal(size=(1, 20, 16)).astype(np.float32)
    changed = feats.copy()
    changed[:, 10] += 1
    before, after = (network(ms.Tensor(x)).asnumpy() for x in (feats, changed))
    assert np.flatnonzero(np.abs(after - before).max(axis=(0, 2)) > 1e-6).tolist() == [8, 9, 10, 11, 12]


@pytest.mark.parametrize("config", [
    {"blocks": [{"channels": 8, "layers": 2, "pool": 2}, {"channels": 8, "layers": 1, "pool": [3, 1]}]},
    {"blocks": [{"channels": 8, "layers": 2, "stride": 2}, {"channels": 8, "layers": 1, "pool": 2}]},
    {"blocks": [{"channels": 8, "layers": 1, "stride": 2}, {"channels": 8, "stride": 2, "residual": True},
                {"channels": 8, "stride": [1, 2], "residual": True, "kernel": [1, 3]}]},
])
def test_an_output_frame_sees_what_is_computed(config):
    model, network = make(**config)
    network.set_train(False)
    feats = np.random.default_rng(0).normal(size=(48, 16)).astype(np.float32)
    changed = np.stack([feats] * 48)
    changed[range(48), range(48)] += 9  # another frame in each
    logits = network(ms.Tensor(np.concatenate([feats[None], changed]))).asnumpy()
    frame = logits.shape[1] // 2
    seen = np.flatnonzero(np.abs(logits[1:, frame] - logits[0, frame]).max(axis=1) > 1e-6)
    begin = frame * time_reduction(model)
    assert (seen[0] - begin, seen[-1] - begin) == sight(model)


def test_factored_rows_are_sums_of_their_parts():
    tokens = ["<blk>", *all_syllables()]
    parts = syllable_parts(tokens)
    ids = {token: i for i, token in enumerate(tokens)}
    ma1, ma3, ba1 = (parts[:, ids[token]] for token in ("ma1", "ma3", "ba1"))
    shared = ["initial", "final", "tone", "final_tone"]
    assert [a for a, same in zip(shared, ma1 == ma3, strict=True) if same] == ["initial", "final"]
    assert [a for a, same in zip(shared, ma1 == ba1, strict=True) if same] == ["final", "tone", "final_tone"]
    assert not set(parts[:, 0]) & set(parts[:, 1:].ravel())
    assert len(np.unique(parts, axis=1).T) == len(tokens)
    assert split("ma1").initial == "m"

    layer = FactoredOutput(3, TOKENS, StockLayers())
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    weight, bias = layer.weight.asnumpy(), layer.bias.asnumpy()
    rows = syllable_parts(TOKENS)
    expected = x @ weight[rows].sum(0).T + bias[rows].sum(0)
    np.testing.assert_allclose(layer(ms.Tensor(x)).asnumpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_seed_gives_all_weights():
    def draw(seed):
        ms.set_seed(seed)
        _, network = make(blocks=RESIDUAL, output="factored")
        return {name: value.asnumpy().copy() for name, value in network.parameters_and_names() if value.ndim > 1}

    first, again, other = draw(1), draw(1), draw(2)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert [name for name in first if np.array_equal(first[name], other[name])] == []
    assert np.abs(first["output.weight"]).max() == pytest.approx(1 / np.sqrt(256 * 4), rel=0.01)


def test_what_the_weights_need_is_counted():
    for config in ({"blocks": [{"channels": 8, "pool": 2}]},
                   {"blocks": [{"channels": 8, "layers": 3, "pool": 2}], "dense": [64, 64]},
                   {"blocks": [{"channels": 8, "layers": 1, "kernel": [1, 3]}], "dense": [30, 20]}):
        model, network = make(bins=40, **config)
        counted = sum(weight.size for weight in network.trainable_params() if weight.ndim > 1)
        assert memory_needed(model, 40, len(TOKENS), 0) == 4 * counted
        assert memory_needed(model, 40, len(TOKENS), 1000) > 16 * counted


@pytest.mark.parametrize(("config", "message"), [
    ({"blocks": [{"channels": 8192, "layers": 64}]}, r"needs \d+\.\d GiB or more"),
    ({"blocks": [{"channels": 8}], "dense": [65536, 65536]}, "GiB or more"),
    ({"blocks": [{"channels": 8, "pool": [1, 64]}]}, "nothing is left of 40 bins"),
])
def test_absurd_networks_are_refused_before_they_are_built(config, message):
    with pytest.raises(UserError, match=message):
        check_size(Model(**config), 40, len(TOKENS), 20000)
    check_size(Model(blocks=[{"channels": 128, "layers": 3}]), 40, len(TOKENS), 20000)
