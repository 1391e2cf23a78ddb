"""Updates of several workers are those of as many micro-batches; kills; going on."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pandas as pd
import psutil
import pytest
from commands import Command, finish, wait_until
from tiny_corpus import EXPERIMENT, write_tiny

from steps import stage4_train
from steps.common.errors import UserError
from steps.config.load import load_experiment

ROOT = Path(__file__).parent.parent
TRAIN = {**EXPERIMENT["train"], "epochs": 2, "freeze_norm": 0, "batch_size": 4, "buckets": 1, "average": 2}


def write(folder, **train):
    write_tiny(folder, {**EXPERIMENT, "train": {**TRAIN, **train}})


def start(folder, name="tiny", **variables):
    return Command(folder, "steps.stage4_train", name, PYTHONPATH=str(ROOT), **variables)


def members(folder):
    """The processes that msrun has started in a folder: role and rank → process id."""
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            variables = process.environ() if process.cwd() == str(folder.resolve()) else {}
            if "MS_ROLE" in variables:
                found[variables["MS_ROLE"], variables["RANK_ID"]] = process.pid
    return found


def weights(folder):
    assert (folder / "exp/tiny/final.ckpt").exists()  # of which epochs hangs on a syllable of dev
    loaded = ms.load_checkpoint(str(folder / "exp/tiny/checkpoints/epoch-0002.ckpt"))
    return {name: value.asnumpy() for name, value in loaded.items() if value.asnumpy().dtype == np.float32}


@pytest.fixture(scope="module")
def accumulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("accumulated")
    write(folder, accum_grad=2)
    status, output = finish(start(folder))
    assert status == 0, output
    return folder


FORWARD = """
import asyncio, sys

async def copy(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()

async def serve(reader, writer):
    there, back = await asyncio.open_connection("127.0.0.1", sys.argv[1])
    await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)

async def main():
    await (await asyncio.start_server(serve, "127.0.0.2", sys.argv[1])).serve_forever()

asyncio.run(main())
"""


@contextlib.contextmanager
def two_hosts(folder):
    """Stage 4 on two hosts that share a folder. The second knows the first's address as one that is not its own, as is
    true of two machines."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    forward = subprocess.Popen([sys.executable, "-c", FORWARD, port])
    try:
        yield [start(folder, NODE_RANK=str(node), MASTER_ADDR=f"127.0.0.{node + 1}", MASTER_PORT=port)
               for node in range(2)]
    finally:
        forward.kill()
        forward.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address of Linux alone")
def test_two_workers_one_killed_and_two_hosts_train_as_one_with_two_micro_batches(accumulated, tmp_path):
    write(tmp_path, workers=2)
    process = start(tmp_path, MS_NODE_TIMEOUT="10")  # s; of 30, for which MindSpore waits for those who do not answer
    wait_until((tmp_path / "exp/tiny/checkpoints/epoch-0001.json").exists)
    found = members(tmp_path)
    assert set(found) == {("MS_SCHED", "0"), ("MS_WORKER", "0"), ("MS_WORKER", "1")}
    os.kill(found["MS_WORKER", "1"], signal.SIGKILL)
    status, output = finish(process)
    assert status == 1 and "error: a worker of tiny has failed" in output and "exp/tiny/log/workers" in output, output
    assert not members(tmp_path)
    assert not (tmp_path / "exp/tiny/final.ckpt").exists()

    write(tmp_path, workers=2, hosts=2)  # which is the same training
    with two_hosts(tmp_path) as hosts:
        for status, output in map(finish, hosts):
            assert status == 0 and "epoch 2: " in output and "going on after epoch 1" in output, output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conf", "data", "exp"]
    expected, found = weights(accumulated), weights(tmp_path)
    assert expected.keys() == found.keys()
    for name in expected:
        if "moving" not in name:  # each worker has its own; what is kept is their mean
            np.testing.assert_allclose(found[name], expected[name], atol=1e-4, err_msg=name)
    columns = ["epoch", "steps", "learning_rate", "train_loss", "grad_norm"]
    tables = [pd.read_csv(folder / "exp/tiny/train.csv")[columns] for folder in (accumulated, tmp_path)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-3)


def test_steps_are_updates(accumulated):
    table = pd.read_csv(accumulated / "exp/tiny/train.csv")
    assert table.steps.tolist() == [6, 12]  # of 48 utterances, 8 an update


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address of Linux alone")
def test_workers_end_with_stage_4_that_is_killed_or_interrupted(tmp_path):
    """Killed on the second host, interrupted on the first."""
    write(tmp_path, workers=2, hosts=2)
    with two_hosts(tmp_path) as (first, second):
        wait_until(lambda: len(members(tmp_path)) == 3)
        second.kill()
        first.terminate()
        second.communicate()
        status, output = finish(first)
        assert status == 130 and "Traceback" not in output, output
        wait_until(lambda: not members(tmp_path), seconds=60)


@pytest.mark.parametrize(("variables", "message"), [
    ({}, "NODE_RANK is not set"),
    ({"NODE_RANK": "0"}, "MASTER_ADDR is not set"),
    ({"NODE_RANK": "2", "MASTER_ADDR": "127.0.0.1"}, "NODE_RANK must be 0 to 1"),
])
def test_hosts_must_be_told_who_they_are(tmp_path, monkeypatch, variables, message):
    write(tmp_path, workers=4, hosts=2)
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        stage4_train.launch(load_experiment("tiny"), Path("exp/tiny"))


def test_hosts_have_equally_many_workers(tmp_path):
    write(tmp_path, workers=3, hosts=2)
    with pytest.raises(UserError, match="3 cannot be spread evenly over 2 hosts"):
        load_experiment("tiny", tmp_path / "conf")
