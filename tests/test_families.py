"""Seeds and sweeps as doit tasks, on a project of stubs."""

import pytest
import yaml
from stub_project import EXPERIMENT

SWEEP = {"base": "mini", "vary": {"train.epochs": [1, 2], "train.batch_size": [8]}}
POINTS = ["s@epochs-1,batch_size-8", "s@epochs-2,batch_size-8"]


@pytest.fixture
def project(fresh):
    fresh.write("conf/x.yaml", EXPERIMENT + "seeds: [1, 2]\n")
    fresh.write("conf/sweeps/s.yaml", yaml.safe_dump(SWEEP, sort_keys=False))
    return fresh


def test_list_shows_a_sweep_as_a_group_and_its_points_with_all(project):
    names = [line.split()[0] for line in project.doit("list")[0].splitlines()]
    stages = ["prepare", "lexicon", "features", "train", "decode", "score", "report"]
    assert names[:7] == stages and "sweep:s" in names and not any("@" in name for name in names)
    names = [line.split()[0] for line in project.doit("list", "--all")[0].splitlines()]
    for family, members in (("x", ["x@1", "x@2"]), ("s", POINTS)):
        for name in (family, *members):
            assert {f"train:{name}", f"decode:{name}", f"score:{name}", f"report:{name}"} <= set(names)
    assert "train:x@1:dev" not in names and "score:x@1:dev" in names


def test_each_seed_is_an_experiment_and_a_group_is_cleaned_together(project):
    project.doit("report:x")
    ran = project.ran()
    assert {task for task in ran if task.startswith("train")} == {"train:x@1", "train:x@2"}
    assert sum(task.startswith("score") for task in ran) == 4
    out, _ = project.doit("clean", "--dry-run", "train:x")
    assert "would remove exp/x@1/final.ckpt" in out and "would remove exp/x@2/log/train.log" in out
    assert (project.folder / "exp/x@1/final.ckpt").exists()
    for stage in ("report", "score", "decode"):
        project.doit("clean", f"{stage}:x")
    project.replace("conf/x.yaml", "[1, 2]", "[1, 2, 3]")
    project.doit("train:x")
    assert project.ran() == ["train:x@3"]
    project.doit("clean", "train:x")
    assert not list((project.folder / "exp").glob("x@*"))


def test_a_sweep_runs_its_points_and_only_new_ones_again(project):
    project.doit("sweep:s")
    ran = project.ran()
    assert {f"{stage}:{point}" for point in POINTS for stage in ("train", "report")} < set(ran)
    assert ran.count("features:mini_fbank") == 1
    project.doit("sweep:s")
    assert project.ran() == []
    project.replace("conf/sweeps/s.yaml", "- 2", "- 2\n  - 3")
    project.doit("sweep:s")
    assert {task for task in project.ran() if task.startswith("train")} == {"train:s@epochs-3,batch_size-8"}
    project.replace("conf/mini.yaml", "channels: 8", "channels: 9")  # the base
    project.doit("train:s")
    assert sum(task.startswith("train") for task in project.ran()) == 3


def test_a_broken_sweep_stops_itself_alone(project):
    project.write("conf/sweeps/s.yaml", yaml.safe_dump({**SWEEP, "set": {"train.epoch": 1}}))
    _, err = project.doit()
    assert err.startswith("warning: conf/sweeps/s.yaml: train.epoch: unknown key; did you mean 'epochs'?")
    out, _ = project.doit("sweep:s", status=1)
    assert "did you mean 'epochs'?" in out
