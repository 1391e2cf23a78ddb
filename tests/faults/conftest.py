"""A project to run stages in, with a corpus that is a table."""

from pathlib import Path

import pytest
import yaml
from corpus_trees import speech
from small_experiment import run_script

import steps.stage1_prepare
import steps.stage3_features
from steps.common.errors import UserError

ROWS = [("a0.wav", "s1", "你好", "train"), ("a1.wav", "s1", "早上好", "train"), ("a2.wav", "s2", "再见", "dev"),
        ("a3.wav", "s3", "谢谢", "test")]
PLAIN = ["audio,speaker,text,set", *(",".join(row) for row in ROWS)]


class Project:
    """A folder with conf/, and the recordings of `own` in own/."""

    def __init__(self, root: Path, monkeypatch):
        self.root, self.own, self._monkeypatch = root, root / "own", monkeypatch
        self.write("conf/features/fbank.yaml", "type: fbank\nnum_bins: 20\n")
        for row in ROWS:
            speech(self.own / row[0])
        self.configure()

    def write(self, path: str, content: str | bytes) -> Path:
        """A file below the project."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def configure(self, module: str = "table", options: dict | None = None, **keys) -> None:
        """conf/corpora/own.yaml."""
        options = {"file": "t.csv"} if options is None else options
        config = {"module": module, "root": str(self.own), "options": options, **keys}
        self.write("conf/corpora/own.yaml", yaml.safe_dump(config, allow_unicode=True))

    def stage(self, module, *arguments: str) -> str:
        """Run a stage in this process; "" or what its UserError says."""
        try:
            run_script(self._monkeypatch, module, *arguments)
        except UserError as error:
            return str(error)
        return ""

    def prepare(self, *arguments: str) -> str:
        """Stage 1."""
        return self.stage(steps.stage1_prepare, "own", *arguments)

    def features(self, *arguments: str) -> str:
        """Stage 3."""
        return self.stage(steps.stage3_features, "own", "fbank", *arguments)

    def table(self, *lines: str, name: str = "t.csv", encoding: str = "utf-8", end: str = "\n") -> None:
        """own/<name>; of ROWS, if no lines are given."""
        (self.own / name).write_bytes("".join(line + end for line in lines or PLAIN).encode(encoding))

    def take(self, *lines: str) -> None:
        """Stage 1 takes a table."""
        self.table(*lines)
        assert self.prepare() == ""

    def read(self, name: str) -> dict[str, str]:
        """A table of all sets together."""
        lines = [line for part in ("train", "dev", "test") for line in
                 (self.root / "data/own" / part / name).read_text(encoding="utf-8").splitlines()]
        return dict(line.split(" ", 1) for line in lines)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Project:
    """An empty project, one process for all work."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YINJIE_NJ", "1")
    return Project(tmp_path, monkeypatch)
