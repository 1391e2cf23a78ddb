"""steps.compare from end to end: what terminal, page, JSON and Markdown say, of whole, broken and moved experiments."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from compared import make_run, noisy, some_references, write_features
from read_page import Page
from test_compare_statistics import edit_scores, scores_of

from steps import compare
from steps.common.errors import UserError
from steps.corpus.table import write_table
from steps.report.rows import SORT_KEYS

REFS = some_references()


@pytest.fixture
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return Path("exp")


@pytest.fixture
def run(monkeypatch, capsys):
    def run_compare(*words):
        """Call `python -m steps.compare` and return its stdout."""
        monkeypatch.setattr(sys, "argv", ["compare", *map(str, words)])
        capsys.readouterr()
        compare.main()
        return capsys.readouterr().out

    return run_compare


def make(path, wrong=0.2, draw=1, **facts):
    return make_run(path, REFS, {"dev": noisy(REFS, wrong, draw), "test": noisy(REFS, wrong, draw + 100)}, **facts)


def page(name):
    return Page(Path(f"exp/{name}.html").read_text(encoding="utf-8"))


@pytest.fixture
def two(here):
    make(here / "a", 0.3, commit="aaa111")
    make(here / "b", 0.1, draw=2, commit="bbb222", train={"epochs": 4}, epochs=4, weights=2_000_000)
    return here


def test_two_experiments_side_by_side(two, run):
    out = run("exp/a", "exp/b")
    scores = {name: scores_of(two / name) for name in "ab"}
    told = page("compare_a_b").text
    for text in (out, told):
        for name in "ab":
            low, high = scores[name]["ci95"]
            assert f"{100 * scores[name]['syllable_error_rate']:.2f} ({100 * low:.2f}–{100 * high:.2f})" in text
            for rate, (low, high) in scores[name]["intervals"].items():
                assert f"{100 * scores[name][rate]:.2f} ({100 * low:.2f}–{100 * high:.2f})" in text
        for expected in ("against a", "100.0 %", "1.23 M", "2.00 M", "aaa111", "bbb222", "train.epochs", "3.0", "4.0",
                         "0.0123", "2026-01-02"):
            assert expected in text
        assert "train.batch_size" not in text and "characters" not in text
    assert "The features are not there, so there are no pictures." in told
    assert page("compare_a_b").tags.count("svg") == 1


def test_character_errors_where_there_are_any(two, run):
    intervals = {**scores_of(two / "b")["intervals"], "character_error_rate": [0.1, 0.2]}
    edit_scores(two / "b", character_error_rate=0.15, homophone_error_rate=0.07, intervals=intervals)
    out = run("a", "b")
    assert "characters" in out and "15.00 (10.00–20.00)" in out
    assert "homophones forgiven" in out and "7.00" in out


def test_page_stands_alone_and_shows_what_changed(two, run):
    write_features(REFS)
    soundfile.write("some.wav", np.random.default_rng(0).normal(0, 0.1, 8000), 16000)
    write_table("data/toy/test/wav.scp", dict.fromkeys(REFS, "some.wav"))
    write_table("data/toy/test/text", {utt: "好" * len(ref) for utt, ref in REFS.items()})
    run("a", "b")
    told = page("compare_a_b")
    assert all(link.startswith(("#", "data:image/png;base64,", "data:audio/mpeg;base64,")) for link in told.links)
    heard = [link for link in told.links if link.startswith("data:audio")]
    assert len(heard) == told.text.count("errors in ") > 0 and "好" in told.text
    for expected in ("From a to b, on test", "most fixed speaker", "most broken speaker", "most broken syllable",
                     "Most fixed 1: spk", "got better", "of training",
                     "fixed: the second experiment decodes it correctly"):
        assert expected in told.text
    curves = 1
    fixed = told.text.count("experiment decodes it correctly")
    assert told.tags.count("svg") == curves + fixed + 2 * told.text.count("errors in ")
    assert fixed > 0


@pytest.mark.parametrize("damage", ["a/decode/test_greedy/ctm", "features/toy_fbank/test/feats.ark",
                                    "features/toy_fbank/test/feats.scp"])
def test_page_where_pictures_cannot_be_drawn(two, run, damage):
    write_features(REFS)
    (two / damage).write_text("damaged\n")
    run("a", "b")
    assert "Most fixed 1: spk" in page("compare_a_b").text


def test_all_experiments_are_compared_with_the_best_on_dev(two, run):
    make(two / "c", 0.2, draw=3)
    out = run()
    assert "against b" in out
    errors = out[:out.index("What they are")]
    assert re.findall(r"^ *([abc]) +test ", errors, re.MULTILINE) == ["b", "c", "a"]
    assert "From b to a, on test" in page("compare").text


@pytest.mark.parametrize("key", SORT_KEYS)
def test_sorting(two, run, key):
    order = [one["name"] for one in json.loads(run("--json", "a", "b", "--sort", key))["experiments"]]
    b_is_less = key in ("dev", "test", "toneless", "sandhi-blind", "sentences")
    assert order == (["b", "a"] if b_is_less else ["a", "b"])


@pytest.mark.parametrize(("words", "names"), [
    (["a", "b"], ["a", "b"]), (["b", "exp/a"], ["b", "a"]), (["mini*"], ["mini", "mini@1"]),
    (["mini"], ["mini", "mini@1"]), (["exp/mini@1"], ["mini@1"]), (["a", "*"], ["a", "b", "mini", "mini@1"]),
    (["[ab]"], ["b", "a"]),
])
def test_which_experiments_are_meant(two, run, words, names):
    for name in ("mini", "mini@1"):
        make(two / name)
    found = json.loads(run("--json", *words))
    paths = [Path(path).name for one in found["experiments"] for path in one["paths"]]
    assert sorted(paths) == sorted(names) and paths[0] == names[0]


def test_an_unknown_name(two, run):
    with pytest.raises(UserError, match=r"c\*: no experiment of this name or path; exp has a, b"):
        run("c*")


def test_json_holds_everything(two, run):
    found = json.loads(run("a", "b", "--json"))
    assert not Path("exp/compare_a_b.html").exists()
    a, b = found["experiments"]
    scores = scores_of(two / "a")
    assert a["sets"]["test"]["syllable_error_rate"] == {"mean": scores["syllable_error_rate"], "ci95": scores["ci95"],
                                                        "spread": None}
    assert (b["weights"], b["minutes"], b["git_commit"], b["config"]) == (2_000_000, 4, "bbb222", {"train.epochs": "4"})
    judged = [(one["a"], one["b"], one["part"]) for one in found["comparisons"]]
    assert judged == [("a", "b", "dev"), ("a", "b", "test")]
    assert all(one["probability"] > 0.99 for one in found["comparisons"])


def test_markdown(two, run):
    out = run("a", "b", "--md")
    assert "| experiment | set | syllables | against a | toneless | tones | sandhi-blind | sentences |" in out
    assert "| train.epochs | 3 | 4 |" in out


def test_a_moved_copy_compares_without_data(two, run, monkeypatch, tmp_path):
    make(two / "c", 0.3, draw=5)
    before = json.loads(run("a", "b", "--json"))
    elsewhere = tmp_path / "another machine"
    for name in "ab":
        shutil.copytree(two / name, elsewhere / name)
        (elsewhere / name / "final.ckpt").unlink()
    shutil.rmtree(two)
    shutil.rmtree("refs")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    after = json.loads(run(elsewhere / "a", elsewhere / "b", "--json"))
    assert after["comparisons"] == before["comparisons"]
    run(elsewhere / "a", elsewhere / "b")
    assert "From a to b, on test" in page("compare_a_b").text


SCORES = "score/test_greedy/score.json"
JUNK = b"\xff\xfe\x00junk\n\n1,2,3\n"


def damage(path: Path, content: bytes | None) -> None:
    """Another content; None: the file or folder is gone."""
    if content is not None:
        path.write_bytes(content)
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


@pytest.mark.parametrize(("names", "content", "said"), [
    (["config.yaml"], None, "damaged: exp/b/config.yaml: no such file"),
    (["config.yaml"], JUNK, "damaged: exp/b/config.yaml: not readable as YAML"),
    (["config.yaml"], b"", "damaged: exp/b/config.yaml: "),
    (["env.json"], JUNK, "damaged: exp/b/env.json: not utf-8"),
    ([SCORES], b"{}", f"damaged: exp/b/{SCORES}: utterances"),
    (["train.csv"], b"", "damaged: exp/b/train.csv: not readable as CSV"),
    (["train.csv"], b"epoch,dev_ser\n1,good\n", "damaged: exp/b/train.csv: dev_ser: not all numbers"),
    (["final.ckpt"], b"new", "stale: dev_greedy was scored with other weights than exp/b/final.ckpt"),
    (["score"], None, "unfinished: trained, but not scored; run doit score:b"),
    (["score", "final.ckpt"], None, "unfinished: 4 of 4 epochs trained"),
    (["score", "final.ckpt", "env.json"], None, "unfinished: training has only begun"),
])
def test_what_is_unfinished_or_damaged_is_listed(two, run, names, content, said):
    for name in names:
        damage(two / "b" / name, content)
    out = " ".join(run().split())
    assert f"left out: exp/b: {said}" in out and "aaa111" in out
    assert said in page("compare").text
    assert json.loads(run("--json"))["left_out"][0]["path"] == "exp/b"


@pytest.mark.parametrize("content", [None, JUNK, b""])
@pytest.mark.parametrize("name", ["per_utt", "per_spk"])
def test_damaged_details_do_not_stop_the_tables(two, run, content, name):
    damage(two / "b/score/test_greedy" / name, content)
    out = run("a", "b")
    assert "aaa111" in out and "bbb222" in out
    if name == "per_utt":
        assert "not comparable: exp/b/score/test_greedy/per_utt" in " ".join(out.split())
    assert f"exp/b/score/test_greedy/{name}" in page("compare_a_b").text


def test_an_experiment_of_another_version(two, run):
    path = two / "b/config.yaml"
    text = path.read_text().replace("\n  train:\n", "\n  magic: 7\n  train:\n    wand: oak\n")
    path.write_text(text)
    config = json.loads(run("a", "b", "--json"))["experiments"][1]["config"]
    assert config == {"train.epochs": "4", "magic": "7", "train.wand": "oak"}
    path.write_text(text.replace("epochs: 4", "epochs: few"))
    assert "left out: exp/b: damaged: exp/b/config.yaml: " in run("a", "b")


def test_nothing_finished_yet(here, run):
    assert "Nothing to compare" in run()
    damage(make(here / "a") / "score", None)
    assert "left out: exp/a" in run()
    assert "No experiment has been scored yet." in page("compare").text


def test_an_older_score_without_intervals(two, run):
    scores = scores_of(two / "a")
    del scores["intervals"]
    (two / "a" / SCORES).write_text(json.dumps(scores))
    assert f"{100 * scores['toneless_error_rate']:.2f} " in run("a", "b")


def test_other_test_sets_are_said_and_refused(two, run):
    refs = some_references(seed=9)
    make_run(two / "c", refs, {"dev": noisy(refs, 0.2, 1), "test": noisy(refs, 0.2, 2)}, corpus="other")
    out = " ".join(run("a", "c").split())
    assert "see notes" in out
    assert "c on dev; c on test; against a: not comparable: their test sets or references differ." in out
    assert "Not comparable: their test sets or references differ." in page("compare_a_c").text
    every = run()
    assert "against b" not in every and "(b)" in every


def test_seeds_are_one_row(two, run):
    for seed in (1, 2, 3):
        make(two / f"s@{seed}", 0.1 + 0.02 * seed, draw=10 * seed, seed=seed)
        make(two / f"t@{seed}", 0.35 + 0.02 * seed, draw=10 * seed + 1, seed=seed)
    out = " ".join(run("s", "t").split())
    assert " ± " in out and "p = 0.0" in out
    assert "against s: the difference exceeds the spread of 3 and 3 seeds." in out
    found = json.loads(run("s", "t", "--json"))["experiments"]
    assert [(one["name"], one["seeds"]) for one in found] == [("s", [1, 2, 3]), ("t", [1, 2, 3])]
    assert page("compare_s_t").tags.count("svg") == 1


@pytest.fixture
def swept(two):
    for rate in (0.01, 0.001, 0.0001):
        for epochs in (2, 3):
            for seed in (1, 2):
                make(two / f"lr@learning_rate-{rate},epochs-{epochs}@{seed}", 0.1 + 10 * rate, draw=100 * epochs + seed,
                     seed=seed, epochs=epochs, train={"epochs": epochs, "optimizer": {"learning_rate": rate}})
    return two


def test_a_sweep_has_a_table_and_a_plot_a_key_also_by_its_name(swept, run):
    out = run()
    table = out[out.index("Sweep lr"):]
    lines = re.split("─ *\n", table)[1].splitlines()[:6]
    assert [line.split()[:2] for line in lines] == [["0.0001", "2"], ["0.0001", "3"], ["0.001", "2"], ["0.001", "3"],
                                                    ["0.01", "2"], ["0.01", "3"]]
    assert sum("best on dev" in line for line in table.splitlines()) == 1
    assert "lr@" not in out[:out.index("Sweep lr")]
    told = page("compare")
    for expected in ("Sweep lr: errors by varied key", "learning_rate", "epochs 2", "learning_rate 0.01"):
        assert expected in told.text
    assert told.tags.count("svg") == 1 + 2
    found = json.loads(run("lr", "--json"))
    assert len(found["experiments"]) == 6 and found["experiments"][0]["seeds"] == [1, 2]
    run("lr")
    assert page("compare_lr").tags.count("svg") == 3


def test_values_come_from_the_config_where_names_only_hint(here, run):
    for number, dense in enumerate(([64, 32], [128]), 1):
        make(here / f"wide@dense-{number}", model={"blocks": [{"channels": 4}], "dense": dense})
    assert "64, 32" in re.split("─ *\n", run())[1]
