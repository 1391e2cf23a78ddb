"""Corpora whose text and pinyin do not go side by side, through all stages: pinyin without hanzi, and text of which
stage 2 leaves out what it cannot read."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml
from corpus_trees import SENTENCES, lines, speech
from small_experiment import run_script

import steps.data_dir
import steps.make_report
import steps.stage1_prepare
import steps.stage2_lexicon
import steps.stage3_features
import steps.stage4_train
import steps.stage5_decode
import steps.stage6_score
from steps.common.errors import UserError
from steps.corpus.table import read_table
from steps.corpus.validate import validate
from steps.corpus.write import read_data_dir
from steps.data_dir import fix

SETS = ("train", "dev", "test")
EXPERIMENT = {
    "features": "fbank",
    "model": {"blocks": [{"channels": 4, "layers": 1, "pool": [2, 2]}], "dense": [8]},
    "train": {"epochs": 1, "batch_size": 8, "buckets": 1},
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project to run stages in, one process for all work, with a table of three speakers' sentences."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YINJIE_NJ", "1")
    lines(tmp_path / "conf/features/fbank.yaml", "type: fbank", "num_bins: 20")
    return tmp_path


def write_table(root: Path, columns: dict[str, list[str]]) -> None:
    """speech.csv with a row a sentence and speaker, a speaker a set; `columns` are of the sentences."""
    (root / "corpus").mkdir()
    with open(root / "corpus/speech.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("audio", "speaker", "set", *columns))
        for spk, part in zip(("anna", "bert", "carl"), SETS, strict=True):
            for number, cells in enumerate(zip(*columns.values(), strict=True)):
                wav = speech(root / f"corpus/{spk}-{number}.wav", seconds=0.8)
                rows.writerow((wav.name, spk, part, *cells))


def configure(**keys) -> None:
    config = {"module": "table", "root": "corpus", "options": {"file": "speech.csv"}, **keys}
    lines(Path("conf/corpora/own.yaml"), yaml.safe_dump(config))
    lines(Path("conf/small.yaml"), yaml.safe_dump({"corpus": "own", **EXPERIMENT}))


def run_all(monkeypatch) -> dict:
    """Stages 1 to 6 and the report; returns what score.json says of test."""
    for module, arguments in ((steps.stage1_prepare, ["own"]), (steps.stage2_lexicon, ["own"]),
                              (steps.stage3_features, ["own", "fbank"]),
                              (steps.stage4_train, ["small"]), (steps.stage5_decode, ["exp/small", "test"]),
                              (steps.stage6_score, ["exp/small", "test"]), (steps.make_report, ["exp/small"])):
        run_script(monkeypatch, module, *arguments)
    return json.loads(Path("exp/small/score/test_greedy/score.json").read_text())


def test_pinyin_without_hanzi(project, monkeypatch):
    write_table(project, {"pinyin": list(SENTENCES.values())})
    configure()
    scores = run_all(monkeypatch)
    assert scores["utterances"] == len(SENTENCES) and scores["unread"] == 0
    assert "<svg" in Path("exp/small/report.html").read_text()
    for part in SETS:
        assert not Path(f"data/own/{part}/text").exists()
        assert validate(Path(f"data/own/{part}"), "deep").utterances == len(SENTENCES)
    tokens = [line.split()[0] for line in Path("data/own/lang/tokens.txt").read_text().splitlines()]
    assert tokens == ["<blk>", *sorted({one for line in read_table("data/own/train/pinyin").values()
                                        for one in line.split()})]

    before = {path: path.read_bytes() for path in Path("data/own/train").iterdir()}
    assert len(fix(Path("data/own/train"))) == 1  # nothing but the line of what was kept
    assert before == {path: path.read_bytes() for path in Path("data/own/train").iterdir() if path.is_file()}
    run_script(monkeypatch, steps.data_dir, "subset", "data/own/train", "data/part", "--first", "3")
    run_script(monkeypatch, steps.data_dir, "combine", "data/all", "data/part", "data/own/dev")
    assert len(read_table("data/all/pinyin")) == 3 + len(SENTENCES) and not Path("data/all/text").exists()


def test_kaldi_directories_with_pinyin_without_hanzi(project, monkeypatch):
    write_table(project, {"pinyin": list(SENTENCES.values())})
    configure()
    run_script(monkeypatch, steps.stage1_prepare, "own")
    Path("data/own").rename("kaldi")
    configure(module="kaldi", root="kaldi", options={})
    for module, arguments in ((steps.stage1_prepare, ["own"]), (steps.stage2_lexicon, ["own"]),
                              (steps.stage3_features, ["own", "fbank"])):
        run_script(monkeypatch, module, *arguments)
    for part in SETS:
        assert read_data_dir(Path("data/own") / part) == read_data_dir(Path("kaldi") / part)
    pinyin = Path("kaldi/dev/pinyin")
    pinyin.write_text("".join(pinyin.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(UserError, match="dev/pinyin: 1 of utt2spk are missing, the first is bert-bert-0"):
        run_script(monkeypatch, steps.stage1_prepare, "own")


@pytest.fixture
def unreadable(project):
    """Every speaker's first sentence cannot be read."""
    write_table(project, {"text": ["你好☃", *list(SENTENCES)[1:]]})
    configure(pinyin={"unreadable": "skip"})
    return project


def test_unreadable_text_is_left_out_of_training_and_scores(unreadable, monkeypatch, capsys):
    scores = run_all(monkeypatch)
    assert scores["utterances"] == len(SENTENCES) - 1 and scores["unread"] == 1 and scores["skipped"] == 0
    assert "test/pinyin: 1 decoded utterances are not in it" in capsys.readouterr().out
    assert len(read_table("exp/features/own_fbank/test/utt2num_frames")) == len(SENTENCES)
    assert Path("exp/small/score/test_greedy/per_utt").read_text().startswith("carl-carl-1 ")


def test_directories_with_unreadable_text_are_valid_and_say_so(unreadable, monkeypatch, capsys):
    # Stage 2 again: it knows its own files.
    for module in (steps.stage1_prepare, steps.stage2_lexicon, steps.stage2_lexicon):
        run_script(monkeypatch, module, "own")
    train = Path("data/own/train")
    assert validate(train).unread == 1
    assert str(validate(train)).endswith("h, 1 without pinyin, which `unreadable: skip` leaves out")
    assert len(fix(train)) == 1
    run_script(monkeypatch, steps.data_dir, "subset", "data/own/train", "data/part", "--first", "2")
    assert list(read_table("data/part/pinyin")) == ["anna-anna-1"]
    run_script(monkeypatch, steps.data_dir, "subset", "data/own/train", "data/none", "--first", "1")
    assert not Path("data/none/pinyin").exists()
    run_script(monkeypatch, steps.data_dir, "combine", "data/all", "data/part", "data/own/dev")
    assert validate(Path("data/all")).unread == 2
    (train / "text").write_text("".join((train / "text").read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(UserError, match="text: 1 of utt2spk are missing"):
        validate(train)


def test_a_combination_leaves_unreadable_text_out(unreadable, monkeypatch, capsys):
    lines(Path("conf/corpora/two.yaml"), Path("conf/corpora/own.yaml").read_text())
    for module in (steps.stage1_prepare, steps.stage2_lexicon):
        run_script(monkeypatch, module, "own")
    for path in unreadable.glob("corpus/*-*.wav"):
        shutil.copy(path, path.with_name(path.name.replace("-", "-0")))
    table = Path("corpus/speech.csv")
    table.write_text(table.read_text().replace("-", "-0"))
    for name, module in (("two", steps.stage1_prepare), ("two", steps.stage2_lexicon),
                         ("own+two", steps.stage1_prepare)):
        run_script(monkeypatch, module, name)
    assert "data/two/train: 1 of 8 left out: they have no pinyin" in capsys.readouterr().err
    assert len(read_table("data/own+two/train/text")) == 2 * (len(SENTENCES) - 1)


def test_pinyin_mended_by_hand_may_lack_lines_where_that_is_allowed(unreadable, monkeypatch, capsys):
    for module in (steps.stage1_prepare, steps.stage2_lexicon):
        run_script(monkeypatch, module, "own")
    pinyin = Path("data/own/dev/pinyin")
    pinyin.write_text(pinyin.read_text().replace("wo3 men5", "wo3 men2"))
    mended = pinyin.read_text()
    capsys.readouterr()
    run_script(monkeypatch, steps.stage2_lexicon, "own")
    assert pinyin.read_text() == mended
    said = capsys.readouterr()
    assert "dev/pinyin: the corpus' own, or mended by hand, lacks 1 of the 8 utterances of text: bert-" in said.err
    assert "1 LEFT OUT as without pinyin" in said.out
    configure()
    text = Path("data/own/train/text")
    text.write_text(text.read_text().replace("☃", ""))
    with pytest.raises(UserError, match=r"own/dev/pinyin: .* lacks 1 of (.*\n)+  Add the pinyin(.*\n)+  Or leave them"):
        run_script(monkeypatch, steps.stage2_lexicon, "own")
