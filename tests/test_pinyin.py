"""The command steps.pinyin: text in, syllables out."""

import io
import sys

import pytest

from steps import pinyin


def read(monkeypatch, capsys, text: str, *arguments: str) -> tuple[list[str], str, int]:
    """The lines on stdout, what stands on stderr, and the exit status."""
    monkeypatch.setattr(sys, "argv", ["pinyin", *arguments])
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    with pytest.raises(SystemExit) as ended:
        pinyin.main()
    said = capsys.readouterr()
    return said.out.splitlines(), said.err, int(ended.value.code)


def test_a_line_gives_a_line(monkeypatch, capsys):
    out, err, status = read(monkeypatch, capsys, "我们都会去。\n\n我用hello☃\n他有2个女儿\n")
    assert out == ["wo3 men5 dou1 hui4 qu4", "", "", "ta1 you3 liang3 ge4 nv3 er2"]
    assert err.startswith("line 3: cannot be read: ☃, hello in 我用hello☃; ")
    assert status == 1


def test_advice_for_unknown_words_works_when_followed(monkeypatch, capsys, tmp_path):
    _, err, _ = read(monkeypatch, capsys, "WiFi\n")
    (tmp_path / "mine.txt").write_text(err.partition("a line such as ")[2], encoding="utf-8")
    assert read(monkeypatch, capsys, "用WiFi\n", "--user-dict", f"{tmp_path}/mine.txt") == (
        ["yong4 wai1 fei1"], "", 0)


def test_marks(monkeypatch, capsys):
    out, err, status = read(monkeypatch, capsys, "女儿的绿衣服\n", "--marks")
    assert (out, err, status) == (["nǚ ér de lǜ yī fu"], "", 0)


def test_the_policy_is_a_corpus_one(monkeypatch, capsys, tmp_path):
    (tmp_path / "mine.txt").write_text("hello ha1 lou2\n", encoding="utf-8")
    corpus = tmp_path / "c.yaml"
    corpus.write_text(f"module: table\npinyin: {{sandhi: spoken, user_dict: {tmp_path}/mine.txt}}\n", encoding="utf-8")
    out, _, status = read(monkeypatch, capsys, "hello，你好\n", "--policy", str(corpus))
    assert (out, status) == (["ha1 lou2 ni2 hao3"], 0)


def test_doubts_are_listed_with_their_odds(monkeypatch, capsys):
    sentences = "请转告他\n劲\n他在楼道里转\n"
    out, err, _ = read(monkeypatch, capsys, sentences, "--doubtful")
    assert len(out) == 3
    for line in err.splitlines():
        assert line.startswith("line ") and "[" in line
        probabilities = [float(word) for word in line.rpartition(": ")[2].split()[1::2]]
        assert probabilities == sorted(probabilities, reverse=True) and probabilities[0] < 0.955
    assert err.startswith("line 2: [劲]: jin4 0.92 jing4 0.08")
