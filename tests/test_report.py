"""The report: a well-formed, self-contained page that tells what score.json says, of finished and unfinished work."""

import base64
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from read_page import Page
from small_experiment import REFERENCE, TEXT, make_experiment, run_script

from steps import make_report as report
from steps import stage5_decode as decode
from steps import stage6_score as score
from steps.common.errors import UserError
from steps.common.files import write_json
from steps.corpus.table import write_table
from steps.make_report import learning_curves
from steps.report.errors import EPS
from steps.report.experiment import Results
from steps.report.page import TEMPLATES, chinese, render, spectrogram, spread
from steps.search.alignment import Timed

HISTORY = pd.DataFrame({
    "epoch": [1, 2, 3], "steps": [10, 20, 30], "seconds": [30.0, 60.0, 90.0], "learning_rate": [1e-4, 1e-3, 1e-5],
    "train_loss": [6.0, 2.0, 1.0], "grad_norm": [5.0, 4.0, 3.0], "dev_loss": [5.0, 2.5, 2.6],
    "dev_ser": [0.9, 0.25, 0.31], "best": [True, True, False]})


@pytest.fixture
def trained(monkeypatch, tmp_path):
    return make_trained(monkeypatch, tmp_path)


@pytest.fixture
def scored(monkeypatch, tmp_path):
    return make_scored(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished experiment's directory and its report, for tests that change nothing."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as monkeypatch:
        exp_dir = make_scored(monkeypatch, folder)
        return folder / exp_dir, read_report(monkeypatch, exp_dir)


def make_trained(monkeypatch, folder):
    exp_dir = make_experiment(monkeypatch, folder)
    write_json(exp_dir / "env.json", {"date": "2026-01-02T03:04:05+00:00", "git_commit": "abc123", "cores": 2,
                                      "processor": "A <fast> one"})
    HISTORY.to_csv(exp_dir / "train.csv", index=False)
    return exp_dir


def make_scored(monkeypatch, folder):
    exp_dir = make_trained(monkeypatch, folder)
    run_script(monkeypatch, decode, str(exp_dir), "test")
    run_script(monkeypatch, score, str(exp_dir), "test")
    (exp_dir / "score/test_greedy/SHA256SUMS").unlink()  # tests change what was scored
    return exp_dir


def read_report(monkeypatch, exp_dir) -> Page:
    run_script(monkeypatch, report, str(exp_dir))
    return Page((exp_dir / "report.html").read_text(encoding="utf-8"))


def test_report_tells_the_scores(finished):
    exp_dir, told = finished
    scores = json.loads((exp_dir / "score/test_greedy/score.json").read_text())
    low, high = scores["ci95"]
    for expected in ("66.67 %", "75.00 %", f"{100 * low:.2f} to {100 * high:.2f}", "1 / 4 / 1", "small", "abc123",
                     "2026-01-02 03:04", "3 epochs, 30 steps, 1.5 minutes on 2 cores of A <fast> one",
                     "best 25.00 %, epoch 2", "shi4 si4 1 base", "num_bins: 6"):
        assert expected in told.text


def test_report_is_self_contained(finished):
    _, told = finished
    assert told.tags.count("svg") == 3 + 4
    assert all(link.startswith(("#", "data:")) or link == "../compare.html" for link in told.links)


def test_worst_and_best_utterances_with_their_hanzi(finished):
    told = finished[1].text
    headings = re.findall(r"(Worst|Best) (\d): (\S+), (\d+) errors? in (\d+)", told)
    assert headings == [("Worst", "1", "bob-2", "4", "4"), ("Worst", "2", "bob-1", "1", "1"),
                        ("Best", "1", "amy-1", "0", "2"), ("Best", "2", "amy-2", "1", "2")]
    assert "你 ni3 ni3 好 hao3 hao3" in told
    assert "你 ni3 – 中 zhong1 – 国 guo2 – 好 hao3 –" in told


def test_report_is_the_same_each_time(monkeypatch, scored):
    assert read_report(monkeypatch, scored).source == read_report(monkeypatch, scored).source


def test_text_that_is_not_one_hanzi_a_syllable(monkeypatch, scored):
    write_table("data/toy/test/text", {**TEXT, "amy-1": "3<4 吗"})
    Path("exp/features/toy_fbank/test/feats.scp").unlink()
    assert "3<4 吗 ni3 ni3 hao3 hao3" in read_report(monkeypatch, scored).text


def test_unfinished_training(monkeypatch, trained):
    (trained / "train.csv").unlink()
    assert "Nothing has been decoded and scored yet." in read_report(monkeypatch, trained).text


def test_errors_of_hanzi_are_shown_where_there_are_any(monkeypatch, scored):
    path = scored / "score/test_greedy/score.json"
    assert "homophones forgiven" not in read_report(monkeypatch, scored).text
    of_hanzi = {"character_error_rate": 0.3, "homophone_error_rate": 0.07}
    write_json(path, json.loads(path.read_text()) | of_hanzi)
    told = read_report(monkeypatch, scored).text
    assert "characters homophones forgiven" in told and "30.00 % 7.00 %" in told


def test_features_that_are_gone(monkeypatch, scored):
    Path("exp/features/toy_fbank/test/feats.scp").unlink()
    Path("data/toy/test/text").unlink()
    told = read_report(monkeypatch, scored)
    assert "The features are not there any more" in told.text and told.tags.count("svg") == 3


def test_nothing_wrong(monkeypatch, scored):
    (scored / "decode/test_greedy/SHA256SUMS").unlink()
    (scored / "decode/test_greedy/pinyin").write_text("".join(f"{utt} {ref}\n" for utt, ref in REFERENCE.items()))
    run_script(monkeypatch, score, str(scored), "test")
    Path("exp/features/toy_fbank/test/feats.scp").unlink()
    told = read_report(monkeypatch, scored).text
    assert "The most frequent None." in told and "0.00 %" in told


def test_weights_of_language_models_are_drawn(monkeypatch, scored):
    grid = [{"weight": weight, "insertion": insertion, "syllable_error_rate": 0.2 + weight / 10 + insertion / 100}
            for weight in (0.4, 0.7) for insertion in (0.0, 2.0)]
    write_json(scored / "decode/tuning.json", {
        "set": "dev", "utterances": 2, "greedy": {"syllable_error_rate": 0.23},
        "prefix": {"grid": grid, "best": grid[0], "pays": False},
        "wfst": {"grid": [{"scale": 1.0, "syllable_error_rate": 0.1}], "pays": True,
                 "best": {"scale": 1.0, "syllable_error_rate": 0.1}}})
    told = read_report(monkeypatch, scored)
    for expected in ("prefix: best 24.00 % on dev", "wfst: best 10.00 % on dev", "insertion 2", "greedy",
                     "prefix is no better than greedy decoding on dev"):
        assert expected in told.text
    assert "wfst is no better" not in told.text


def test_main_set_is_test_else_the_last(monkeypatch, scored):
    folder = scored / "score"
    for name in ("dev_greedy", "extra_greedy"):
        facts = json.loads((folder / "test_greedy/score.json").read_text())
        write_json(folder / name / "score.json", {**facts, "set": name.split("_")[0]})
    results = Results(scored)
    assert [one.name for one in results.scored] == ["dev_greedy", "test_greedy", "extra_greedy"]
    assert results.main.name == "test_greedy"


@pytest.mark.parametrize(("of_dev", "pays", "expected"), [
    ({"greedy": 0.2, "prefix": 0.1}, True, "test_prefix"), ({"greedy": 0.2, "prefix": 0.1}, False, "test_greedy"),
    ({"greedy": 0.2, "prefix": 0.2}, True, "test_greedy"), ({}, True, "test_greedy")])
def test_the_method_that_dev_chose_leads(scored, of_dev, pays, expected):
    facts = json.loads((scored / "score/test_greedy/score.json").read_text())
    for part, method, rate in (("test", "prefix", 0.1), *(("dev", *one) for one in of_dev.items())):
        write_json(scored / f"score/{part}_{method}/score.json",
                   {**facts, "set": part, "method": method, "syllable_error_rate": rate})
    write_json(scored / "decode/tuning.json", {"greedy": {"syllable_error_rate": 0.2}, "prefix": {"pays": pays}})
    assert Results(scored).main.name == expected


@pytest.mark.parametrize(("name", "content", "said"), [
    ("score/test_greedy/score.json", '{"set": ', "not readable as JSON"),
    ("env.json", None, r"env.json: no such file; is it an experiment that was trained\?"),
    ("decode/test_greedy/ctm", "amy-1 1 0.0 0.1 ni3 0.9\n", "is not as .*per_utt has it; score it again"),
    ("decode/test_greedy/ctm", None, r"run stage 5 \(decode\) first"),
])
def test_damaged_experiments_name_the_file(monkeypatch, scored, name, content, said):
    (scored / "decode/test_greedy/SHA256SUMS").unlink()
    (scored / name).unlink()
    if content is not None:
        (scored / name).write_text(content)
    with pytest.raises(UserError, match=said):
        run_script(monkeypatch, report, str(scored))
    assert not (scored / "report.html").exists()


def test_curves_of_what_columns_there_are():
    assert len(learning_curves(HISTORY)) == 3
    assert len(learning_curves(HISTORY[["epoch", "dev_loss", "grad_norm"]])) == 1
    assert learning_curves(HISTORY[:0]) == []


def svg_texts(svg):
    """(text, x) of all that is written in a figure."""
    nodes = [node for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    return [(node.text, float(re.search(r"translate\(([-\d.]+)", node.get("transform", ""))[1]
                              if "translate" in node.get("transform", "") else node.get("x"))) for node in nodes]


def test_syllables_stand_below_their_frames():
    feats = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    times = [Timed(0.5, 0.1, "ni3", 0.9), Timed(1.95, 0.1, "si4", 0.8)]
    pairs = [("ni3", "ni3"), ("hao3", EPS), ("shi4", "si4")]
    texts = svg_texts(spectrogram(feats, 0.01, pairs, times, "x"))
    ticks = {text: x for text, x in texts if re.fullmatch(r"[0-3]\.[05]", text)}
    scale = (ticks["3.0"] - ticks["1.0"]) / 2
    for syllable, second in (("ni3", 0.55), ("si4", 2.0), ("shi4", 2.0), ("hao3", 1.275)):
        places = [x for text, x in texts if text == syllable]
        assert [(x - ticks["1.0"]) / scale + 1 for x in places] == pytest.approx([second] * len(places), abs=0.05)
    assert sum(text == "ni3" for text, _ in texts) == 2


@given(st.lists(st.floats(0, 10), max_size=12).map(sorted), st.floats(0.01, 2))
def test_spread_keeps_labels_apart(places, gap):
    apart = spread(np.array(places), gap)
    assert np.all(np.diff(apart) >= gap - 1e-9)
    if np.all(np.diff(places) >= gap):
        np.testing.assert_allclose(apart, places, atol=1e-9)


def test_pages_escape_what_they_are_given():
    told = Page(render("diagnosis.html", name="a < b", summary="<u>", findings=[], pictures=[("<script>", "")],
                       config="&"))
    assert told.tags.count("script") == 1 and "<script>" in told.text and "a < b" in told.text and "u" not in told.tags


def test_all_that_templates_say_has_its_chinese():
    said = {text for path in TEMPLATES.glob("*.html") for text in re.findall(r'\bt\("([^"]+)"', path.read_text())}
    assert len(said) > 30 and said <= chinese().keys()
    for english, other in chinese().items():
        assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", other))


def test_recordings_are_in_the_page(monkeypatch, scored):
    wav = Path("amy-1.wav")
    soundfile.write(wav, 0.1 * np.sin(np.arange(8000) / 5), 8000)
    write_table("data/toy/test/wav.scp", {"amy-1": str(wav), "amy-2": "gone.wav"})
    uri, = [link for link in read_report(monkeypatch, scored).links if link.startswith("data:audio")]
    samples, sample_rate = soundfile.read(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert sample_rate == 16000 and len(samples) / sample_rate == pytest.approx(1, abs=0.1)


def test_no_tones_to_judge_is_a_dash(monkeypatch, scored):
    (scored / "decode/test_greedy/SHA256SUMS").unlink()
    (scored / "decode/test_greedy/pinyin").write_text("".join(f"{utt}\n" for utt in REFERENCE))
    (scored / "decode/test_greedy/ctm").write_text("")
    run_script(monkeypatch, score, str(scored), "test")
    assert "– tones wrong on right syllables" in read_report(monkeypatch, scored).text
