"""Pinyin to hanzi: what is read from lines, and what a small graph makes of them."""

import json

import pytest

from steps import hanzi
from steps.common.errors import UserError
from steps.search import lm, words


@pytest.fixture(autouse=True)
def newspaper(monkeypatch):
    monkeypatch.setattr(lm, "newspaper_clauses", lambda: [["中国"]])


@pytest.fixture
def writer(tmp_path, monkeypatch):
    few = {"我": 900, "我们": 800, "是": 700, "事": 300, "中国": 500, "人": 400, "中": 100, "国": 90, "的": 999,
           "有": 600}
    monkeypatch.setattr(words, "general_words", lambda: few)
    hanzi.general_graph(tmp_path, None, None)
    return hanzi.Writer(tmp_path)


@pytest.mark.parametrize(("line", "expected"), [
    ("wo3 men5 shi4 zhong1 guo2 ren2", "我们是中国人"), ("wo men shi zhong guo ren", "我们是中国人"),
    ("Wǒ men", "我们"), ("wo3men5, shi4 Zhong1-guo2 de ren2!", "我们，是中国的人！"),
    ("wo men shi4 ren2", "我们是人"),  # tones are missing
    ("wo2 you3 ren2", "我有人"), ("ren2 you3 ren2 you3", "人有人有"),  # tones as spoken
    ("lu:4 nü3 lǜ", "lv4nv3lv4"),  # syllables without a message stay pinyin
    ("3.5 ren2 (shi4)", "3.5人（是）"), ("我 shi4", "我是"), ("", ""), (" \t", "")])
def test_lines(writer, line, expected):
    assert writer.line(hanzi.parse(line)) == expected


@pytest.mark.parametrize("wrong", ["xyz", "zhong6", "nihao", "hǎo3", "nar4"])
def test_what_is_no_syllable_is_told(wrong):
    with pytest.raises(UserError, match=rf"lines.txt:2: .*{wrong}.*between syllables"):
        list(hanzi.parsed(["wo3", f"wo3 {wrong}"], "lines.txt"))


def test_words_and_text_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setattr(words, "general_words", lambda: {"是": 700, "事": 300, "好": 500})
    (tmp_path / "words").write_text("市 shi4 900000\n", encoding="utf-8")
    hanzi.general_graph(tmp_path / "a", tmp_path / "words", None)
    assert hanzi.Writer(tmp_path / "a")(["shi4"]) == ["市"]
    (tmp_path / "text").write_text("好事\n" * 40 + "是好\n" * 10, encoding="utf-8")
    hanzi.general_graph(tmp_path / "b", None, tmp_path / "text")
    assert hanzi.Writer(tmp_path / "b")(["hao3", "shi4"]) == ["好", "事"] or \
           hanzi.Writer(tmp_path / "b")(["hao3", "shi4"]) == ["好事"]
    (tmp_path / "lm").write_text("\\1-grams:\n-2 <unk>\n-99 <s>\n-1 </s>\n-1 好 -0.2\n-3 市\n-3 是\n\n"
                                 "\\2-grams:\n-0.1 好 市\n\n\\end\\\n", encoding="utf-8")
    hanzi.general_graph(tmp_path / "c", None, None, tmp_path / "lm")
    assert hanzi.Writer(tmp_path / "c")(["hao3", "shi4"]) == ["好", "市"]
    assert hanzi.Writer(tmp_path / "c")(["shi4"]) == ["是"]


def test_words_that_stand_together_in_the_newspaper(tmp_path, monkeypatch):
    monkeypatch.setattr(words, "general_words", lambda: {"是": 700, "事": 300, "好": 500})
    monkeypatch.setattr(lm, "newspaper_clauses", lambda: [["好", "事"], ["是"]] * 40)
    hanzi.general_graph(tmp_path, None, None)
    assert hanzi.Writer(tmp_path)(["hao3", "shi4"]) == ["好", "事"]
    assert hanzi.Writer(tmp_path)(["shi4"]) == ["是"]


def test_sources_of_ones_own_leave_the_general_graph_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(words, "general_words", lambda: {"是": 700, "事": 300})
    (tmp_path / "words").write_text("市 shi4 900000\n", encoding="utf-8")
    (tmp_path / "lines").write_text("shi4\n", encoding="utf-8")
    for arguments in (["lines"], ["lines", "--words", "words"], ["lines"]):
        monkeypatch.setattr("sys.argv", ["hanzi", *arguments])
        hanzi.main()
    said = capsys.readouterr()
    assert said.out.split() == ["是", "市", "是"] and said.err.count("making the graph") == 2
    (tmp_path / "words").write_text("市 shi9\n", encoding="utf-8")
    with pytest.raises(UserError, match="words:1: "):
        hanzi.general_graph(tmp_path / "exp/hanzi", tmp_path / "words", None)
    capsys.readouterr()
    hanzi.general_graph(tmp_path / "exp/hanzi", None, None)
    assert capsys.readouterr().err == ""  # the graph was not given up for a list that cannot be read


def test_graph_is_made_again_only_for_other_sources(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(words, "general_words", lambda: {"是": 7, "事": 3})
    for _ in range(2):
        hanzi.general_graph(tmp_path, None, None)
    assert capsys.readouterr().err.count("making the graph") == 1
    made_of = json.loads((tmp_path / "made_of.json").read_text(encoding="utf-8"))
    (tmp_path / "made_of.json").write_text(json.dumps(made_of | {"jieba": "0"}), encoding="utf-8")
    hanzi.general_graph(tmp_path, None, None)
    assert capsys.readouterr().err.count("making the graph") == 1
    monkeypatch.setattr(hanzi, "fingerprints", lambda name: {"steps/text/contexts.txt": "of a later version"})
    hanzi.general_graph(tmp_path, None, None)
    assert capsys.readouterr().err.count("making the graph") == 1
