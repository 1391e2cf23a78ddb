"""demo.html in a browser: from a file, dropped, recorded; by keyboard; on a phone; in both languages."""

import re

import numpy as np
import onnxruntime
import pytest
import soundfile

from steps.feats.audio import read_audio
from steps.feats.compute import compute_feats
from steps.search.ctc import greedy
from steps.text.syllables import accented
from tests.browser import browser, needs_browser
from tests.test_demo import FBANK, TOKENS, small_page, voice

pytestmark = needs_browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a small network, a recording, and the syllables that Python hears in it."""
    folder = tmp_path_factory.mktemp("demo")
    rng = np.random.default_rng(3)
    sound = np.concatenate([voice(0.5, seed) * rng.uniform(0.2, 2) for seed in range(5)])
    soundfile.write(folder / "a.wav", sound, 16000, subtype="PCM_16")
    feats = compute_feats(read_audio(folder / "a.wav", 16000), FBANK)
    _, model = small_page(folder / "demo.html", "residual", std=0.5)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    [log_probs] = session.run(["log_probs"], {"x": feats[None], "x_lens": np.array([len(feats)])})
    syllables = [TOKENS[one.token] for one in greedy(log_probs[0])]
    assert len(set(syllables)) > 1
    return folder, syllables


@pytest.fixture(scope="module")
def opened(page, tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile"), page[0] / "a.wav") as opened:
        yield opened


@pytest.fixture
def open_page(page, opened):
    opened.requests.clear()
    opened.open((page[0] / "demo.html").as_uri())
    yield opened
    assert opened.errors == []
    assert [url for url in opened.requests if not re.match("file:|blob:|data:", url)] == []


SHOWN = "!document.getElementById('result').hidden"


def text_of(opened, selector):
    return opened.evaluate(f"document.querySelector({selector!r}).textContent")


def test_a_file_and_a_text(page, open_page):
    folder, syllables = page
    open_page.choose_file("#file", folder / "a.wav")
    open_page.wait_for(SHOWN)
    assert text_of(open_page, "#said") == " ".join(accented(one) for one in syllables)
    assert open_page.evaluate("document.querySelectorAll('#syllables button').length") == len(syllables)
    assert open_page.evaluate("document.getElementById('picture').width") > 400
    text = " ".join(syllables[:-1])
    open_page.evaluate(f"const field = document.getElementById('text'); field.value = {text!r}; field.oninput()")
    assert text_of(open_page, "#pinyin") == " ".join(accented(one) for one in syllables[:-1])
    rows = open_page.evaluate("[...document.querySelectorAll('#verdicts tr')].map(row => row.className)")
    assert rows[0] == "" and len(rows) >= len(syllables)
    assert "syllables right" in text_of(open_page, "#verdicts h2")


def test_a_recording_from_the_microphone(page, open_page):
    open_page.press("r")
    open_page.wait_for("document.querySelector('#record.recording')")
    open_page.evaluate("new Promise(done => setTimeout(done, 1500))")
    open_page.press("r")
    open_page.wait_for(SHOWN)
    assert "Done in" in text_of(open_page, "#status")
    assert open_page.evaluate("parseFloat(document.getElementById('picture').style.width)") > 220


def test_what_is_no_sound(page, open_page, tmp_path):
    (tmp_path / "bad.wav").write_text("this is no sound")
    open_page.choose_file("#file", tmp_path / "bad.wav")
    open_page.wait_for("document.querySelector('#status.error')")
    assert "cannot be read as sound: bad.wav" in text_of(open_page, "#status")
    open_page.evaluate("const field = document.getElementById('text'); field.value = 'zhong2'; field.oninput()")
    assert "does not know: zhóng" in text_of(open_page, "#pinyin")


def test_keyboard_languages_and_a_phone(page, open_page):
    open_page.resize(360, 640, mobile=True)
    open_page.choose_file("#file", page[0] / "a.wav")
    open_page.wait_for(SHOWN)
    assert open_page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    open_page.evaluate("document.querySelector('#syllables button').focus()")
    open_page.press("ArrowRight")
    buttons = "[...document.querySelectorAll('#syllables button')]"
    assert open_page.evaluate(f"{buttons}.indexOf(document.activeElement)") == 1
    open_page.press("Enter")
    assert "Stop" in text_of(open_page, "#play")
    open_page.evaluate("document.getElementById('language').click()")
    assert text_of(open_page, "#record") == "● 录音"
    assert open_page.evaluate("document.documentElement.lang") == "zh"
    missing = open_page.evaluate("Object.keys(WORDS.en).filter(key => !(key in WORDS.zh))")
    assert missing == []
    reached = set()
    open_page.evaluate("document.body.focus(); document.activeElement.blur()")
    for _ in range(8):
        open_page.press("Tab")
        reached.add(open_page.evaluate("document.activeElement.id"))
    assert {"language", "text", "record", "pick", "play"} <= reached
