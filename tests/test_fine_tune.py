"""Training that starts from another experiment's weights, with other tokens."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import yaml
from commands import call
from tiny_corpus import EXPERIMENT, SYLLABLES, write_tiny, write_untrained

from steps.common.errors import UserError
from steps.common.files import write_lines
from steps.config.load import Resolved, dump
from steps.config.schema import Corpus, Experiment, Features
from steps.model.acoustic import find_source, make_network, start_from
from steps.model.checkpoints import named_parameters, save_weights
from steps.model.network import row_names
from steps.text.syllables import tokens_hash

ms.set_context(mode=ms.GRAPH_MODE)

OLD = ["<blk>", "ba1", "guo2", "hao3", "ma4"]
NEW = ["<blk>", "ba4", "guo2", "ma1", "ma4", "zhong1"]


def experiment(name, output="plain", **more):
    model = {"blocks": [{"channels": 4, "layers": 1}], "dense": [6], "output": output, **more.pop("model", {})}
    settings = {"corpus": "tiny", "features": "tiny", "model": model, "train": {"kernels": "stock", **more}}
    return Resolved(name=name, experiment=Experiment(**settings), corpus=Corpus(module="table"),
                    features=Features(type="fbank", num_bins=8))


def network_of(config, tokens, seed):
    ms.set_seed(seed)
    return make_network(config, tokens)


def trained(config):
    """What stage 4 leaves of an experiment, but that nothing was learnt; the weights by name."""
    network = network_of(config, OLD, seed=1)
    exp_dir = Path("exp") / config.name
    save_weights(exp_dir / "final.ckpt", named_parameters(network), {"tokens_sha256": tokens_hash(OLD), "epoch": 7})
    write_lines(exp_dir / "config.yaml", [dump(config)])
    write_lines(exp_dir / "tokens.txt", [f"{token} {number}" for number, token in enumerate(OLD)])
    write_lines(exp_dir / "cmvn", ["not read here"])
    return {name: value.asnumpy() for name, value in named_parameters(network).items()}


def start_tuning(config):
    """(weights at random, weights as training starts from them)"""
    network = network_of(config, NEW, seed=2)
    before = {name: value.asnumpy().copy() for name, value in named_parameters(network).items()}
    start_from(find_source(config), network, config.experiment.model.output, NEW)
    return before, {name: value.asnumpy() for name, value in named_parameters(network).items()}


@pytest.mark.parametrize("output", ["plain", "factored"])
@pytest.mark.parametrize("init_from", ["old", "exp/old", "exp/old/final.ckpt"])
def test_body_and_known_rows_are_copied_and_the_rest_is_fresh(monkeypatch, tmp_path, capsys, output, init_from):
    monkeypatch.chdir(tmp_path)
    old = trained(experiment("old", output))
    before, after = start_tuning(experiment("new", output, init_from=init_from))
    for name in after.keys() - {"output.weight", "output.bias"}:
        np.testing.assert_array_equal(after[name], old[name], err_msg=name)
    theirs, ours = row_names(output, OLD), row_names(output, NEW)
    for name in ("output.weight", "output.bias"):
        for row, part in enumerate(ours):
            expected = old[name][theirs.index(part)] if part in theirs else before[name][row]
            np.testing.assert_array_equal(after[name][row], expected, err_msg=f"{name} {part}")
    said = capsys.readouterr().err
    known = sum(part in theirs for part in ours)
    assert "starting from exp/old/final.ckpt" in said and f"{known} of {len(ours)} rows copied" in said
    if output == "plain":
        assert known == 3 and "; 3 fresh: ba4, ma1, zhong1; 2 of the source left behind: ba1, hao3" in said
    else:
        assert ("initial", "m") in theirs and ("tone", "1") in theirs


def test_an_output_layer_of_another_kind_is_fresh(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    trained(experiment("old"))
    before, after = start_tuning(experiment("new", "factored", init_from="old"))
    np.testing.assert_array_equal(after["output.weight"], before["output.weight"])
    assert "output layer: fresh, since it is factored and was plain" in capsys.readouterr().err


@pytest.mark.parametrize(("change", "message"), [
    (lambda new: new, "exp/old/final.ckpt is not there"),
    (lambda new: (trained(experiment("old")), new.model_copy(update={"features": Features(type="fbank")}))[1],
     "trained on other features .num_bins: 8, here 80"),
    (lambda new: (trained(experiment("old", model={"dense": [7]})), new)[1], r"dense.0.bias is \(7,\), here \(6,\)"),
    (lambda new: (trained(experiment("old", model={"final_norm": False})), new)[1], "is not there, here"),
    (lambda new: (trained(experiment("old")), Path("exp/old/final.ckpt").write_bytes(b"nonsense"), new)[2],
     "not readable as a checkpoint"),
    (lambda new: (trained(experiment("old")), write_lines("exp/old/tokens.txt", ["<blk> 0", "ba1 1"]), new)[2],
     "not the list that final.ckpt was trained with"),
])
def test_what_cannot_be_started_from(monkeypatch, tmp_path, change, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        start_tuning(change(experiment("new", init_from="old")))


def test_tuning_to_other_tokens_begins_where_the_source_ended(tmp_path):
    write_tiny(tmp_path)
    write_untrained(tmp_path)
    tokens = ["<blk>", *sorted([*SYLLABLES, "hao1"])]
    write_lines(tmp_path / "data/tiny/lang/tokens.txt", [f"{token} {row}" for row, token in enumerate(tokens)])
    tuned = {**EXPERIMENT, "train": {**EXPERIMENT["train"], "epochs": 1, "init_from": "tiny"}}
    tuned["train"]["optimizer"] = {"learning_rate": 1e-5}
    write_lines(tmp_path / "conf/tuned.yaml", [yaml.safe_dump({**tuned, "seed": 2})])
    status, output = call(tmp_path, "steps.stage4_train", "tuned")
    assert status == 0, output
    assert "starting from exp/tiny/final.ckpt" in output and "5 of 6 rows copied; 1 fresh: hao1" in output, output
    assert (tmp_path / "exp/tuned/cmvn").read_bytes() == (tmp_path / "exp/tiny/cmvn").read_bytes()
    before, after = (ms.load_checkpoint(str(tmp_path / "exp" / name / "final.ckpt")) for name in ("tiny", "tuned"))
    same = [name for name, value in before.items() if name.endswith("weight") and "output" not in name]
    assert len(same) >= 3
    for name in same:  # after some steps of such a rate
        np.testing.assert_allclose(after[name].asnumpy(), before[name].asnumpy(), atol=2e-4, err_msg=name)
