"""The voices of the package ttskit: Mandarin syllables to speech, by its two networks in numpy.

ttskit (github.com/KuangDD/ttskit, MIT) brings Mellotron (Valle et al. 2020, "Mellotron", without its style tokens: a
Tacotron 2 with a speaker) and MelGAN (Kumar et al. 2019), trained on 24 voices. It wants a PyTorch of 2020, which
today's Pythons do not have. So the weights are read from the package's wheel, and the networks are computed here.

A voice is a vector: the MD5 of its name, as ttskit has it. What lies between two such vectors is a voice, too.
"""

import collections
import hashlib
import io
import pickle
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from steps.common.errors import UserError
from steps.text.syllables import split

WHEEL = "ttskit-0.3.8-py3-none-any.whl"
URL = f"https://files.pythonhosted.org/packages/e4/8b/19013da2d68c443efd0cbb1ac595db43956321fd93c590864da39991b767/{WHEEL}"
SIZE, MD5 = 59430399, "20f0c02fd8f122740c7d8e904f7ea152"
MODELS = "ttskit/resource/model"
SAMPLE_RATE = 22050
HOP = 256  # samples a frame
BINS = 80
SILENCE = -11.5129  # log of the mel spectrum if there is nothing
BEHIND = 10  # frames of silence after an utterance, so that the vocoder ends well
END = 0.8  # the gate's probability that the utterance has ended
DROPPED = 0.5  # of the prenet's values, in speaking, too: it is what makes two renderings differ
# Not used: Xiaowei, who does not end an utterance, and two very high voices, Xiaomei and Yina.
MEN = "Aicheng", "Aida", "Xiaogang", "Xiaoyun"
WOMEN = ("Aibao", "Aijia", "Aijing", "Aimei", "Aina", "Aiqi", "Aitong", "Aiwei", "Aixia", "Aiya", "Aiyu", "Aiyue",
         "Siyue", "Xiaobei", "Xiaomeng", "Xiaoxue", "biaobei")  # and children

SYMBOLS = """_ ~ -
    aa b c ch d ee f g h ii j k l m n oo p q r s sh t uu vv x z zh
    a ai an ang ao e ei en eng er i ia ian iang iao ie in ing iong iu ix iy iz o ong ou u ua uai uan uang ueng ui un uo
    v van ve vn ng uong
    1 2 3 4 5"""  # in ttskit's order: padding, end, behind a syllable; initials; finals; tones
IDS = {symbol: number for number, symbol in enumerate(SYMBOLS.split())}
SPELLED = {"iou": "iu", "uei": "ui", "uen": "un", "io": "o", "n": "ng"}  # finals as ttskit has them
UNSPOKEN = "m", "hm"  # interjections that ttskit has no symbols for
BUZZING = {"z": "iy", "c": "iy", "s": "iy", "zh": "ix", "ch": "ix", "sh": "ix", "r": "iz"}  # their i

Weights = dict[str, np.ndarray]  # by PyTorch's names, float32


class Networks(NamedTuple):
    """The two networks."""

    mellotron: Weights
    melgan: Weights


class Speech(NamedTuple):
    """One utterance as Mellotron speaks it."""

    mel: np.ndarray  # log mel spectrum, float32 (frames, BINS)
    path: np.ndarray  # the symbol that each frame attends to, int (frames,)


def read_networks(root: Path) -> Networks:
    """The networks in the wheel in `root`. Raises UserError if it is missing or not what it should be."""
    wheel = root / WHEEL
    try:
        with zipfile.ZipFile(wheel) as files:
            mellotron, melgan = (read_weights(files.read(f"{MODELS}/{name}.pt"))
                                 for name in ("mellotron.kuangdd-mspk", "melgan.kuangdd"))
    except FileNotFoundError:
        raise UserError(f"{wheel}: no such file; get it: ./path.sh python -m steps.download voices") from None
    except (zipfile.BadZipFile, KeyError, pickle.UnpicklingError) as error:
        raise UserError(f"{wheel}: broken ({error}); remove it and get it again: ./path.sh python -m steps.download "
                        "voices") from None
    return Networks(mellotron, _without_norm(melgan))


def read_weights(file: bytes) -> Weights:
    """The weights of a network that `torch.save` wrote as a whole, without PyTorch. No code of the file is run: all
    classes that it names become `_Anything`."""
    with zipfile.ZipFile(io.BytesIO(file)) as parts:
        top = parts.namelist()[0].partition("/")[0]
        network = _Unpickler(io.BytesIO(parts.read(f"{top}/data.pkl")), parts, top).load()
    return dict(_weights(network, ""))


def voice(name: str) -> np.ndarray:
    """A voice's vector, float32 (32,)."""
    return (np.array([int(digit, 16) for digit in hashlib.md5(name.encode()).hexdigest()], np.float32) - 7) / 10


def symbols(syllables: Sequence[str]) -> list[int]:
    """The ids of tonal syllables, none of UNSPOKEN: initial, final, tone and `-` of each, then the end."""
    names = []
    for syllable in syllables:
        parts = split(syllable)
        vowel = parts.final[0]
        initial = parts.initial or ("ee" if parts.final == "ng" else vowel if vowel == "n" else 2 * vowel)
        final = BUZZING[initial] if parts.final == "i" and initial in BUZZING else SPELLED.get(parts.final, parts.final)
        names += [initial, final, parts.tone, "-"]
    return [IDS[name] for name in [*names, "~", "_"]]


def speak(net: Weights, ids: np.ndarray, voices: np.ndarray, rng: np.random.Generator,
          most_frames: int) -> list[Speech | None]:
    """Mellotron on `ids` (utts, symbols) in `voices` (utts, 32); None for an utterance without an end.

    Shen et al. 2018 ("Natural TTS synthesis by conditioning WaveNet on mel spectrogram predictions"), attention of
    Chorowski et al. 2015.
    """
    memory = np.concatenate([_encode(net, net["embedding.weight"][ids]),
                             np.repeat(_linear(net, "speaker_embedding", voices)[:, None], ids.shape[1], 1)], 2)
    frames, paths, gates = [], [], []
    for frame, path, gate in _decode(net, memory, rng):
        frames.append(frame)
        paths.append(path)
        gates.append(gate)
        if len(frames) == most_frames or np.all(np.max(gates, 0) > END):
            break
    mel = np.stack(frames, 1)
    mel += _postnet(net, mel)
    ended = np.stack(gates, 1) > END
    return [Speech(each[:end.argmax()], path[:end.argmax()]) if end[1:].any() and not end[0] else None
            for each, path, end in zip(mel, np.stack(paths, 1), ended, strict=True)]


def vocode(net: Weights, mel: np.ndarray) -> np.ndarray:
    """MelGAN: a log mel spectrum (frames, BINS) as float32 samples (HOP × frames,), full scale ±1."""
    x = np.pad(mel, ((0, BEHIND), (0, 0)), constant_values=SILENCE)[None] / 5 + 1
    x = _conv(net, "generator.1", x, mode="reflect")
    for at, stride in (3, 8), (6, 8), (9, 2), (12, 2):
        x = _stretch(net, f"generator.{at}", _leaky(x), stride)
        for i in range(3):
            stack = f"generator.{at + 1}"
            inner = _leaky(_conv(net, f"{stack}.blocks.{i}.2", _leaky(x), 3 ** i, "reflect"))
            x = _conv(net, f"{stack}.shortcuts.{i}", x) + _conv(net, f"{stack}.blocks.{i}.4", inner)
    return np.tanh(_conv(net, "generator.16", _leaky(x), mode="reflect"))[0, :-BEHIND * HOP, 0]


def _encode(net: Weights, x: np.ndarray) -> np.ndarray:
    for i in range(3):
        x = np.maximum(_normed_conv(net, f"encoder.convolutions.{i}", x), 0)
    outputs = []
    for direction, order in ("_l0", range(x.shape[1])), ("_l0_reverse", reversed(range(x.shape[1]))):
        state = _rest(net, "encoder.lstm", len(x), direction)
        hidden = {}
        for at in order:
            state = _lstm(net, "encoder.lstm", x[:, at], state, direction)
            hidden[at] = state[0]
        outputs.append(np.stack([hidden[at] for at in range(x.shape[1])], 1))
    return np.concatenate(outputs, 2)


def _decode(net: Weights, memory: np.ndarray, rng: np.random.Generator
            ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Without end: the next frame (utts, BINS), the symbol attended to (utts,), the gate (utts,)."""
    utts, symbols_, width = memory.shape
    attention_layer = "decoder.attention_layer"
    keys = _linear(net, f"{attention_layer}.memory_layer.linear_layer", memory)
    location = np.einsum("aj,jck->ack", net[f"{attention_layer}.location_layer.location_dense.linear_layer.weight"],
                         net[f"{attention_layer}.location_layer.location_conv.conv.weight"])
    frame, context = np.zeros((utts, BINS), np.float32), np.zeros((utts, width), np.float32)
    weights = total = np.zeros((utts, symbols_), np.float32)
    attending, speaking = (_rest(net, f"decoder.{name}_rnn", utts) for name in ("attention", "decoder"))
    while True:
        for i in range(2):
            frame = np.maximum(_linear(net, f"decoder.prenet.layers.{i}.linear_layer", frame), 0)
            frame *= (rng.random(frame.shape, np.float32) >= DROPPED) / np.float32(1 - DROPPED)
        attending = _lstm(net, "decoder.attention_rnn", np.concatenate([frame, context], 1), attending)
        query = _linear(net, f"{attention_layer}.query_layer.linear_layer", attending[0])[:, None]
        energy = np.tanh(keys + query + _convolve(np.stack([weights, total], 2), location))
        energy = np.exp(_linear(net, f"{attention_layer}.v.linear_layer", energy)[..., 0])
        weights = energy / energy.sum(1, keepdims=True)
        total = total + weights
        context = np.einsum("ut,utw->uw", weights, memory)
        speaking = _lstm(net, "decoder.decoder_rnn", np.concatenate([attending[0], context], 1), speaking)
        seen = np.concatenate([speaking[0], context], 1)
        frame = _linear(net, "decoder.linear_projection.linear_layer", seen)
        yield frame, weights.argmax(1), expit(_linear(net, "decoder.gate_layer.linear_layer", seen))[:, 0]


def _postnet(net: Weights, x: np.ndarray) -> np.ndarray:
    for i in range(4):
        x = np.tanh(_normed_conv(net, f"postnet.convolutions.{i}", x))
    return _normed_conv(net, "postnet.convolutions.4", x)


def _linear(net: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return x @ net[f"{name}.weight"].T + net.get(f"{name}.bias", np.float32(0))


def _lstm(net: Weights, name: str, x: np.ndarray, state: tuple[np.ndarray, np.ndarray],
          direction: str = "") -> tuple[np.ndarray, np.ndarray]:
    """The next (hidden, cell), each (utts, units)."""
    hidden, cell = state
    gates = sum(value @ net[f"{name}.weight_{kind}{direction}"].T + net[f"{name}.bias_{kind}{direction}"]
                for kind, value in (("ih", x), ("hh", hidden)))
    enter, forget, new, leave = np.split(gates, 4, axis=1)
    cell = expit(forget) * cell + expit(enter) * np.tanh(new)
    return expit(leave) * np.tanh(cell), cell


def _rest(net: Weights, name: str, utts: int, direction: str = "") -> tuple[np.ndarray, np.ndarray]:
    zeros = np.zeros((utts, net[f"{name}.weight_hh{direction}"].shape[1]), np.float32)
    return zeros, zeros


def _normed_conv(net: Weights, name: str, x: np.ndarray) -> np.ndarray:
    """A convolution and batch norm."""
    x = _conv(net, f"{name}.0.conv", x)
    scale = net[f"{name}.1.weight"] / np.sqrt(net[f"{name}.1.running_var"] + np.float32(1e-5))
    return (x - net[f"{name}.1.running_mean"]) * scale + net[f"{name}.1.bias"]


def _conv(net: Weights, name: str, x: np.ndarray, dilation: int = 1, mode: str = "constant") -> np.ndarray:
    return _convolve(x, net[f"{name}.weight"], dilation, mode) + net[f"{name}.bias"]


def _convolve(x: np.ndarray, kernel: np.ndarray, dilation: int = 1, mode: str = "constant") -> np.ndarray:
    """`x` (utts, frames, in) by `kernel` (out, in, taps), as long as `x`, padded as numpy's `mode` says."""
    taps, frames = kernel.shape[2], x.shape[1]
    edge = taps // 2 * dilation
    x = np.pad(x, ((0, 0), (edge, edge), (0, 0)), mode=mode)
    matrices = np.ascontiguousarray(kernel.transpose(2, 1, 0))  # else numpy 1 multiplies without BLAS
    return sum(x[:, tap * dilation:tap * dilation + frames] @ matrices[tap] for tap in range(taps))


def _stretch(net: Weights, name: str, x: np.ndarray, stride: int) -> np.ndarray:
    """A transposed convolution of 2 × `stride` taps: (1, frames, in) as (1, frames × stride, out)."""
    kernel, (_, frames, _) = net[f"{name}.weight"], x.shape  # (in, out, taps)
    spread = (x[0] @ kernel.transpose(0, 2, 1).reshape(len(kernel), -1)).reshape(frames, 2, stride, -1)
    out = np.zeros((frames + 1, *spread.shape[2:]), np.float32)
    out[:-1] += spread[:, 0]
    out[1:] += spread[:, 1]
    return out.reshape(1, (frames + 1) * stride, -1)[:, stride // 2:-(stride // 2)] + net[f"{name}.bias"]


def _leaky(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, np.float32(0.2) * x)


def _without_norm(net: Weights) -> Weights:
    """The weights of layers for which PyTorch's weight_norm keeps directions (weight_v) and lengths (weight_g)."""
    plain = {}
    for name, value in net.items():
        if name.endswith("weight_v"):
            norm = np.sqrt(np.square(value).sum((1, 2), keepdims=True))
            plain[name.removesuffix("_v")] = value * (net[name[:-1] + "g"] / norm)
        elif not name.endswith("weight_g"):
            plain[name] = value
    return plain


class _Anything:
    """Stands for any class of the file: what the file stores of an object becomes its attributes."""

    def __init__(self, *args: Any):
        pass

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class _Unpickler(pickle.Unpickler):
    """Reads PyTorch's data.pkl: tensors as arrays, ordered dictionaries as such, and nothing else."""

    def __init__(self, file: io.BytesIO, parts: zipfile.ZipFile, top: str):
        super().__init__(file)
        self._parts, self._top = parts, top

    def find_class(self, module: str, name: str) -> Any:
        known = {"OrderedDict": collections.OrderedDict, "_rebuild_tensor_v2": _tensor,
                 "_rebuild_parameter": lambda tensor, *_: tensor}
        return known.get(name) or type(name, (_Anything,), {})

    def persistent_load(self, pid: tuple[Any, ...]) -> np.ndarray:
        kind = np.int64 if pid[1].__name__ == "LongStorage" else np.float32
        return np.frombuffer(self._parts.read(f"{self._top}/data/{pid[2]}"), kind)


def _tensor(storage: np.ndarray, offset: int, shape: tuple[int, ...], *_: Any) -> np.ndarray:
    return storage[offset:offset + int(np.prod(shape))].reshape(shape)


def _weights(module: _Anything, prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    for name, value in [*module._parameters.items(), *module._buffers.items()]:
        if value is not None:
            yield prefix + name, value
    for name, inner in module._modules.items():
        yield from _weights(inner, f"{prefix}{name}.")
