"""What stage 1 writes, before other judges: coreutils always; Kaldi and lhotse where they are to be had.

`KALDI_ROOT=<a clone of kaldi>` runs Kaldi's own utils/validate_data_dir.sh. lhotse is the one that LHOTSE names or that
is on PATH, or else is installed into pytest's cache, where pip finds PyTorch built for CPUs alone (200 MB; the usual
one takes 5 GB): in PyTorch's index of such wheels, as pip's extra-index-url, or in a folder, as pip's find-links.
"""

import gzip
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from corpus_trees import BUILDERS
from small_experiment import run_script
from test_corpora import configure

import steps.stage1_prepare
from steps.common.files import atomic_open
from steps.config.load import dump
from steps.config.schema import Features
from steps.corpus.table import read_table
from steps.data_dir import with_features
from steps.feats.compute import extract_set

KALDI_ROOT = os.environ.get("KALDI_ROOT")
LHOTSE = ("lhotse==1.33.0", "kaldi_native_io", "urllib3", "torch==2.13.0+cpu")  # it imports urllib3 without saying so
INSTALL_S = 400  # about 15 s where nothing else runs


@pytest.fixture(scope="session")
def lhotse(request) -> str:
    """The command lhotse."""
    there = os.environ.get("LHOTSE") or shutil.which("lhotse")
    if there:
        return there
    venv = Path(request.config.cache.mkdir("lhotse")) / "-".join(LHOTSE)
    if not (venv / "installed").exists():
        install(venv)
    return str(venv / "bin/lhotse")


def install(venv: Path) -> None:
    """Make a venv with LHOTSE in it, or skip the test with pip's reason."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", venv], check=True)
    pip = [sys.executable, "-m", "pip", "--python", venv / "bin/python", "--retries", "0", "install", "-q"]
    try:
        subprocess.run([*pip, "--no-compile", *LHOTSE], check=True, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"lhotse: pip took more than {INSTALL_S} s")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"lhotse: {error.stderr.strip().splitlines()[-1]}")
    (venv / "installed").touch()


@pytest.fixture(params=list(BUILDERS))
def sets(request, tmp_path, monkeypatch) -> list[Path]:
    """The data directories that stage 1 makes of a corpus."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YINJIE_NJ", "1")
    configure(tmp_path, request.param)
    run_script(monkeypatch, steps.stage1_prepare, request.param)
    return sorted(path for path in (tmp_path / "data" / request.param).iterdir())


def c_sorted(command: str, path: Path) -> bool:
    return subprocess.run(f"LC_ALL=C {command} {path.name}", shell=True, cwd=path.parent).returncode == 0


def test_coreutils_find_all_tables_sorted(sets):
    for data_dir in sets:
        for path in data_dir.iterdir():
            assert path.name == "SHA256SUMS" or c_sorted("sort -c -u -k1,1", path), path
        assert c_sorted("sort -k2 utt2spk | cmp -", data_dir / "utt2spk")


@pytest.mark.skipif(not KALDI_ROOT, reason="KALDI_ROOT names no clone of Kaldi")
def test_kaldi_validates(sets, tmp_path):
    # The script asks `locale -a` for C.UTF-8, which Debian lists as C.utf8, and takes hanzi for unprintable otherwise.
    locale = tmp_path / "bin/locale"
    locale.parent.mkdir()
    locale.write_text("#!/bin/sh\necho C.UTF-8\n")
    locale.chmod(0o755)
    environment = {**os.environ, "PATH": f"{locale.parent}:{os.environ['PATH']}"}
    for data_dir in sets:
        command = ["bash", "utils/validate_data_dir.sh", "--no-feats", str(data_dir)]
        done = subprocess.run(command, cwd=Path(KALDI_ROOT, "egs/wsj/s5"), env=environment, capture_output=True,
                              text=True)
        assert done.returncode == 0 and "Successfully validated" in done.stdout, done.stdout + done.stderr


COMMANDS = "import json, sys; from lhotse.bin.lhotse import cli; [cli(words, standalone_mode=False) for words in " \
           "json.loads(sys.argv[1])]"  # in one process: it takes five seconds to start


@pytest.mark.parametrize("sets", ["table"], indirect=True)
def test_lhotse_imports_and_its_cuts_keep_their_supervisions(sets, lhotse, tmp_path):
    data_dir, commands = sets[-1], [["kaldi", "import", str(sets[-1]), "16000", str(tmp_path / "plain")]]
    for snip_edges in (True, False):
        out = tmp_path / f"{snip_edges}"
        config = Features(type="fbank", snip_edges=snip_edges)
        with atomic_open(out / "feats/features.yaml") as file:
            file.write(dump(config))
        extract_set(data_dir, out / "feats/train", config, 1)
        with_features(data_dir, out / "feats/train", out / "x")
        commands.append(["kaldi", "import", "-f", "0.01", str(out / "x"), "16000", str(out / "m")])
        kinds = ("recordings", "supervisions", "features")
        names = [(f"-{kind[0]}", str(out / f"m/{kind}.jsonl.gz")) for kind in kinds]
        commands.append(["cut", "simple", *itertools.chain(*names), str(out / "cuts.jsonl.gz")])
    python = Path(lhotse).read_text().splitlines()[0].removeprefix("#!")
    done = subprocess.run([python, "-c", COMMANDS, json.dumps(commands)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    text, speakers, seconds, wavs = (read_table(data_dir / name) for name in ("text", "utt2spk", "utt2dur", "wav.scp"))
    supervisions, recordings = ({entry["id"]: entry for entry in manifest(tmp_path / f"plain/{kind}.jsonl.gz")}
                                for kind in ("supervisions", "recordings"))
    assert {utt: entry["text"] for utt, entry in supervisions.items()} == text
    assert {utt: entry["speaker"] for utt, entry in supervisions.items()} == speakers
    assert {utt: entry["sources"][0]["source"] for utt, entry in recordings.items()} == wavs
    for utt, entry in supervisions.items():
        assert entry["duration"] == pytest.approx(float(seconds[utt]), abs=0.001)
    for snip_edges in (True, False):
        cuts = manifest(tmp_path / f"{snip_edges}/cuts.jsonl.gz")
        assert {cut["supervisions"][0]["id"]: cut["supervisions"][0]["text"] for cut in cuts} == text


def manifest(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]
