"""The corpus mini: what is said, that it is said as the label says, and that the same seed gives the same bytes."""

import os
import random
import re
import runpy
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from pypinyin import Style, pinyin

from local import espeak, mini
from local.espeak import Speech, phonemes, speak
from steps.common.errors import UserError
from steps.config.load import check, load_corpus
from steps.config.schema import Corpus

ROOT = Path(__file__).parent.parent
SMALL = mini.Options(utterances={"train": 12, "dev": 5, "test": 5})
CORPUS = Corpus(module="mini")
LEXICON = mini.lexicon()
CHUNKS = [list(LEXICON)[begin: begin + 8] for begin in range(0, len(LEXICON), 8)]
SYLLABLES = {syllable for syllables in LEXICON.values() for syllable in syllables}
ESPEAK_TONES = {"1": "55", "2": "35", "3": "214", "4": "51", "5": "11"}
STATEFUL = ["cmn+f1", "cmn+f2", "cmn+klatt4", "cmn+m1", "cmn+sandro", "cmn+victor"]  # flutter, noise, echo, Klatt


# what is said

def test_grammar_and_lexicon_hold_the_same_words():
    alternatives = " ".join(mini.GRAMMAR.values()).replace("|", " ").split()
    words = {word for word in alternatives if not word.startswith("<")}
    assert words == set(LEXICON)
    assert {word.strip("<>") for word in alternatives if word.startswith("<")} | set(mini.KINDS) == set(
        mini.GRAMMAR)


def test_pinyin_is_a_reading_of_every_hanzi():
    for word, syllables in LEXICON.items():
        for hanzi, syllable in zip(word, syllables, strict=True):
            readings = pinyin(hanzi, style=Style.TONE3, heteronym=True, neutral_tone_with_five=True)[0]
            assert syllable in readings or syllable in {each[:-1] + "5" for each in readings}, word


def test_vocabulary_is_of_the_intended_size_and_third_tone_sandhi_hides_nothing():
    assert 80 <= len(SYLLABLES) <= 120
    assert not [syllable for syllable in SYLLABLES if syllable[-1] == "3" and syllable[:-1] + "2" in SYLLABLES]


@settings(max_examples=5)
@given(st.integers(0, 2**31))
def test_sentences_are_short_and_no_syllable_is_rare(seed):
    sentences = mini.draw_sentences(1000, random.Random(seed))
    counts = Counter(syllable for sentence in sentences for syllable in sentence.pinyin.split())
    assert set(counts) == SYLLABLES
    assert min(counts.values()) >= 15
    assert {len(sentence.pinyin.split()) for sentence in sentences} <= set(range(3, 11))
    assert len({sentence.text for sentence in sentences}) > 400
    assert all(sentence.text.split() == [*sentence.words] for sentence in sentences)


def test_plans_depend_on_seed_and_set_and_voices_are_disjoint(tmp_path):
    plans = {name: mini.plan_set(name, SMALL, tmp_path) for name in mini.VOICES}
    assert plans["train"] == mini.plan_set("train", SMALL, tmp_path)
    other = mini.plan_set("train", SMALL.model_copy(update={"seed": 2}), tmp_path)
    assert [plan.sentence for plan in plans["train"]] != [plan.sentence for plan in other]
    voices = [voice for names in mini.VOICES.values() for voice in names.split()]
    assert len(voices) == len(set(map(str.lower, voices))) >= 30
    all_plans = [plan for part in plans.values() for plan in part]
    assert len({plan.noise_seed for plan in all_plans}) == len(all_plans)


# that it is said as the label says

@pytest.mark.parametrize("words", CHUNKS, ids=" ".join)
def test_espeak_reads_the_pinyin_as_mandarin_with_its_tones(words):
    said = phonemes(" ".join("".join(LEXICON[word]) for word in words), "cmn")
    assert "(" not in said, "espeak-ng changed the language"
    assert re.findall(r"55|35|214|51|11", said) == [ESPEAK_TONES[each[-1]] for word in words for each in LEXICON[word]]


@pytest.mark.parametrize("words", CHUNKS, ids=" ".join)
def test_espeak_reads_hanzi_and_pinyin_alike(words):
    words = [word for word in words if word != "调"]  # alone it is diao4
    texts = " ".join(words), " ".join("".join(LEXICON[word]) for word in words)
    hanzi, latin = (re.sub(r"[\d_|', ]", "", phonemes(text, "cmn")) for text in texts)  # without tones and stress
    assert hanzi == latin


def test_every_voice_exists():
    there = os.listdir(espeak._data_path() / "voices" / "!v")
    assert {voice.replace("_", " ") for names in mini.VOICES.values() for voice in names.split()} <= set(there)


def test_third_tones_in_a_row_are_spoken_as_the_docstring_says():
    row, sandhi = (speak(Speech(text, "cmn+f2", 120, 50)) for text in ("ma3 ma3 ma3", "ma2 ma2 ma3"))
    assert np.array_equal(row, sandhi)
    assert not np.array_equal(speak(Speech("ma3 ma1", "cmn+f2", 120, 50)), speak(Speech("ma2 ma1", "cmn+f2", 120, 50)))


# the same seed, the same bytes

@pytest.mark.parametrize("voice", STATEFUL)
def test_an_utterance_sounds_the_same_alone_and_after_others(voice):
    speech = Speech("da3kai1 deng1", voice, 145, 55)
    alone = speak(speech)
    for other in STATEFUL:
        speak(Speech("ming2tian1 xia4yu3 ma5", other, 165, 70))
    assert np.array_equal(speak(speech), alone)


def test_another_process_hears_the_same_at_another_time():
    program = ("import hashlib; from local.espeak import Speech, speak\n"
               f"for voice in {STATEFUL}: print(hashlib.sha256(speak(Speech('ma1', voice, 150, 50))).hexdigest())")
    runs = []
    for pause_s in 0, 1.1:  # espeak-ng would seed its noise with the clock's seconds
        time.sleep(pause_s)
        runs.append(subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True).stdout)
    assert runs[0] == runs[1]
    assert len(runs[0].split()) == len(STATEFUL)


def test_prepare_writes_what_it_says_whatever_the_number_of_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("YINJIE_NJ", "1")
    sets = mini.prepare(CORPUS, SMALL, tmp_path / "one")
    monkeypatch.setenv("YINJIE_NJ", "2")
    mini.prepare(CORPUS, SMALL, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert {name: len(utterances) for name, utterances in sets.items()} == SMALL.utterances
    speakers = [{utterance.spk for utterance in utterances} for utterances in sets.values()]
    assert not set.intersection(*speakers) and sum(map(len, speakers)) == len(set.union(*speakers))
    everyone = [utterance for utterances in sets.values() for utterance in utterances]
    assert len({utterance.utt for utterance in everyone}) == len(everyone)
    for utterance in everyone:
        assert utterance.utt.startswith(utterance.spk + "-")
        assert len(utterance.text.replace(" ", "")) == len(utterance.pinyin.split())
        info = soundfile.info(utterance.wav)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        assert 0.6 < info.duration < 4.5
        samples, _ = soundfile.read(utterance.wav)
        assert 0.05 < np.abs(samples).max() < 0.99


def test_prepare_again_mends_and_removes(tmp_path):
    first = mini.prepare(CORPUS, SMALL, tmp_path)
    before = contents(tmp_path)
    Path(first["train"][0].wav).write_bytes(b"RIFF half of")
    Path(first["test"][0].wav).unlink()
    (tmp_path / "wav" / "dev" / "f5-9999.wav").write_bytes(b"of another seed")
    assert mini.prepare(CORPUS, SMALL, tmp_path) == first
    assert contents(tmp_path) == before


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# what goes wrong

def test_the_shipped_config_fits():
    corpus = load_corpus("mini", ROOT / "conf")
    options = check(corpus.options, mini.Options, "mini.yaml")
    assert options.utterances == corpus.expected


def test_unknown_set_is_named(tmp_path):
    with pytest.raises(UserError, match=r"set 'eval'.*train, dev, test"):
        mini.prepare(Corpus(module="mini", sets=["eval"]), SMALL, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("text", "voice", "said"), [("ma1", "cmn+nobody", r"no voice 'cmn\+nobody'"),
                                                     ("", "cmn", "said nothing")])
def test_what_cannot_be_spoken(text, voice, said):
    with pytest.raises(UserError, match=said):
        speak(Speech(text, voice, 150, 50))


def test_a_crash_of_espeak_is_told(monkeypatch):
    monkeypatch.setattr(espeak, "_synthesize", lambda library, speech: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(UserError, match=r"died speaking.*exit status -9"):
        speak(Speech("ma1", "cmn", 150, 50))


NO_LIBRARY = mock.Mock(get_library_path=lambda: "/nowhere/libespeak-ng.so", get_data_path=lambda: "/nowhere")


@pytest.mark.parametrize("package", [NO_LIBRARY, None])
def test_a_missing_library_says_what_to_install(monkeypatch, package):
    monkeypatch.setitem(sys.modules, "espeakng_loader", package)
    with pytest.raises(UserError, match=r"pip install.*espeakng-loader"):
        espeak._library.__wrapped__()


@pytest.mark.parametrize(("folder", "mend"), [("/nowhere", "pip install"), ("/" + 200 * "a", "at most 159")])
def test_missing_data_says_what_to_do(folder, mend):
    program = (f"import espeakng_loader; espeakng_loader.get_data_path = lambda: {folder!r}\n"
               "from local.espeak import Speech, speak; from steps.common.errors import run\n"
               "run(lambda: speak(Speech('ma1', 'cmn', 150, 50)))")
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert folder in run.stderr and mend in run.stderr and "Traceback" not in run.stderr


def test_stages_answer_to_their_names_without_numbers(monkeypatch, capsys):
    for name in ("prepare", "lexicon", "features", "train", "decode", "score"):
        monkeypatch.setattr(sys, "argv", [name, "--help"])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(f"steps.{name}", run_name="__main__", alter_sys=True)  # as `python -m` does
        assert not ended.value.code and f"_{name}" in capsys.readouterr().out


def test_help_names_commands_as_one_types_them():
    for path in (ROOT / "steps").glob("*.py"):
        content = path.read_text(encoding="utf-8")
        assert "ArgumentParser(" not in content or f'prog="python -m steps.{path.stem}"' in content, path
