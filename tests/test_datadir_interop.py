"""What stage 1 writes, before other judges: coreutils always; Kaldi and lhotse where they are installed.

`KALDI_ROOT=<a clone of kaldi>` runs Kaldi's own utils/validate_data_dir.sh; `lhotse` is found on PATH (or named by
LHOTSE). Neither is a dependency: lhotse brings PyTorch with it.
"""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from corpus_trees import BUILDERS, OPTIONS

import steps.prepare
from steps.datadir.table import read_table

KALDI_ROOT = os.environ.get("KALDI_ROOT")
LHOTSE = os.environ.get("LHOTSE") or shutil.which("lhotse")


@pytest.fixture(params=list(BUILDERS))
def sets(request, tmp_path, monkeypatch) -> list[Path]:
    """The data directories that stage 1 makes of a corpus."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YINJIE_NJ", "1")
    root = tmp_path / "corpus"
    root.mkdir()
    config = {"module": request.param, "root": str(BUILDERS[request.param](root)), **OPTIONS.get(request.param, {})}
    (tmp_path / "conf/corpora").mkdir(parents=True)
    (tmp_path / f"conf/corpora/{request.param}.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setattr(sys, "argv", ["prepare", request.param])
    steps.prepare.main()
    return sorted(path for path in (tmp_path / "data" / request.param).iterdir())


def c_sorted(command: str, path: Path) -> bool:
    return subprocess.run(f"LC_ALL=C {command} {path.name}", shell=True, cwd=path.parent).returncode == 0


def test_coreutils_find_all_tables_sorted(sets):
    for data_dir in sets:
        for path in data_dir.iterdir():
            assert c_sorted("sort -c -u -k1,1", path), path
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


@pytest.mark.skipif(not LHOTSE, reason="lhotse is not installed")
@pytest.mark.parametrize("sets", ["aishell", "table"], indirect=True)
def test_lhotse_imports(sets, tmp_path):
    data_dir, out = sets[-1], tmp_path / "manifests"
    done = subprocess.run([LHOTSE, "kaldi", "import", str(data_dir), "16000", str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with gzip.open(out / "supervisions.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = {entry["id"]: entry["text"] for entry in map(json.loads, file)}
    assert texts == read_table(data_dir / "text")
