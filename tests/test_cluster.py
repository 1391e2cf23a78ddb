"""Work over utterances on a real Dask cluster on loopback: a scheduler and two workers, one of which is killed."""

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import soundfile
from commands import wait_until
from distributed import Client
from small_experiment import run_script
from tiny_corpus import write_tiny, write_untrained

from steps import stage3_features, stage5_decode
from steps.common import cluster, parallel
from steps.common.errors import UserError
from steps.common.files import write_lines
from steps.common.parallel import CLUSTER, ordered_map
from steps.common.yaml import check
from steps.config.load import experiment_names
from steps.search import decode

ROOT = Path(__file__).parent.parent
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers find no tests/


class Dask:
    """A scheduler and workers, started in a folder that is not the project's, without its path."""

    def __init__(self, folder: Path):
        self.folder, self.processes = folder, []

    def start(self, *words: str) -> subprocess.Popen:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        with open(self.folder / f"log{len(self.processes)}", "wb") as log:
            self.processes.append(subprocess.Popen(
                [sys.executable, "-m", *words, "--host", "127.0.0.1", "--no-dashboard"], cwd=self.folder,
                env=environment, stdout=log, stderr=log))
        return self.processes[-1]

    def scheduler(self) -> str:
        process = self.start("distributed.cli.dask_scheduler", "--port", "0", "--scheduler-file", "scheduler.json",
                             "--idle-timeout", "3600")
        file = self.folder / "scheduler.json"
        wait_until(lambda: file.exists() and file.read_text().rstrip().endswith("}"))
        assert process.poll() is None
        return json.loads(file.read_text())["address"]

    def worker(self) -> subprocess.Popen:
        return self.start("distributed.cli.dask_worker", "--scheduler-file", "scheduler.json", "--no-nanny",
                          "--nthreads", "2", "--local-directory", str(self.folder))

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    dask = Dask(tmp_path_factory.mktemp("dask"))
    try:
        dask.address = dask.scheduler()
        dask.worker()
        dask.worker()
        yield dask
    finally:
        dask.stop()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder to work in, and a connection of its own."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    if cluster._connect.cache_info().currsize:
        cluster._connect(CLUSTER).close()
    cluster._connect.cache_clear()


def run_python(folder: Path, *words: str) -> str:
    """With the scripts of a folder bin/ before all others."""
    variables = {"PYTHONPATH": str(ROOT), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
                 **{f"DASK_JOBQUEUE__{kind}__INTERFACE": "lo" for kind in ("SLURM", "PBS", "SGE")}}
    done = subprocess.run([sys.executable, *words], env={**os.environ, **variables}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    assert done.returncode == 0, done.stdout
    return done.stdout


def write_script(name: str, *lines: str) -> None:
    write_lines(f"bin/{name}", ["#!/bin/bash", *lines])
    Path("bin", name).chmod(0o755)


def write_audio(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    paths = [f"data/tiny/wav/train-{index:04}.wav" for index in range(count)]
    Path("data/tiny/wav").mkdir(parents=True)
    for index, path in enumerate(paths):
        soundfile.write(path, rng.normal(0, 0.1, (int(rng.uniform(3000, 20000)), 1 + index % 2)), 22050)
    write_lines("data/tiny/train/wav.scp", [f"{Path(path).stem} {path}" for path in paths])
    write_lines("conf/corpora/tiny.yaml", ["module: tiny", "sets: [train]"])
    write_lines("conf/features/fbank.yaml", ["type: fbank"])
    return paths


def contents(folder: str) -> dict[str, bytes]:
    """The files by path, without the lists of sums, which hold the time of writing."""
    return {str(path): path.read_bytes() for path in sorted(Path(folder).rglob("*"))
            if path.is_file() and path.name != "SHA256SUMS"}


def slow(log: Path, number: int) -> tuple[int, int]:
    """Leave a trace, take a while, tell who worked."""
    with open(log, "a") as file:
        file.write(f"{number} {os.getpid()}\n")
    time.sleep(0.05)
    return number, os.getpid()


def fail(number: int) -> int:
    if number == 7:
        raise UserError(f"item {number} is bad")
    return number


@pytest.fixture
def connected(dask, project):
    """The project, whose conf/ names the scheduler."""
    write_lines(CLUSTER, [f"scheduler: {dask.address}"])
    return project


def test_both_workers_work_and_results_come_in_order(dask, connected):
    done = list(ordered_map(functools.partial(slow, connected / "log"), range(40)))
    assert [number for number, _ in done] == list(range(40))
    assert {worker for _, worker in done} == {process.pid for process in dask.processes[1:3]}


def test_items_are_taken_as_results_are(connected):
    taken = []
    results = ordered_map(fail, (taken.append(number) or number for number in range(10, 1000)))
    assert [next(results), next(results)] == [10, 11]
    assert len(taken) <= 4 * 2 + 1
    results.close()


def test_the_first_error_is_raised_here(connected):
    with pytest.raises(UserError, match="item 7 is bad"):
        list(ordered_map(fail, range(20)))


def test_one_job_is_this_process(project):
    write_lines(CLUSTER, ["scheduler: tcp://127.0.0.1:1"])
    assert list(ordered_map(os.getpgid, [0], jobs=1)) == [os.getpgid(0)]


def test_a_folder_that_workers_do_not_see(connected, monkeypatch):
    monkeypatch.setattr(os, "getcwd", lambda: f"{connected}/on-this-machine-alone")
    with pytest.raises(UserError, match=r"a worker on .* cannot work for .*; workers must see the same files"):
        list(ordered_map(fail, range(100, 200)))


def test_changed_modules_are_loaded_anew(connected):
    shutil.copytree(ROOT / "steps", "code/steps", ignore=shutil.ignore_patterns("__pycache__"))
    script = "from steps.common.parallel import ordered_map; from local.change import answer; " \
             "print(list(ordered_map(answer, range(4))))"
    for value in (1, 22):
        write_lines("code/local/change.py", ["def answer(item):", f"    return {value}"])
        process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                                 env={**os.environ, "PYTHONPATH": str(Path("code").absolute())})
        assert process.stdout.strip() == str([value] * 4), process.stderr


def test_features_are_the_same_bit_for_bit_whatever_becomes_of_a_worker(dask, project, monkeypatch):
    """SIGKILL to one of three workers while features are computed."""
    paths = write_audio(60)
    write_lines("data/tiny/train/wav.scp", [f"train-{index:04} {paths[index % 60]}" for index in range(300)])
    run_script(monkeypatch, stage3_features, "tiny", "fbank", "--nj", "1")
    here = contents("exp/features")
    assert len(here) >= 5
    write_lines(CLUSTER, [f"scheduler: {dask.address}"])
    victim, left = dask.worker(), []
    with Client(dask.address) as client:
        client.wait_for_workers(3)

    def kill():
        wait_until(lambda: sum(path.stat().st_size for path in Path("exp/features").rglob(".feats.ark*")) > 500_000)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        left.extend(Path("exp/features").rglob(".feats.ark*"))

    killer = threading.Thread(target=kill)
    killer.start()
    run_script(monkeypatch, stage3_features, "tiny", "fbank")
    killer.join()
    assert left  # it was in the middle
    assert contents("exp/features") == here


def test_a_scheduler_that_dies(tmp_path_factory, project, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 5)
    dask = Dask(tmp_path_factory.mktemp("dies"))
    try:
        write_lines(CLUSTER, [f"scheduler: {dask.scheduler()}"])
        dask.worker()
        results = ordered_map(functools.partial(slow, project / "log"), range(1000))
        assert next(results)[0] == 0
        dask.stop()
        with pytest.raises(UserError, match="the connection to the scheduler broke"):
            list(results)
    finally:
        dask.stop()


def test_decoding_is_the_same(dask, project, monkeypatch):
    write_tiny(project)
    write_untrained(project)
    run_script(monkeypatch, stage5_decode, "exp/tiny", "dev")
    out_dir = Path("exp/tiny/decode/dev_greedy")
    here = {name: (out_dir / name).read_bytes() for name in ("pinyin", "ctm")}
    write_lines(CLUSTER, [f"scheduler: {dask.address}"])
    monkeypatch.setattr(decode, "PART", 5)
    run_script(monkeypatch, stage5_decode, "exp/tiny", "dev")
    assert {name: (out_dir / name).read_bytes() for name in here} == here
    assert len(here["ctm"]) > 100


def test_no_scheduler_there(project, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 1)
    write_lines(CLUSTER, ["scheduler: tcp://127.0.0.1:1"])
    with pytest.raises(UserError, match=r"cluster\.yaml: no scheduler answers at tcp://127\.0\.0\.1:1 within"):
        list(ordered_map(fail, range(3)))


def test_a_queue_starts_workers(project):
    """SLURM's commands played by two scripts: a job runs here, in its own process group."""
    write_script("sbatch", f"cp $1 {project}/job", f"setsid bash {project}/job > {project}/job.log 2>&1 &",
                 'echo "Submitted batch job $!"')
    write_script("scancel", "kill -- -$1")
    write_audio(20)
    write_lines(CLUSTER, ["jobqueue: slurm", "queue: short", "cores: 1", "memory: 1GB", "walltime: '00:10:00'",
                          "workers: 1"])
    output = run_python(project, "-m", "steps.stage3_features", "tiny", "fbank")
    assert "waiting for the first worker" in output
    assert Path("exp/features/tiny_fbank/train/feats.scp").exists()
    job = Path("job").read_text()
    assert "#SBATCH -p short" in job and "#SBATCH -t 00:10:00" in job and "--nthreads 1" in job


EACH_QUEUE = """
from steps.common.errors import UserError
from steps.common.parallel import CLUSTER, ordered_map

for kind in ("slurm", "pbs", "sge"):
    CLUSTER.write_text(f"jobqueue: {kind}\\nqueue: nowhere\\n")
    try:
        list(ordered_map(len, ["item"]))
    except UserError as error:
        print(error, flush=True)
"""


def test_queues_that_take_no_job(project):
    for name in ("sbatch", "qsub"):
        write_script(name, f"echo no such queue for {name}: nowhere >&2", "exit 1")
    Path("conf").mkdir()
    output = run_python(project, "-c", EACH_QUEUE)
    assert set(re.findall(r"no such queue for (\w+): nowhere", output)) == {"sbatch", "qsub"}
    refused = re.findall(r"^conf/cluster\.yaml: (\w+).* refused 1 of the jobs, for the reason above", output, re.M)
    assert refused == ["sbatch", "qsub", "qsub"], output


@pytest.mark.parametrize(("config", "message"), [
    ({}, "either scheduler (tcp://host:8786) or jobqueue"),
    ({"scheduler": "tcp://a:1", "jobqueue": "pbs"}, "either scheduler (tcp://host:8786) or jobqueue"),
    ({"scheduler": "a:1"}, "scheduler: String should match pattern"),
    ({"scheduler": "tcp://a:1", "memory": "1GB"}, "memory belongs to jobqueue alone"),
    ({"jobqueue": "lsf"}, "jobqueue: Input should be 'slurm', 'pbs' or 'sge', not 'lsf'"),
    ({"jobqueue": "sge", "core": 2}, "core: unknown key; did you mean 'cores'?"),
])
def test_mistakes_in_the_file(config, message):
    with pytest.raises(UserError) as error:
        check(config, cluster.Cluster, CLUSTER)
    assert message in str(error.value) and str(error.value).startswith("conf/cluster.yaml: ")


def test_it_is_no_experiment(project):
    write_lines(CLUSTER, [])
    write_lines("conf/mine.yaml", [])
    assert experiment_names(Path("conf")) == ["mine"]


def test_the_eta_leaves_the_first_item_out(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(parallel.time, "monotonic", lambda: now[0])
    for seconds in parallel.track([60, 10, 10, 10], 13, "decoding"):
        now[0] += seconds
    assert capsys.readouterr().err == "decoding: 3 of 13, ETA 100 s\n"
