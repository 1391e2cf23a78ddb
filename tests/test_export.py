"""Export: a directory that holds all that running the network takes, equal to MindSpore's own decoding."""

import json
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import onnxruntime
import pytest
from mindspore import nn
from test_onnx_model import KINDS, TOKENS, experiment, random_network

from steps import export
from steps.common.errors import UserError
from steps.common.files import write_json, write_lines
from steps.config.load import dump
from steps.feats.archive import accumulate, empty_stats, save_cmvn
from steps.model.checkpoints import named_parameters, save_weights
from steps.search.decode import chosen_weights
from steps.text.syllables import tokens_hash

BINS = 20


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
    from steps.model.acoustic import AcousticModel

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


def test_without_a_checkpoint_nothing_is_written(tmp_path):
    write_trained(tmp_path / "small", KINDS["residual"])
    (tmp_path / "small" / "final.ckpt").unlink()
    with pytest.raises(UserError, match=r"stage 4 \(train\)"):
        export.export(tmp_path / "small")
    assert not (tmp_path / "small" / "export").exists()


def test_an_interrupted_export_leaves_the_one_before(tmp_path, monkeypatch):
    write_trained(tmp_path / "small", KINDS["residual"])
    out_dir = export.export(tmp_path / "small")
    before = {path.name for path in [*out_dir.iterdir(), *out_dir.parent.iterdir()]}
    monkeypatch.setattr("steps.deploy.onnx_model.write_mindir", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export.export(tmp_path / "small")
    assert {path.name for path in [*out_dir.iterdir(), *out_dir.parent.iterdir()]} == before
