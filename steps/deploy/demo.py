"""demo.html: the model and a program in one page that needs neither a server nor a network connection."""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kaldi_native_fbank as knf
import numpy as np
import onnx
from onnx import numpy_helper
from pypinyin.constants import PHRASES_DICT, PINYIN_DICT

from steps.common.errors import UserError
from steps.common.files import write_lines
from steps.config.load import Resolved
from steps.config.schema import Features
from steps.deploy.model import NOT_MEASURED, Calibration
from steps.deploy.onnx_model import ROUND, length_steps, right_reach
from steps.deploy.pronounce_page import PAGES
from steps.feats.compute import fbank_options, noise_energy, window
from steps.model.network import time_reduction
from steps.report.page import environment
from steps.text.phrases import Phrases, read_entries, weak_entries
from steps.text.reading import CORRECTIONS
from steps.text.syllables import from_marked, split

SCRIPTS = ("features.js", "network.js", "assess.js", "result.js", "demo.js")
CHARACTERS = [bytes([high, low]).decode("gb2312", "ignore") for high in range(0xB0, 0xF8) for low in range(0xA1, 0xFF)]
FREQUENT = 3760  # of those, in the first of GB 2312's two levels
LONGEST = 4  # characters of a phrase in the page's dictionary


def write_demo(path: Path, model: onnx.ModelProto, config: Resolved, tokens: list[str],
               statistics: tuple[np.ndarray, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Write the page of a model that `steps.deploy.onnx_model` made of `config`.

    Args:
        statistics: mean and standard deviation of each bin in training, float32 (bins,) both.
        facts: those of export.json, with or without what dev told.

    Raises UserError if its features are not fbank at 16 kHz.
    """
    if not has_demo(config):
        raise UserError(f"{path}: a page can be made of a model whose features are of type fbank at 16 kHz")
    weights, description = _network(model, config, *statistics)
    description |= {
        "experiment": config.name,
        "features": front_end(config.features),
        "tokens": tokens,
        "parts": [["", "", ""], *(list(split(token)) for token in tokens[1:])],
        "reduction": time_reduction(config.experiment.model),
        "spike_place": facts.get("spike_place", NOT_MEASURED),
        "calibration": Calibration(**facts.get("calibration", {}))._asdict(),
    }
    template = environment(PAGES).get_template("demo.html.jinja")
    page = template.render(
        experiment=config.name, model=_json(description), dictionary=_json(_dictionary()), weights=weights,
        style=(PAGES / "style.css").read_text(encoding="utf-8"),
        script="\n".join((PAGES / name).read_text(encoding="utf-8") for name in SCRIPTS))
    write_lines(path, [page])


def has_demo(config: Resolved) -> bool:
    """Whether a page can be made of an experiment's model: its front end is written in JavaScript for fbank alone."""
    return config.features.type == "fbank" and config.features.sample_rate == 16000


def front_end(config: Features) -> dict[str, Any]:
    """What the page computes fbank by: config, floor, window, and each mel filter's first bin and weights."""
    options = fbank_options(config)
    matrix = knf.MelBanks(options.mel_opts, options.frame_opts).get_matrix()  # (bins, bins of the FFT)
    filters = [{"first": int((row > 0).argmax()), "weights": np.trim_zeros(row).tolist()} for row in matrix]
    return {**config.model_dump(mode="json"), "floor": noise_energy(config), "taper": window(config).tolist(),
            "filters": filters}


def _json(value: Any) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _network(model: onnx.ModelProto, config: Resolved, mean: np.ndarray,
             std: np.ndarray) -> tuple[str, dict[str, Any]]:
    """The weights in base64, one after the other, and what the page's interpreter needs beside them."""
    constants = {constant.name: numpy_helper.to_array(constant) for constant in model.graph.initializer}
    constants |= {"floor": np.log(noise_energy(config.features)), "mean": mean, "std": std}
    nodes = [
        {"op": "Max", "inputs": ["x", "floor"], "output": "floored"},
        {"op": "Normalize", "inputs": ["floored", "mean", "std"], "output": "normalized",
         "cmn_frames": config.features.cmn_frames},
        {"op": "Pad", "inputs": ["normalized"], "output": "padded", "reach": right_reach(config.experiment.model),
         "round": ROUND},
        *_nodes(model),
    ]
    used = [name for node in nodes for name in node["inputs"] if name in constants]
    arrays = {name: constants[name].astype("<f4") for name in dict.fromkeys(used)}
    content = b"".join(array.tobytes() for array in arrays.values())
    shapes = [[name, list(array.shape) or [1]] for name, array in arrays.items()]
    lengths = [(stride, added) for added, stride in length_steps(config.experiment.model)]
    return base64.b64encode(content).decode(), {"nodes": nodes, "shapes": shapes, "lengths": lengths}


def _nodes(model: onnx.ModelProto) -> Iterator[dict[str, Any]]:
    """The nodes behind the padding that an utterance's values pass, without those that only change a shape."""
    names: dict[str, str] = {}  # of values, by the output of the node that the page computes them with
    for node in model.graph.node:
        if node.op_type == "Pad":
            names[node.output[0]] = "padded"
            continue
        if not any(name in names for name in node.input):
            continue
        if node.op_type in ("Unsqueeze", "Reshape", "Slice"):
            names[node.output[0]] = names[node.input[0]]
            continue
        attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        made = {"op": {"Transpose": "Flatten"}.get(node.op_type, node.op_type), "output": node.output[0],
                "inputs": [names.get(name, name) for name in node.input]}
        if node.op_type in ("Conv", "MaxPool"):
            made |= {"kernel": attributes["kernel_shape"], "stride": attributes["strides"]}
            made |= {"pads": attributes["pads"]} if "pads" in attributes else {}
        elif node.op_type == "BatchNormalization":
            made |= {"epsilon": attributes["epsilon"]}
        names[node.output[0]] = node.output[0]
        yield made


def _dictionary() -> dict[str, Any]:
    """The readings of GB 2312's characters, and of phrases of the frequent ones that are read otherwise."""
    entries = read_entries(CORRECTIONS)
    phrases = Phrases(entries | weak_entries(entries))
    single = {char: from_marked(PINYIN_DICT[ord(char)].split(",")[0]) for char in CHARACTERS if char}
    single |= {char: phrases.syllables(char)[0] for char in single}
    characters: dict[str, str] = {}
    for char, syllable in single.items():
        characters[syllable] = characters.get(syllable, "") + char
    frequent = set(CHARACTERS[:FREQUENT])
    lines = []
    for phrase in sorted({*PHRASES_DICT, *entries, *weak_entries(entries)}):
        if 1 < len(phrase) <= LONGEST and frequent.issuperset(phrase):
            syllables = tuple({"一": "yi1", "不": "bu4"}.get(char, syllable)
                              for char, syllable in zip(phrase, phrases.syllables(phrase), strict=True))
            if syllables != tuple(single[char] for char in phrase):
                lines.append(" ".join([phrase, *syllables]))
    return {"characters": characters, "phrases": "\n".join(lines)}
