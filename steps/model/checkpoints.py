"""Checkpoints: the weights after each epoch, what training needs to go on, and the one that decoding uses.

`checkpoints/epoch-0012.ckpt` holds the weights (with batch norm's moving averages), `epoch-0012.optimizer.ckpt` the
optimizer's state, and `epoch-0012.json` the history so far and the hashes of both. The JSON is written last: without
it, the checkpoint is not there.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import nn

from steps.common.errors import UserError
from steps.common.files import sha256, write_json


def tokens_hash(tokens: list[str]) -> str:
    """What a checkpoint remembers of the tokens that its outputs stand for."""
    return hashlib.sha256("\n".join(tokens).encode()).hexdigest()


def named_parameters(cell: nn.Cell, without: nn.Cell | None = None) -> dict[str, ms.Parameter]:
    """A cell's parameters by their place in it, but those of `without`.

    A parameter's own name won't do: it grows a prefix whenever the cell becomes part of another.
    """
    known = {id(parameter) for parameter in without.get_parameters()} if without else set()
    return {name: parameter for name, parameter in cell.parameters_and_names() if id(parameter) not in known}


def save_weights(path: Path, parameters: dict[str, ms.Parameter], facts: dict[str, Any] | None = None) -> str:
    """Write parameters as one whole file, `facts` (strings and numbers) among them. Returns its SHA-256."""
    beside = path.with_name(f".{path.stem}.tmp.ckpt")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"name": name, "data": parameter} for name, parameter in parameters.items()]
    ms.save_checkpoint(rows, str(beside), append_dict=facts)
    digest = sha256(beside)
    beside.chmod(0o644)  # MindSpore lets nobody but its owner read it
    with open(beside, "rb") as file:
        os.fsync(file.fileno())
    os.replace(beside, path)
    return digest


def load_weights(path: Path, parameters: dict[str, ms.Parameter]) -> dict[str, Any]:
    """Load a checkpoint into parameters, each of which it must hold. Returns the facts saved with it.

    Raises UserError where the file is not readable or its parameters are others.
    """
    try:
        loaded = ms.load_checkpoint(str(path))
    except (ValueError, OSError, RuntimeError, TypeError) as error:
        raise UserError(f"{path}: not readable as a checkpoint: {str(error).splitlines()[0]}") from None
    for name, parameter in parameters.items():
        if name not in loaded:
            raise UserError(f"{path}: holds no {name}: it belongs to another network than config.yaml describes")
        if loaded[name].shape != parameter.shape:
            raise UserError(f"{path}: {name} is {loaded[name].shape}; the network of config.yaml has "
                            f"{parameter.shape}")
    for name, parameter in parameters.items():
        parameter.set_data(loaded[name])
    facts = {name: loaded[name] for name in loaded.keys() - parameters.keys()}
    return {name: value.item() if hasattr(value, "item") else value for name, value in facts.items()}


class Checkpoints:
    """The checkpoints of one experiment directory."""

    def __init__(self, folder: Path):
        self.folder = folder

    def weights_path(self, epoch: int) -> Path:
        """The file with the weights after `epoch`."""
        return self.folder / f"epoch-{epoch:04d}.ckpt"

    def save(self, epoch: int, network: nn.Cell, optimizer: nn.Cell, history: dict[str, Any]) -> None:
        """Save all that going on from the end of `epoch` takes; the metadata comes last."""
        files = {}
        for path, parameters in ((self.weights_path(epoch), named_parameters(network)),
                                 (self._optimizer_path(epoch), named_parameters(optimizer, without=network))):
            files[path.name] = save_weights(path, parameters)
        write_json(self._metadata_path(epoch), {"epoch": epoch, "files": files, "history": history})

    def latest(self) -> dict[str, Any] | None:
        """The metadata of the last checkpoint that is whole; None where there is none."""
        for path in sorted(self.folder.glob("epoch-*.json"), reverse=True):
            metadata = json.loads(path.read_text(encoding="utf-8"))
            files = {self.folder / name: digest for name, digest in metadata["files"].items()}
            if all(file.exists() and sha256(file) == digest for file, digest in files.items()):
                return metadata
        return None

    def restore(self, epoch: int, network: nn.Cell, optimizer: nn.Cell) -> None:
        """Bring network and optimizer to where they were at the end of `epoch`."""
        load_weights(self.weights_path(epoch), named_parameters(network))
        load_weights(self._optimizer_path(epoch), named_parameters(optimizer, without=network))

    def prune(self, resumable: set[int], weights: set[int]) -> None:
        """Remove all but the checkpoints of the epochs `resumable`, and the bare weights of the epochs `weights`."""
        for path in self.folder.glob("epoch-*"):
            epoch = int(path.name[len("epoch-"):].split(".")[0])
            if epoch not in resumable and (epoch not in weights or path != self.weights_path(epoch)):
                path.unlink()

    def _optimizer_path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.optimizer.ckpt"

    def _metadata_path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.json"


def average(paths: list[Path], network: nn.Cell) -> None:
    """Load the mean of several checkpoints' weights into `network`."""
    loaded = [ms.load_checkpoint(str(path)) for path in paths]
    for name, parameter in named_parameters(network).items():
        parameter.set_data(ms.Tensor(sum(one[name].asnumpy().astype("float64") for one in loaded) / len(loaded),
                                     parameter.dtype))
