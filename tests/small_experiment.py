"""A small experiment on disk, with a network that hears what its features say: for tests of what follows training."""

import sys
import types
from pathlib import Path

import numpy as np

from steps.common.files import write_lines
from steps.config.load import Resolved, dump
from steps.config.schema import Corpus, Experiment, Features
from steps.corpus.table import write_table
from steps.feats.archive import feature_writer

TOKENS = ["<blk>", "guo2", "hao3", "ni3", "si4", "zhong1"]
REFERENCE = {
    "amy-1": "ni3 hao3",
    "amy-2": "zhong1 guo2",
    "bob-1": "shi4",
    "bob-2": "ni3 zhong1 guo2 hao3",
}
HEARD = {  # frames of features, one token each
    "amy-1": "<blk> ni3 ni3 <blk> hao3 <blk>",
    "amy-2": "zhong1 <blk> zhong1 guo2",
    "bob-1": "si4 <blk>",
    "bob-2": "<blk> <blk> <blk>",
}
TEXT = {"amy-1": "你好", "amy-2": "中国", "bob-1": "是", "bob-2": "你 中国 好"}


class HearingModel:
    """Log-probabilities straight from the features, every frame twice as long; the last utterance comes first."""

    def __init__(self, exp_dir: Path):
        self.tokens = [line.split()[0] for line in (exp_dir / "tokens.txt").read_text().splitlines()]
        self.frame_shift_s = 0.02

    def log_probs(self, utts):
        for utt, feats in reversed(list(utts)):
            yield utt, np.log(feats / feats.sum(axis=1, keepdims=True))

    def parts(self, feats):
        log_probs = dict(self.log_probs([("", feats)]))[""]
        yield from np.array_split(log_probs, min(3, len(log_probs)))


def write_features(folder: Path, heard: dict[str, str]) -> None:
    """Features whose largest bin is the token heard."""
    with feature_writer(folder) as write:
        for utt, frames in sorted(heard.items()):
            write(utt, (np.eye(len(TOKENS))[[TOKENS.index(one) for one in frames.split()]] + 0.01).astype(np.float32))


def make_experiment(monkeypatch, tmp_path: Path) -> Path:
    """Write data, features and exp/small below `tmp_path`, go there, and put HearingModel in MindSpore's place."""
    monkeypatch.chdir(tmp_path)
    stand_in = types.ModuleType("steps.model.acoustic")
    stand_in.AcousticModel = HearingModel
    monkeypatch.setitem(sys.modules, "steps.model.acoustic", stand_in)
    data_dir, exp_dir = Path("data/toy/test"), Path("exp/small")
    write_table(data_dir / "pinyin", REFERENCE)
    write_table(data_dir / "text", TEXT)
    write_table(data_dir / "utt2spk", {utt: utt.split("-")[0] for utt in REFERENCE})
    write_features(Path("exp/features/toy_fbank/test"), HEARD)
    config = Resolved(name="small", corpus=Corpus(module="toy"), features=Features(type="fbank", num_bins=len(TOKENS)),
                      experiment=Experiment(corpus="toy", features="fbank", model={"blocks": [{"channels": 4}]}))
    write_lines(exp_dir / "config.yaml", [dump(config)])
    write_lines(exp_dir / "tokens.txt", [f"{token} {number}" for number, token in enumerate(TOKENS)])
    write_lines(exp_dir / "final.ckpt", ["weights"])
    return exp_dir


def run_script(monkeypatch, script, *words: str) -> None:
    """Call a script's main with these arguments."""
    monkeypatch.setattr(sys, "argv", [script.__name__, *words])
    script.main()
