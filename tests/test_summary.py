"""What `train.summary` writes, read back as MindInsight and TensorBoard read it; and the environment of MindInsight."""

import io
import os
import re
import struct
import threading
from pathlib import Path
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import psutil
import pytest
from commands import call
from mindspore.train.summary_pb2 import Event
from PIL import Image
from tensorboardX.proto import event_pb2 as tensorboard

from steps import mindinsight
from steps.common.errors import UserError
from steps.model.callbacks import EVERY_STEPS, EXAMPLES, Summary
from steps.model.checkpoints import Epoch, History

ROOT = Path(__file__).parent.parent


def events(path, kind=Event):
    """The records of an event file: length, its checksum, content, its checksum."""
    content, found = path.read_bytes(), []
    while content:
        size, = struct.unpack("<Q", content[:8])
        found.append(kind.FromString(content[12:12 + size]))
        content = content[16 + size:]
    return found


def files(folder):
    """Those for MindInsight, in the order of their making."""
    return sorted(folder.glob("*.events.summary.*"), key=os.path.getmtime)


def tensorboard_files(folder):
    """Those for TensorBoard, in the order in which it reads them."""
    return sorted((folder / "tensorboard").glob("*.tfevents.*"))


def read(path):
    """Two lists, of the scalars and of the images in a file: (step, tag, value), (step, tag, grey values)."""
    scalars, pictures = [], []
    for event in events(path, tensorboard.Event if "tfevents" in path.name else Event):
        for value in event.summary.value:
            which = value.WhichOneof("value")
            if which in ("scalar_value", "simple_value"):
                scalars.append((event.step, value.tag, getattr(value, which)))
            else:
                encoded = getattr(value.image, "encoded_image", None) or value.image.encoded_image_string
                pictures.append((event.step, value.tag, np.asarray(Image.open(io.BytesIO(encoded)).convert("L"))))
    return scalars, pictures


def train(folder, feats, steps, done=0):
    """What Model.train does with the callback, for an epoch of `steps` updates after `done`."""
    log = SimpleNamespace(losses=[], norms=[])
    training = SimpleNamespace(exp_dir=folder.parent, history=History(), updates=done, rate=lambda step: step / 1000)
    with Summary(training, log) as summary:
        for step in range(1, steps + 1):
            log.losses.append(float(done + step))
            log.norms.append(2.0 * (done + step))
            training.updates = done + step
            params = SimpleNamespace(cur_step_num=step, train_dataset_element=[ms.Tensor(feats)])
            summary.on_train_step_end(SimpleNamespace(original_args=lambda params=params: params))
        training.history.add(Epoch(1, done + steps, 1.0, 0.01, 0.5, 2.0, 0.7, 0.25, best=True))
        summary.on_train_epoch_end(None)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "summary"


@pytest.fixture
def feats():
    rng = np.random.default_rng(3)
    return np.stack([rng.normal(size=(40, 12)) for _ in range(EXAMPLES + 2)]).astype(np.float32)


def processes_and_threads():
    return {*psutil.Process().children(recursive=True), *threading.enumerate()}


@pytest.mark.parametrize("written", [files, tensorboard_files])
def test_values_and_pictures(folder, feats, written):
    before, running = dict(os.environ), processes_and_threads()
    train(folder, feats, 2 * EVERY_STEPS + 3)
    path, = written(folder)
    scalars, pictures = read(path)
    found = {(step, tag): value for step, tag, value in scalars}
    assert len(found) == len(scalars) and found == pytest.approx({
        (10, "train/loss"): 5.5, (10, "train/gradient_norm"): 11.0, (10, "train/learning_rate"): 0.01,
        (20, "train/loss"): 15.5, (20, "train/gradient_norm"): 31.0, (20, "train/learning_rate"): 0.02,
        (23, "dev/loss"): 0.7, (23, "dev/syllable_error_rate"): 0.25})
    assert [(step, tag) for step, tag, _ in pictures] == [(1, f"train/example_{i + 1}") for i in range(EXAMPLES)]
    for matrix, (_, _, grey) in zip(feats, pictures, strict=False):
        expected = 255 * np.clip(matrix.T[::-1] / 6 + 0.5, 0, 1)
        np.testing.assert_allclose(grey, expected, atol=1.01)
    assert dict(os.environ) == before  # SummaryRecord's processes would have numerical libraries use two threads
    assert processes_and_threads() <= running  # those of an earlier test may have ended


def killed_and_resumed(folder, feats):
    """A training that was killed after step 30 and resumed after step 20."""
    train(folder, feats, 30)
    for path in [*files(folder), *tensorboard_files(folder)]:
        earlier = re.sub(r"\d{10}", lambda found: str(int(found[0]) - 9), path.name)  # this training takes no second
        path.rename(path.with_name(earlier))
    train(folder, feats, 10, done=20)


def test_mindinsight_goes_by_the_later_file_of_a_resumed_training(folder, feats):
    killed_and_resumed(folder, feats)
    first, second = files(folder)
    assert max(step for step, _, _ in read(first)[0]) == 30
    assert min(step for step, _, _ in read(second)[0]) == 30 and len(read(second)[0]) == 5


def test_tensorboard_forgets_the_steps_that_a_resumed_training_makes_again(folder, feats):
    """By its rule, a start at a step drops what earlier files, by name, have of that step and later."""
    killed_and_resumed(folder, feats)
    first, second = (events(path, tensorboard.Event) for path in tensorboard_files(folder))
    assert max(event.step for event in first) == 30
    version, start, *rest = second
    assert version.file_version == "brain.Event:2"  # older ones have another rule
    assert (start.session_log.status, start.step) == (tensorboard.SessionLog.START, 21)
    assert min(event.step for event in rest) == 21


def test_neither_program_takes_the_other_ones_file_for_its_own(folder, feats):
    """MindInsight looks for `summary.` and digits in names, TensorBoard for `tfevents`, in folders below, too."""
    train(folder, feats, 1)
    for path in files(folder):
        assert "tfevents" not in path.name
    for path in tensorboard_files(folder):
        assert not re.search(r"summary\.\d+", path.name)


def test_an_experiment_without_summary_is_refused_in_one_line(tmp_path):
    status, output = call(tmp_path, "steps.mindinsight", "exp/x")
    assert status == 1 and "exp/x/summary: nothing there; set `train: {summary: true}`" in output
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def straw(tmp_path, monkeypatch):
    """A venv module whose Python logs what it is called with, and ends with the status that a test sets."""
    status = tmp_path / "status"
    status.write_text("0")

    def create(folder, with_pip):
        python = folder / "bin/python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/log\nexit $(cat {status})\n')
        python.chmod(0o755)

    monkeypatch.setattr(mindinsight.venv, "create", create)
    (tmp_path / "lock").write_text("# nothing\n")
    return tmp_path


def test_the_environment_is_made_once_and_anew_with_another_lock(straw):
    for lock, times in (("# nothing", 1), ("# nothing", 1), ("# another", 2), ("# another", 2)):
        (straw / "lock").write_text(lock)
        assert mindinsight.ensure_environment(straw / "venv", straw / "lock") == straw / "venv/bin"
        calls = (straw / "log").read_text().splitlines()
        assert len(calls) == times and "pip install" in calls[-1] and "--require-hashes" in calls[-1]


def test_a_failing_installation_says_so_and_begins_anew(straw):
    (straw / "status").write_text("1")
    for times in (1, 2):
        with pytest.raises(UserError, match=r"MindInsight could not be installed into venv"):
            mindinsight.ensure_environment(straw / "venv", straw / "lock")
        assert len((straw / "log").read_text().splitlines()) == times


def test_the_server_listens_to_this_machine_alone_and_writes_nothing_elsewhere(tmp_path):
    (tmp_path / "venv/lib/python3.11/site-packages/mindinsight").mkdir(parents=True)
    command, variables = mindinsight.server(tmp_path / "venv/bin", Path("exp/x"), 8123)
    assert command[command.index("--bind") + 1] == "127.0.0.1:8123"
    assert variables["MINDINSIGHT_SUMMARY_BASE_DIR"] == str(Path("exp/x").absolute())
    assert variables["MINDINSIGHT_WORKSPACE"].startswith(str(tmp_path / "venv"))
    assert variables["PATH"].split(":")[0] == str(tmp_path / "venv/bin") and "PYTHONPATH" not in variables
