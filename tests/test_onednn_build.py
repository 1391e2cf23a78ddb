"""How the oneDNN kernels are built, and what is said where they cannot be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from steps.common.errors import UserError
from steps.model.onednn import build


def test_library_name_follows_sources_and_processor(tmp_path, monkeypatch):
    name = build.library_path().name
    for path in build.SOURCES.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    assert build.library_path().name == name
    (tmp_path / "conv.cpp").write_text("changed")
    assert build.library_path().name != name
    assert build.available() is None
    assert "python -m steps.model.onednn.build" in build.reason()
    monkeypatch.setattr(build, "SOURCES", Path(build.__file__).parent)
    monkeypatch.setattr(build, "_instructions", lambda: "sse2")
    assert build.library_path().name != name


def test_not_built_for_other_machines(monkeypatch):
    monkeypatch.setattr(build.platform, "machine", lambda: "arm64")
    assert build.available() is None
    assert "arm64" in build.reason()
    with pytest.raises(UserError, match="stock operators"):
        build.build()


def test_failing_compiler_leaves_no_library(tmp_path, monkeypatch):
    (tmp_path / "g++").write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    (tmp_path / "g++").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build, "_fetch_headers", lambda folder: folder)
    monkeypatch.setattr(build.sysconfig, "get_path", lambda _: str(tmp_path / "venv"))
    with pytest.raises(UserError, match=r"compiling failed.*\nbroken"):
        build.build()
    assert not list((tmp_path / "venv").rglob("*.so*"))


def test_what_has_failed_is_not_tried_again_by_itself_but_said(tmp_path, monkeypatch, capsys):
    attempts = []

    def fail():
        attempts.append(1)
        raise UserError("the oneDNN kernels: compiling failed\nat length")

    monkeypatch.setattr(build.sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(build.shutil, "which", lambda _: "g++")
    monkeypatch.setattr(build, "build", fail)
    with pytest.raises(UserError):
        build.build_once()
    build.build_once()
    assert len(attempts) == 1
    said = capsys.readouterr().err
    assert "compiling failed" in said and "run: python -m steps.model.onednn.build" in said and "at length" not in said
    monkeypatch.setattr(build, "_instructions", lambda: "another processor")
    with pytest.raises(UserError):
        build.build_once()
    assert len(attempts) == 2


def test_another_onednn_than_mindspores_is_refused(monkeypatch):
    if build.available() is None:
        pytest.skip(build.reason())
    from steps.model.onednn.cells import ctypes, library

    class Library:
        def onednn_fits(self):
            return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda path: Library())
    with pytest.raises(UserError, match=r"made for another oneDNN than MindSpore's; set `train: \{kernels: stock\}`"):
        library.__wrapped__()


def test_an_exception_in_a_thread_reaches_the_step():
    if build.available() is None:
        pytest.skip(build.reason())
    script = ("import ctypes; from steps.model.onednn.cells import library; "
              "print(ctypes.CDLL(library()).throw_in_helpers())")
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[1], capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "2"})
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr


def test_missing_compiler_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"need g\+\+"):
        build.build()
