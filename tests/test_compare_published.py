"""conf/RESULTS.md and the README's table: written from experiments by --publish alone, and in step with each other."""

import json
import sys
from pathlib import Path

import pytest
from compared import make_run, noisy, some_references, write_decoding
from stub_project import ROOT

from steps import compare
from steps.common.errors import UserError
from steps.report.tables import BEGIN, COLUMNS, END, README_COLUMNS, named_in, read_results, with_results

REFS = some_references()
CONF = """# {what}
corpus: toy
features: fbank
model: {{blocks: [{{channels: 4}}]}}
train: {{epochs: 3}}
"""


@pytest.fixture
def project(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for folder in ("conf/corpora", "conf/features", "conf/sweeps"):
        Path(folder).mkdir(parents=True)
    Path("conf/corpora/toy.yaml").write_text("module: toy\n")
    Path("conf/features/fbank.yaml").write_text("type: fbank\nnum_bins: 8\n")
    Path("conf/a.yaml").write_text(CONF.format(what="the default | of tests"))
    Path("conf/b.yaml").write_text(CONF.format(what="as a, but better"))
    for name in ("README.md", "conf/RESULTS.md"):
        Path(name).write_text(f"# Title of `a`, `b`\n\n{BEGIN}\n{END}\n\nThe end.\n")
    make("a", 0.3)
    make("b", 0.1)
    return tmp_path


def make(name, wrong, **facts):
    return make_run(Path("exp") / name, REFS, {part: noisy(REFS, wrong, 1) for part in ("dev", "test")}, **facts)


@pytest.fixture
def publish(monkeypatch, capsys, project):
    def run_compare():
        monkeypatch.setattr(sys, "argv", ["compare", "--publish"])
        compare.main()
        return capsys.readouterr().err

    return run_compare


def results():
    return read_results(Path("conf/RESULTS.md").read_text(encoding="utf-8"))


def test_the_projects_own_files_are_current():
    text = (ROOT / "conf/RESULTS.md").read_text(encoding="utf-8")
    rows = read_results(text)
    assert with_results(text, rows, COLUMNS, "RESULTS.md") == text
    known = {path.stem for path in [*(ROOT / "conf").glob("*.yaml"), *(ROOT / "conf").glob("sweeps/*.yaml")]}
    assert {name.split("@")[0].split(" (")[0] for name in rows} <= known
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_results(readme, named_in(readme, rows), README_COLUMNS, "README.md") == readme


def test_results_tell_what_was_reached(publish):
    said = [line for line in publish().splitlines() if "has no SHA256SUMS" not in line]  # as make_run leaves them
    assert said == ["exp/compare.html: the same with curves and what changed"]
    scores = json.loads(Path("exp/b/score/test_greedy/score.json").read_text())
    low, high = scores["ci95"]
    row = results()["b"]
    assert row["syllables"] == f"{100 * scores['syllable_error_rate']:.2f} ({100 * low:.2f}–{100 * high:.2f})"
    assert (row["what it is"], row["weights"], row["minutes"], row["commit"], row["corpus"]) == (
        "as a, but better", "1.23 M", "3.0", "abc123", "toy")
    assert results()["a"]["what it is"] == "the default | of tests"
    readme = Path("README.md").read_text()
    assert readme.startswith(f"# Title of `a`, `b`\n\n{BEGIN}\n| experiment | syllables |")
    assert readme.endswith(f" |\n{END}\n\nThe end.\n") and row["syllables"] in readme


def test_sets_of_other_corpora_stand_by_themselves(publish):
    before = make("b", 0.1) and publish() and results()["b"]
    assert "other sets" not in before
    make_run(Path("exp/b"), REFS, {"far/test": noisy(REFS, 0.5, 2), "near/dev": noisy(REFS, 0.2, 3)})
    publish()
    rates = {part: json.loads(Path(f"exp/b/score/{part.replace('/', '.')}_greedy/score.json").read_text())
             for part in ("far/test", "near/dev")}
    said = ", ".join(f"{part} {100 * scores['syllable_error_rate']:.2f}" for part, scores in rates.items())
    assert results()["b"] == {**before, "other sets": said}
    assert results()["a"]["other sets"] == "" and said in Path("README.md").read_text()


def test_publishing_again_changes_nothing(publish):
    publish()
    files = [Path("conf/RESULTS.md"), Path("README.md")]
    before = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]
    publish()
    assert before == [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]


def test_rows_are_of_greedy_decoding_alone(publish):
    write_decoding(Path("exp/a"), "test", "prefix", REFS, noisy(REFS, 0.05, 1))
    publish()
    assert list(results()) == ["a", "b"] and results()["a"]["syllables"].startswith("27.")


def test_a_row_stays_while_its_experiment_is_elsewhere(publish):
    publish()
    before = results()
    Path("exp/b").rename("exp/renamed")
    make("a", 0.2, commit="def456")
    publish()
    assert results()["b"] == before["b"] and results()["a"]["commit"] == "def456"
    assert set(results()) == {"a", "b"}  # renamed is no experiment of conf/
    Path("conf/b.yaml").unlink()
    publish()
    assert set(results()) == {"a"}


def test_a_changed_config_is_not_passed_off(publish):
    publish()
    before = results()
    Path("conf/a.yaml").write_text(CONF.format(what="the default").replace("epochs: 3", "epochs: 9"))
    assert "conf/RESULTS.md: not a: conf/ has changed since it was trained: train.epochs" in publish()
    Path("conf/a.yaml").write_text("corpus: toy\n")
    assert "conf/RESULTS.md: not a: conf/a.yaml: features: missing" in publish()
    assert results() == before


def test_seeds_and_sweeps(publish):
    for seed in (1, 2):
        make(f"b@{seed}", 0.1 * seed, seed=seed)
        make(f"few@epochs-2@{seed}", 0.2, seed=seed, epochs=2)
    with Path("conf/b.yaml").open("a") as file:
        file.write("seeds: [1, 2]\n")
    Path("conf/sweeps/few.yaml").write_text("# fewer epochs\nbase: b\nvary: {train.epochs: [2, 1]}\n")
    assert "conf/RESULTS.md: not exp/b" not in publish()
    assert " ± " in results()["b"]["syllables"]
    assert list(results()) == ["a", "b", "few@epochs-2"]
    assert results()["few@epochs-2"]["what it is"] == "fewer epochs"
    assert "few@" not in Path("README.md").read_text()


@pytest.mark.parametrize("name", ["README.md", "conf/RESULTS.md"])
def test_a_file_without_a_place(publish, name):
    Path(name).write_text("# Title\n")
    with pytest.raises(UserError, match=rf"{name}: no lines <!-- results --> and <!-- /results -->"):
        publish()


def test_nothing_to_publish():
    text = with_results(f"{BEGIN}\nold\n{END}\n", {}, COLUMNS, Path("x"))
    assert text == f"{BEGIN}\n{END}\n" and read_results(text) == {}


def test_comparing_alone_leaves_tracked_files_alone(monkeypatch, project):
    before = {name: Path(name).read_bytes() for name in ("README.md", "conf/RESULTS.md")}
    monkeypatch.setattr(sys, "argv", ["compare"])
    compare.main()
    assert before == {name: Path(name).read_bytes() for name in before}
    written = json.loads(Path("exp/compare.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in written["experiments"]] == ["b", "a"]
    assert "| a |" in Path("exp/compare.md").read_text(encoding="utf-8") and Path("exp/compare.html").exists()


def test_doit_compares_what_is_there_and_trains_nothing(fresh):
    assert fresh.run("compare") == ["compare"]
    assert fresh.run("compare") == []
    fresh.doit("score:mini", "compare")
    assert fresh.ran()[-1] == "compare" and "train:wide" not in fresh.ran()
    assert fresh.run("compare") == []
    fresh.write("exp/copied/score/test_greedy/score.json", "{}")
    assert fresh.run("compare") == ["compare"]
    fresh.write("conf/RESULTS.md", "edited")
    assert fresh.run("compare") == []
    fresh.doit("clean", "compare")
    assert not (fresh.folder / "exp/compare.html").exists()
    assert (fresh.folder / "conf/RESULTS.md").exists()
