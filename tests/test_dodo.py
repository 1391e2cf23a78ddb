"""dodo.py: what runs after which change, what survives interrupts, what `list` and `clean` say. Stages are stubs."""

import os
import signal
import subprocess
import sys

import pytest
from stub_project import ALL, EXPERIMENT, FROM_TRAIN, ROOT, is_running, wait_until_gone

from steps.tasks.changes import SameAudio


def test_dodo_loads_no_heavy_library():
    code = "import sys, dodo; print(*{'numpy', 'pandas', 'mindspore', 'scipy', 'pypinyin', 'rich'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_list_is_a_table_of_contents(fresh):
    out, err = fresh.doit("list")
    assert err == ""
    lines = [line.split(None, 1) for line in out.splitlines()]
    assert [name for name, _ in lines][:7] == ["prepare", "lexicon", "features", "train", "decode", "score", "report"]
    for number, (_, doc) in enumerate(lines[:6], 1):
        assert doc.startswith(f"Stage {number}: ")
    names = [line.split()[0] for line in fresh.doit("list", "--all")[0].splitlines()]
    assert {"prepare:real", "lexicon:mini+real", "features:real_fbank", "train:wide", "decode:both:dev", "score:real",
            "score:real:test", "report:both"} < set(names)
    assert "score:real:dev" not in names  # its decode.sets says test


def test_stages_run_in_order(fresh):
    fresh.replace("conf/mini.yaml", "train:", "decode: {methods: [greedy, prefix]}\ntrain:")
    ran = fresh.run("score:mini")
    assert ran[0] == "prepare:mini"
    assert set(ran[1:3]) == {"lexicon:mini", "features:mini_fbank"}
    assert ran[3:6] == ["train:mini", "graph:mini", "tune:mini"]
    assert sorted(ran[6:]) == sorted(2 * [f"{stage}:mini:{part}" for stage in ("decode", "score")
                                          for part in ("dev", "test")])  # once a method
    for part in ("dev", "test"):
        assert ran.index(f"decode:mini:{part}") < ran.index(f"score:mini:{part}")


def test_experiments_share_stages_1_to_3(finished):
    assert finished.run("score:wide")[0] == "train:wide"
    assert finished.run() == []


MAIN = "def main"
CHANGES = [  # made one after the other: what, and the tasks that run then
    ([("exp/features/mini_fbank/dev/feats.ark", "feats", "other")],
     ["train:mini", "decode:mini:dev", "report:mini"]),  # training finds the same epoch
    ([("conf/mini.yaml", "epochs: 2", "epochs: 2, summary: true, keep_checkpoints: 9, patience: 3"),
      ("conf/wide.yaml", "epochs: 2", "epochs: 3"),
      ("conf/mini.yaml", "corpus: mini", "corpus: mini  # the default"),
      ("steps/stage4_train.py", MAIN, f"WORD = 1\n{MAIN}"),
      ("steps/stage6_score.py", "def main():", "# a word\ndef main():\n    'Documented.'"),
      ("steps/common/errors.py", "A user's mistake", "A mistake of a user")], []),
    ([("conf/corpora/mini.yaml", "seed: 1", "seed: 2"),
      ("steps/stage6_score.py", MAIN, f"WORD = 1\n{MAIN}")],
     ["prepare:mini", "score:mini:dev", "score:mini:test"]),  # which write the same files again
    ([("steps/stage1_prepare.py", MAIN, f"WORD = 1\n{MAIN}"),
      ("exp/features/mini_fbank/test/feats.ark", "feats", "other")],
     ["prepare:mini", "decode:mini:test", "report:mini"]),  # decoding finds the same
    ([("conf/mini.yaml", "epochs: 2", "epochs: 3")], FROM_TRAIN),
    ([("conf/mini.yaml", "channels: 8", "channels: 16")], FROM_TRAIN),
    ([("conf/corpora/mini.yaml", "module: mini", "module: mini\npinyin: {sandhi: spoken}")],
     ["lexicon:mini", *FROM_TRAIN]),
    ([("conf/features/fbank.yaml", "type: fbank", "type: fbank\nnum_bins: 40")], ["features:mini_fbank", *FROM_TRAIN]),
    ([("data/mini/train/text", "mini train", "mini train, mended")], ["lexicon:mini", *FROM_TRAIN]),
    ([("conf/mini.yaml", "patience: 3}", "patience: 3}\ndecode: {sets: [test]}")], ["report:mini"]),
    ([], []),
]


def test_a_change_reruns_what_depends_on_it(finished):
    for changes, expected in CHANGES:
        for change in changes:
            finished.replace(*change)
        out, _ = finished.doit()
        assert sorted(finished.ran()) == sorted(expected), changes
    assert all(line.startswith("--") for line in out.splitlines())


def test_scripts_depend_on_what_they_import(finished):
    finished.write("steps/feats/other.py", "imported = 'by nobody'\n")
    assert finished.run() == []
    finished.write("steps/feats/helper.py", "from steps.feats import other\n")
    assert finished.run() == ["features:mini_fbank"]  # whose statistics came out the same
    finished.write("steps/feats/other.py", "imported = 'by a helper'\nWORDS = 'words.txt'\n")
    finished.write("steps/feats/words.txt", "one\n")
    assert finished.run() == ["features:mini_fbank"]
    finished.write("steps/feats/words.txt", "two\n")
    assert finished.run() == ["features:mini_fbank"]


def test_a_missing_target_is_made_again(finished):
    targets = [finished.folder / name for name in ("data/mini/train/wav.scp", "exp/features/mini_fbank/test/feats.ark",
                                                   "exp/mini/final.ckpt", "exp/mini/score/dev_greedy/score.json")]
    for target in targets:
        target.unlink()
    assert sorted(finished.run()) == ["features:mini_fbank", "prepare:mini", "score:mini:dev", "train:mini"]
    assert all(target.exists() for target in targets)


def test_a_new_config_file_is_an_experiment(finished):
    finished.write("conf/third.yaml", (finished.folder / "conf/mini.yaml").read_text())
    assert finished.run("score:third:test") == ["train:third", "decode:third:test", "score:third:test"]


def test_fine_tuning_follows_its_source(finished):
    finished.write("conf/tuned.yaml", EXPERIMENT.replace("epochs: 2", "epochs: 2, init_from: wide"))
    assert finished.run("train:tuned") == ["train:wide", "train:tuned"]
    assert finished.run("train:tuned") == []
    finished.replace("conf/wide.yaml", "epochs: 2", "epochs: 3")
    assert finished.run("train:tuned") == ["train:wide", "train:tuned"]


def test_a_combination_follows_its_corpora(finished, tmp_path):
    (tmp_path / "real").mkdir()
    ran = finished.run("features:mini+real_fbank", REAL=str(tmp_path / "real"))
    assert sorted(ran) == ["features:mini+real_fbank", "lexicon:real", "prepare:mini+real", "prepare:real"]
    finished.replace("conf/corpora/mini.yaml", "seed: 1", "seed: 2")
    assert finished.run("features:mini+real_fbank") == ["prepare:mini"]  # which writes the same files again
    finished.replace("conf/corpora/mini.yaml", "module: mini", "module: mini\npinyin: {sandhi: spoken}")
    finished.replace("conf/corpora/real.yaml", "module: table", "module: table\npinyin: {sandhi: spoken}")
    ran = finished.run("lexicon:mini+real", "features:mini+real_fbank", REAL=str(tmp_path / "real"))
    assert sorted(ran) == ["lexicon:mini", "lexicon:mini+real", "lexicon:real", "prepare:mini+real"]


def test_sets_of_another_corpus_are_decoded_without_training_again(finished, tmp_path):
    (tmp_path / "real").mkdir()
    finished.write("conf/mini.yaml", EXPERIMENT + "decode: {sets: [test, real/test]}\n")
    ran = finished.run("score:mini", REAL=str(tmp_path / "real"))
    assert ran == ["prepare:real", "lexicon:real", "decode:mini:real/test", "score:mini:real/test"]
    assert (finished.folder / "exp/mini/score/real.test_greedy/score.json").exists()
    assert (finished.folder / "exp/mini/log/decode.real.test.log").exists()
    assert finished.run("score:mini") == []
    finished.write("audio/test.wav", "another recording")
    assert "decode:mini:real/test" in finished.run("score:mini:real/test")
    finished.doit("clean", "decode:mini:real/test")
    assert not (finished.folder / "exp/mini/decode/real.test_greedy").exists()
    assert (finished.folder / "exp/mini/decode/test_greedy").exists()


def test_a_corpus_root_counts_where_its_variable_is_set(fresh, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "table.csv").write_text(name)
    assert fresh.run("lexicon:real", REAL=str(tmp_path / "a")) == ["prepare:real", "lexicon:real"]
    assert fresh.run("lexicon:real") == []
    assert fresh.run("lexicon:real", REAL=str(tmp_path / "b")) == ["prepare:real"]
    (tmp_path / "b" / "table.csv").write_text("edited")
    assert fresh.run("lexicon:real", REAL=str(tmp_path / "b")) == ["prepare:real"]


def test_audio_replaced_under_its_name(finished, monkeypatch):
    """Features, and all that hears them, are made again."""
    wav = finished.folder / "audio/train.wav"
    wav.write_bytes(b"another")
    assert finished.run() == ["prepare:mini", "features:mini_fbank"]
    assert finished.run() == []
    wav.unlink()
    (finished.folder / "audio/dev.wav").unlink()
    (finished.folder / "audio/test.wav").unlink()
    monkeypatch.chdir(finished.folder)
    folder = finished.folder / "data/mini/train"
    assert SameAudio([folder], has_root=True)()  # a disk that is not mounted
    assert SameAudio([folder], has_root=False).differences({}) == ["audio/train.wav: gone"]


def test_what_is_edited_while_a_task_runs_has_changed_for_it(finished):
    finished.replace("conf/mini.yaml", "epochs: 2", "epochs: 3")
    process = finished.start("train:mini", "train:wide", SLOW="train:mini")
    finished.wait_for("train:mini")
    finished.write("exp/features/mini_fbank/cmvn", "edited")
    finished.write("go", "")
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert set(finished.ran()) == {"train:mini", "train:wide"}
    assert finished.run("train:mini", "train:wide") == ["train:mini"]


INTERRUPTS = [("prepare:mini", signal.SIGKILL), ("features:mini_fbank", signal.SIGKILL), ("train:mini", signal.SIGTERM),
              ("train:mini", signal.SIGINT), ("train:mini", signal.SIGKILL), ("score:mini:test", signal.SIGKILL)]


def test_an_interrupted_run_goes_on(fresh):
    """Each run is interrupted in the task named. What was done before is not done again."""
    done = set()
    for task, number in INTERRUPTS:
        process = fresh.start(SLOW=task)
        pid = fresh.wait_for(task)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
        wait_until_gone(pid)
        assert "Traceback" not in err
        lines = fresh.log_lines()
        *ended, last = [line.split()[0] for line in lines if line.split()[1].isdigit()]
        assert last == task and not done & {*ended, task}
        assert (f"{task} cleared up" in lines) == (number != signal.SIGKILL)
        assert process.returncode == (-number if number == signal.SIGKILL else 130)
        done |= {*ended}
    assert sorted(fresh.run()) == sorted({*ALL} - done)


def test_ctrl_c_at_a_terminal_interrupts_once(fresh):
    process = fresh.start(SLOW="train:mini")
    pid = fresh.wait_for("train:mini")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to doit and to the stage
    process.communicate(timeout=120)
    assert not is_running(pid)
    assert "train:mini cleared up" in fresh.log_lines()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_going_back_to_the_old_config_after_an_interrupt(finished, number):
    """Files of a config whose run was interrupted never pass for those of the one before."""
    before = (finished.folder / "exp/mini/score/test_greedy/score.json").read_text()
    finished.replace("conf/mini.yaml", "epochs: 2", "epochs: 3")
    process = finished.start(SLOW="decode:mini:test")
    finished.wait_for("decode:mini:test")
    process.send_signal(number)
    process.communicate(timeout=120)
    finished.replace("conf/mini.yaml", "epochs: 3", "epochs: 2")
    finished.log_lines()
    assert "train:mini" in finished.run()
    assert (finished.folder / "exp/mini/score/test_greedy/score.json").read_text() == before


@pytest.mark.parametrize("words", [["list"], ["report:mini"]])
def test_the_reader_of_the_output_ends_first(fresh, words):
    """As in `doit list | head`."""
    process = fresh.start_alone(*words)
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() in (0, -signal.SIGPIPE)
    assert sorted(fresh.ran()) == (sorted(ALL) if words == ["report:mini"] else [])


def test_a_stage_that_fails_or_writes_too_little_stops_the_run(fresh):
    out, err = fresh.doit(status=1, FAIL="train:mini")
    assert "error: as asked" in out
    assert "steps.stage4_train mini ended with status 1" in out
    assert "Traceback" not in out + err
    assert fresh.ran()[-1] == "train:mini"
    fresh.replace("steps/stage4_train.py", "final.ckpt", "")
    out, _ = fresh.doit(status=1)
    assert "steps.stage4_train mini did not write exp/mini/final.ckpt" in out
    assert fresh.ran() == ["train:mini"]


def test_clean_removes_all_that_was_written_and_its_dry_run_only_tells(finished):
    (finished.folder / "data/mini/wav/train").mkdir(parents=True)
    (finished.folder / "data/README.md").unlink()
    before = sorted(finished.folder.rglob("*"))
    out, _ = finished.doit("clean", "--dry-run")
    assert "would remove exp/mini/final.ckpt" in out and "would remove data/mini/train" in out
    assert sorted(finished.folder.rglob("*")) == before
    finished.doit("clean")
    left = [str(path.relative_to(finished.folder)) for folder in ("data", "exp")
            for path in (finished.folder / folder).iterdir()]
    assert left == ["exp/README.md"]  # data/, empty, stays
    assert sorted(finished.run()) == sorted(ALL)


def test_clean_of_one_task_leaves_the_others(finished):
    finished.doit("clean", "score:mini")
    assert not (finished.folder / "exp/mini/score").exists()
    assert (finished.folder / "exp/mini/decode/test_greedy/pinyin").exists()
    finished.doit("clean", "train:mini")
    assert sorted(path.name for path in (finished.folder / "exp/mini").iterdir()) == ["decode", "log", "report.html"]


def test_clean_keeps_pinyin_that_stage_2_did_not_derive(finished):
    lang = finished.folder / "data/mini/lang"
    digest = subprocess.run(["sha256sum", "train/pinyin"], cwd=lang.parent, capture_output=True, text=True, check=True)
    (lang / "pinyin.sha256").write_text(digest.stdout)
    finished.doit("clean", "lexicon:mini")
    assert not lang.exists()
    assert not (finished.folder / "data/mini/train/pinyin").exists()
    assert (finished.folder / "data/mini/dev/pinyin").exists()


@pytest.mark.parametrize(("file", "text", "name"), [
    ("broken", EXPERIMENT.replace("epochs", "epoch"), "broken"), ("broken", "corpus: [\n", "broken"),
    ("broken", EXPERIMENT.replace("corpus: mini", "corpus: nowhere"), "broken"),
    ("corpora/real", "module: table\nrot: /here\n", "real")])
def test_a_broken_config_stops_its_experiments_alone(finished, file, text, name):
    finished.write(f"conf/{file}.yaml", text)
    _, err = finished.doit()
    assert err.startswith("warning: conf/") and len(err.splitlines()) == 1
    assert finished.ran() == []
    out, err = finished.doit(f"score:{name}", status=1)
    assert err.removeprefix("warning: ").splitlines()[0] in out
    assert "Traceback" not in out + err
    assert name in finished.doit("list", "--all")[0]


def test_names_that_doit_or_a_shell_would_misread_stop_themselves_alone(finished):
    """No command of doit ends for them, and clean removes nothing that a pattern among them matches."""
    experiment = (finished.folder / "conf/mini.yaml").read_text()
    for name in ("m?ni", "[m]ini", "a=b", "-x", "features", "log"):
        finished.write(f"conf/{name}.yaml", experiment)
    finished.write("conf/corpora/录音.yaml", "module: mini\n")
    finished.write("conf/own.yaml", experiment.replace("corpus: mini", "corpus: 录音"))
    finished.write("conf/corpora/a b.yaml", "module: mini\n")
    _, err = finished.doit()
    assert len(err.splitlines()) == 7 and all("rename" in line for line in err.splitlines())
    assert finished.ran() == []
    assert "rename it" in finished.doit("train:m_ni", status=1)[0]
    names = [line.split()[0] for line in finished.doit("list", "--all")[0].splitlines()]
    assert {"prepare:录音", "features:录音_fbank", "train:own", "train:a_b", "train:log"} <= {*names}
    finished.doit("clean", "train:m_ni", "train:_m_ini", "report:features")
    assert (finished.folder / "exp/mini/final.ckpt").exists()


def test_diagnosis_needs_no_training_and_follows_it(fresh):
    """It runs after stages 2 and 3, and again where a training has gone on."""
    ran = fresh.run("diagnose:mini")
    assert sorted(ran) == ["diagnose:mini", "features:mini_fbank", "lexicon:mini", "prepare:mini"]
    assert fresh.run("diagnose:mini") == []
    fresh.doit("train:mini")
    assert fresh.run("diagnose:mini") == ["train:mini", "diagnose:mini"]
    fresh.doit("clean", "diagnose:mini")
    assert not list((fresh.folder / "exp/mini").glob("diagnosis.*"))
