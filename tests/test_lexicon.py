"""Stage 2 on small data directories: what it writes, what it leaves alone, what it refuses."""

import sys
from pathlib import Path

import pytest
from commands import call

from steps import stage2_lexicon as stage
from steps.common.errors import UserError
from steps.config.schema import Pinyin
from steps.corpus import table as tables
from steps.corpus.table import is_derived, read_table
from steps.corpus.write import read_pinyin
from steps.stage2_lexicon import make_lexicon
from steps.text import transcripts

SETS = ["train", "dev", "test"]
TEXTS = {
    "train": {"a_1": "我们在北京", "a_2": "2024年他来了，我们不知道"},
    "dev": {"b_1": "我们去上海"},
    "test": {"c_1": "北京 的 天气", "c_2": "CEO在北京"},
}


def write_set(data_dir: Path, name: str, **tables: dict[str, str]) -> None:
    """Write tables of one set."""
    (data_dir / name).mkdir(parents=True, exist_ok=True)
    for table, rows in tables.items():
        lines = "".join(f"{utt} {value}\n" for utt, value in sorted(rows.items()))
        (data_dir / name / table).write_text(lines, encoding="utf-8")


def read(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def data_dir(tmp_path):
    for name, texts in TEXTS.items():
        write_set(tmp_path / "data/c", name, text=texts)
    return tmp_path / "data/c"


def test_files_of_a_corpus_without_pinyin(data_dir, capsys):
    before = {name: (data_dir / name / "text").read_bytes() for name in SETS}
    make_lexicon(data_dir, SETS, Pinyin())
    assert read(data_dir / "dev/pinyin") == ["b_1 wo3 men5 qu4 shang4 hai3"]
    assert read(data_dir / "train/pinyin")[1] == \
        "a_2 er4 ling2 er4 si4 nian2 ta1 lai2 le5 wo3 men5 bu4 zhi1 dao4"
    assert read(data_dir / "lang/tokens.txt")[:4] == ["<blk> 0", "bei3 1", "bu4 2", "dao4 3"]
    tokens = [line.split() for line in read(data_dir / "lang/tokens.txt")]
    assert [int(number) for _, number in tokens] == list(range(len(tokens)))
    assert "qu4" not in dict(tokens)  # of dev alone
    assert "北京 bei3 jing1" in read(data_dir / "lang/lexicon.txt")
    assert "京 jing1" in read(data_dir / "lang/lexicon.txt")
    assert not any("上海" in line for line in read(data_dir / "lang/lexicon.txt"))
    words = [line.split() for line in read(data_dir / "lang/words.txt")]
    assert words[0] == ["<eps>", "0"]
    assert [word for word, _ in words[-3:]] == ["#0", "<s>", "</s>"]
    assert [int(number) for _, number in words] == list(range(len(words)))
    lexicon = read(data_dir / "lang/lexicon.txt")
    assert [word for word, _ in words[1:-3]] == sorted({line.split()[0] for line in lexicon})
    assert before == {name: (data_dir / name / "text").read_bytes() for name in SETS}
    said = capsys.readouterr().out
    assert "dev: 1 utterance, 5 syllables, 5 distinct, 3 (3 distinct) not in train" in said
    assert "digits normalised in 1" in said
    assert read(data_dir / "lang/report.txt")[:3] == said.splitlines()[:3]


@pytest.mark.parametrize(("seconds", "told"), [(0.4, True), (0.5, False), (25, False), (26, True)])
def test_a_length_that_does_not_fit_the_syllables_is_told(data_dir, capsys, seconds, told):
    write_set(data_dir, "dev", utt2dur={"b_1": str(seconds)})
    make_lexicon(data_dir, SETS, Pinyin())
    said = "dev: 1 of 1 utterances have fewer than 0.2 or more than 10 syllables a second, such as b_1, 5 in"
    assert (said in capsys.readouterr().err) is told


@pytest.mark.parametrize(("seconds", "said"), [(1.5, "have 6.7 syllables a second"), (3.0, ""), (6.0, "have 1.7 s")])
def test_a_rate_that_half_of_the_sentences_lack_is_told(data_dir, capsys, seconds, said):
    utts = [f"b_{at}" for at in range(10, 20)]
    write_set(data_dir, "dev", text=dict.fromkeys(utts, "今天上海天气好不好呢"), utt2dur=dict.fromkeys(utts, seconds),
              utt2spk=dict.fromkeys(utts, "b"))
    make_lexicon(data_dir, SETS, Pinyin())
    found = capsys.readouterr().err
    assert said in found if said else "syllables a second" not in found


def test_a_set_without_text_beside_others_is_told(data_dir, capsys):
    write_set(data_dir, "dev", pinyin={"b_1": "wo3"})
    (data_dir / "dev/text").unlink()
    make_lexicon(data_dir, SETS, Pinyin())
    assert "dev/text: no such file, but other sets have one" in capsys.readouterr().err


def test_pinyin_that_is_not_as_it_was_written_is_doubtful(data_dir, capsys):
    assert tables.doubtful(data_dir, "dev") == ""  # nothing is noted yet
    make_lexicon(data_dir, SETS, Pinyin())
    assert tables.doubtful(data_dir, "dev") == ""
    path = data_dir / "dev/pinyin"
    path.write_text(path.read_text().replace("wo3", "wo4"))
    for _ in range(2):
        read_pinyin(path)
    assert capsys.readouterr().err.count("dev/pinyin: is not as it was written: it was mended by hand, or is") == 1


def test_the_report_tells_what_was_normalised_guessed_and_what_train_lacks(data_dir, capsys):
    write_set(data_dir, "train", text=TEXTS["train"] | {"a_3": "想听歌曲卷珠帘", "a_4": "喆在家"})
    make_lexicon(data_dir, SETS, Pinyin())
    report = read(data_dir / "lang/report.txt")
    spoken = "二 零 二 四年 他 来 了 我们 不 知道"
    assert f"train: digits normalised: a_2: {TEXTS['train']['a_2']} → {spoken}" in report
    assert "test: latin normalised: c_2: CEO在北京 → CEO 在 北京" in report
    assert "dev: not in train: shang4 1" in report
    assert "train: reading guessed: a_3: 想听歌曲[卷]珠帘: juan3 0.85 juan4 0.15" in report
    assert "train: rare character: a_4: 喆 zhe2" in report
    said = capsys.readouterr().out
    assert "1 guessed reading, 1 rare character" in said
    assert "rare characters 1, texts with digits 1, texts with latin 1; look at them" in said


def test_a_second_run_changes_nothing(data_dir):
    make_lexicon(data_dir, SETS, Pinyin())
    first = contents(data_dir)
    make_lexicon(data_dir, SETS, Pinyin())
    assert contents(data_dir) == first


def test_the_corpus_own_pinyin_wins_and_stays(data_dir):
    own = {"b_1": "wo3 men5 qv4 shang4 hai2"}
    write_set(data_dir, "dev", pinyin=own)
    write_set(data_dir, "train", pinyin={"a_1": "wo3 men5 zai3 bei3 jing1", "a_2": "ta1"})
    for policy in (Pinyin(), Pinyin(sandhi="spoken")):
        make_lexicon(data_dir, SETS, policy)
        assert read(data_dir / "dev/pinyin") == ["b_1 wo3 men5 qu4 shang4 hai2"]
        assert read(data_dir / "train/pinyin")[1] == "a_2 ta1"
    assert read(data_dir / "lang/tokens.txt")[1:] == ["bei3 1", "jing1 2", "men5 3", "ta1 4", "wo3 5", "zai3 6"]
    assert "在 zai3" in read(data_dir / "lang/lexicon.txt")
    assert "在 zai4" not in read(data_dir / "lang/lexicon.txt")
    report = read(data_dir / "lang/report.txt")
    assert "train: other than one syllable a character: a_2" in report
    assert "pinyin of the corpus" in report[0]
    assert "pinyin derived" in report[2]


def test_derived_pinyin_follows_the_policy(data_dir):
    write_set(data_dir, "dev", text={"b_1": "不去"})
    make_lexicon(data_dir, SETS, Pinyin())
    assert read(data_dir / "dev/pinyin") == ["b_1 bu4 qu4"]
    make_lexicon(data_dir, SETS, Pinyin(sandhi="spoken"))
    assert read(data_dir / "dev/pinyin") == ["b_1 bu2 qu4"]


def test_pinyin_mended_by_hand_is_kept(data_dir):
    make_lexicon(data_dir, SETS, Pinyin())
    assert is_derived(data_dir, "dev")
    write_set(data_dir, "dev", pinyin={"b_1": "wo3 men5 qu4 shang4 hai2"})
    assert not is_derived(data_dir, "dev")
    make_lexicon(data_dir, SETS, Pinyin(sandhi="spoken"))
    assert read(data_dir / "dev/pinyin") == ["b_1 wo3 men5 qu4 shang4 hai2"]


@pytest.mark.parametrize("survives", range(6))
def test_killed_between_two_files_it_is_made_good_by_the_next_run(data_dir, monkeypatch, survives):
    make_lexicon(data_dir, SETS, Pinyin())
    write = tables.write_lines
    left = iter(range(survives))

    def dying(path, lines):
        if next(left, None) is None:
            raise KeyboardInterrupt
        write(path, lines)

    policy = Pinyin(sandhi="spoken", neutral_tone="citation")
    monkeypatch.setattr(tables, "write_lines", dying)
    if survives < 5:
        with pytest.raises(KeyboardInterrupt):
            make_lexicon(data_dir, SETS, policy)
    monkeypatch.undo()
    make_lexicon(data_dir, SETS, policy)
    after = contents(data_dir)
    for name in SETS:
        (data_dir / name / "pinyin").unlink()
    make_lexicon(data_dir, SETS, policy)
    assert contents(data_dir) == after


def test_unreadable_text_stops_before_anything_is_written(data_dir):
    write_set(data_dir, "test", text={"c_1": "北京☃", "c_2": "说hello和☃", "c_3": "好", "c_4": "……"})
    write_set(data_dir, "dev", text={"b_1": "☃"})
    before = contents(data_dir)
    with pytest.raises(UserError) as error:
        make_lexicon(data_dir, SETS, Pinyin())
    said = str(error.value)
    assert "test/text: 3 of 4 utterances cannot be read aloud: ☃ (U+2603) 2×, hello 1×; in c_1, c_2, c_4" in said
    assert "dev/text: 1 of 1 utterances cannot be read aloud: ☃ (U+2603) 1×; in b_1" in said
    assert "Take signs and markers such as <NOISE> out of the text" in said and "unreadable: skip" in said
    assert "`pinyin` in place of `text`" in said
    assert contents(data_dir) == before


def test_unreadable_text_can_be_left_out_loudly(data_dir, capsys):
    write_set(data_dir, "test", text={"c_1": "北京☃", "c_2": "好"})
    make_lexicon(data_dir, SETS, Pinyin(unreadable="skip"))
    assert read(data_dir / "test/pinyin") == ["c_2 hao3"]
    said = capsys.readouterr()
    assert "WARNING" in said.err
    assert "c_1" in said.err
    assert "1 LEFT OUT as unreadable" in said.out
    assert "test: LEFT OUT as unreadable: c_1 ☃" in read(data_dir / "lang/report.txt")


def test_shipped_pinyin_needs_no_readable_text(data_dir):
    write_set(data_dir, "test", text={"c_1": "hello☃", "c_2": "hao3 a5"}, pinyin={"c_1": "ha1 lou2", "c_2": "hao3 a5"})
    make_lexicon(data_dir, SETS, Pinyin())
    assert read(data_dir / "test/pinyin") == ["c_1 ha1 lou2", "c_2 hao3 a5"]
    assert "test: other than one syllable a character: c_1" in read(data_dir / "lang/report.txt")


def test_a_corpus_of_pinyin_alone_has_tokens_and_no_words(data_dir):
    for name in SETS:
        (data_dir / name / "text").unlink()
        write_set(data_dir, name, pinyin={f"{name}_1": "ma1 ma2"})
    make_lexicon(data_dir, SETS, Pinyin())
    assert read(data_dir / "lang/tokens.txt") == ["<blk> 0", "ma1 1", "ma2 2"]
    assert read(data_dir / "lang/lexicon.txt") == []


@pytest.mark.parametrize(("tables", "message"), [
    ({"pinyin": {"b_1": "wo3 mem5 qu4"}}, "dev/pinyin: b_1: 'mem5' is not a syllable of Mandarin"),
    ({"pinyin": {"b_2": "wo3"}}, "dev/text: has no b_2, which pinyin has; run stage 1 again"),
    ({"text": {}}, "dev/text: the file is empty"),
])
def test_broken_tables_name_file_and_utterance(data_dir, tables, message):
    write_set(data_dir, "dev", **tables)
    with pytest.raises(UserError, match=message):
        make_lexicon(data_dir, SETS, Pinyin())


def test_a_missing_set_is_named(data_dir):
    (data_dir / "dev/text").unlink()
    with pytest.raises(UserError, match=r"dev/text: No such file"):
        make_lexicon(data_dir, SETS, Pinyin())


def test_processes_read_as_one_does(monkeypatch):
    texts = {f"u{number:02}": f"我们有{number}个一样的东西" for number in range(30)}
    alone = list(transcripts.transcribe(texts, Pinyin(), jobs=1))
    monkeypatch.setattr(transcripts, "SMALL", 0)
    monkeypatch.setattr(transcripts, "CHUNK", 4)
    assert list(transcripts.transcribe(texts, Pinyin(), jobs=2)) == alone
    assert [reading.utt for reading in alone] == list(texts)


def test_the_command(data_dir, monkeypatch, capsys):
    root = data_dir.parents[1]
    (root / "conf/corpora").mkdir(parents=True)
    (root / "conf/corpora/c.yaml").write_text("module: mini\npinyin: {sandhi: spoken}\n", encoding="utf-8")
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["lexicon", "c"])
    stage.main()
    assert "train: 2 utterances" in capsys.readouterr().out
    (root / "conf/corpora/c.yaml").write_text("module: mini\nsets: [dev]\n", encoding="utf-8")
    stage.main()  # a corpus for test alone: its words and tokens are of what it has
    syllables = set((root / "data/c/dev/pinyin").read_text().split()) - set(read_table(root / "data/c/dev/pinyin"))
    assert {line.split()[0] for line in (root / "data/c/lang/tokens.txt").read_text().splitlines()} == {
        "<blk>", *syllables}


def test_mistakes_are_one_line_and_status_1(tmp_path):
    (tmp_path / "conf/corpora").mkdir(parents=True)
    (tmp_path / "conf/corpora/c.yaml").write_text("module: mini\n", encoding="utf-8")
    status, output = call(tmp_path, "steps.stage2_lexicon", "c")
    assert status == 1
    assert output.startswith("error: data/c/train/text: No such file")
    assert "Traceback" not in output


def test_sentences_that_are_left_out_are_counted(tmp_path, capsys):
    path = tmp_path / "s.txt"
    path.write_text("你好\n\n我用@@@\nhello 世界 α\n再见\n", encoding="utf-8")
    assert [one.written for one in transcripts.transcribe_file(path, Pinyin())] == [["你好"], ["再见"]]
    assert "s.txt: 2 of 4 lines are left out, such as line 3: they hold" in capsys.readouterr().err
