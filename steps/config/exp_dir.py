"""An experiment's directory: whether its training is finished, of which config and data, how far it is, its epochs."""

import csv
import hashlib
import json
import math
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from steps.common.checksums import SUMS, wrong_files
from steps.common.errors import UserError
from steps.common.files import check_is_file, read_json, sha256, write_json
from steps.common.process import is_alive, this_process
from steps.config.load import Resolved, load_known, load_resolved, shapes_weights

DIGEST = "sha256"  # of all other keys of a JSON file
PROGRESS = "progress.json"


def hash_of(metadata: dict[str, Any]) -> str:
    """What DIGEST holds."""
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()


def inputs(config: Resolved) -> dict[str, str]:
    """SHA-256 of what training reads, by path.

    The statistics of CMVN stand for train's gigabytes of features: every frame adds to them. dev's features
    themselves are read: they decide which epoch is best.
    """
    paths = [config.feature_dir / "cmvn", config.data_dir / "lang" / "tokens.txt", *config.foreign_files,
             config.feature_dir / "dev" / "feats.ark"]
    for part in ("train", "dev"):
        paths += [config.data_dir / part / "pinyin", config.feature_dir / part / "utt2num_frames"]
    if config.experiment.train.balance:
        paths.append(config.data_dir / "train" / "utt2spk")
    try:
        return {str(path): sha256(path) for path in paths}
    except FileNotFoundError as error:
        first = f"run the stages before training (./path.sh doit train:{config.name} does so)"
        if Path(error.filename) in config.foreign_files:
            first = "train.init_from and train.ali name experiments that are done, or a .ckpt of one: finish that one"
        raise UserError(f"{error.filename}: no such file; {first} first") from None


def is_finished(config: Resolved, exp_dir: Path) -> bool:
    """Whether this very training has ended."""
    return (exp_dir / "final.ckpt").exists() and is_same_training(config, exp_dir)


def finished_training(exp_dir: Path, part: str) -> Resolved:
    """The config of a training that has ended, for the set `part` of its corpus, or corpus/set of another.

    Raises UserError if the training has not ended, or there is no such set.
    """
    config = load_resolved(exp_dir)
    if "/" in part and not (config.set_data(part) / "wav.scp").exists():
        corpus = part.rpartition("/")[0]
        raise UserError(f"{config.set_data(part)}/wav.scp: no such file; run stages 1 and 2 of {corpus} first "
                        f"(doit lexicon:{corpus})")
    if "/" not in part and part not in config.corpus.sets:
        raise UserError(f"{exp_dir}: its corpus {config.experiment.corpus} has no set {part!r}, "
                        f"only {', '.join(config.corpus.sets)}")
    if not (exp_dir / "final.ckpt").exists():
        raise UserError(f"{exp_dir}/final.ckpt: no such file; run stage 4 (train) to its end first")
    return config


def is_same_training(config: Resolved, exp_dir: Path) -> bool:
    """Whether exp_dir was begun with a config that shapes the weights as this one does, and with the same data.

    Data that an earlier version did not note count as the same. Raises UserError for weights of which nobody can tell
    any more.
    """
    if not (exp_dir / "config.yaml").exists() or not ((exp_dir / "inputs.json").exists() or _has_weights(exp_dir)):
        return False
    if not _noted_inputs(exp_dir).items() <= inputs(config).items():
        return False
    return shapes_weights(load_known(exp_dir)[0]) == shapes_weights(config)


def _has_weights(exp_dir: Path) -> bool:
    return (exp_dir / "final.ckpt").exists() or any((exp_dir / "checkpoints").glob("epoch-*"))


def _noted_inputs(exp_dir: Path) -> dict[str, str]:
    """The `inputs` that a training has noted. Raises UserError if the note is gone or damaged."""
    path = exp_dir / "inputs.json"
    again = (f"it says with which data the training began: to keep that training, with the data as they are now, echo "
             f"{{}} > {path}; to train from the beginning, mv {exp_dir} elsewhere")
    noted = read_json(path, f"; {again}", again)
    if noted.pop(DIGEST, None) not in (None, hash_of(noted)):  # earlier versions wrote none
        raise UserError(f"{path}: is not as it was written; {again}")
    return noted


# What a training writes, and what old.<date>/ keeps of it. Logs stay: doit is writing them.
WRITTEN = ("final.ckpt", "train.csv", "checkpoints", "summary", "inputs.json", "config.yaml", "env.json", "tokens.txt",
           "cmvn", "buckets.json", "left_out", PROGRESS, SUMS)


def move_aside(exp_dir: Path) -> None:
    """Move a training that has checkpoints or final.ckpt to exp_dir/old.<date>/ and say so; remove one without."""
    there = [exp_dir / name for name in WRITTEN if (exp_dir / name).exists()]
    if not _has_weights(exp_dir):
        for path in there:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return
    old = exp_dir / f"old.{time.strftime('%Y%m%d-%H%M%S')}"
    while old.exists():
        old = old.with_name(f"{old.name}a")
    old.mkdir()
    for path in reversed(there):  # final.ckpt last: interrupted here, the rest is moved by the next call
        os.replace(path, old / path.name)
    print(f"{exp_dir}: the training there had another config or other data; it was moved to {old}/", file=sys.stderr)


class Progress(NamedTuple):
    """What progress.json says."""

    epoch: int  # under way
    epochs: int
    seconds_left: float | None  # counted from now, of updates alone; None as long as all steps have compiled
    alive: bool  # whether the training still runs


def write_progress(exp_dir: Path, epoch: int, epochs: int, seconds_left: float | None) -> None:
    """Say that this process trains exp_dir."""
    write_json(exp_dir / PROGRESS, {"epoch": epoch, "epochs": epochs, "seconds_left": seconds_left,
                                    "time": time.time(), "process": this_process()})


def end_progress(exp_dir: Path) -> None:
    """The training has ended well."""
    (exp_dir / PROGRESS).unlink(missing_ok=True)


def read_progress(exp_dir: Path) -> Progress | None:
    """What the last training in exp_dir said; None if it has ended well or there was none."""
    path = exp_dir / PROGRESS
    if not path.exists():
        return None
    again = "remove it if no training runs there"
    noted = read_json(path, "", again)
    try:
        left = noted["seconds_left"]
        if left is not None:
            left = max(0.0, left - max(0.0, time.time() - noted["time"]))  # a clock may have been set back
        return Progress(noted["epoch"], noted["epochs"], left, is_alive(noted["process"]))
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: not what a training writes; {again}") from None


def read_history(exp_dir: Path) -> list[dict[str, float]]:
    """train.csv: for each epoch its numbers by column; none if no epoch has ended yet.

    Raises UserError if the file is damaged. Reads it without pandas, which takes longer to load than `steps.status`
    may take in all.
    """
    path = exp_dir / "train.csv"
    check_is_file(path)
    if path.exists() and (faults := wrong_files(exp_dir, [path.name])):
        raise UserError(f"{faults[0]}\n  take {exp_dir}/final.ckpt away and train again, which goes on after the last "
                        f"checkpoint; or, if you changed it on purpose, remove {exp_dir / SUMS}")
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or []
            rows = [{name: _number(text, f"{path}: {name}") for name, text in row.items()} for row in reader]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not readable as CSV ({error})") from None
    if "epoch" not in names or any(math.isnan(row["epoch"]) for row in rows):
        lacks = "a row without its" if "epoch" in names else "no column"
        raise UserError(f"{path}: not readable as CSV ({lacks} epoch)")
    return rows


def _number(text: str | list[str] | None, where: str) -> float:
    """A number as train.csv has it: truth values are words. Earlier versions left empty what is not finite."""
    if text in ("True", "False", ""):
        return {"True": 1, "False": 0, "": math.nan}[text]
    try:
        return int(text) if text.isdecimal() else float(text)
    except (ValueError, AttributeError):  # no text: the line is too short or too long
        raise UserError(f"{where}: not all numbers; the file is damaged") from None
