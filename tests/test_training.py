"""Stage 4 for real, on a tiny corpus: it learns, it goes on after kill -9 to the same weights, it refuses nonsense."""

import json
import re
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pandas as pd
import pytest
import yaml
from commands import call
from mindspore import nn
from tiny_corpus import EXPERIMENT, SYLLABLES, write_tiny

from steps.common.errors import UserError
from steps.config.exp_dir import is_same_training
from steps.config.load import load_resolved
from steps.config.schema import Train
from steps.feats.archive import FeatureReader, feature_writer
from steps.model import callbacks
from steps.model.callbacks import EpochEnd, StepLog, Training
from steps.model.checkpoints import Checkpoints, Epoch, History
from steps.model.parallel import MOST_LEFT_OUT, Workers
from steps.text.syllables import all_syllables
from tests.benchmarks import train_step_mindspore


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    write_tiny(folder)
    status, output = call(folder, "steps.stage4_train", "tiny")
    assert status == 0, output
    return folder


def load(path):
    return {name: value.asnumpy() for name, value in ms.load_checkpoint(str(path)).items()
            if name not in ("epoch", "tokens_sha256")}


def weights(folder):
    return load(folder / "exp/tiny/final.ckpt")


def test_it_learns_and_says_what_it_did(trained):
    exp_dir = trained / "exp/tiny"
    table = pd.read_csv(exp_dir / "train.csv")
    assert table.epoch.tolist() == [1, 2, 3] and table.steps.tolist() == sorted(table.steps)
    assert table.train_loss.iloc[-1] < 0.7 * table.train_loss.iloc[0]
    assert table.dev_ser[table.best].tolist() == sorted(table.dev_ser[table.best], reverse=True)
    config = yaml.safe_load((exp_dir / "config.yaml").read_text())
    assert config["experiment"]["train"]["epochs"] == 3 and config["name"] == "tiny"
    assert (exp_dir / "tokens.txt").read_text().split()[::2] == ["<blk>", *SYLLABLES]
    assert not list(exp_dir.rglob("*.tmp*"))
    run, = json.loads((exp_dir / "env.json").read_text())["runs"]
    assert run["kernels"] in ("stock", "onednn") and run["threads"] >= 1


def test_batch_norm_keeps_its_averages_in_the_frozen_epoch_alone(trained):
    before, after = (load(trained / f"exp/tiny/checkpoints/epoch-000{epoch}.ckpt") for epoch in (2, 3))
    averages = {name for name in after if "moving" in name}
    assert len(averages) == 6
    assert all(np.array_equal(before[name], after[name]) == (name in averages) for name in after)
    assert all(np.ptp(after[name]) > 0 for name in averages)


def test_decoding_in_another_process_finds_what_dev_found(trained):
    status, output = call(trained, "steps.stage5_decode", "exp/tiny", "dev")
    assert status == 0, output
    status, output = call(trained, "steps.stage6_score", "exp/tiny", "dev")
    assert status == 0, output
    found = yaml.safe_load((trained / "exp/tiny/score/dev_greedy/score.json").read_text())
    best = pd.read_csv(trained / "exp/tiny/train.csv").dev_ser.min()
    assert found["syllable_error_rate"] == pytest.approx(best, abs=1e-6)


def assert_same_training(trained, resumed):
    """The same weights, bit for bit, and the same curves."""
    expected, found = weights(trained), weights(resumed)
    assert expected.keys() == found.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    columns = ["epoch", "steps", "train_loss", "grad_norm", "dev_loss", "dev_ser", "best"]
    pd.testing.assert_frame_equal(pd.read_csv(trained / "exp/tiny/train.csv")[columns],
                                  pd.read_csv(resumed / "exp/tiny/train.csv")[columns])


KILL_WITHIN = """
import os, signal, sys
from steps.model import callbacks

callbacks.SAVE_EVERY = 2
save = callbacks.StepLog._save

def save_and_end(step_log):
    save(step_log)
    if step_log._training.history.epochs == 1:
        os.kill(os.getpid(), signal.SIGKILL)

callbacks.StepLog._save = save_and_end
sys.argv[1:] = ["tiny"]
from steps.stage4_train import main
main()
"""


def test_killed_within_an_epoch_and_resumed_gives_the_same_weights(trained, tmp_path):
    write_tiny(tmp_path)
    (tmp_path / "kill.py").write_text(KILL_WITHIN)
    status, output = call(tmp_path, "kill")
    assert status == -signal.SIGKILL, output
    assert not (tmp_path / "exp/tiny/final.ckpt").exists()
    assert {path.name for path in (tmp_path / "exp/tiny/checkpoints").glob("*.json")} == {
        "epoch-0001.json", "epoch-0001-step-000002.json"}
    replace(tmp_path / "conf/tiny.yaml", "train:", "train:\n  summary: true")  # to be watched changes nothing
    status, output = call(tmp_path, "steps.stage4_train", "tiny")
    assert status == 0 and "going on after epoch 1 and 2 updates" in output, output
    assert not list((tmp_path / "exp/tiny/checkpoints").glob("*-step-*"))
    assert len(json.loads((tmp_path / "exp/tiny/env.json").read_text())["runs"]) == 2
    assert list((tmp_path / "exp/tiny/summary").glob("*.summary.*"))
    assert list((tmp_path / "exp/tiny/summary/tensorboard").glob("*.tfevents.*"))
    assert_same_training(trained, tmp_path)


def interrupted_after(epochs, trained, folder):
    """A copy of a training, without what came after so many epochs."""
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    exp_dir = folder / "exp/tiny"
    (exp_dir / "final.ckpt").unlink()
    for path in (exp_dir / "checkpoints").iterdir():
        if int(path.name[6:10]) > epochs:
            path.unlink()
    return exp_dir


def test_resumed_between_epochs_gives_the_same_weights(trained, tmp_path):
    interrupted_after(2, trained, tmp_path)
    status, output = call(tmp_path, "steps.stage4_train", "tiny")
    assert status == 0 and re.search(r"going on after epoch 2\n", output), output
    assert_same_training(trained, tmp_path)


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [
    lambda path: path.write_text(""), lambda path: path.write_bytes(path.read_bytes()[:-300]),
    lambda path: path.write_text("[]"), lambda path: path.write_text("{}"),
    lambda path: replace(path, '"dev_ser": 0.', '"dev_ser": 1.'), lambda path: flip(path.with_suffix(".ckpt"), 5000),
    lambda path: flip(path.with_suffix(".optimizer.ckpt"), 5000), lambda path: path.with_suffix(".ckpt").unlink()])
def test_the_newest_whole_checkpoint_is_found(trained, tmp_path, capsys, spoil):
    checkpoints = Checkpoints(interrupted_after(3, trained, tmp_path) / "checkpoints")
    assert checkpoints.latest()["epoch"] == 3 and capsys.readouterr().err == ""
    spoil(checkpoints.folder / "epoch-0003.json")
    assert checkpoints.latest()["epoch"] == 2 and "epoch-0003." in capsys.readouterr().err


def test_nan_ends_the_training_and_its_checkpoint_is_kept(trained, tmp_path):
    exp_dir = interrupted_after(2, trained, tmp_path)
    folder = tmp_path / "exp/features/tiny_tiny/train"
    reader = FeatureReader(folder / "feats.scp")
    feats = {utt: reader[utt].copy() for utt in reader}
    next(iter(feats.values()))[3] = 3e38
    with feature_writer(folder) as write:
        for utt, matrix in feats.items():
            write(utt, matrix)
    status, output = call(tmp_path, "steps.stage4_train", "tiny")
    assert status == 1 and "training has diverged" in output and "Traceback" not in output, output
    assert "epoch 3" in output and "The checkpoint of epoch 2 is kept" in output
    assert not (exp_dir / "final.ckpt").exists() and not (exp_dir / "checkpoints/epoch-0003.json").exists()


def step_log(precision="fp32", network=None, dev=None):
    """A StepLog in epoch 2 of a training of 10 steps an epoch; and what feeds it a step."""
    history = History([Epoch(1, 10, 1.0, 0.01, 2.0, 1.0, 2.0, 0.5, True)._asdict()])
    optimizer = SimpleNamespace(global_step=ms.Tensor([20]))
    log = StepLog(Training(Path("exp/x"), Train(precision=precision), 10, network, optimizer, dev, None, history,
                           Workers()), {})
    log._write = lambda *_: None

    def feed(loss, norm, frames=8, work=lambda: None):
        outputs = [ms.Tensor(np.float32(value)) for value in (loss, norm)]
        params = SimpleNamespace(cur_epoch_num=2, net_outputs=outputs, train_dataset_element=[np.zeros((1, frames, 1))])
        context = SimpleNamespace(original_args=lambda: params)
        log.on_train_step_begin(context)
        work()
        log.on_train_step_end(context)

    return log, feed


@pytest.mark.parametrize(("dev_loss", "weight", "message"), [
    (np.nan, 1, "dev's loss is nan after epoch 2, at learning rate 0.0001; the last gradient norm was 0.25"),
    (np.inf, 1, "dev's loss is inf"), (2.0, np.nan, "weight holds NaN"), (2.0, np.inf, "weight holds NaN or inf")])
def test_an_epoch_that_ends_in_nan_is_not_saved(dev_loss, weight, message):
    network = nn.Dense(1, 1)
    network.weight.set_data(ms.Tensor([[weight]], ms.float32))
    log, feed = step_log(network=network, dev=lambda: (dev_loss, 0.5))
    feed(1.0, 0.25)
    context = SimpleNamespace(original_args=lambda: SimpleNamespace(cur_epoch_num=2))
    with pytest.raises(UserError, match=message):  # a save would fail: there are no checkpoints here
        EpochEnd(log._training, log).on_train_epoch_end(context)
    assert network.training  # dev's pass, in which it is not, has ended


@pytest.mark.parametrize(("loss", "norm"), [(np.nan, 1), (np.inf, 1), (1, np.nan), (1, np.inf)])
def test_the_first_step_that_is_not_finite_ends_the_training(loss, norm):
    _, feed = step_log()
    feed(2.0, 0.25)
    with pytest.raises(UserError, match=r"epoch 2, step 12, at learning rate 6e-05; .*was 0\.25 .* epoch 1 is kept.*"
                                        r"steps\.diagnose x"):
        feed(loss, norm)


def test_steps_that_compile_do_not_count_for_the_eta(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: now[0])
    log, feed = step_log()
    total = log._total - log._before
    for step, (frames, seconds) in enumerate([(8, 60), (16, 90), (8, 1), (16, 2), (8, 1), (16, 2), (16, 14)], 1):
        feed(2.0, 1.0, frames, lambda seconds=seconds: now.__setitem__(0, now[0] + seconds))
        if step < 3:
            assert log._seconds_left() is None and "ETA" not in capsys.readouterr().err
        if step == 6:
            assert log._seconds_left() == pytest.approx(6 / 4 * (total - 6))
    assert f"ETA {20 / 5 * (total - 7) / 60:.1f} min" in capsys.readouterr().err


def test_amp_leaves_out_updates_but_not_for_ever():
    log, feed = step_log("amp")
    for _ in range(3):
        for _ in range(MOST_LEFT_OUT):
            feed(np.nan, np.inf)
        feed(2.0, 1.0)
    assert log.losses == [2.0] * 3
    with pytest.raises(UserError, match="diverged"):
        for _ in range(MOST_LEFT_OUT + 1):
            feed(np.nan, np.inf)


def test_a_finished_training_is_left_alone_and_a_changed_one_begins_anew(trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "exp/tiny").rglob("*.c*")}
    harmless = {**EXPERIMENT, "train": {**EXPERIMENT["train"], "keep_checkpoints": 1, "patience": 2, "kernels": "stock",
                                        "summary": True}, "decode": {"sets": ["test"]}}
    (tmp_path / "conf/tiny.yaml").write_text(yaml.safe_dump(harmless))
    (tmp_path / "conf/corpora/tiny.yaml").write_text("module: table\nroot: /elsewhere\nexpected: {train: 7}\n")
    replace(tmp_path / "exp/tiny/config.yaml", "  train:", "  train:\n    consistency: 0.0")  # a key of long ago
    status, output = call(tmp_path, "steps.stage4_train", "tiny")
    assert status == 0 and "is there" in output
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "exp/tiny").rglob("*.c*")
            if path.name != "config.yaml"} == before
    changed = {**EXPERIMENT, "train": {**EXPERIMENT["train"], "epochs": 2, "freeze_norm": 0, "average": 2}}
    (tmp_path / "conf/tiny.yaml").write_text(yaml.safe_dump(changed))
    (tmp_path / "exp/tiny/summary/tensorboard").mkdir(parents=True)  # what the former training said
    status, output = call(tmp_path, "steps.stage4_train", "tiny")
    assert status == 0 and "going on" not in output, output
    assert not (tmp_path / "exp/tiny/summary").exists()
    assert len(pd.read_csv(tmp_path / "exp/tiny/train.csv")) == 2
    assert_final_is_best(tmp_path, output)
    old, = (tmp_path / "exp/tiny").glob("old.*")  # the former training, whole
    assert f"it was moved to {old.relative_to(tmp_path)}/" in output
    assert {"final.ckpt", "config.yaml", "env.json", "train.csv", "summary", "checkpoints"} < {
        path.name for path in old.iterdir()}
    assert (old / "final.ckpt").read_bytes() == (trained / "exp/tiny/final.ckpt").read_bytes()
    assert [*(old / "checkpoints").glob("*.ckpt")]


def assert_final_is_best(folder, output):
    """final.ckpt is the mean of both epochs where dev has fewer errors with it than with the better epoch."""
    history = pd.read_csv(folder / "exp/tiny/train.csv")
    of_mean = float(re.search(r"the mean of the 2 best epochs: dev syllable error rate ([\d.]+)%", output)[1])
    epochs = {epoch: load(folder / f"exp/tiny/checkpoints/epoch-000{epoch}.ckpt") for epoch in (1, 2)}
    best = epochs[int(history.epoch[history.dev_ser.idxmin()])]
    mean_pays = of_mean < round(100 * history.dev_ser.min(), 2)
    for name, value in load(folder / "exp/tiny/final.ckpt").items():
        expected = (epochs[1][name] + epochs[2][name]) / 2 if mean_pays else best[name]
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)


def test_other_data_are_another_training(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    exp_dir, ark, noted = Path("exp/tiny"), Path("exp/features/tiny_tiny/dev/feats.ark"), Path("exp/tiny/inputs.json")
    config = load_resolved(exp_dir)
    assert is_same_training(config, exp_dir)
    replace(tmp_path / "data/tiny/dev/pinyin", "ba1", "hao3")
    assert not is_same_training(config, exp_dir)
    shutil.copy(trained / "data/tiny/dev/pinyin", tmp_path / "data/tiny/dev/pinyin")
    end_with(ark, 1)  # of dev, which chooses the epoch
    assert not is_same_training(config, exp_dir)
    noted.write_text(json.dumps({path: digest for path, digest in json.loads(noted.read_text()).items()
                                 if path not in (str(ark), "sha256")}))  # as an earlier version wrote it
    assert is_same_training(config, exp_dir)


def end_with(ark, value):
    """Replace the last value of an archive's last matrix."""
    ark.write_bytes(ark.read_bytes()[:-4] + np.float32(value).tobytes())


def replace(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def test_nan_in_an_archive_whose_index_does_not_tell_it_is_refused_in_one_line(tmp_path):
    write_tiny(tmp_path)
    end_with(tmp_path / "exp/features/tiny_tiny/train/feats.ark", np.nan)
    status, output = call(tmp_path, "steps.stage4_train", "tiny")
    assert status == 1 and "its features are NaN or infinite" in output and "Traceback" not in output, output
    assert not (tmp_path / "exp/tiny/final.ckpt").exists()


def test_other_tokens_than_the_checkpoints_are_refused(trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    replace(tmp_path / "exp/tiny/tokens.txt", "ma4", "ma3")
    (tmp_path / "exp/tiny/SHA256SUMS").unlink()  # as when a user has changed the file on purpose
    status, output = call(tmp_path, "steps.stage5_decode", "exp/tiny", "dev")
    assert status == 1 and "not the list that final.ckpt was trained with" in output, output


def test_the_training_steps_benchmark_runs_as_stage_4_does(tmp_path):
    case = {"model": {"blocks": [{"channels": 4, "layers": 1}], "dense": []}, "batch": 2, "frames": 32, "bins": 20,
            "labels": 2, "tokens": 1 + len(all_syllables())}
    assert len(train_step_mindspore.run(case, "fp32", 3, tmp_path)["seconds"]) == 3
