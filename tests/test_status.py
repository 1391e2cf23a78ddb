"""steps.status: each of its states, made real; what `doit` would do and how long it would take."""

import json
import os
import shutil
import signal
import time

import pytest
import yaml
from commands import Command, call, wait_until
from stub_project import ALL, EXPERIMENT, FROM_TRAIN, ROOT, Project, wait_until_gone
from tiny_corpus import EXPERIMENT as TINY
from tiny_corpus import write_tiny

from steps.config.load import dump, load_experiment
from steps.tasks.states import estimate


def states(project):
    """Of the tasks that plain doit runs, by name."""
    return {name: task["state"] for name, task in project.status("mini")["tasks"].items() if name in ALL}


def text(project, *args):
    """What steps.status says to people."""
    status, said = call(project.folder, "steps.status", *args)
    assert status == 0, said
    return said


def test_never_run(fresh):
    found = fresh.status()
    assert set(found["experiments"]) == {"both", "mini", "real", "wide"}
    assert {task["state"] for task in found["tasks"].values()} == {"never run"}
    assert sorted(found["now"]["tasks"]) == sorted(ALL)
    assert sorted(found["now"]["unknown"]) == sorted(ALL)
    assert not (fresh.folder / ".doit.db").exists()  # looking leaves no traces
    shown = text(fresh)
    assert shown.startswith("not begun: both, mini, real, wide\n") and "the time is not known" in shown


def test_done(finished):
    found = finished.status("mini")
    assert list(found["experiments"]) == ["mini"]
    stages = found["experiments"]["mini"]["stages"]
    assert {stage: found["state"] for stage, found in stages.items()} == {
        **dict.fromkeys(("prepare", "lexicon", "features", "train", "decode", "score", "report"), "done"),
        "align": "never run", "export": "never run", "diagnose": "never run"}
    assert found["now"]["tasks"] == []
    assert found["experiments"]["mini"]["bytes"] == sum(
        path.stat().st_size for path in (finished.folder / "exp/mini").rglob("*") if path.is_file())
    said = text(finished)
    assert "would run nothing" in said
    assert "\n\n" not in said.partition("features:")[0]  # nothing to explain


def test_a_touched_file(finished):
    path = finished.folder / "data/mini/train/utt2spk"
    os.utime(path)
    assert set(states(finished).values()) == {"done"}  # as doit looks at what files hold
    path.write_text("other\n")
    found = finished.status("mini")
    assert found["tasks"]["lexicon:mini"] == {"state": "stale", "why": ["data/mini/train/utt2spk: changed"],
                                              "todo": "./path.sh doit lexicon:mini"}
    assert found["tasks"]["prepare:mini"]["state"] == found["tasks"]["features:mini_fbank"]["state"] == "done"
    assert found["tasks"]["train:mini"]["state"] == "stale"
    assert found["tasks"]["train:mini"]["why"] == ["data/mini/train/utt2spk: changed"]
    assert found["tasks"]["decode:mini:dev"]["why"] == ["train:mini comes first"]
    assert found["now"]["tasks"] == ["lexicon:mini", *FROM_TRAIN]


def test_a_changed_key(finished):
    finished.replace("conf/mini.yaml", "epochs: 2", "epochs: 3")
    found = finished.status("mini")
    assert found["tasks"]["train:mini"]["state"] == "stale"
    assert found["tasks"]["train:mini"]["why"] == ["experiment.train.epochs: 2, now 3"]
    assert found["tasks"]["features:mini_fbank"]["state"] == "done"
    assert found["now"]["tasks"] == FROM_TRAIN
    said = text(finished, "mini")
    assert "train:mini: stale" in said and "experiment.train.epochs: 2, now 3" in said
    assert "decode:mini:dev:" not in said  # which only waits


def test_keys_of_corpus_and_features(finished):
    finished.replace("conf/features/fbank.yaml", "type: fbank", "type: fbank\nnum_bins: 40")
    finished.replace("conf/corpora/mini.yaml", "seed: 1", "seed: 2, voices: 3")
    tasks = finished.status("mini")["tasks"]
    assert tasks["features:mini_fbank"]["why"] == ["features.num_bins: 80, now 40"]
    assert tasks["prepare:mini"]["why"] == ["corpus.options.seed: 1, now 2", "corpus.options.voices: not there, now 3"]


def test_a_changed_script_and_a_missing_result(finished):
    finished.replace("steps/stage6_score.py", "def main", "WORD = 1\ndef main")
    (finished.folder / "exp/mini/decode/dev_greedy/ctm").unlink()
    tasks = finished.status("mini")["tasks"]
    assert tasks["score:mini:test"]["why"] == ["steps/stage6_score.py: changed"]
    assert tasks["decode:mini:dev"]["why"] == ["exp/mini/decode/dev_greedy/ctm: not there"]


def test_diagnosis_and_comparison(finished):
    """What stands beside the stages: never run, done, failed, stale."""
    found = finished.status("mini")
    assert found["compare"] == found["tasks"]["diagnose:mini"]["state"] == "never run"
    said = text(finished, "mini")
    assert "compare" not in said and "diagnose:mini" not in said

    finished.doit("diagnose:mini", "compare")
    found = finished.status("mini")
    assert found["compare"] == found["experiments"]["mini"]["stages"]["diagnose"]["state"] == "done"
    assert "compare: done" in text(finished, "mini")

    finished.write("exp/mini/train.csv", "epoch,steps,seconds,dev_ser\n1,10,30,0.5\n")
    tasks = finished.status("mini")["tasks"]
    for name in ("diagnose:mini", "compare"):
        assert tasks[name] == {"state": "stale", "why": ["exp/mini/train.csv: changed"],
                               "todo": f"./path.sh doit {name}"}

    finished.doit("diagnose:mini", status=1, FAIL="diagnose:mini")
    finished.doit("compare", status=1, FAIL="compare")
    tasks = finished.status("mini")["tasks"]
    for name, log in (("diagnose:mini", "exp/mini/log/diagnose.log"), ("compare", "exp/log/compare.log")):
        assert tasks[name] == {"state": "failed", "why": [f"{name} begins", "error: as asked"],
                               "todo": f"mend what {log} tells, then ./path.sh doit {name}"}
    said = text(finished, "mini")
    assert "compare: failed" in said and "diagnose:mini: failed" in said


def test_without_doits_record(finished):
    (finished.folder / ".doit.db").unlink()
    assert set(states(finished).values()) == {"stale"}
    tasks = finished.status("mini")["tasks"]
    assert tasks["train:mini"]["why"] == ["made elsewhere: doit has no record of it"]


def test_cleaned(finished):
    finished.doit("clean", "score:mini")
    found = states(finished)
    assert found["score:mini:dev"] == found["score:mini:test"] == "never run"
    assert found["decode:mini:dev"] == "done" and found["report:mini"] == "stale"


@pytest.mark.parametrize("task", ["features:mini_fbank", "decode:mini:test"])
def test_a_failing_stage(fresh, task):
    fresh.doit(status=1, FAIL=task)
    found = fresh.status("mini")
    assert found["tasks"][task]["state"] == "failed"
    assert found["tasks"][task]["why"][-1] == "error: as asked"
    log = found["tasks"][task]["todo"].split()[2]
    assert "error: as asked" in (fresh.folder / log).read_text()
    said = text(fresh, "mini")
    assert f"{task}: failed" in said and "error: as asked" in said
    fresh.doit()
    assert set(states(fresh).values()) == {"done"}


def test_a_stage_that_failed_though_it_was_done_before(finished):
    finished.replace("conf/mini.yaml", "epochs: 2", "epochs: 3")
    finished.doit(status=1, FAIL="train:mini")
    found = finished.status("mini")
    assert found["tasks"]["train:mini"]["state"] == "failed"
    assert found["tasks"]["decode:mini:dev"]["why"] == ["train:mini comes first"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_running_then_interrupted(finished, number):
    finished.log_lines()
    finished.replace("conf/features/fbank.yaml", "type: fbank", "type: fbank\nnum_bins: 40")
    process = finished.start(SLOW="features:mini_fbank")
    pid = finished.wait_for("features:mini_fbank")
    found = finished.status("mini")
    assert found["tasks"]["features:mini_fbank"]["state"] == "running"
    assert "last time it took" in found["tasks"]["features:mini_fbank"]["why"][0]
    assert "features:mini_fbank" not in found["now"]["tasks"]
    process.send_signal(number)
    process.communicate(timeout=60)
    wait_until_gone(pid)
    found = finished.status("mini")
    assert found["tasks"]["features:mini_fbank"]["state"] == "interrupted"
    assert "features:mini_fbank" in found["now"]["tasks"]


def test_a_real_training_killed(tmp_path):
    write_tiny(tmp_path, {**TINY, "train": {**TINY["train"], "epochs": 500}})
    shutil.copy(ROOT / "dodo.py", tmp_path)

    process = Command(tmp_path, "steps.stage4_train", "tiny")
    try:
        wait_until((tmp_path / "exp/tiny/checkpoints/epoch-0001.json").exists)
        found = Project(tmp_path).status()["tasks"]["train:tiny"]
        assert found["state"] == "running" and found["why"][0].startswith("epoch ") and "of 500" in found["why"][0]
    finally:
        process.kill()
        process.communicate()
    found = Project(tmp_path).status()["tasks"]["train:tiny"]
    assert found["state"] == "interrupted"
    assert "of 500" in found["why"][0]
    assert found["todo"].startswith("./path.sh doit train:tiny goes on")


def test_another_process_of_the_same_number_is_not_the_training(finished):
    noted = {"host": os.uname().nodename, "pid": os.getpid(), "started": "another boot 1"}
    finished.write("exp/mini/progress.json", json.dumps(
        {"epoch": 3, "epochs": 9, "seconds_left": 60, "time": time.time(), "process": noted}))
    assert states(finished)["train:mini"] == "done"


def test_durations_come_from_earlier_runs(finished):
    finished.write("exp/mini/train.csv", "epoch,steps,seconds,dev_ser\n1,10,30,0.5\n2,20,60,0.4\n")
    finished.write("conf/long.yaml", EXPERIMENT.replace("epochs: 2", "epochs: 10"))
    now = finished.status("long")["now"]
    assert now["command"] == "./path.sh doit report:long"
    assert [task.split(":")[0] for task in now["tasks"]] == ["train", "decode", "decode", "score", "score", "report"]
    assert now["unknown"] == []
    assert 300 < now["seconds"] < 360  # 10 epochs of 30 s, and what stubs take
    finished.write("conf/long.yaml", EXPERIMENT.replace("fbank", "wide").replace("epochs: 2", "epochs: 10"))
    finished.write("conf/features/wide.yaml", "type: fbank\nnum_bins: 120\n")
    assert finished.status("long")["now"]["unknown"] == ["train:long"]  # other features say nothing of it


@pytest.mark.parametrize("table", ["epoch,dev_ser\n1,0.5\n", "epoch,seconds\n0,5\n", "epoch,seconds\n1,nan\n"])
def test_histories_that_tell_no_durations(finished, monkeypatch, table):
    finished.write("exp/mini/train.csv", table)
    monkeypatch.chdir(finished.folder)
    assert estimate(["train:mini"], [], {"mini": load_experiment("mini")}) == {"train:mini": None}


def test_an_unfinished_training_goes_on(finished, monkeypatch):
    monkeypatch.chdir(finished.folder)
    config = load_experiment("mini")
    finished.write("exp/mini/config.yaml", dump(config))
    finished.write("exp/mini/train.csv", "epoch,seconds\n1,30\n")
    assert estimate(["train:mini"], [], {"mini": config}) == {"train:mini": 60.0}
    (finished.folder / "exp/mini/final.ckpt").unlink()
    assert estimate(["train:mini"], [], {"mini": config}) == {"train:mini": 30.0}


def test_broken_configs_and_unknown_names(finished):
    finished.write("conf/broken.yaml", "corpus: mini\n")
    found = finished.status()
    assert found["broken"]["broken"].startswith("conf/broken.yaml: features: missing")
    assert set(found["experiments"]) == {"both", "mini", "real", "wide"}
    assert set(finished.status("m*", "wide")["experiments"]) == {"mini", "wide"}
    status, said = call(finished.folder, "steps.status", "minni")
    assert status == 1 and "no experiment is called minni; there are both, mini" in said


def test_points_of_a_sweep_are_experiments(finished):
    finished.write("conf/sweeps/many.yaml", yaml.safe_dump({"base": "mini", "vary": {"seed": [1, 2]}}))
    shutil.copytree(finished.folder / "exp/mini", finished.folder / "exp/many@seed-2")
    experiments = finished.status()["experiments"]
    assert experiments.keys() >= {"many@seed-1", "many@seed-2"}
    assert experiments["many@seed-1"]["bytes"] == 0 < experiments["many@seed-2"]["bytes"]
