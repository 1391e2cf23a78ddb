"""`doit -n 2`: tasks side by side, each with a log of its own, and no script that outlives doit. Stages are stubs."""

import json
import os
import signal

import pytest
from stub_project import is_running, wait_until_gone

FEATURES = "features:mini_fbank"
TRAININGS = ["train:mini", "train:wide"]
BOTH = ["report:mini", "report:wide"]
ALL = ["prepare:mini", "lexicon:mini", FEATURES,
       *(f"{stage}:{name}" for name in ("mini", "wide")
         for stage in ("train", "decode", "score", "report"))]


@pytest.fixture
def project(fresh):
    """A project in which stages 1 to 3 of mini have run."""
    fresh.run("lexicon:mini", FEATURES)
    return fresh


def start_trainings(project) -> tuple:
    """doit with both trainings at work, and their process ids."""
    process = project.start_alone("-n", "2", *BOTH, SLOW=" ".join(TRAININGS), CLEARING="0.5")
    seen = project._seen
    pids = []
    for task in TRAININGS:
        pids.append(project.wait_for(task))
        project._seen = seen
    return process, pids


def test_each_task_runs_once_and_has_its_own_log(fresh):
    out, err = fresh.doit("-n", "2", *BOTH)
    assert "Traceback" not in out + err
    ran = fresh.ran()
    by_set = [f"{stage}:{name}:{part}" for stage in ("decode", "score") for name in ("mini", "wide")
              for part in ("dev", "test")]
    assert sorted(ran) == sorted([task for task in ALL if not task.startswith(("decode", "score"))] + by_set)
    assert ran[:1] == ["prepare:mini"] and all(ran.index(task) < ran.index("report:mini") for task in by_set
                                               if ":mini:" in task)
    for task, log in (("train:mini", "mini/log/train.log"), ("train:wide", "wide/log/train.log"),
                      ("decode:mini:dev", "mini/log/decode.dev.log"), ("decode:mini:test", "mini/log/decode.test.log"),
                      (FEATURES, "features/mini_fbank/log/features.log")):
        log = f"exp/{log}"
        heading, *lines = (fresh.folder / log).read_text().splitlines()
        assert heading.startswith("# ") and lines == [f"{task} begins"]
        noted = json.loads((fresh.folder / log).with_suffix(".json").read_text())
        assert noted["task"] == task and noted["state"] == "done" and noted["seconds"] >= 0
        assert f"{task} begins" in out
    fresh.doit("-n", "2", *BOTH)
    assert fresh.run(*BOTH) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_no_script_outlives_doit(project, number):
    if number == signal.SIGINT:  # as when the processor is busy: the script is at work before doit waits for it
        busy = "            time.sleep(1)\n"
        starts = "            copying = threading"
        project.replace("steps/tasks/step.py", starts, busy + starts)
    process, pids = start_trainings(project)
    process.send_signal(number)
    process.communicate(timeout=120)
    for pid in pids:
        wait_until_gone(pid)
    lines = project.log_lines()
    for task in TRAININGS:
        assert (f"{task} cleared up" in lines) == (number != signal.SIGKILL)
    assert sorted(project.run("-n", "2", *TRAININGS)) == TRAININGS


def test_ctrl_c_at_a_terminal_lets_scripts_clear_up(project):
    process, pids = start_trainings(project)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to doit, its workers and the scripts
    said = "".join(process.communicate(timeout=120))
    assert "Traceback" not in said and process.returncode
    assert not any(map(is_running, pids))
    assert {f"{task} cleared up" for task in TRAININGS} <= set(project.log_lines())


def test_one_fails_and_the_other_is_recorded(project):
    out, _ = project.doit("-n", "2", *BOTH, status=1, FAIL="train:mini")
    assert "steps.stage4_train mini ended with status 1" in out
    assert json.loads((project.folder / "exp/mini/log/train.json").read_text())["state"] == "failed"
    assert (project.folder / "exp/mini/log/train.log").read_text().endswith("train:mini begins\nerror: as asked\n")
    project.log_lines()
    assert project.run("-n", "2", "train:wide") == []
    assert project.run("-n", "2", *TRAININGS) == ["train:mini"]
