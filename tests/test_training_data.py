"""What is trained on and what is left out; how much memory features may take; what a checkpoint holds."""

import os

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from tiny_corpus import EXPERIMENT, SYLLABLES, write_tiny

from steps.common.errors import UserError
from steps.config.load import load_experiment
from steps.feats.archive import NormalisedFeatures, dev_pinyin
from steps.model.checkpoints import load_weights, named_parameters, save_weights
from steps.model.training import TOO_SHORT, WORDLESS, training_labels

TOKENS = ["<blk>", *SYLLABLES]


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path, EXPERIMENT)
    return load_experiment("tiny")


def test_utterances_left_out_have_their_reason(config):
    pinyin = {f"u{i:02d}": ["ba1", "hao3"] for i in range(30)} | {"long": ["ba1"] * 40, "mute": [], "skipped": ["ba1"]}
    frames = {utt: 60 for utt in pinyin if utt != "skipped"}
    labels, left_out = training_labels(pinyin, frames, TOKENS, config)
    assert left_out == {"long": TOO_SHORT, "mute": WORDLESS}
    assert len(labels) == 30 and labels["u00"] == [1, 3]


@pytest.mark.parametrize(("pinyin", "message"), [
    ({"a": [], "b": ["ba1"]}, "1 of 2 utterances, such as a, have no syllables; remove them"),
    ({"a": ["ba1"] * 90, "b": ["ba1"]}, "such as a, have more syllables than the network leaves frames for; lower"),
    ({"c": ["ba1"]}, "none of its utterances has features"),
])
def test_too_many_left_out_are_refused(config, pinyin, message):
    with pytest.raises(UserError, match=message):
        training_labels(pinyin, {"a": 60, "b": 60}, TOKENS, config)


def test_what_dev_has_no_features_for_is_left_out_and_said(config, capsys):
    feats = NormalisedFeatures(config.feature_dir / "dev", np.zeros(8), np.ones(8), config.features)
    path = config.data_dir / "dev" / "pinyin"
    whole = path.read_text()
    path.write_text(f"{whole}zz ni3\n")
    assert len(dev_pinyin(config, feats)) == whole.count("\n") and "zz" not in feats
    assert "left out 1 dev utterance" in capsys.readouterr().err
    path.write_text("zz ni3\n")
    with pytest.raises(UserError, match="dev/pinyin: none of its utterances has features"):
        dev_pinyin(config, feats)


def test_features_are_kept_in_memory_within_the_budget(config):
    folder = config.feature_dir / "dev"
    mean, std = np.zeros(8), np.ones(8)
    whole = NormalisedFeatures(folder, mean, std, config.features, 1 << 20)
    assert whole.cached_bytes == sum(matrix.nbytes for matrix in whole.values())
    utt = next(iter(whole))
    assert whole[utt] is whole[utt]
    tight = NormalisedFeatures(folder, mean, std, config.features, whole.cached_bytes - 1)
    assert tight.cached_bytes == 0 and tight[utt] is not tight[utt]


def test_a_checkpoint_is_read_where_cached_files_fill_the_memory(tmp_path, monkeypatch):
    dense, path = nn.Dense(2, 3), tmp_path / "x.ckpt"
    save_weights(path, named_parameters(dense))
    real = os.sysconf
    monkeypatch.setattr(os, "sysconf", lambda name: 1 if name in ("SC_AVPHYS_PAGES", "SC_PAGE_SIZE") else real(name))
    assert load_weights(path, named_parameters(dense)) == {}


def test_a_checkpoint_with_more_than_the_network_has_is_refused(tmp_path):
    path = tmp_path / "x.ckpt"
    small, large = nn.Dense(2, 3), nn.SequentialCell([nn.Dense(2, 3), nn.Dense(3, 1)])
    save_weights(path, named_parameters(large[0]), {"epoch": 7, "tokens_sha256": "ab"})
    assert load_weights(path, named_parameters(small)) == {"epoch": 7, "tokens_sha256": "ab"}
    save_weights(path, named_parameters(large[0]) | {"1.weight": large[1].weight}, {"epoch": 7})
    before = small.weight.asnumpy().copy()
    large[0].weight.set_data(ms.Tensor(np.ones((3, 2), np.float32)))
    with pytest.raises(UserError, match=r"holds 1\.weight; it belongs to another network"):
        load_weights(path, named_parameters(small))
    assert np.array_equal(small.weight.asnumpy(), before)
