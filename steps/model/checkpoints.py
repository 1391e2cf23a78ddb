"""Checkpoints, the epochs that they are of, and what a training writes at its begin.

`checkpoints/epoch-0012.ckpt` holds the weights (with batch norm's moving averages), `epoch-0012.optimizer.ckpt` the
optimizer's state, and `epoch-0012.json` the history so far and the hashes of all three. The JSON is written last: a
checkpoint without it does not count. Within a long epoch there is `epoch-0012-step-001000.*`: twelve epochs are done,
and 1,000 updates of the next.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore.train import serialization

from steps.common.checksums import HISTORY, TRAINED, forget_sums
from steps.common.errors import UserError, counted
from steps.common.files import atomic_open, atomic_path, read_json, sha256, write_json, write_lines
from steps.common.process import cores, environment
from steps.config.exp_dir import DIGEST, hash_of, is_same_training, move_aside
from steps.config.load import Resolved, dump
from steps.feats.archive import load_cmvn, save_cmvn
from steps.model.layers import describe_kernels, kernels_for

# MindSpore refuses a checkpoint that is larger than the free memory. It does not count the memory that holds cached
# files, which Linux gives back when it is needed. So the check is switched off: None means that nothing is known.
serialization._get_available_memory = lambda: None


def named_parameters(cell: nn.Cell, without: nn.Cell | None = None) -> dict[str, ms.Parameter]:
    """A cell's parameters by their place in it, without those of the cell `without`.

    A parameter's own name is of no use: it gets a prefix whenever the cell becomes part of another.
    """
    known = {id(parameter) for parameter in without.get_parameters()} if without else set()
    return {name: parameter for name, parameter in cell.parameters_and_names() if id(parameter) not in known}


def save_weights(path: Path, parameters: dict[str, ms.Parameter], facts: dict[str, Any] | None = None) -> str:
    """Write parameters as one whole file, `facts` (strings and numbers) among them. Returns its SHA-256."""
    rows = [{"name": name, "data": parameter} for name, parameter in parameters.items()]
    with atomic_path(path, suffix=".ckpt") as beside:  # the ending that MindSpore wants
        try:
            ms.save_checkpoint(rows, str(beside), append_dict=facts)
        finally:  # MindSpore's own name while it writes
            beside.with_suffix(".tmp").unlink(missing_ok=True)
        return sha256(beside)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The arrays of a checkpoint by name, and the facts saved with them. Raises UserError if it is not readable."""
    try:
        return ms.load_checkpoint(str(path))
    except (ValueError, OSError, RuntimeError, TypeError) as error:
        raise UserError(f"{path}: not readable as a checkpoint: {str(error).splitlines()[0]}") from None


def load_weights(path: Path, parameters: dict[str, ms.Parameter]) -> dict[str, Any]:
    """Load a checkpoint into parameters, each of which it must hold. Returns the facts saved with it.

    Raises UserError if the file is not readable or its parameters are others, or more. Then nothing is loaded.
    """
    loaded = read_checkpoint(path)
    for name, parameter in parameters.items():
        if name not in loaded:
            raise UserError(f"{path}: holds no {name}: it belongs to another network than config.yaml describes")
        if loaded[name].shape != parameter.shape:
            raise UserError(f"{path}: {name} is {loaded[name].shape}; the network of config.yaml has "
                            f"{parameter.shape}")
        if not np.isfinite(loaded[name].asnumpy()).all():  # a ReLU would hide it
            raise UserError(f"{path}: {name} has values that are NaN or infinite: the file is damaged, or the training "
                            "diverged; train again")
    facts = {name: _fact(path, name, loaded[name]) for name in loaded.keys() - parameters.keys()}
    for name, parameter in parameters.items():
        parameter.set_data(loaded[name])
    return facts


def _fact(path: Path, name: str, value: Any) -> Any:
    """The value that `append_dict` kept under `name`: it comes back as a tensor of one number, or as it was."""
    if not hasattr(value, "asnumpy"):
        return value
    if value.size > 1 or "." in name:  # names of parameters have dots, those of facts have none
        raise UserError(f"{path}: holds {name}; it belongs to another network than config.yaml describes")
    return value.asnumpy().item()


class Epoch(NamedTuple):
    """A row of train.csv."""

    epoch: int
    steps: int  # updates so far
    seconds: float  # of training so far, dev passes included
    learning_rate: float  # of the last update
    train_loss: float  # nats per syllable, mean over the epoch's batches
    grad_norm: float  # median over the epoch's updates, before clipping
    dev_loss: float
    dev_ser: float  # dev's syllable error rate, a fraction
    best: bool  # the lowest dev_ser so far


class History:
    """The epochs done so far."""

    def __init__(self, rows: list[dict] | None = None):
        self.rows = [Epoch(**row) for row in rows or []]

    @property
    def epochs(self) -> int:
        return self.rows[-1].epoch if self.rows else 0

    def add(self, row: Epoch) -> Epoch:
        """Append an epoch, and mark it as best if it is."""
        row = row._replace(best=not self.rows or row.dev_ser < min(before.dev_ser for before in self.rows))
        self.rows.append(row)
        return row

    def best(self, count: int) -> list[int]:
        """The epochs of lowest dev error, best first; the earlier of equals."""
        return [row.epoch for row in sorted(self.rows, key=lambda row: (row.dev_ser, row.epoch))[:count]]

    def epochs_since_best(self) -> int:
        """How many epochs brought no lower dev error."""
        return self.epochs - self.best(1)[0] if self.rows else 0

    def as_dicts(self) -> list[dict]:
        return [row._asdict() for row in self.rows]

    def write(self, path: Path) -> None:
        """Write train.csv."""
        rows = ([f"{value:.6g}" if isinstance(value, float) else str(value) for value in row] for row in self.rows)
        write_lines(path, map(",".join, [Epoch._fields, *rows]))


class Checkpoints:
    """The checkpoints of one experiment directory."""

    def __init__(self, folder: Path):
        self.folder = folder

    def weights_path(self, epoch: int, step: int = 0) -> Path:
        """The file with the weights after `epoch`, and `step` updates of the next."""
        return self.folder / f"{_stem(epoch, step)}.ckpt"

    def save(self, epoch: int, network: nn.Cell, optimizer: nn.Cell, history: list[dict],
             begun: dict[str, Any] | None = None) -> None:
        """Save all that going on from the end of `epoch` takes; the metadata comes last.

        Args:
            begun: what is known of the next epoch, of which begun["step"] updates are done; none at an epoch's end.
        """
        step, files = begun["step"] if begun else 0, {}
        weights, state = self.weights_path(epoch, step), named_parameters(optimizer, without=network)
        for path, parameters in ((weights, named_parameters(network)), (weights.with_suffix(".optimizer.ckpt"), state)):
            files[path.name] = save_weights(path, parameters)
        metadata = {"epoch": epoch, "files": files, "history": history, **({"begun": begun} if begun else {})}
        write_json(self.folder / f"{_stem(epoch, step)}.json", {**metadata, DIGEST: hash_of(metadata)})

    def latest(self) -> dict[str, Any] | None:
        """The metadata of the last checkpoint that is whole; None if there is none. Says which are damaged."""
        for path in sorted(self.folder.glob("epoch-*.json"), key=_epoch_and_step, reverse=True):
            damage, metadata = self._read(path)
            if damage is None:
                return metadata
            print(f"{damage}: damaged or cut off; this checkpoint is passed over", file=sys.stderr)
        return None

    def _read(self, path: Path) -> tuple[Path | None, dict[str, Any]]:
        """(the first file of a checkpoint that is damaged, its metadata)"""
        try:
            metadata = json.loads(path.read_text(encoding="utf-8"))
            digest = metadata.pop(DIGEST, None)  # earlier versions wrote none
            whole = (metadata.keys() - {"begun"} == {"epoch", "files", "history"}
                     and digest in (None, hash_of(metadata)))
        except (ValueError, AttributeError, TypeError):
            whole = False
        if not whole:
            return path, {}
        for name, digest in metadata["files"].items():
            file = self.folder / name
            if not file.exists() or sha256(file) != digest:
                return file, {}
        return None, metadata

    def restore(self, latest: dict[str, Any], network: nn.Cell, optimizer: nn.Cell) -> None:
        """Bring network and optimizer to where they were at the checkpoint with the metadata `latest`."""
        _, state = latest["files"]
        load_weights(self.weights_of(latest), named_parameters(network))
        load_weights(self.folder / state, named_parameters(optimizer, without=network))

    def weights_of(self, latest: dict[str, Any]) -> Path:
        """The network's weights of the checkpoint with the metadata `latest`: the first of its two files."""
        return self.folder / next(iter(latest["files"]))

    def prune(self, resumable: set[int], weights: set[int], begun: tuple[int, int] | None = None) -> None:
        """Remove all but the checkpoints of the epochs `resumable`, the bare weights of the epochs `weights`, and the
        one within an epoch, `begun`: (epochs done, updates of the next)."""
        for path in self.folder.glob("epoch-*"):
            epoch, step = _epoch_and_step(path)
            if (epoch, step) == begun or (step == 0 and epoch in resumable):
                continue
            if epoch not in weights or path != self.weights_path(epoch):
                path.unlink()


def _stem(epoch: int, step: int) -> str:
    return f"epoch-{epoch:04d}-step-{step:06d}" if step else f"epoch-{epoch:04d}"


def _epoch_and_step(path: Path) -> tuple[int, int]:
    """(epochs done, updates of the next one) of a checkpoint's file."""
    numbers = path.name.split(".")[0].split("-")
    return int(numbers[1]), int(numbers[3]) if len(numbers) > 2 else 0


def average(loaded: list[dict[str, Any]], network: nn.Cell) -> None:
    """Load the mean of the weights of several checkpoints, as `read_checkpoint` gives them, into `network`."""
    for name, parameter in named_parameters(network).items():
        parameter.set_data(ms.Tensor(sum(one[name].asnumpy().astype("float64") for one in loaded) / len(loaded),
                                     parameter.dtype))


def begin(config: Resolved, exp_dir: Path, tokens: list[str], buckets: list[int], read: dict[str, str]) -> None:
    """Write what decoding will read. A training of another config or other data is moved aside before.

    `read` are the `inputs` as they were before this training read them: they may be edited while it runs.
    """
    if not is_same_training(config, exp_dir):
        move_aside(exp_dir)
    forget_sums(exp_dir, TRAINED + HISTORY)
    write_lines(exp_dir / "tokens.txt", (f"{token} {number}" for number, token in enumerate(tokens)))
    save_cmvn(exp_dir / "cmvn", load_cmvn(config.cmvn))
    write_json(exp_dir / "buckets.json", buckets)
    write_json(exp_dir / "inputs.json", {**read, DIGEST: hash_of(read)})
    with atomic_open(exp_dir / "config.yaml") as file:
        file.write(dump(config))


def describe_run(config: Resolved, exp_dir: Path, network: nn.Cell, left_out: dict[str, str]) -> None:
    """Tell the reader and env.json which utterances are left out, and which kernels and versions are used.

    A training that was interrupted has several runs. env.json lists all of them, and says the rest of the last.
    """
    write_lines(exp_dir / "left_out", (f"{utt} {reason}" for utt, reason in sorted(left_out.items())))
    for reason in sorted(set(left_out.values())):
        count = list(left_out.values()).count(reason)
        print(f"left out {counted(count, 'training utterance')}: {reason}; see {exp_dir}/left_out", file=sys.stderr)
    print(describe_kernels(config.experiment), file=sys.stderr)
    env, kernels = environment(), kernels_for(config.experiment)[0]
    threads = int(os.environ.get("OMP_NUM_THREADS", cores()))
    run = {key: env[key] for key in ("date", "git_commit", "host", "processor")} | {"threads": threads,
                                                                                   "kernels": kernels}
    weights = sum(parameter.size for parameter in network.trainable_params())
    write_json(exp_dir / "env.json", {**env, "kernels": kernels, "weights": weights,
                                      "runs": [*_earlier_runs(exp_dir / "env.json"), run]})


def _earlier_runs(path: Path) -> list[dict]:
    try:
        runs = read_json(path, "", "").get("runs", [])
        return runs if isinstance(runs, list) else []
    except UserError:  # not there, or damaged: it is written again
        return []
