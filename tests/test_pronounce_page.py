"""The page and the command of pronounce."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from test_pronounce import PARTS, TOKENS, sound

from steps import pronounce
from steps.common.errors import UserError
from steps.deploy.assess import reading_aloud
from steps.deploy.pronounce_page import page
from steps.deploy.pronunciation import Recorded, Span, assess_utterance


def recorded(text, said, name="a.wav"):
    """A recording of `said`, half a second a syllable, against `text`."""
    spans = [Span(number / 2, number / 2 + 0.4) for number in range(len(said.split()))]
    assessment = assess_utterance(sound(said), reading_aloud(text), PARTS, lambda _: spans, len(spans) / 2)
    samples = np.sin(np.arange(8000 * len(spans)) * 0.06).astype(np.float32) / 2
    return Recorded(name, assessment, samples, 16000, np.random.default_rng(0).normal(size=(50 * len(spans), 80)))


def test_page_shows_what_was_off(tmp_path):
    html = page("hsk", [recorded("你好吗", "wo3 ni4 hao3"), recorded("你好", "ni3 hao3", "b.wav")], TOKENS)
    rows = re.findall(r'<tr class="(\w+)">(.*?)</tr>', html, re.S)
    english = [(error, re.sub(r'<span class="zh".*?</span>', "", row)) for error, row in rows]
    plain = [(error, re.sub(r"<[^>]+>|\s+", " ", row).split()) for error, row in english]
    assert [error for error, _ in plain] == ["Insertion", "Mispronunciation", "None", "Omission", "None", "None"]
    assert plain[1][1][:5] == ["你", "nǐ", "nì", "wrong", "·"]
    assert plain[1][1][5] == "tone"
    assert plain[0][1][:2] == ["+", "wǒ"]
    assert plain[3][1] == ["吗", "ma", "left", "out"]
    assert html.count("<polyline class=\"pitch\"") >= 2
    assert html.count("data:image/png;base64,") == html.count("data:audio/wav;base64,") == 2
    assert not re.search(r'(src|href)="(?!data:|#)', html)


def test_whatever_a_user_writes_is_escaped():
    evil = "<script>alert(1)</script>"
    html = page(evil, [recorded("你好", "ni3 hao3", evil), recorded("你好", "ni3 hao3", '" onload="x')], TOKENS)
    assert evil not in html
    assert ' onload="x' not in html


def test_list(tmp_path):
    table = tmp_path / "class.txt"
    table.write_text("a.wav\t你好\n\n/b/c.mp3\tni3 hao3\n", encoding="utf-8")
    assert pronounce.read_list(table) == [(tmp_path / "a.wav", "你好"), (Path("/b/c.mp3"), "ni3 hao3")]
    table.write_text("a.wav\t\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"class\.txt:1: "):
        pronounce.read_list(table)


def test_one_bad_recording_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    class Judge:
        tokens = TOKENS

        def __init__(self, model):
            pass

        def recording(self, path, reading):
            if path.name == "bad.wav":
                raise UserError(f"{path}: not readable as audio")
            return recorded(reading.text, "ni3 hao3", path.name)

    monkeypatch.setattr("steps.deploy.pronunciation.Judge", Judge)
    monkeypatch.setattr("steps.deploy.model.load_model", lambda exp_dir: None)
    readings = [(Path(name), reading_aloud("你好")) for name in ("a.wav", "bad.wav", "c.wav")]
    assert pronounce.judge(Path("exp/x"), readings, tmp_path / "page.html", "json") == 1
    out, err = capsys.readouterr()
    assert [json.loads(line)["File"] for line in out.splitlines()] == ["a.wav", "c.wav"]
    assert "error: bad.wav: not readable" in err and "1 of 3" in err
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("<section") == 2
    assert pronounce.judge(Path("exp/x"), readings[:1], None, "txt") == 0
    assert capsys.readouterr().out == "a.wav\t100.0\tnothing wrong\n"
