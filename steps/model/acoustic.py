"""A trained network: its log-probabilities of utterances, the pass over dev, and training that starts from its weights.

Fine-tuning starts from another experiment's weights; its tokens may be others. Features are normalised by the source's
CMVN, so that the same sound is the same input. WeNet does so, too: there CMVN is a layer of the network.
"""

import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import kaldialign
import mindspore as ms
import numpy as np
from mindspore import nn

from steps.common.checksums import AGAIN, TRAINED, check_sums
from steps.common.errors import UserError, counted
from steps.config.load import Resolved, load_known, load_resolved
from steps.config.schema import Model
from steps.feats.archive import apply_cmvn, cmvn_mean, load_cmvn, mean_std
from steps.model.batches import inference_batches, padded_length, read_buckets, stack
from steps.model.checkpoints import load_weights, named_parameters, read_checkpoint
from steps.model.layers import Inference, layer_maker, set_device
from steps.model.network import (
    DFCNN,
    contexts,
    conv_size,
    convolutions,
    frames_needed,
    out_frames,
    out_sizes,
    right_reach,
    row_names,
    time_reduction,
)
from steps.model.parallel import Workers
from steps.report.errors import rate
from steps.search.ctc import Network, ctc_cost, greedy, windows
from steps.text.syllables import read_tokens, tokens_hash

WINDOW_S, BLOCK = 20.0, 2000  # of a long utterance: seconds that the network sees at once, frames normalised at once


class LogProbs:
    """Runs a network over utterances in batches of a few shapes, which do not change the result.

    Args:
        network: maps (batch, frames, bins) to logits.
        config: what it was made from.
        buckets: the padded lengths that training used.
    """

    def __init__(self, network: nn.Cell, config: Resolved, buckets: list[int]):
        self._inference = Inference(network)
        self._config = config.experiment
        self._buckets = buckets

    def __call__(self, utts: Iterable[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
        """(utt, normalised features (frames, bins)) → (utt, log-probabilities (out_frames, tokens)), in any order."""
        train, model = self._config.train, self._config.model
        self._inference.set_train(False)
        for names, feats, length, size in inference_batches(utts, self._buckets, train.batch_size, train.batch_frames,
                                                            right_reach(model)):
            log_probs = self._inference(ms.Tensor(stack(feats, length, size))).asnumpy()
            for name, matrix, row in zip(names, feats, log_probs, strict=False):
                yield name, row[:out_frames(model, len(matrix))]

    def one(self, feats: np.ndarray) -> np.ndarray:
        """Normalised features (frames, bins) → log-probabilities (out_frames, tokens), in a batch of their own."""
        model = self._config.model
        self._inference.set_train(False)
        batch = stack([feats], padded_length(len(feats) + right_reach(model), self._buckets), 1)
        return self._inference(ms.Tensor(batch)).asnumpy()[0, :out_frames(model, len(feats))]


class AcousticModel:
    """The final model of an experiment directory, which holds all it needs.

    Attributes:
        tokens: the tokens, <blk> first.
        frame_shift_s: seconds per output frame.
        facts: of final.ckpt: the hash of the tokens and the epoch that it was saved with.
    """

    def __init__(self, exp_dir: Path | str):
        exp_dir = Path(exp_dir)
        check_sums(exp_dir, AGAIN.format("4 (train)"), TRAINED)
        self.config = load_resolved(exp_dir)
        self.tokens = read_tokens(exp_dir / "tokens.txt")
        self.frame_shift_s = time_reduction(self.config.experiment.model) * self.config.features.frame_shift_ms / 1000
        self._mean, self._std = mean_std(load_cmvn(exp_dir / "cmvn"))
        set_device(self.config.experiment.device, exp_dir / "log")
        self.network = make_network(self.config, self.tokens)
        self.facts = load_weights(exp_dir / "final.ckpt", named_parameters(self.network))
        if self.facts.get("tokens_sha256") != tokens_hash(self.tokens):
            raise UserError(f"{exp_dir}/tokens.txt is not the list that final.ckpt was trained with; "
                            f"put that list back, or train again")
        self._log_probs = LogProbs(self.network, self.config, read_buckets(exp_dir))

    def log_probs(self, utts: Iterable[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
        """(utt, raw features float32 (frames, bins)) → (utt, log-probabilities float32 (out_frames, tokens)).

        Batched within; the order is not kept.
        """
        cmn_frames = self.config.features.cmn_frames
        return self._log_probs((utt, apply_cmvn(feats, self._mean, self._std, cmn_frames)) for utt, feats in utts)

    def parts(self, feats: np.ndarray) -> Iterator[np.ndarray]:
        """The log-probabilities of one utterance, the same bit by bit, in parts that lie one after the other: what an
        hour takes in memory is its raw features, float32 (frames, bins), alone."""
        mean = cmvn_mean(feats, self._mean, self.config.features.cmn_frames)
        network = Network(self._log_probs.one, self.frame_shift_s, **contexts(self.config.experiment.model))
        normalised = (apply_cmvn(feats[begin:begin + BLOCK], mean, self._std) for begin in range(0, len(feats), BLOCK))
        return (log_probs for _, log_probs in windows(network, normalised, WINDOW_S))


def make_network(config: Resolved, tokens: list[str], training: bool = False) -> DFCNN:
    """The network of a config, its weights random.

    Raises UserError if it leaves nothing of its input, or needs more memory, in training or not, than there is.
    """
    model = config.experiment.model
    check_size(model, config.features.num_bins, len(tokens), config.experiment.train.batch_frames if training else 0)
    return DFCNN(model, config.features.num_bins, tokens, layer_maker(config.experiment))


def memory_needed(model: Model, bins: int, tokens: int, batch_frames: int) -> int:
    """A lower bound of the bytes that the network needs: for its weights, and in training (batch_frames > 0) also for
    gradients, the optimizer's two moments and what the convolutions make of a batch."""
    sizes, channels, weights, values = [batch_frames, bins], 1, 0, 0
    for block in model.blocks:
        for stride, kernel in convolutions(block):
            sizes = [conv_size(*of_axis) for of_axis in zip(sizes, stride, strict=True)]
            weights += channels * block.channels * kernel[0] * kernel[1]
            channels = block.channels
            values += 2 * max(0, sizes[0]) * sizes[1] * channels  # after the convolution, and after norm and ReLU
        sizes = [size // pool for size, pool in zip(sizes, block.pool, strict=True)]
    widths = [channels * sizes[1], *model.dense, tokens if model.output == "plain" else 0]
    weights += sum(before * after for before, after in itertools.pairwise(widths))
    return 4 * (4 * weights + values if batch_frames else weights)


def check_size(model: Model, bins: int, tokens: int, batch_frames: int) -> None:
    """Raise UserError if the network leaves no bins, or needs more memory than this machine has."""
    if min(out_sizes(model, 1 << 20, bins)) < 1:
        raise UserError(f"model: nothing is left of {bins} bins after the last block; lower its strides and pools")
    needed = memory_needed(model, bins, tokens, batch_frames)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise UserError(f"model: the network needs {needed / 2**30:.1f} GiB or more, and this machine has "
                        f"{there / 2**30:.1f} GiB; lower channels or dense in model, or train.batch_frames")


class DevPass:
    """Measures a network on the dev set, of which each worker decodes its share.

    Args:
        feats: normalised features by utterance.
        pinyin: reference syllables by utterance. Syllables that are not tokens count as errors. Utterances with such a
            syllable, or with more syllables than CTC has frames for, have no part in the loss.
    """

    def __init__(self, log_probs: LogProbs, feats: Mapping[str, np.ndarray], pinyin: dict[str, list[str]],
                 tokens: list[str], workers: Workers):
        self._log_probs = log_probs
        self._feats = feats
        utts = sorted(utt for utt in pinyin if utt in feats)
        self._pinyin = {utt: pinyin[utt] for utt in utts[workers.rank::workers.count]}
        self._workers = workers
        self._tokens = tokens
        ids = {token: number for number, token in enumerate(tokens)}
        self._ids = {utt: [ids[syllable] for syllable in syllables] for utt, syllables in self._pinyin.items()
                     if all(syllable in ids for syllable in syllables)}

    def __call__(self) -> tuple[float, float]:
        """(nats per syllable, syllable error rate), the same on all workers. The loss of a network with NaN is NaN."""
        hyps: dict[str, list[str]] = {}
        loss = syllables = 0.0
        for utt, log_probs in self._log_probs((utt, self._feats[utt]) for utt in self._pinyin):
            hyps[utt] = [self._tokens[label.token] for label in greedy(log_probs)]
            ids = self._ids.get(utt)
            if ids is not None and frames_needed(ids) <= len(log_probs):  # without a path the cost is infinite
                loss += ctc_cost(log_probs, ids)
                syllables += len(ids)
        found = kaldialign.batch_error_rate(self._pinyin.values(), [hyps[utt] for utt in self._pinyin])
        sums = self._workers.sum(np.array([loss, syllables, found["total"], found["ref_len"]])).tolist()
        return sums[0] / max(1.0, sums[1]), rate(sums[2], sums[3])


OUTPUT = ("output.weight", "output.bias")
EXAMPLES = 5
NOT_HEARD = {"compress", "copies", "skip_bad"}  # keys of features that do not change a recording's features


class Source(NamedTuple):
    """The model that `train.init_from` names."""

    checkpoint: Path
    output: str  # plain or factored
    tokens: list[str]


def find_source(config: Resolved) -> Source | None:
    """Find what training starts from. Returns None if it starts from random weights.

    Raises UserError if it is not there or was trained on other features.
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

    The output layer's rows are copied for the tokens that both have (for the parts of syllables, if it is factored).
    The others stay as they are. Raises UserError if the other layers of the networks differ.
    """
    loaded = read_checkpoint(source.checkpoint)
    if loaded.get("tokens_sha256", tokens_hash(source.tokens)) != tokens_hash(source.tokens):
        raise UserError(f"{source.checkpoint.parent}/tokens.txt is not the list that final.ckpt was trained with")
    weights = {name: value for name, value in named_parameters(network).items() if value.dtype == ms.float32}
    body = weights.keys() - set(OUTPUT)
    _check_alike(source, loaded, {name: weights[name].shape for name in body})
    for name in body:
        weights[name].set_data(loaded[name])
    print(f"starting from {source.checkpoint}: {counted(len(body), 'array')} of weights copied, and its CMVN",
          file=sys.stderr)
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
