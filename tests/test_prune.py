"""steps.prune: what goes, what stays, and that nothing goes unasked."""

import pytest
from commands import call
from stub_project import EXPERIMENT

from steps.config.load import dump, load_experiment, load_features

HEAD = "epoch,steps,seconds,dev_ser\n"


@pytest.fixture
def folder(tmp_path):
    """A project with two finished trainings and one that goes on, and the features of two experiments and of none."""
    write(tmp_path, "conf/a.yaml", EXPERIMENT)
    write(tmp_path, "conf/corpora/mini.yaml", "module: mini\n")
    write(tmp_path, "conf/features/fbank.yaml", "type: fbank\n")
    write(tmp_path, "conf/features/wide.yaml", "type: fbank\nnum_bins: 120\n")
    for name in ("a", "gone", "unfinished"):
        features = "wide" if name == "gone" else "fbank"
        config = load_experiment("a", tmp_path / "conf")
        experiment = config.experiment.model_copy(update={"features": features})
        write(tmp_path, f"exp/{name}/config.yaml", dump(config.model_copy(update={
            "name": name, "experiment": experiment, "features": load_features(features, tmp_path / "conf")})))
        write(tmp_path, f"exp/{name}/train.csv", HEAD + "1,1,1,0.5\n2,2,2,0.1\n3,3,3,0.3\n4,4,4,0.1\n")
        for epoch in range(1, 5):
            for file in (".ckpt", ".optimizer.ckpt", ".json"):
                write(tmp_path, f"exp/{name}/checkpoints/epoch-{epoch:04d}{file}", "x" * 100000)
        if name != "unfinished":
            write(tmp_path, f"exp/{name}/final.ckpt", "x")
    for name in ("mini_fbank", "mini_wide", "mini_old"):
        write(tmp_path, f"exp/features/{name}/train/feats.ark", "x" * 1000000)
    return tmp_path


def write(folder, name, text):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def prune(folder, *args, status=0):
    found, output = call(folder, "steps.prune", *args)
    assert found == status, output
    return output


def checkpoints(folder, name):
    return sorted(path.name for path in (folder / "exp" / name / "checkpoints").iterdir())


def test_it_only_lists_unless_told(folder):
    before = sorted(folder.rglob("*"))
    out = prune(folder)
    assert "nothing is removed yet; to do it, add --yes" in out
    assert "   1.0 MB  exp/features/mini_old  (named by no experiment)" in out
    assert "   3.2 MB  in all" in out  # 22 files of 100 kB, and the features
    assert sorted(folder.rglob("*")) == before


def test_it_keeps_the_best_and_what_is_needed(folder):
    prune(folder, "--yes")
    assert checkpoints(folder, "a") == checkpoints(folder, "gone") == ["epoch-0002.ckpt"]
    assert len(checkpoints(folder, "unfinished")) == 12
    assert sorted(path.name for path in (folder / "exp/features").iterdir()) == ["mini_fbank", "mini_wide"]
    assert (folder / "exp/a/final.ckpt").exists()
    assert prune(folder) == "nothing to remove\n"


def test_what_another_training_replaced(folder):
    write(folder, "exp/a/old.20260102-030405/final.ckpt", "x" * 1000000)
    assert "   1.0 MB  exp/a/old.20260102-030405  (a training that another one replaced)" in prune(folder)
    prune(folder, "--yes")
    assert not (folder / "exp/a/old.20260102-030405").exists()


def test_an_experiment_of_another_version_can_be_pruned(folder):
    config = folder / "exp/gone/config.yaml"
    config.write_text(config.read_text().replace("  train:\n", "  train:\n    consistency: 0.5\n"))
    assert "another version of the recipe wrote it; passed over: experiment.train.consistency" in prune(folder, "--yes")
    assert checkpoints(folder, "gone") == ["epoch-0002.ckpt"]


def test_how_many_and_of_which(folder):
    prune(folder, "--yes", "--keep", "3", "a")
    assert checkpoints(folder, "a") == ["epoch-0002.ckpt", "epoch-0003.ckpt", "epoch-0004.ckpt"]
    assert len(checkpoints(folder, "gone")) == 12
    assert (folder / "exp/features/mini_old").exists()
    assert "exp/ holds no experiment b, only a, gone, unfinished" in prune(folder, "b", status=1)


def test_a_training_begun_anew_keeps_its_checkpoints(folder):
    write(folder, "exp/a/progress.json", '{"epoch": 1, "epochs": 9, "seconds_left": 9, "time": 1, "process": {}}')
    prune(folder, "--yes")
    assert len(checkpoints(folder, "a")) == 12


@pytest.mark.parametrize("name", ["conf/b.yaml", "exp/gone/config.yaml"])
def test_features_stay_where_a_config_cannot_be_read(folder, name):
    write(folder, name, "corpus: [\n")
    assert "it may name any features" in prune(folder, "--yes", status=1)
    assert (folder / "exp/features/mini_old").exists()
    assert len(checkpoints(folder, "a")) == 12
