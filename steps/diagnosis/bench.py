"""A small training for the checks: losses, gradients and activations of some batches.

The network is the one that training begins with. It is compiled once for one shape of batch, and its weights are set
back to their start for each check. The precision is float32.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, dtype, nn, ops
from mindspore.nn.learning_rate_schedule import LearningRateSchedule

from steps.common.errors import UserError
from steps.diagnosis.context import Activations, Context, summarise
from steps.model.batches import ROUND, Batch, labels_fit, make_batch, stack
from steps.model.checkpoints import Checkpoints, load_weights, named_parameters
from steps.model.layers import (
    CTCObjective,
    Inference,
    StockLayers,
    TrainStep,
    describe_kernels,
    layer_maker,
    set_device,
)
from steps.model.network import DFCNN, out_frames
from steps.model.optimizer import optimizer_at
from steps.model.training import network_at_start
from steps.text.syllables import tokens_hash


class Utterance(NamedTuple):
    """What training sees of one: normalised features, float32 (frames, bins), and the ids of its syllables."""

    feats: np.ndarray
    labels: list[int]


BATCH = 8  # utterances
BATCHES = 8  # of which a short training consists


class Run(NamedTuple):
    """A short training: the loss (nats per label) and the gradient's norm of each step."""

    losses: np.ndarray
    norms: np.ndarray


class GivenRate(LearningRateSchedule):
    """A learning rate that is set from outside before every step."""

    def __init__(self):
        super().__init__()
        self.rate = Parameter(Tensor(0.0, dtype.float32), name="given_rate", requires_grad=False)

    def construct(self, global_step):
        return self.rate * 1.0

    def set(self, rate: float) -> None:
        self.rate.set_data(Tensor(rate, dtype.float32))


class GradientNorms(nn.Cell):
    """The norm of the loss' gradient by weight."""

    def __init__(self, objective: nn.Cell, weights: Sequence[Parameter]):
        super().__init__()
        self.objective = objective
        self.gradients = ops.grad(objective, None, ms.ParameterTuple(weights))

    def construct(self, feats, out_lengths, labels, label_lengths):
        norms = ()
        for grad in self.gradients(feats, out_lengths, labels, label_lengths):
            norms += (ops.sqrt((grad * grad).sum()),)
        return ops.stack(norms)


class Bench:
    """The network of the experiment `context`, with training batches of one shape.

    Attributes:
        network: with the weights that training begins with, and what has run since `reset`.
        trained: the checkpoint that training has left, of this network: its file's name; None if there is none.
        batches: the data of short trainings, not augmented.

    Raises UserError if no utterance's labels fit.
    """

    def __init__(self, context: Context, objective: type[nn.Cell] = CTCObjective):
        experiment = context.config.experiment
        set_device(experiment.device, context.exp_dir / "log")
        print(describe_kernels(experiment), file=sys.stderr)
        self._model = experiment.model
        self.context = context
        self._tokens = context.tokens
        make = layer_maker(experiment)
        self.network = network_at_start(context.config, self._tokens)
        self.batches = self._choose_batches()
        self._rate = GivenRate()
        optimizer = experiment.train.optimizer
        self._step = TrainStep(objective(self.network, make),
                               optimizer_at(self._rate, optimizer, self.network, make),
                               make.clip(optimizer.clip_norm))
        self._gradient_norms = GradientNorms(self._step.objective, self.network.trainable_params())
        self._inference = Inference(self.network)
        self._start = {name: value.asnumpy().copy() for name, value in self._step.parameters_and_names()}
        self.trained = self._read_trained()

    @property
    def batch(self) -> Batch:
        """The batch that single checks look at."""
        return self.batches[0]

    def reset(self) -> None:
        """Weights, moving averages and the optimizer as at the start."""
        for name, value in self._step.parameters_and_names():
            value.set_data(Tensor(self._start[name]))

    def train(self, rates: Sequence[float], batches: Sequence[Batch], deadline: float = np.inf) -> Run:
        """A step for each of `rates`, over `batches` in turn. Stops at `deadline` (time.monotonic) or at NaN."""
        self._step.set_train(True)
        losses, norms = [], []
        for number, rate in enumerate(rates):
            self._rate.set(rate)
            loss, norm = self._step(*map(Tensor, batches[number % len(batches)]))
            losses.append(float(loss.asnumpy()))
            norms.append(float(norm.asnumpy()))
            if not np.isfinite(losses[-1]) or time.monotonic() > deadline:
                break
        return Run(np.array(losses), np.array(norms))

    def loss(self) -> float:
        """The compiled loss of `batch` at the start, nats per label."""
        self.reset()
        loss = float(self.train([0.0], [self.batch]).losses[0])
        self.reset()
        return loss

    def logits(self) -> np.ndarray:
        """What the network makes of `batch` at the start: float32 (batch, frames, tokens)."""
        self.reset()
        self.network.set_train(True)
        logits = self.network(Tensor(self.batch.feats)).asnumpy()
        self.reset()
        return logits

    def inference(self, batch: Batch | None = None, own_norm: bool = False) -> np.ndarray:
        """What decoding gets of a batch: float32 (batch, frames, tokens).

        With `own_norm` batch norm normalises by the batch, as in training. Then call `reset`.
        """
        self._inference.set_train(own_norm)
        return self._inference(Tensor((batch or self.batch).feats)).asnumpy()

    def log_probs(self, feats: Mapping[str, np.ndarray], most: int) -> dict[str, np.ndarray]:
        """What the trained network says of at most `most` utterances, as far as they fit the bench's shape."""
        size, length = self.batch.feats.shape[:2]
        utts = [utt for utt, matrix in feats.items() if len(matrix) <= length][:most] or list(feats)[:most]
        self.load()
        heard = {}
        for begin in range(0, len(utts), size):
            cut = {utt: feats[utt][:length] for utt in utts[begin:begin + size]}
            rows = self.inference(Batch(stack(list(cut.values()), length, size), None, None, None))
            heard |= {utt: row[:out_frames(self._model, len(matrix))]
                      for (utt, matrix), row in zip(cut.items(), rows, strict=False)}
        self.reset()
        return heard

    def gradient_norms(self) -> dict[str, tuple[float, float]]:
        """(norm of the loss' gradient, norm of the weight) by weight, as the weights are now."""
        self._gradient_norms.set_train(True)
        norms = self._gradient_norms(*map(Tensor, self.batch)).asnumpy()
        weights = {id(value): name for name, value in named_parameters(self.network).items()}
        return {weights[id(value)]: (float(norm), float(np.linalg.norm(value.asnumpy())))
                for value, norm in zip(self.network.trainable_params(), norms, strict=True)}

    def activations(self) -> dict[str, Activations]:
        """What each ReLU lets through of all batches with the weights as they are now, by layer, in order.

        Runs MindSpore's own operators one by one. Hooks work only with these.
        """
        bins = self.context.config.features.num_bins
        twin = DFCNN(self._model, bins, self._tokens, StockLayers())
        own = named_parameters(self.network)
        for name, value in named_parameters(twin).items():
            value.set_data(Tensor(own[name].asnumpy()))
        seen: dict[str, Activations] = {}
        for name, cell in twin.cells_and_names():
            if type(cell).__name__ == "NormReLU" or (isinstance(cell, nn.Dense) and cell.activation is not None):
                cell.register_forward_hook(_keeper(seen, name))
        ms.set_context(mode=ms.PYNATIVE_MODE)
        try:
            twin.set_train(True)
            for batch in self.batches:
                twin(Tensor(batch.feats))
        finally:
            ms.set_context(mode=ms.GRAPH_MODE)
        return seen

    def load(self) -> None:
        """Load the trained weights if there are any, or set the weights back to the start."""
        self.reset()
        if self.trained:
            for name, value in named_parameters(self.network).items():
                value.set_data(Tensor(self._trained_weights[name]))

    def _read_trained(self) -> str | None:
        folder = self.context.exp_dir
        checkpoints = Checkpoints(folder / "checkpoints")
        path, latest = folder / "final.ckpt", checkpoints.latest()
        if not path.exists():
            if latest is None:
                return None
            path = checkpoints.weights_of(latest)
        try:
            facts = load_weights(path, named_parameters(self.network))
        except UserError:
            return None
        self._trained_weights = {name: value.asnumpy().copy() for name, value in named_parameters(self.network).items()}
        self.reset()
        same = facts.get("tokens_sha256", tokens_hash(self._tokens)) == tokens_hash(self._tokens)
        return path.name if same else None

    def utterances(self, set_name: str) -> list[Utterance]:
        """The utterances of a set, in order, with frames enough for their labels; the network must know all labels."""
        ids = {token: number for number, token in enumerate(self._tokens)}
        feats, pinyin = self.context.feats(set_name), self.context.pinyin(set_name)
        known = [Utterance(feats[utt], [ids[syllable] for syllable in pinyin[utt]]) for utt in feats
                 if utt in pinyin and ids.keys() >= set(pinyin[utt])]
        return [utt for utt in known if labels_fit(len(utt.feats), utt.labels, self._model)]

    def batch_of(self, utts: Sequence[Utterance], frames: int, most: int) -> Batch:
        """Utterances together, padded to `frames` and to `most` labels."""
        return make_batch([utt.feats for utt in utts], [utt.labels for utt in utts], frames, most, self._model)

    def _choose_batches(self) -> list[Batch]:
        """Utterances of like, rather short lengths, drawn at random."""
        fit = self.utterances("train")
        if not fit:
            raise UserError("no utterance has frames enough for its labels")
        length = int(-(-np.quantile([len(utt.feats) for utt in fit], 0.5) // ROUND) * ROUND)
        short = [utt for utt in fit if len(utt.feats) <= length]
        chosen = sorted(short, key=lambda utt: -len(utt.feats))[:BATCH * BATCHES]
        order = np.random.default_rng(0).permutation(len(chosen))
        size = min(BATCH, len(chosen))
        most = max(len(utt.labels) for utt in chosen)
        return [self.batch_of([chosen[i] for i in order[begin:begin + size]], length, most)
                for begin in range(0, len(chosen) - size + 1, size)]


def _keeper(seen: dict[str, Activations], name: str):
    def keep(cell, inputs, output):
        values = output.asnumpy()
        found = summarise(np.moveaxis(values, 1, -1) if values.ndim == 4 else values)
        seen[name] = seen[name].joined(found) if name in seen else found
        return output

    return keep
