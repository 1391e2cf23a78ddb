"""Data directories: written, validated, mended, cut and combined as Kaldi has it."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from commands import call
from corpus_trees import lines, speech
from hypothesis import given, settings
from hypothesis import strategies as st

import steps.data_dir
from steps.common.errors import UserError
from steps.corpus.audio import check_audio
from steps.corpus.table import read_table, write_derived, write_table
from steps.corpus.validate import validate
from steps.corpus.write import Utterance, set_of, split_speakers, write_data_dir, write_sets
from steps.data_dir import combine, fix, spread, subset

IDS = ("anna-1", "anna-2", "bert-1", "bert-2")


@pytest.fixture
def data_dir(tmp_path) -> Path:
    """A valid directory of four utterances by two speakers."""
    utterances = [Utterance(utt, utt[:4], str(speech(tmp_path / f"wav/{utt}.wav")), "你 好", "ni3 hao3") for utt in IDS]
    write_data_dir(tmp_path / "train", utterances, [0.4] * len(IDS))
    return tmp_path / "train"


def faults(data_dir: Path) -> str:
    with pytest.raises(UserError) as error:
        validate(data_dir)
    return str(error.value)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_is_written(data_dir):
    assert (data_dir / "spk2utt").read_text() == "anna anna-1 anna-2\nbert bert-1 bert-2\n"
    assert (data_dir / "utt2dur").read_text().startswith("anna-1 0.4\n")
    summary = validate(data_dir, audio="deep")
    assert (summary.utterances, summary.speakers) == (4, 2) and summary.seconds == pytest.approx(1.6)


keys = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1)
values = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(keys, values, min_size=1))
def test_tables_are_read_as_written_and_sorted_as_c_sorts(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("table") / "text"
    write_table(path, table)
    assert read_table(path) == table
    raw = path.read_bytes().splitlines()
    assert [line.split(b" ")[0] for line in raw] == sorted(line.split(b" ")[0] for line in raw)


@pytest.mark.parametrize(("name", "old", "new", "said"), [
    ("text", "anna-2 你 好\n", "", "text: 1 of utt2spk are missing, the first is anna-2"),
    ("text", "anna-2 你 好", "anna-2", "text:2: anna-2: no value after the key"),
    ("text", "anna-2 你 好", "anna-1 你 好", "text:2: anna-1: the key is there twice"),
    ("text", "anna-1 你", "anna-3 你", "text:2: anna-2: not sorted (C order), it stands after anna-3"),
    ("text", "bert-2 你 好\n", "bert-2 你 好", "text: the last line has no newline"),
    ("text", "anna-1 你 好", "anna-1 你\u3000好", "text: anna-1: white space other than a plain blank"),
    ("text", "anna-1 你 好", "anna-1 你 <s>", "text: anna-1: <s> in the text"),
    ("text", "anna-1 你 好", "anna-1 你 \ufffd", "text: anna-1: characters broken by a wrong decoding"),
    ("text", "anna-1 你 好", "anna-1 Ｋ", "text: anna-1: full-width 'Ｋ'"),
    ("pinyin", "anna-1 ni3", "anna-1 ní", "pinyin: anna-1: 'ní' is not a tonal syllable"),
    ("pinyin", "anna-1 ni3", "anna-1 ni", "pinyin: anna-1: 'ni' is not a tonal syllable"),
    ("wav.scp", "anna-1 ", "anna-1 ~", "wav.scp: anna-1: ~"),
    ("utt2dur", "anna-1 0.4", "anna-1 0", "utt2dur: anna-1: 0 is not above 0"),
    ("utt2spk", "anna-2 anna", "anna-2 carl", "the order of utterances is not that of their speakers"),
    ("spk2utt", "anna-1 anna-2", "anna-1", "spk2utt: does not hold the same utterances and speakers as utt2spk"),
])
def test_faults_have_their_sentence(data_dir, name, old, new, said):
    edit(data_dir / name, old, new)
    assert said in faults(data_dir)


def test_missing_file_and_audio(data_dir):
    Path(read_table(data_dir / "wav.scp")["bert-1"]).unlink()
    assert "wav.scp: bert-1: " in faults(data_dir) and "no such file" in faults(data_dir)
    (data_dir / "utt2spk").unlink()
    assert "utt2spk: no such file" in faults(data_dir)


def test_all_kinds_of_faults_are_said_at_once_with_the_command_that_mends_them(data_dir):
    command = [Path.cwd(), "steps.data_dir", "validate", str(data_dir)]
    status, output = call(*command)
    assert status == 0 and "valid, 4 utterances" in output
    edit(data_dir / "text", "anna-1 你", "anna-1 Ｋ")
    edit(data_dir / "utt2dur", "anna-1 0.4", "anna-1 nan")
    status, output = call(*command)
    assert status == 1 and "Traceback" not in output
    for words in ("full-width", "nan is not above 0", f"steps.data_dir fix {data_dir}"):
        assert words in output


def test_speakers_must_sort_as_utterances(tmp_path):
    """A2_1 sorts behind A22_1, though A2 sorts before A22: Kaldi refuses such ids."""
    utterances = [Utterance(f"{spk}_1", spk, str(speech(tmp_path / f"{spk}.wav")), "好") for spk in ("A2", "A22")]
    with pytest.raises(UserError, match="the order of utterances is not that of their speakers"):
        write_sets(tmp_path / "data", {"train": (utterances, [0.4, 0.4])})
    assert list((tmp_path / "data").iterdir()) == []


def test_some_without_pinyin_are_refused_and_some_without_text_have_their_pinyin(tmp_path):
    both = [Utterance("a-1", "a", "1.wav", "你好", "ni3 hao3"), Utterance("a-2", "a", "2.wav", "", "hao3")]
    write_data_dir(tmp_path / "one", both, [1.0, 1.0])
    assert read_table(tmp_path / "one/text") == {"a-1": "你好", "a-2": "hao3"}
    with pytest.raises(UserError, match="1 of 2 utterances lack the pinyin that others of the set have, such as a-1"):
        write_data_dir(tmp_path / "two", [both[0]._replace(pinyin=None), both[1]], [1.0, 1.0])
    with pytest.raises(UserError, match="neither text nor pinyin"):
        write_data_dir(tmp_path / "two", [both[0]._replace(text="", pinyin=None)], [1.0])


def test_digital_silence_is_found(tmp_path):
    silent = speech(tmp_path / "silent.wav")
    silent.write_bytes(silent.read_bytes()[:44] + bytes(12800))
    assert "digital silence" in check_audio(str(silent), deep=True)


def test_fix_drops_what_is_unusable_and_says_why(data_dir):
    edit(data_dir / "text", "anna-1 你 好\n", "")
    edit(data_dir / "utt2dur", "anna-2 0.4", "anna-2 0")
    Path(read_table(data_dir / "wav.scp")["bert-1"]).write_bytes(b"")
    *said, kept = fix(data_dir)
    assert kept == f"{data_dir}: kept 1 of 4"
    said = "\n".join(said)
    for reason in ("anna-1: not in text", "anna-2: utt2dur: 0 is not above 0", "dropped bert-1: "):
        assert reason in said
    assert validate(data_dir).utterances == 1
    assert (data_dir / "spk2utt").read_text() == "bert bert-2\n"
    assert len(read_table(data_dir / ".backup/wav.scp")) == 4


def test_fix_mends_gbk_bom_crlf_order_duplicates_and_width(data_dir):
    rows = ["bert-2 Ｋ 好", "anna-1 你 好", "anna-1 你", "anna-2 你 好", "bert-1 你\u3000好"]
    (data_dir / "text").write_bytes("\r\n".join(rows).encode("gb18030"))
    (data_dir / "utt2dur").write_text((data_dir / "utt2dur").read_text(), encoding="utf-8-sig")
    assert fix(data_dir)[-1] == f"{data_dir}: kept 4 of 4"
    assert read_table(data_dir / "text") == {"anna-1": "你 好", "anna-2": "你 好", "bert-1": "你 好", "bert-2": "K 好"}
    validate(data_dir)


def test_fix_leaves_a_valid_directory_as_it_is(data_dir):
    before = {path.name: path.read_bytes() for path in data_dir.iterdir()}
    assert fix(data_dir) == [f"{data_dir}: kept 4 of 4"]
    assert before == {path.name: path.read_bytes() for path in data_dir.iterdir() if path.is_file()}


def test_fix_gives_up_where_nothing_would_be_left(data_dir):
    before = (data_dir / "utt2spk").read_text()
    lines(data_dir / "text", "other 好")
    with pytest.raises(UserError, match="nothing would be left"):
        fix(data_dir)
    assert (data_dir / "utt2spk").read_text() == before


def test_an_unknown_utterance_makes_no_subset(data_dir, tmp_path):
    with pytest.raises(UserError, match="carl-1: no such utterance"):
        subset(data_dir, tmp_path / "none", ["carl-1"])
    assert not (tmp_path / "none").exists()


@given(st.integers(1, 300), st.data())
def test_spread_takes_as_many_as_asked(total, data):
    number = data.draw(st.integers(1, total))
    chosen = spread([f"{position:03d}" for position in range(total)], number)
    assert len(set(chosen)) == number and chosen == sorted(chosen)


def test_only_a_data_directory_or_an_empty_folder_is_replaced(data_dir, tmp_path):
    (tmp_path / "home/letters").mkdir(parents=True)
    (tmp_path / "note").write_text("mine")
    os.mkfifo(tmp_path / "pipe")
    for target in ("home", "note", "pipe"):
        for write in (lambda path: subset(data_dir, path, ["anna-1"]), lambda path: combine([data_dir], path)):
            with pytest.raises(UserError, match=f"{target}: is there, but is not a data directory"):
                write(tmp_path / target)
    assert (tmp_path / "home/letters").is_dir() and (tmp_path / "note").read_text() == "mine"
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "empty").mkdir()
    for target in ("empty", "empty", "new"):
        assert subset(data_dir, tmp_path / target, ["anna-1"]).utterances == 1


def test_combine(data_dir, tmp_path):
    subset(data_dir, tmp_path / "a", ["anna-1", "bert-2"])
    subset(data_dir, tmp_path / "b", ["anna-2", "bert-1"])
    lines(tmp_path / "b/utt2lang", "anna-2 zh", "bert-1 zh")
    summary, left_out = combine([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert summary.utterances == 4 and left_out == [f"utt2lang: left out, {tmp_path / 'a'} has none"]
    for name in ("wav.scp", "text", "utt2spk", "spk2utt", "utt2dur", "utt2audio", "pinyin"):
        assert (tmp_path / "c" / name).read_text() == (data_dir / name).read_text()
    for name in ("wav.scp", "text", "utt2spk", "spk2utt", "utt2dur", "utt2audio", "pinyin", "utt2lang"):
        edit(tmp_path / "b" / name, "anna-2" if name == "spk2utt" else "anna-2 ", "anna-1 ")
    with pytest.raises(UserError, match=r"b/wav\.scp: anna-1: is .* here, and .* in another"):
        combine([tmp_path / "a", tmp_path / "b"], tmp_path / "d")


def test_with_features(data_dir, tmp_path):
    feature_dir = tmp_path / "fbank/train"
    feature_dir.mkdir(parents=True)
    lines(tmp_path / "fbank/features.yaml", "type: fbank")
    lines(feature_dir / "utt2num_frames", "anna-1 38", "bert-2 39")  # the others were left out
    with pytest.raises(UserError, match=r"feats\.scp: no such file; run stage 3"):
        steps.data_dir.with_features(data_dir, feature_dir, tmp_path / "both")
    lines(feature_dir / "feats.scp", "anna-1 feats.ark:7", "bert-2 feats.ark:99")
    steps.data_dir.with_features(data_dir, feature_dir, tmp_path / "both")
    assert read_table(tmp_path / "both/reco2dur") == {"anna-1": "0.38", "bert-2": "0.39"}
    assert validate(tmp_path / "both").utterances == 2


@pytest.mark.parametrize(("arguments", "kept"), [
    (["--first", "3"], ["anna-1", "anna-2", "bert-1"]),
    (["--utts", "2"], ["anna-1", "bert-1"]),
    (["--shortest", "1"], ["bert-2"]),
    (["--utt-list", "utts"], ["anna-2"]),
    (["--spk-list", "speakers"], ["bert-1", "bert-2"]),
])
def test_script_subset(data_dir, tmp_path, monkeypatch, arguments, kept):
    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "utts", "anna-2 with more behind it")
    lines(tmp_path / "speakers", "bert")
    edit(data_dir / "utt2dur", "bert-2 0.4", "bert-2 0.3")
    monkeypatch.setattr(sys, "argv", ["data_dir", "subset", "train", "part", *arguments])
    steps.data_dir.main()
    assert list(read_table("part/utt2spk")) == kept


def test_splits_are_stable():
    assert [set_of(word) for word in ("你好", "北京", "学习", "八")] == ["train", "train", "dev", "dev"]
    sets = split_speakers(f"speaker{number}" for number in range(50))
    assert sorted(sets.values()) == ["dev"] * 5 + ["test"] * 5 + ["train"] * 40
    assert sets == split_speakers(f"speaker{number}" for number in reversed(range(50)))
    with pytest.raises(UserError, match="2 speakers cannot be split"):
        split_speakers(["a", "b"])


def test_a_hand_mended_pinyin_survives_stage_1(tmp_path, capsys):
    """Derived pinyin goes with its directory; what was mended stays, of the utterances that are still there."""
    def prepare(pinyin, utts=IDS):
        said = [Utterance(utt, utt[:4], str(speech(tmp_path / f"wav/{utt}.wav")), "你 好", pinyin) for utt in utts]
        write_sets(tmp_path / "data", {"train": (said, [0.4] * len(utts))})
        return tmp_path / "data/train/pinyin"

    path = prepare(None)
    write_derived(tmp_path / "data", {"train": [f"{utt} ni3 hao3" for utt in IDS]})
    assert not prepare(None).exists()  # stage 2 will derive it again
    write_derived(tmp_path / "data", {"train": [f"{utt} ni3 hao3" for utt in IDS]})
    edit(path, "anna-2 ni3", "anna-2 ni2")
    prepare(None, IDS[:3])
    assert path.read_text() == "anna-1 ni3 hao3\nanna-2 ni2 hao3\nbert-1 ni3 hao3\n"
    assert "mended by hand, stays: 3 of its 4 utterances" in capsys.readouterr().err

    for mended in (False, True):  # of a corpus that ships pinyin
        shutil.rmtree(tmp_path / "data")
        path = prepare("ni3 hao3")
        if mended:
            edit(path, "anna-2 ni3", "anna-2 ni2")
        prepare("ni3 hao4")
        prepare("ni3 hao4")
        assert read_table(path)["anna-1"] == ("ni3 hao3" if mended else "ni3 hao4")
        assert read_table(path)["anna-2"] == ("ni2 hao3" if mended else "ni3 hao4")
