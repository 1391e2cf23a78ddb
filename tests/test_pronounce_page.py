"""The page and the command of pronounce; the pitch contours that it draws."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from test_pronounce import PARTS, TOKENS, sound

from steps import pronounce
from steps.common.errors import UserError
from steps.deploy.assess import reading_aloud
from steps.deploy.pronounce_page import SHIFT_S, page, pitch
from steps.deploy.pronunciation import Recorded, Span, assess_utterance

RATE = 16000


def recorded(text, said, name="a.wav"):
    """A recording of `said`, half a second a syllable, against `text`."""
    spans = [Span(number / 2, number / 2 + 0.4) for number in range(len(said.split()))]
    assessment = assess_utterance(sound(said), reading_aloud(text), PARTS, lambda _: spans, len(spans) / 2)
    samples = np.sin(np.arange(8000 * len(spans)) * 0.06).astype(np.float32) / 2
    return Recorded(name, assessment, samples, RATE, np.random.default_rng(0).normal(size=(50 * len(spans), 80)))


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


def buzz(hertz):
    """A buzz with the given pitch at each sample, as a voice has it: harmonics that fall off."""
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    return sum(np.sin(number * phase) / number for number in range(1, 9)).astype(np.float32) * 0.2


@pytest.mark.parametrize("begin,end", [(200, 200), (120, 120), (250, 90), (100, 220), (380, 300), (75, 75)])
def test_finds_the_pitch_of_a_glide(begin, end):
    hertz = np.linspace(begin, end, RATE)
    found = pitch(buzz(hertz), RATE)
    expected = hertz[((np.arange(len(found)) + 0.5) * SHIFT_S * RATE).astype(int)]
    inner = slice(3, -3)
    assert np.nanmax(np.abs(found[inner] / expected[inner] - 1)) < 0.04
    assert np.isnan(found[inner]).mean() < 0.02


def test_silence_and_noise_have_none():
    noise = np.random.default_rng(0).normal(size=RATE).astype(np.float32) * 0.1
    assert np.isnan(pitch(np.zeros(RATE, np.float32), RATE)).all()
    assert np.isnan(pitch(noise, RATE)).mean() > 0.9
    assert len(pitch(np.zeros(10, np.float32), RATE)) == 0


def test_voiced_part_alone():
    sound = np.concatenate([np.zeros(RATE // 2, np.float32), buzz(np.full(RATE // 2, 150.0)),
                            np.zeros(RATE // 2, np.float32)])
    found = pitch(sound, RATE)
    voiced = np.flatnonzero(~np.isnan(found))
    assert 47 <= voiced[0] <= 53
    assert 95 <= voiced[-1] <= 103
