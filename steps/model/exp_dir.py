"""An experiment's directory before and while it is trained: which config and data it belongs to."""

import json
from pathlib import Path

from steps.common.errors import UserError
from steps.common.files import atomic_open, sha256, write_json, write_lines
from steps.config.load import Resolved, dump, load_resolved
from steps.config.schema import LEAVES_WEIGHTS
from steps.feats.cmvn import load_cmvn, save_cmvn
from steps.model.buckets import write_buckets


def inputs(config: Resolved) -> dict[str, str]:
    """SHA-256 of what training reads, by path. The statistics of CMVN, to which every frame adds, stand for the
    features."""
    paths = [config.feature_dir / "cmvn", config.data_dir / "lang" / "tokens.txt", *config.foreign_files]
    for part in ("train", "dev"):
        paths += [config.data_dir / part / "pinyin", config.feature_dir / part / "utt2num_frames"]
    try:
        return {str(path): sha256(path) for path in paths}
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; run the stages before training first") from None


def is_finished(config: Resolved, exp_dir: Path) -> bool:
    """Whether this very training has ended."""
    return (exp_dir / "final.ckpt").exists() and is_same_training(config, exp_dir)


def finished_training(exp_dir: Path, part: str) -> Resolved:
    """The config of a training that has ended, whose corpus has the set `part`. Raises UserError where it hasn't."""
    config = load_resolved(exp_dir)
    if part not in config.corpus.sets:
        raise UserError(f"{exp_dir}: its corpus {config.experiment.corpus} has no set {part!r}, "
                        f"only {', '.join(config.corpus.sets)}")
    if not (exp_dir / "final.ckpt").exists():
        raise UserError(f"{exp_dir}/final.ckpt: no such file; run stage 4 (train) to its end first")
    return config


def is_same_training(config: Resolved, exp_dir: Path) -> bool:
    """Whether exp_dir was begun with this config, but for how it is watched and decoded, and with this data."""
    if not (exp_dir / "config.yaml").exists() or not (exp_dir / "inputs.json").exists():
        return False
    if json.loads((exp_dir / "inputs.json").read_text(encoding="utf-8")) != inputs(config):
        return False
    skip = {"experiment": LEAVES_WEIGHTS}
    return load_resolved(exp_dir).model_dump(exclude=skip) == config.model_dump(exclude=skip)


def begin(config: Resolved, exp_dir: Path, tokens: list[str], buckets: list[int]) -> None:
    """Write what decoding will read; drop what a training of another config or other data left."""
    if not is_same_training(config, exp_dir):
        for path in [exp_dir / "final.ckpt", exp_dir / "train.csv", *(exp_dir / "checkpoints").glob("epoch-*"),
                     *(exp_dir / "summary").glob("*")]:
            path.unlink(missing_ok=True)
    write_lines(exp_dir / "tokens.txt", (f"{token} {number}" for number, token in enumerate(tokens)))
    save_cmvn(exp_dir / "cmvn", load_cmvn(config.cmvn))
    write_buckets(exp_dir, buckets)
    write_json(exp_dir / "inputs.json", inputs(config))
    with atomic_open(exp_dir / "config.yaml") as file:
        file.write(dump(config))
