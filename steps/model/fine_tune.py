"""Fine-tuning: a network that starts from another experiment's weights. Its tokens may be others.

Features are normalised by the source's CMVN, so that the same sound is the same input. WeNet does so, too: there CMVN
is a layer of the network.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import mindspore as ms
from mindspore import nn

from steps.common.checksums import TRAINED, check_sums
from steps.common.errors import UserError
from steps.config.load import Resolved, load_known
from steps.model.checkpoints import named_parameters, read_checkpoint
from steps.model.network import row_names
from steps.text.syllables import read_tokens, tokens_hash

OUTPUT = ("output.weight", "output.bias")
EXAMPLES = 5
NOT_HEARD = {"compress", "copies", "skip_bad"}  # of features: they sound the same


class Source(NamedTuple):
    """The model that `train.init_from` names."""

    checkpoint: Path
    output: str  # plain or factored
    tokens: list[str]


def find_source(config: Resolved) -> Source | None:
    """Find what training starts from. Returns None where it starts from random weights.

    Raises UserError where it is not there or was trained on other features.
    """
    if config.source is None:
        return None
    for path in config.source_files:
        if not path.exists():
            raise UserError(f"train.init_from: {config.experiment.train.init_from}: {path} is not there; train that "
                            f"experiment first, or name a directory or .ckpt below one")
    other, _ = load_known(config.source_dir)
    ours, theirs = config.features.model_dump(), other.features.model_dump()
    different = [key for key in ours if ours[key] != theirs[key] and key not in NOT_HEARD]
    if different:
        said = ", ".join(f"{key}: {theirs[key]}, here {ours[key]}" for key in different)
        raise UserError(f"train.init_from: {config.source} was trained on other features ({said}); give `features` a "
                        f"file with the same values")
    check_sums(config.source_dir, f"take another source than {config.source}, or train it again", TRAINED)
    return Source(config.source, other.experiment.model.output, read_tokens(config.source_dir / "tokens.txt"))


def start_from(source: Source, network: nn.Cell, output: str, tokens: list[str]) -> None:
    """Copy the source's weights into `network`, and say which. Its output layer is of the kind `output` over `tokens`.

    Of the output layer, the rows of those tokens (or parts of syllables, where it is factored) are copied that both
    have. The others stay as they are. Raises UserError where the other layers of the networks differ.
    """
    loaded = read_checkpoint(source.checkpoint)
    if loaded.get("tokens_sha256", tokens_hash(source.tokens)) != tokens_hash(source.tokens):
        raise UserError(f"{source.checkpoint.parent}/tokens.txt is not the list that final.ckpt was trained with")
    weights = {name: value for name, value in named_parameters(network).items() if value.dtype == ms.float32}
    body = weights.keys() - set(OUTPUT)
    _check_alike(source, loaded, {name: weights[name].shape for name in body})
    for name in body:
        weights[name].set_data(loaded[name])
    print(f"starting from {source.checkpoint}: {len(body)} arrays of weights copied, and its CMVN", file=sys.stderr)
    if output != source.output:
        print(f"output layer: fresh, since it is {output} and was {source.output}", file=sys.stderr)
        return
    _copy_rows(loaded, weights, row_names(output, source.tokens), row_names(output, tokens))


def _check_alike(source: Source, loaded: dict, shapes: dict[str, tuple]) -> None:
    theirs = {name: value.shape for name, value in loaded.items()
              if isinstance(value, ms.Tensor) and value.dtype == ms.float32 and name not in OUTPUT}
    for name in sorted(shapes.keys() | theirs.keys()):
        if shapes.get(name) != theirs.get(name):
            raise UserError(f"train.init_from: {source.checkpoint} is of another network: {name} is "
                            f"{theirs.get(name, 'not there')}, here {shapes.get(name, 'not there')}; make `model` the "
                            f"same as its experiment's, except for output")


def _copy_rows(loaded: dict, weights: dict[str, ms.Parameter], theirs: list, ours: list) -> None:
    places = {name: number for number, name in enumerate(theirs)}
    known = [number for number, name in enumerate(ours) if name in places]
    rows = [places[ours[number]] for number in known]
    for name in OUTPUT:
        values = weights[name].asnumpy().copy()
        values[known] = loaded[name].asnumpy()[rows]
        weights[name].set_data(ms.Tensor(values))
    fresh = [name for name in ours if name not in places]
    left = [name for name in theirs if name not in set(ours)]
    print(f"output layer: {len(known)} of {len(ours)} rows copied{_such_as('fresh', fresh)}"
          f"{_such_as('of the source left behind', left)}", file=sys.stderr)


def _such_as(what: str, names: list) -> str:
    if not names:
        return ""
    said = ["".join(name[1].split()) if isinstance(name, tuple) else name for name in names[:EXAMPLES]]
    return f"; {len(names)} {what}: {', '.join(said)}{' …' if len(names) > EXAMPLES else ''}"
