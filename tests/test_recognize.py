"""Recognition: windows that equal the whole, phrases, formats, and the command."""

import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import soundfile
from commands import Command
from hypothesis import given
from hypothesis import strategies as st
from test_onnx_model import KINDS, TOKENS, write_trained
from test_sound import speech

from steps import recognize
from steps.common.errors import UserError
from steps.common.files import write_json
from steps.config.load import load_resolved
from steps.deploy.formats import FORMATS, Transcript
from steps.deploy.model import Calibration, OnnxModel, calibration_error, fit, load_model, out_of_fold, reliability
from steps.deploy.onnx_model import read_network
from steps.deploy.recognizer import Phrase, Recognizer, segments, windows
from steps.export import export
from steps.feats.archive import load_cmvn, mean_std
from steps.feats.compute import compute_feats
from steps.model.acoustic import AcousticModel
from steps.model.checkpoints import named_parameters, save_weights
from steps.search.alignment import Timed
from steps.search.ctc import greedy
from steps.text.syllables import tokens_hash

ROOT = Path(__file__).parent.parent


def write_lively(exp_dir: Path, **features) -> None:
    """A trained experiment whose weights are random, but such that it hears one thing after the other in `speech`."""
    write_trained(exp_dir, {**KINDS["residual"], "output": "plain"}, "fbank", **features)
    write_json(exp_dir / "buckets.json", [96, 160])
    config = load_resolved(exp_dir)
    network = read_network(exp_dir, config, TOKENS)
    parameters = named_parameters(network)
    parameters["output.weight"].set_data(parameters["output.weight"] * 10)
    mean, std = mean_std(load_cmvn(exp_dir / "cmvn"))
    feats = (compute_feats(speech(10), config.features) - mean) / std
    logits = network(ms.Tensor(feats[None])).asnumpy()
    parameters["output.bias"].set_data(parameters["output.bias"] - ms.Tensor(logits.mean(axis=(0, 1))))
    save_weights(exp_dir / "final.ckpt", parameters, {"tokens_sha256": tokens_hash(TOKENS)})
    export(exp_dir)


@pytest.fixture(scope="module")
def exp_dir(tmp_path_factory) -> Path:
    exp_dir = tmp_path_factory.mktemp("exp") / "small"
    write_lively(exp_dir)
    return exp_dir


@pytest.fixture(scope="module", params=KINDS)
def model(request, tmp_path_factory) -> OnnxModel:
    exp_dir = tmp_path_factory.mktemp("exp") / "small"
    write_trained(exp_dir, KINDS[request.param])
    return OnnxModel(export(exp_dir))


@pytest.mark.parametrize("frames", [1000, 1003, 35])
@pytest.mark.parametrize("window_s", [0.05, 0.7, 4.0])
def test_windows_equal_the_whole_bit_by_bit(model, frames, window_s):
    rng = np.random.default_rng(frames)
    feats = rng.normal(size=(frames, 20)).astype(np.float32) * 3 + 9
    parts = np.split(feats, np.sort(rng.integers(0, frames, 12)))
    found = list(windows(model, parts, window_s))
    np.testing.assert_array_equal(np.concatenate([part for part, _ in found]), feats)
    np.testing.assert_array_equal(np.concatenate([log_probs for _, log_probs in found]), model.one(feats))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), max_size=20), st.lists(st.integers(0, 99), max_size=4),
       st.integers(2, 7), st.integers(12, 60))
def test_phrases_lose_nothing_and_do_not_depend_on_the_parts(runs, cuts, pause, longest):
    path = np.array([token for token, length in runs for _ in range(length)], int)
    rng = np.random.default_rng(len(path))
    log_probs = np.log(rng.dirichlet(np.ones(3), len(path)) * 0.1 + 0.9 * np.eye(3)[path]).reshape(-1, 3)
    feats = np.arange(2 * len(path))[:, None]
    edges = sorted(min(cut, len(path)) for cut in cuts)
    parts = list(zip(np.split(feats, [2 * edge for edge in edges]), np.split(log_probs, edges), strict=True))
    found = list(segments(parts, 2, pause, longest))
    whole = list(segments([(feats, log_probs)], 2, pause, longest))
    assert [one.first for one in found] == [one.first for one in whole]
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_array_equal(one.log_probs, other.log_probs)
        np.testing.assert_array_equal(one.feats[:, 0], np.arange(2 * one.first, 2 * (one.first + len(one.log_probs))))
        assert len(one.log_probs) <= longest
    left = np.setdiff1d(np.arange(len(path)), [one.first + at for one in found for at in range(len(one.log_probs))])
    assert not path[left].any()
    if longest > len(path):  # no cut but in silence
        tokens = [emission.token for one in found for emission in greedy(one.log_probs)]
        assert tokens == [emission.token for emission in greedy(log_probs)]


def test_memory_and_time_of_silence_are_bounded():
    """An hour of silence makes no phrase, and is not kept."""
    quiet = np.log(np.full((250, 3), [0.98, 0.01, 0.01]))
    assert list(segments(((np.zeros((500, 1)), quiet) for _ in range(200)), 2, 10, 400))[-1].log_probs.shape[0] <= 10


def test_mindspore_hears_what_onnx_runtime_does(exp_dir, tmp_path, monkeypatch):
    bare = shutil.copytree(exp_dir, tmp_path / "bare", ignore=shutil.ignore_patterns("export"))
    samples = speech(6)
    ours, theirs = (list(Recognizer(folder).phrases([samples])) for folder in (exp_dir, bare))
    assert type(load_model(bare)) is not type(load_model(exp_dir))
    assert [[one.syllable for one in phrase.syllables] for phrase in ours] == [
        [one.syllable for one in phrase.syllables] for phrase in theirs]
    assert sum(len(phrase.syllables) for phrase in ours) > 5
    model = AcousticModel(bare)
    feats = compute_feats(samples, model.config.features)
    for cmn_frames in (0, 30):  # what is heard in parts is what is heard at once
        features = model.config.features.model_copy(update={"cmn_frames": cmn_frames})
        model.config = model.config.model_copy(update={"features": features})
        monkeypatch.setattr("steps.model.acoustic.WINDOW_S", 0.7)
        monkeypatch.setattr("steps.model.acoustic.BLOCK", 77)
        parts = list(model.parts(feats))
        np.testing.assert_array_equal(np.concatenate(parts), dict(model.log_probs([("a", feats)]))["a"])
        assert len(parts) > 5
    times = [(one.begin, one.begin + one.duration) for phrase in ours for one in phrase.syllables]
    assert all(begin < end for begin, end in times)
    assert all(end <= begin + 1e-9 for (_, end), (begin, _) in itertools.pairwise(times))


@pytest.fixture(scope="module")
def levelled(tmp_path_factory) -> Recognizer:
    """A model whose features are normalised by the utterance: by its level and by its mean."""
    exp_dir = tmp_path_factory.mktemp("exp") / "small"
    write_lively(exp_dir, cmn_frames=30, level_db=-20.0)
    return Recognizer(exp_dir)


@pytest.mark.parametrize("gain", [1, 0.1])
def test_an_utterance_that_is_normalised_by_itself(levelled, gain):
    samples = speech(12)
    expected = [one.token for one in greedy(levelled.model.one(compute_feats(samples, levelled.model.features)))]
    blocks = np.array_split(samples * np.float32(gain), 7)
    heard = [one.syllable for phrase in levelled.phrases(blocks) for one in phrase.syllables]
    assert heard == [levelled.model.tokens[token] for token in expected] != []
    assert list(levelled.stream(blocks))


def test_long_sound_is_several_utterances(levelled):
    samples = speech(75.02)
    phrases = list(levelled.phrases([samples]))
    times = [(one.begin, one.begin + one.duration) for phrase in phrases for one in phrase.syllables]
    assert times[-1][1] > 65 and times == sorted(times)
    assert max(end for _, end in times) <= 75.02
    assert phrases == list(levelled.phrases(np.split(samples, [5, 16000, 700_000])))


def test_an_export_of_an_earlier_training_is_not_used(exp_dir, tmp_path, capsys):
    write_trained(tmp_path, KINDS["plain"], "fbank")
    write_json(tmp_path / "buckets.json", [96])
    shutil.copytree(exp_dir / "export", tmp_path / "export")
    assert not isinstance(load_model(tmp_path), OnnxModel)
    assert "earlier training" in capsys.readouterr().err
    assert isinstance(load_model(tmp_path / "export"), OnnxModel)


PHRASES = [Phrase(0.5, 1.1, [Timed(0.5, 0.25, "ni3", 0.9), Timed(0.75, 0.35, "hao3", 0.8)]),
           Phrase(3661.5, 3662.0004, [Timed(3661.5, 0.5004, "lv4", 0.7)])]
HEARD = Transcript("a b.wav", 3663.0, PHRASES)


def test_formats():
    assert FORMATS["txt"](HEARD) == "ni3 hao3\nlv4\n"
    assert FORMATS["ctm"](HEARD).splitlines() == ["a_b.wav 1 0.500 0.250 ni3 0.900", "a_b.wav 1 0.750 0.350 hao3 0.800",
                                                  "a_b.wav 1 3661.500 0.500 lv4 0.700"]
    assert FORMATS["srt"](HEARD) == ("1\n00:00:00,500 --> 00:00:01,100\nni3 hao3\n\n"
                                     "2\n01:01:01,500 --> 01:01:02,000\nlv4\n\n")
    assert FORMATS["vtt"](HEARD).startswith("WEBVTT\n\n00:00:00.500 --> 00:00:01.100\nni3 hao3\n\n01:01:01.500 -->")
    found = json.loads(FORMATS["json"](HEARD))
    assert (found["file"], found["text"], found["duration"]) == ("a b.wav", "ni3 hao3 lv4", 3663.0)
    assert found["phrases"][0]["syllables"][1] == {"syllable": "hao3", "begin": 0.75, "end": 1.1, "confidence": 0.8}


def test_hanzi_where_there_are_words():
    phrase = Phrase(0.0, 4.4, [Timed(i * 0.2, 0.5 if i == 10 else 0.2, "ma1", 1.0) for i in range(21)],
                    (("一二三四五六七", 7), ("八九", 2), ("十一二", 3), ("三四五六七八九十一", 9)))
    heard = Transcript("a", 5.0, [phrase])
    assert FORMATS["txt"](heard) == "一二三四五六七八九十一二三四五六七八九十一\n"
    assert json.loads(FORMATS["json"](heard))["phrases"][0]["words"][1] == {
        "word": "八九", "begin": 1.4, "end": 1.8, "confidence": 1.0}
    praat = FORMATS["TextGrid"](heard)
    assert re.findall(r'name = "(\w+)"', praat) == ["phrases", "words", "syllables"]
    assert 'xmin = 1.400\n            xmax = 1.800\n            text = "八九"' in praat
    lines = [line.split("\n")[2] for line in FORMATS["srt"](heard).split("\n\n")[:-1]]
    assert lines == ["一二三四五六七", "八九十一二三四五六七八九十一"]


def test_words_of_ones_own(exp_dir, tmp_path):
    """Whatever is heard, the list's words are found, and syllables that are none of theirs."""
    (tmp_path / "words.txt").write_text("妈 ma1\n八 ba1\n中 zhong1\n", encoding="utf-8")
    found = list(Recognizer(exp_dir, words=tmp_path / "words.txt").phrases([speech(6)]))
    words = {word for phrase in found for word, _ in phrase.words}
    assert words & {"妈", "八", "中"} and words - {"妈", "八", "中"} <= {"a1", "ma3"}
    assert all(sum(count for _, count in phrase.words) == len(phrase.syllables) for phrase in found)


def test_praats_tiers_fill_the_recording():
    text = FORMATS["TextGrid"](HEARD)
    for tier in text.split("item [")[2:]:
        edges = [(float(low), float(high)) for low, high in re.findall(r"xmin = (\S+)\s+xmax = (\S+)\s+text", tier)]
        assert edges[0][0] == 0 and edges[-1][1] == 3663
        assert all(high == low for (_, high), (low, _) in itertools.pairwise(edges))
        assert int(re.search(r"size = (\d+)", tier)[1]) == len(edges)


def test_long_phrases_become_several_subtitles():
    syllables = [Timed(i * 0.2, 0.3 if i == 11 else 0.2, "ma1", 1.0) for i in range(40)]
    lines = FORMATS["srt"](Transcript("a", 9.0, [Phrase(0, 8.1, syllables)])).split("\n\n")[:-1]
    counts = [len(line.split("\n")[2].split()) for line in lines]
    assert sum(counts) == 40 and max(counts) <= 18 and counts[0] == 12


def command(*words: str) -> subprocess.CompletedProcess:
    started = Command(ROOT, "steps.recognize", *map(str, words))
    out, err = started.communicate()
    return subprocess.CompletedProcess(words, started.returncode, out.encode(), err.encode())


def start(*words) -> subprocess.Popen:
    """The command, which reads its standard input as it comes."""
    return subprocess.Popen([sys.executable, "-m", "steps.recognize", *map(str, words)], cwd=ROOT,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_broken_file_among_many_is_named_and_the_rest_goes_on(exp_dir, tmp_path):
    for name in ("a.wav", "sub/c.flac"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, speech(3, 22050), 22050)
    (tmp_path / "b.wav").write_bytes(b"RIFF broken")
    soundfile.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    (tmp_path / "notes.txt").write_text("not a recording")
    done = command(exp_dir, tmp_path, "--format", "json")
    assert done.returncode == 1
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(one["file"]).name for one in found] == ["a.wav", "silent.wav", "c.flac"]
    assert found[0]["text"] == found[2]["text"] != "" and found[0]["duration"] == 3.0
    assert b"b.wav: not readable" in done.stderr and b"1 of 4 recordings" in done.stderr
    assert b"silent.wav: digital silence" in done.stderr
    assert b"Traceback" not in done.stderr


def test_results_beside_each_file_take_no_other_files_place(exp_dir, tmp_path):
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, speech(3), 16000)
    assert command(exp_dir, tmp_path, "--format", "srt").returncode == 1
    done = command(exp_dir, tmp_path, "--format", "srt", "--beside")
    assert done.returncode == 0 and done.stdout == b""
    assert (tmp_path / "a.srt").read_text().startswith("1\n00:00:0")
    again = command(exp_dir, tmp_path / "a.wav", "--format", "srt", "--beside")
    assert again.returncode == 1 and b"a.srt: there already" in again.stderr
    assert command(exp_dir, tmp_path / "a.wav", "--format", "srt", "--beside", "--overwrite").returncode == 0


def test_a_stream_says_what_the_file_does(exp_dir, tmp_path):
    soundfile.write(tmp_path / "a.wav", speech(8), 16000)
    streamed, _ = start(exp_dir, "-", "--stream").communicate((tmp_path / "a.wav").read_bytes()[44:])
    assert streamed.split() == command(exp_dir, tmp_path / "a.wav").stdout.split() != []


def test_live_syllables_come_before_the_sound_ends(exp_dir):
    with start(exp_dir, "-", "--stream") as process:
        process.stdin.write((speech(4) * 32767).astype("<i2").tobytes())
        process.stdin.flush()
        assert process.stdout.read(1)  # while standard input is open
        process.stdin.close()
        process.stdout.read()
    assert process.returncode == 0


def test_a_reader_that_has_enough(exp_dir, tmp_path):
    soundfile.write(tmp_path / "a.wav", speech(2), 16000)
    with start(exp_dir, *[tmp_path / "a.wav"] * 3) as process:
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


@pytest.mark.parametrize("words", [["{exp}", "-", "--beside"], ["{exp}", "-", "--stream", "--format", "json"],
                                   ["{exp}", "-", "--stream", "--method", "wfst"]])
def test_mistakes_are_told(exp_dir, words, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["recognize", *(word.format(exp=exp_dir) for word in words)])
    with pytest.raises(UserError):
        recognize.main()


def test_calibration_finds_the_truth():
    """Syllables that are right as often as a known function of their probability says."""
    rng = np.random.default_rng(0)
    truth = Calibration(0.6, -0.5)
    probabilities = rng.beta(4, 0.5, 20_000)
    right = rng.random(20_000) < [truth(one) for one in probabilities]
    found = fit(probabilities, right)
    assert found == pytest.approx(truth, abs=0.1)
    raw = calibration_error(reliability(probabilities, right))
    assert calibration_error(reliability(out_of_fold(probabilities, right), right)) < 0.02 < raw


def test_calibration_of_a_dev_set_without_errors():
    found = fit(np.linspace(0.5, 1, 100), np.ones(100, bool))
    assert 0.9 < found(0.99) < 1
    assert Calibration()(0.3) == pytest.approx(0.3)
