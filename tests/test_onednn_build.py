"""How the oneDNN kernels are built, and what is said where they cannot be."""

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


def test_missing_compiler_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"need g\+\+"):
        build.build()
