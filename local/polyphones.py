"""Makes steps/text/polyphones.npz, the network that reads polyphones and the prior of their readings.

    pip download g2pM==0.1.2.5 --no-deps && unzip g2pM-*.whl
    ./path.sh python -m local.polyphones g2pM --rare polyphones.tsv --running sentences.tsv…

`g2pM` is the directory of the package, whose files are pickles: they are read here, once, and not by the recipe. Its
weights are rounded to int8 with a scale a row, which changes 1 in 5,000 readings. The prior is the logarithm of how
often a reading is seen in `--running` (tables `hanzi<TAB>pinyin`, as people write) over how often in `--rare` (a table
of CPP, `sentence<TAB>syllable` with one character between ▁ marks, of the kind that the network learnt from).
"""

import argparse
import pickle
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from pypinyin.constants import PINYIN_DICT

from steps.common.errors import run
from steps.text.normalize import is_hanzi
from steps.text.phrases import Phrases
from steps.text.polyphones import DATA, END
from steps.text.syllables import from_marked, normalize

MARK = "▁"
RUNNING, RARE, FIRST = 0.5, 2.0, 3.0  # pseudocounts: of any reading, and of the dictionary's first one in running text
MATRICES = {
    "embedding": "embedding.weight", "hidden": "logit_layer.0.weight", "output": "logit_layer.2.weight",
    "forward_input": "lstm.weight_ih_l0", "forward_state": "lstm.weight_hh_l0",
    "backward_input": "lstm.weight_ih_l0_reverse", "backward_state": "lstm.weight_hh_l0_reverse",
}
BIASES = {
    "hidden_bias": ["logit_layer.0.bias"], "output_bias": ["logit_layer.2.bias"],
    "forward_bias": ["lstm.bias_ih_l0", "lstm.bias_hh_l0"],
    "backward_bias": ["lstm.bias_ih_l0_reverse", "lstm.bias_hh_l0_reverse"],
}

Counts = defaultdict[str, Counter[str]]  # readings by character


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.polyphones", description=__doc__.split("\n")[0])
    parser.add_argument("g2pm", type=Path)
    parser.add_argument("--rare", type=Path, required=True)
    parser.add_argument("--running", type=Path, nargs="+", required=True)
    args = parser.parse_args()
    network = {name: _unpickled(args.g2pm / f"{name}.pkl") for name in ("np_ckpt", "char2idx", "class2idx",
                                                                       "digest_cedict")}
    arrays = _weights(network["np_ckpt"])
    characters = sorted(network["char2idx"], key=network["char2idx"].get)[END + 1 :]
    classes = [written.replace("u:", "v") for written in sorted(network["class2idx"], key=network["class2idx"].get)]
    readings = _readings(network["digest_cedict"], set(classes))
    prior = _prior(readings, _count_marked(args.rare), _count_lone(args.running))
    arrays |= {"characters": np.array("".join(characters)), "classes": np.array(" ".join(classes)),
               "readings": np.array(" ".join(char + ",".join(all_) for char, all_ in readings.items())),
               "prior": prior.astype(np.float16)}
    np.savez_compressed(DATA, **arrays)
    print(f"{DATA}: {len(readings)} characters, {DATA.stat().st_size / 1000:.0f} kB")


def _unpickled(path: Path) -> dict:
    with open(path, "rb") as file:
        return pickle.load(file)


def _weights(checkpoint: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    arrays = {name: sum(checkpoint[part] for part in parts) for name, parts in BIASES.items()}
    for name, source in MATRICES.items():
        scale = (np.abs(checkpoint[source]).max(axis=1) / 127 + 1e-12).astype(np.float32)
        arrays[name] = np.round(checkpoint[source] / scale[:, None]).astype(np.int8)
        arrays[f"{name}_scale"] = scale
    return arrays


def _readings(cedict: dict[str, list[str]], classes: set[str]) -> dict[str, list[str]]:
    """The characters of several readings that the network knows."""
    known = {char: [one for one in (written.replace("u:", "v") for written in all_) if one in classes]
             for char, all_ in cedict.items() if is_hanzi(char)}
    return {char: all_ for char, all_ in sorted(known.items()) if len(all_) > 1}


def _prior(readings: dict[str, list[str]], rare: Counts, running: Counts) -> np.ndarray:
    """The logarithm of the frequency in running text over that in the network's training, reading by reading."""
    prior = []
    for char, all_ in readings.items():
        first = from_marked(PINYIN_DICT[ord(char)].split(",")[0])
        common = np.array([running[char][one] + RUNNING + FIRST * (one == first) for one in all_])
        learnt = np.array([rare[char][one] + RARE for one in all_]) if char in rare else np.ones(len(all_))
        prior.extend(np.log(common / common.sum()) - np.log(learnt / learnt.sum()))
    return np.array(prior)


def _count_marked(table: Path) -> Counts:
    counts: Counts = defaultdict(Counter)
    for line in table.read_text(encoding="utf-8").splitlines():
        sentence, _, syllable = line.partition("\t")
        counts[sentence.split(MARK)[1]][normalize(syllable)] += 1
    return counts


def _count_lone(tables: list[Path]) -> Counts:
    """The readings of characters that are in no phrase of the dictionary where they stand."""
    counts: Counts = defaultdict(Counter)
    phrases = Phrases({})
    for table in tables:
        for line in table.read_text(encoding="utf-8").splitlines():
            text, _, pinyin = line.partition("\t")
            syllables = [normalize(written) for written in pinyin.split()]
            for span in phrases.spans(text):
                if len(span.hanzi) == 1:
                    counts[span.hanzi][syllables[span.start]] += 1
    return counts


if __name__ == "__main__":
    run(main)
