"""The ONNX model: the log-probabilities of MindSpore's network, for networks of every kind, alone or in company; the
exported directory that holds it and all that running it takes."""

import json
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import onnxruntime
import pytest
from mindspore import nn

from steps import export
from steps.common.files import write_json, write_lines
from steps.config.load import Resolved, dump, experiment_names, load_experiment
from steps.config.schema import Corpus, Experiment, Features
from steps.deploy.onnx_model import onnx_model
from steps.feats.archive import accumulate, apply_cmvn, empty_stats, save_cmvn
from steps.model.acoustic import AcousticModel
from steps.model.checkpoints import named_parameters, save_weights
from steps.model.layers import Inference, StockLayers
from steps.model.network import DFCNN, out_frames, right_reach
from steps.search.decode import chosen_weights
from steps.text.syllables import tokens_hash

ms.set_context(mode=ms.GRAPH_MODE)
TOKENS = ["<blk>", "a1", "ba1", "ma1", "ma3", "zhong1"]
BINS = 20
KINDS = {
    "plain": {"blocks": [{"channels": 4, "layers": 2, "pool": [2, 3]}, {"channels": 4, "layers": 1}]},
    "residual": {"blocks": [{"channels": 4, "layers": 1, "stride": 2},
                            {"channels": 6, "layers": 2, "stride": [1, 2], "residual": True},
                            {"channels": 6, "layers": 2, "stride": 2, "residual": True, "kernel": [1, 3]}],
                 "final_norm": False, "output": "factored"},
    "mixed": {"blocks": [{"channels": 4, "layers": 1, "residual": True}, {"channels": 4, "layers": 1, "pool": 2}],
              "dense": [8, 6]},
    "bare": {"blocks": [{"channels": 4, "layers": 2, "stride": [2, 1], "kernel": [3, 1]}], "dense": []},
}


def experiment(model: dict, kind="spectrogram", **features) -> Resolved:
    return Resolved(name="small", corpus=Corpus(module="toy"), features=Features(type=kind, num_bins=BINS, **features),
                    experiment=Experiment(corpus="toy", features=kind, model=model))


def random_network(config: Resolved, tokens: list[str], bins: int) -> DFCNN:
    """Random weights, and statistics of batch norm that are not the identity."""
    ms.set_seed(0)
    rng = np.random.default_rng(0)
    network = DFCNN(config.experiment.model, bins, tokens, StockLayers())
    for name, parameter in named_parameters(network).items():
        ranges = {"moving_variance": (0.3, 3), "gamma": (-1.5, 1.5), "beta": (-1, 1), "moving_mean": (-1, 1),
                  "bias": (-1, 1)}
        if name.split(".")[-1] in ranges:
            values = rng.uniform(*ranges[name.split(".")[-1]], parameter.shape).astype(np.float32)
            parameter.set_data(ms.Tensor(values))
    network.set_train(False)
    return network


def exported(config, tokens, network, mean, std) -> onnxruntime.InferenceSession:
    model = onnx_model(config, tokens, network, mean, std)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


class FarPadded:
    """MindSpore's log-probabilities of normalised features, with more zeros after them than the network sees. It is
    compiled once."""

    def __init__(self, network, model):
        self.infer, self.model = Inference(network), model

    def __call__(self, feats, frames=None):
        """Of the first `frames` of `feats`, else of them all: what stands behind is there, too."""
        padded = np.zeros((1, 112, feats.shape[1]), np.float32)
        padded[0, :len(feats)] = feats
        return self.infer(ms.Tensor(padded)).asnumpy()[0, :out_frames(self.model, frames or len(feats))]


@pytest.fixture(scope="module", params=KINDS)
def case(request):
    config = experiment(KINDS[request.param])
    network = random_network(config, TOKENS, BINS)
    return config, network, FarPadded(network, config.experiment.model)


def test_log_probs_are_mindspores(case):
    config, network, far_padded = case
    rng = np.random.default_rng(1)
    mean, std = rng.normal(size=BINS).astype(np.float32), rng.uniform(0.5, 2, BINS).astype(np.float32)
    session = exported(config, TOKENS, network, mean, std)
    lengths = [33, 57, 64, 49]
    batch = rng.normal(size=(len(lengths), 64, BINS)).astype(np.float32) * 3  # noise behind each end
    together, lens = session.run(None, {"x": batch, "x_lens": np.array(lengths)})
    assert lens.tolist() == [out_frames(config.experiment.model, frames) for frames in lengths]
    assert together.shape == (len(lengths), max(lens), len(TOKENS))
    for feats, frames, found, out in zip(batch, lengths, together, lens, strict=True):
        expected = far_padded((feats[:frames] - mean) / std)
        assert np.abs(np.exp(found[:out]) - np.exp(expected)).max() < 1e-5
        alone = session.run(["log_probs"], {"x": feats[None, :frames], "x_lens": np.array([frames])})[0][0]
        np.testing.assert_allclose(alone, expected, atol=1e-4)
        np.testing.assert_allclose(found[:out], alone, atol=1e-5)


def test_reach_is_as_far_as_the_network_sees(case):
    """One frame less of zeros after the end would change some utterance's last output; one more changes none."""
    config, _, far_padded = case
    changes = set()
    for frames in range(32, 40):
        feats = np.random.default_rng(frames).normal(size=(96, BINS)).astype(np.float32)
        before = far_padded(feats, frames)
        for behind in range(12):
            changed = feats.copy()
            changed[frames + behind] += 100
            if (before != far_padded(changed, frames)).any():
                changes.add(behind)
    assert max(changes, default=-1) == right_reach(config.experiment.model) - 1


def networks() -> list[str]:
    """An experiment for each network and front end of conf/, without the largest, which have the same layers."""
    different = {}
    for name in experiment_names():
        config = load_experiment(name)
        if "dfcnn_1a" not in name:
            key = config.experiment.model.model_dump_json(), config.features.num_bins, config.features.cmn_frames
            different.setdefault(key, name)
    return list(different.values())


@pytest.mark.parametrize("name", networks())
def test_every_experiments_network_can_be_written(name):
    config = load_experiment(name)
    bins = config.features.num_bins
    network = random_network(config, TOKENS, bins)
    session = exported(config, TOKENS, network, np.full(bins, 17, np.float32), np.ones(bins, np.float32))
    feats = np.random.default_rng(2).normal(size=(45, bins)).astype(np.float32) + 18  # above every floor
    found = session.run(["log_probs"], {"x": feats[None], "x_lens": np.array([45])})[0][0]
    normalised = apply_cmvn(feats, np.full(bins, 17, np.float32), np.ones(bins, np.float32), config.features.cmn_frames)
    expected = FarPadded(network, config.experiment.model)(normalised)
    assert np.abs(np.exp(found) - np.exp(expected)).max() < 1e-5


def test_other_front_ends_silence_is_floored():
    """sherpa-onnx gives ln 1.2e-7 for digital silence, and -23 behind the end of a batch's shorter utterances."""
    config = experiment(KINDS["residual"], "fbank")
    session = exported(config, TOKENS, random_network(config, TOKENS, BINS), np.zeros(BINS, np.float32),
                       np.ones(BINS, np.float32))
    silence, deeper = (np.full((1, 40, BINS), level, np.float32) for level in (-15.9, -23.0))
    first, second = (session.run(["log_probs"], {"x": x, "x_lens": np.array([40])})[0] for x in (silence, deeper))
    np.testing.assert_array_equal(first, second)


def test_metadata_are_those_that_sherpa_onnx_reads():
    config = experiment(KINDS["residual"])
    session = exported(config, TOKENS, random_network(config, TOKENS, BINS), np.zeros(BINS, np.float32),
                       np.ones(BINS, np.float32))
    metadata = session.get_modelmeta().custom_metadata_map
    assert (metadata["vocab_size"], metadata["subsampling_factor"]) == ("6", "4")


def write_trained(exp_dir: Path, model: dict, kind="spectrogram", **features) -> None:
    """What stage 4 leaves of an experiment, but that nothing was learnt."""
    config = experiment(model, kind, **features)
    network = random_network(config, TOKENS, BINS)
    save_weights(exp_dir / "final.ckpt", named_parameters(network), {"tokens_sha256": tokens_hash(TOKENS)})
    write_lines(exp_dir / "config.yaml", [dump(config)])
    write_lines(exp_dir / "tokens.txt", [f"{token} {number}" for number, token in enumerate(TOKENS)])
    stats = empty_stats(BINS)
    accumulate(stats, np.random.default_rng(5).normal(size=(50, BINS)) * 3 + 9)
    save_cmvn(exp_dir / "cmvn", stats)


@pytest.mark.parametrize("cmn_frames", [0, 30])
def test_the_exported_models_agree(cmn_frames, tmp_path, monkeypatch, capsys):
    exp_dir = tmp_path / "small"
    write_trained(exp_dir, KINDS["residual"], cmn_frames=cmn_frames)
    monkeypatch.setattr(sys, "argv", ["export", str(exp_dir)])
    export.main()
    out_dir = exp_dir / "export"
    assert sorted(path.name for path in out_dir.iterdir()) == sorted([*export.FILES, export.SUMS])
    assert "model.onnx" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(out_dir / "model.onnx", providers=["CPUExecutionProvider"])
    mindir = nn.GraphCell(ms.load(str(out_dir / "model.mindir")))
    for frames in (40, 51):
        feats = np.random.default_rng(frames).normal(size=(2, frames, BINS)).astype(np.float32) * 3 + 9
        ours = session.run(["log_probs"], {"x": feats, "x_lens": np.array([frames, frames])})[0]
        theirs = mindir(ms.Tensor(feats)).asnumpy()
        assert ours.shape == theirs.shape
        assert np.abs(np.exp(ours) - np.exp(theirs)).max() < 1e-5
    facts = json.loads((out_dir / "export.json").read_text())
    assert (facts["experiment"], facts["subsampling_factor"], facts["left_context"]) == ("small", 4, 11)


@pytest.mark.parametrize(("buckets", "cmn_frames"), [([64], 0), ([48, 96, 160], 0), ([48, 96, 160], 30)])
def test_batches_and_buckets_do_not_change_a_result(tmp_path, buckets, cmn_frames):
    """MindSpore's decoding of utterances in company, padded as training's buckets want it, and ONNX Runtime's of each
    alone."""
    write_trained(tmp_path, KINDS["residual"], cmn_frames=cmn_frames)
    write_json(tmp_path / "buckets.json", buckets)
    session = onnxruntime.InferenceSession(export.export(tmp_path) / "model.onnx", providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(3)
    utts = {f"u{frames}": rng.normal(size=(frames, BINS)).astype(np.float32) * 3 + 9 for frames in (64, 63, 48, 30, 70)}
    found = dict(AcousticModel(tmp_path).log_probs(utts.items()))
    assert found.keys() == utts.keys()
    for utt, feats in utts.items():
        alone = session.run(["log_probs"], {"x": feats[None], "x_lens": np.array([len(feats)])})[0][0]
        assert np.abs(np.exp(found[utt]) - np.exp(alone)).max() < 1e-5
        beside = np.stack([np.pad(feats, ((0, 9), (0, 0)), constant_values=50.0)] * 2)
        padded = session.run(["log_probs"], {"x": beside, "x_lens": np.array([len(feats), len(feats) + 9])})[0][0]
        assert np.abs(np.exp(padded[:len(alone)]) - np.exp(alone)).max() < 1e-5


def test_the_graph_goes_along(tmp_path):
    write_trained(tmp_path, KINDS["residual"])
    write_json(tmp_path / "decode/tuning.json", {"wfst": {"best": {"scale": 2.0, "blank_penalty": 0.0}}})
    write_json(tmp_path / "graph/lm.json", {})
    write_lines(tmp_path / "graph/words.txt", ["<eps> 0"])
    out_dir = export.export(tmp_path)
    assert (out_dir / "graph/words.txt").read_text() == "<eps> 0\n"
    assert chosen_weights(out_dir, "wfst") == {"scale": 2.0, "blank_penalty": 0.0}
    (tmp_path / "graph/lm.json").unlink()  # a graph that is half made
    assert not (export.export(tmp_path) / "graph").exists()


def test_an_interrupted_export_leaves_the_one_before(tmp_path, monkeypatch):
    write_trained(tmp_path / "small", KINDS["residual"])
    out_dir = export.export(tmp_path / "small")
    before = {path.name for path in [*out_dir.iterdir(), *out_dir.parent.iterdir()]}
    monkeypatch.setattr("steps.deploy.onnx_model.write_mindir", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export.export(tmp_path / "small")
    assert {path.name for path in [*out_dir.iterdir(), *out_dir.parent.iterdir()]} == before
