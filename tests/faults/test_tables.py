"""A user's own table: what spreadsheets write is read whole, or refused with the line and a remedy."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import PLAIN, ROWS
from corpus_trees import speech

HEADER = PLAIN[0]
TABBED = [line.replace(",", "\t") for line in PLAIN]


def with_line(number: int, line: str) -> list[str]:
    """PLAIN with another line, counted from 1 as editors do."""
    return [*PLAIN[: number - 1], line, *PLAIN[number:]]


READ = {  # what is read as PLAIN is: lines, encoding, end of lines, options
    "plain": (PLAIN, "utf-8", "\n", {}),
    "byte order mark and CRLF": (PLAIN, "utf-8-sig", "\r\n", {}),
    "UTF-16 of Excel's Unicode Text": (TABBED, "utf-16", "\r\n", {}),
    "GBK, said so": (PLAIN, "gb18030", "\r\n", {"encoding": "gb18030"}),
    "Big5, said so": ([line.translate(str.maketrans("谢见", "謝再")) for line in PLAIN], "big5", "\n",
                      {"encoding": "big5"}),
    "semicolons": ([line.replace(",", ";") for line in PLAIN], "utf-8", "\n", {}),
    "another delimiter": ([line.replace(",", "^") for line in PLAIN], "utf-8", "\n", {"delimiter": "^"}),
    "tabs": (TABBED, "utf-8", "\n", {}),
    "upper-case header": ([HEADER.upper(), *PLAIN[1:]], "utf-8", "\n", {}),
    "Common Voice's header": (["path,client_id,sentence,split", *PLAIN[1:]], "utf-8", "\n", {}),
    "a header in hanzi": (["音频,说话人,文本,集合", *PLAIN[1:]], "utf-8", "\n", {}),
    "a header of the user": (["a,b,c,d", *PLAIN[1:]], "utf-8", "\n",
                              {"audio": "A", "speaker": "b", "text": "c", "set": "d"}),
    "empty lines and cells behind the end": ([HEADER + ",,", *(line + ",," for line in PLAIN[1:]), ",,,,,", ""],
                                             "utf-8", "\n", {}),
    "back-slashes": ([HEADER, *(line.replace("a", ".\\a", 1) for line in PLAIN[1:])], "utf-8", "\n", {}),
    "sets by other names": ([line.replace("train", "Training").replace("dev", "valid") for line in PLAIN],
                            "utf-8", "\n", {}),
    "quotation marks as RFC 4180 has them": ([HEADER, *('"' + line.replace(",", '","') + '"' for line in PLAIN[1:])],
                                             "utf-8", "\n", {}),
    "Excel's line sep=": (["sep=;", *(line.replace(",", ";") for line in PLAIN)], "utf-8-sig", "\r\n", {}),
    "quotation marks about all cells, and tabs": (['"' + line.replace(",", '"\t"') + '"' for line in PLAIN], "utf-16",
                                                  "\r\n", {}),
    "blank lines before": (["", " ", *PLAIN], "utf-8", "\n", {}),
    "full-width and invisible names": (["\ufeffａｕｄｉｏ,speaker,te\u200bxt,set", *PLAIN[1:]], "utf-8", "\n", {}),
    "numbers of rows, as pandas writes": (["," + HEADER, *(f"{at},{line}" for at, line in enumerate(PLAIN[1:]))],
                                          "utf-8", "\n", {}),
    "UTF-32": (PLAIN, "utf-32", "\n", {}),
    "full-width speakers and sets": ([line.replace(",s1", ",ｓ１").replace("train", "ｔｒａｉｎ") for line in PLAIN],
                                     "utf-8", "\n", {}),
    "two tables with byte order marks in one": ([*PLAIN[:2], "\ufeff" + PLAIN[2], *PLAIN[3:]], "utf-8-sig", "\n", {}),
    "folders up and down": ([HEADER, *(line.replace("a", "../own/./a", 1) for line in PLAIN[1:])], "utf-8", "\n", {}),
    "blanks around": ([line.replace(",", " , ") for line in PLAIN], "utf-8", "\n", {}),
}


@pytest.mark.parametrize("case", READ)
def test_read_whole(project, case):
    lines, encoding, end, options = READ[case]
    project.table(*lines, encoding=encoding, end=end)
    project.configure(options={"file": "t.csv", **options})
    assert project.prepare() == ""
    assert sorted(project.read("wav.scp")) == ["s1-a0", "s1-a1", "s2-a2", "s3-a3"]
    assert project.read("text")["s2-a2"] == ("再再" if encoding == "big5" else "再见")


def test_quotation_marks_in_a_tsv_are_text(project):
    project.table(*TABBED[:2], TABBED[2].replace("早", '"早'), TABBED[3], TABBED[4].replace("谢", '"谢'), name="t.tsv")
    project.configure(options={"file": "t.tsv"})
    assert project.prepare() == "" and len(project.read("text")) == 4


REFUSED = {  # lines, words of the error, options
    "set called otherwise": (with_line(3, "a1.wav,s1,早上好,tran"), "t.csv:3: there is no set 'tran'"),
    "an open quotation mark": ([*PLAIN[:2], 'a1.wav,s1,"早上好,train', *PLAIN[3:]], "t.csv:3: not readable"),
    "two open ones": ([*PLAIN[:2], 'a1.wav,s1,"早上好,train', PLAIN[3], 'a3.wav,s3,谢谢",test'],
                      "t.csv:3: a line break inside the cell"),
    "a line break in a cell": ([*PLAIN[:2], 'a1.wav,s1,"早上', '好",train', *PLAIN[3:4], "a3.wav,s3,谢谢,tst"],
                               "t.csv:3: a line break inside the cell"),
    "a zero byte": (with_line(3, "a1.wav,s1,早\0好,train"), "t.csv:3: a zero byte"),
    "a control character": (with_line(3, "a1.wav,s1,早\x07好,train"), "t.csv:3: a control character"),
    "two text columns": ([HEADER.replace("set", "text"), *PLAIN[1:]], "t.csv:1: two columns are called text, or alike"),
    "columns that differ in case": ([HEADER.replace("set", "Text"), *PLAIN[1:]], "called Text, or alike"),
    "no header": (PLAIN[1:], "its first line, which is to name the columns, has a0.wav, s1"),
    "an address": (with_line(3, "https://x.cn/a1.wav,s1,早上好,train"), "t.csv:3: https://x.cn/a1.wav: an address"),
    "a name in other case": (with_line(3, "A1.WAV,s1,早上好,train"), "own/A1.WAV: no such file; a1.wav is there"),
    "a name without its ending": (with_line(3, "a1,s1,早上好,train"), "own/a1: no such file; a1.wav is there"),
    "WeNet's list": (['{"key": "a0", "wav": "a0.wav", "txt": "你好"}'], "t.csv: JSON, not a table; if its"),
    "a JSON array": (["[", '{"audio": "a0.wav"}]'], "t.csv: JSON, not a table"),
    "a web page": (["<!DOCTYPE html>", "<table>"], "t.csv: a page of the web"),
    "a pointer of Git LFS": (["version https://git-lfs.github.com/spec/v1"], "git lfs pull"),
    "a wrong encoding told": (PLAIN, "not big5; it reads as utf-8 (你好)", {"encoding": "big5"}),
    "two that may be the text": (["audio,speaker,sentence,transcript", *PLAIN[1:]],
                                 "columns sentence, transcript may all be the text"),
    "a header one short": (["audio,speaker,text", *PLAIN[1:]], "t.csv:2: 4 cells, but the header has 3 columns"),
    "a row one short": (with_line(3, "a1.wav,s1,早上好"), "t.csv:3: 3 cells, but the header has 4 columns"),
    "no audio column": ([HEADER.replace("audio", "sound"), *PLAIN[1:]], "no column audio; its first line"),
    "no audio and no text": (["sound,speaker,words,set", *PLAIN[1:]], "no column audio, text or pinyin; its first"),
    "a column of the config that is not there": (PLAIN, "no column words; it has audio", {"text": "words"}),
    "a recording twice": ([*PLAIN, PLAIN[2]], "a1.wav is in line 3, too"),
    "no text": (with_line(3, "a1.wav,s1,,train"), "t.csv:3: nothing in column text"),
    "no speaker": (with_line(3, "a1.wav,,早上好,train"), "t.csv:3: nothing in column speaker"),
    "what is no syllable": ([HEADER.replace("text", "pinyin"), "a0.wav,s1,ni3 hao3,train", "a1.wav,s1,nix9,train"],
                            "t.csv:3: 'nix9' is not a syllable"),
    "one sentence of one speaker": (["audio,speaker,text", "a0.wav,s1,你好", "a1.wav,s1,你好"],
                                    "1 speaker with 1 sentence cannot be split"),
    "broken characters": (with_line(3, "a1.wav,s1,早\ufffd,train"), "t.csv:3: characters broken"),
    "lost characters": (with_line(3, "a1.wav,s1,锟斤拷,train"), "t.csv:3: characters broken"),
    "an entity of HTML": (with_line(3, "a1.wav,s1,3&lt;5,train"), "t.csv:3: the HTML entity &lt; in the text"),
    "a number's entity of HTML": (with_line(3, "a1.wav,s1,&#20320;,train"), "the HTML entity &#20320; in the text"),
    "a delimiter of two characters": (PLAIN, "delimiter: one character, a tab as", {"delimiter": "\\t"}),
    "a folder": (PLAIN, "own: a folder, but a table is needed", {"file": "."}),
    "an empty file": ([""], "t.csv:1: the file is empty"),
    "no rows": ([HEADER], "t.csv: no usable row"),
    "a set that is wanted and not there": ([line.replace("dev", "train") for line in PLAIN], "no row is of dev"),
    "speakers who would be one": ([*with_line(3, "a1.wav,s1-,早上好,train")[:3], "a2.wav,s1_,再见,dev", PLAIN[4]],
                                  "t.csv:4: the speakers s1_ and s1- would have the same id"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_its_line(project, case):
    lines, said, *options = REFUSED[case]
    project.table(*lines)
    for more in options:
        project.configure(options={"file": "t.csv", **more})
    assert said in project.prepare()
    assert not (project.root / "data/own/train").exists()


@pytest.mark.parametrize("text", ['{"audio": "a0.wav"}\n{"audio": "a1.wav"}',
                                  '[{"audio": "a0.wav"},\n {"audio": "a1.wav"}]'])
def test_the_command_that_makes_a_table_of_json_does_so(project, text):
    (project.own / "t.json").write_text(text)
    project.configure(options={"file": "t.json"})
    program = re.search(r'python -c "(.+?)"', project.prepare())[1]
    subprocess.run([sys.executable, "-c", program], cwd=project.root, check=True)
    assert (project.own / "t.json.csv").read_text() == "audio\na0.wav\na1.wav\n"


def test_sets_without_dev_are_not_offered_to_who_trains(project):
    project.table(*(line.replace("dev", "train") for line in PLAIN))
    assert "`sets:" not in project.prepare()
    project.table(PLAIN[0], *(line.replace("train", "test").replace("dev", "test") for line in PLAIN[1:]))
    assert "or write `sets: [test]`" in project.prepare()


@pytest.mark.parametrize("make", [os.link, os.symlink, shutil.copy])
def test_one_recording_under_two_names_is_told(project, capsys, make):
    for name in ("a1.wav", "a2.wav"):
        (project.own / name).unlink()
        make(project.own / "a0.wav", project.own / name)
    project.take()
    said = capsys.readouterr().err
    assert "twice in train: 1 recording, such as s1-a0 and s1-a1" in said
    assert "both in train and in dev: 1 recording, such as s1-a0 and s2-a2" in said


@pytest.mark.parametrize(("lines", "said"), [
    (PLAIN, ""),
    (with_line(4, "a2.wav,s1,再见,dev"), "note: speakers of dev who are in train, too: 1 of 1, such as s1"),
    ([*PLAIN, "a9.wav,s1,再见,test"], "warning: speakers of test who are in train, too: 1 of 2, such as s1")])
def test_speakers_of_several_sets_are_told(project, capsys, lines, said):
    speech(project.own / "a9.wav")
    project.take(*lines)
    found = capsys.readouterr().err
    assert said in found if said else "in train, too" not in found


@pytest.mark.parametrize(("encoding", "advised"), [("gb18030", "gb18030"), ("utf-16-le", "utf-16")])
def test_another_encoding_is_named_and_the_remedy_works(project, encoding, advised):
    project.table(*PLAIN, encoding=encoding)
    assert f"`encoding: {advised}`" in project.prepare()
    project.configure(options={"file": "t.csv", "encoding": advised})
    assert project.prepare() == "" and project.read("text")["s1-a0"] == "你好"


@pytest.mark.parametrize(("begin", "said"), [(b"PK\x03\x04", "a spreadsheet, not a table"), (b"\x1f\x8b", "gunzip "),
                                             (b"PAR1", "not a table"), (b"{\\rtf1", "not a table")])
def test_what_is_no_text_is_called_by_its_name(project, begin, said):
    project.write("own/t.csv", begin + bytes(100))
    assert "own/t.csv: " in project.prepare() and said in project.prepare()


def test_a_path_from_home(project, monkeypatch):
    monkeypatch.setenv("HOME", str(project.own))
    project.take(*with_line(3, "~/a1.wav,s1,早上好,train"))


@pytest.mark.parametrize(("there", "written"), [("e\u0301.wav", "\u00e9.wav"), ("\u00e9.wav", "e\u0301.wav")])
def test_files_and_speakers_as_macos_writes_them(project, capsys, there, written):
    (project.own / "a1.wav").rename(project.own / there)
    project.write("own/._a1.wav", b"\0\5\x16\7")
    project.table(*with_line(3, f"{written},s\u00e9,早上好,train"), "a9.wav,se\u0301,早,train")
    speech(project.own / "a9.wav")
    assert project.prepare() == "" and len(set(project.read("utt2spk").values())) == 4
    assert "in no row" not in capsys.readouterr().err


@pytest.mark.parametrize(("text", "read"), [
    ("第１２３号", "第123号"), ("ＣＣＴＶ", "CCTV"), ("你好\u200b汽车", "你好汽车"), ("你好\u00ad吗", "你好吗"),
    ("你\u3000好", "你 好"), ("e\u0301", "\u00e9")])
def test_wide_and_invisible_characters_are_mended(project, text, read):
    project.take(*with_line(3, f"a1.wav,s1,{text},train"))
    assert project.read("text")["s1-a1"] == read


def test_what_is_left_out_is_counted(project, capsys):
    project.table(*with_line(3, "a1.wav,s1,早\ufffd,train"))
    project.configure(skip_bad=True)
    assert project.prepare() == "" and len(project.read("text")) == 3
    said = capsys.readouterr().err
    assert "kept 3 of 4, left out:" in said and "t.csv:3: characters broken" in said
    assert "audio files are in no row, such as" in said and "a1.wav: not used" in said


def test_sets_that_are_not_asked_for_are_counted(project, capsys):
    project.table()
    project.configure(sets=["train", "dev"])
    assert project.prepare() == ""
    assert "1 utterance of the set test: not used" in capsys.readouterr().err


def test_files_of_one_name_have_ids_from_their_paths(project):
    for path in ("day1/0.wav", "day2/0.wav", "day2/1.wav"):
        speech(project.own / path)
    project.take(HEADER, "day1/0.wav,s1,你好,train", "day2/0.wav,s1,再见,dev", "day2/1.wav,s1,谢谢,test")
    assert sorted(project.read("utt2spk")) == ["s1-1", "s1-day1_0", "s1-day2_0"]


@pytest.mark.parametrize("names", [("S1", "S1-2"), ("a", "a,b"), ("甲", "甲 乙"), ("x", "x!y")])
def test_ids_sort_as_the_speakers_do(project, names):
    cells = [f'"{name}"' for name in names]
    project.take(HEADER, f"a0.wav,{cells[0]},你好,train", f"a1.wav,{cells[1]},早,train", *PLAIN[3:])
    assert len(set(project.read("utt2spk").values())) == 4


def test_without_speakers_or_sets(project):
    project.take(*(line.split(",")[0] + "," + line.split(",")[2] for line in PLAIN))
    assert project.read("utt2spk") == {f"a{number}": f"a{number}" for number in range(4)}


def test_three_speakers_are_split_by_speaker(project):
    project.take(*(line.rpartition(",")[0] for line in PLAIN))
    sets = [set((project.root / "data/own" / part / "spk2utt").read_text().split()) & {"s1", "s2", "s3"}
            for part in ("train", "dev", "test")]
    assert [len(speakers) for speakers in sets] == [1, 1, 1] and set.union(*sets) == {"s1", "s2", "s3"}


def test_one_speaker_is_split_by_sentence(project, capsys):
    project.take("audio,speaker,text", *(f"a{number}.wav,s1,{text}" for number, (_, _, text, _) in enumerate(ROWS)))
    assert len(project.read("text")) == 4
    assert "1 speaker cannot be split" in capsys.readouterr().err


def test_a_module_without_options(project, monkeypatch):
    """As a stranger writes it: `prepare` alone."""
    project.write("strangers.py", "def prepare(corpus, options, data_dir):\n    return {'train': [1]}\n")
    monkeypatch.syspath_prepend(str(project.root))
    monkeypatch.setattr("steps.corpus.find.load_module", lambda name: __import__("strangers"))
    project.configure("strangers", {"a": 1})
    assert "options: a: unknown key" in project.prepare()
    project.configure("strangers", {})
    assert "prepare must return" in project.prepare()


def test_a_corpus_named_in_hanzi(project):
    project.table()
    (project.root / "conf/corpora/录音.yaml").write_bytes((project.root / "conf/corpora/own.yaml").read_bytes())
    import steps.stage1_prepare
    assert project.stage(steps.stage1_prepare, "录音") == ""
    assert (project.root / "data/录音/train/text").exists()
