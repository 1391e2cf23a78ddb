"""Checks of the loss: the compiled value against CTC in float64, and against what known mistakes would give."""

from collections.abc import Callable

import numpy as np

from steps.diagnosis.context import Context
from steps.diagnosis.finding import Finding
from steps.model.batches import Batch
from steps.model.ctc import ctc_cost

CLOSE = 2e-3  # relative; float32 on a device is within 1e-4


def check_outputs(context: Context) -> Finding:
    """The network ends with logits, and its inference with log-probabilities that sum to 1."""
    return judge_outputs(context.bench.logits(), context.bench.inference())


def judge_outputs(logits: np.ndarray, log_probs: np.ndarray) -> Finding:
    """(batch, frames, tokens) both: what the network gives, and what decoding gets."""
    sums = np.exp(log_probs.astype(np.float64)).sum(axis=-1)
    off = float(np.abs(sums - 1).max())
    evidence = [f"each frame's probabilities sum to 1 within {off:.1e}",
                f"logits lie between {logits.min():.2f} and {logits.max():.2f}"]
    if not np.isfinite(logits).all():
        return Finding("outputs", "error", "the network's outputs are NaN or infinite", evidence,
                       "see the checks of features and of layers; lower the learning rate")
    if off > 1e-3:
        return Finding("outputs", "error", "what decoding gets are no log-probabilities", evidence,
                       "put one log-softmax, over the tokens, behind the network's output (steps/model/cells.py)")
    if logits.min() >= 0 and np.abs(logits.sum(axis=-1) - 1).max() < 1e-3:
        return Finding("outputs", "error", "the network ends with a softmax, and the loss applies another", evidence,
                       "take the softmax off the network's output")
    if logits.min() >= 0:
        return Finding("outputs", "error", "the network ends with a ReLU: no token can get a logit below 0", evidence,
                       "take the activation off the output layer (activation=None)")
    return Finding("outputs", "ok", "the network gives logits, decoding log-probabilities", evidence)


def check_loss(context: Context) -> Finding:
    """The loss that training minimises is CTC's."""
    bench = context.bench
    return judge_loss(bench.loss(), bench.logits(), bench.batch)


def judge_loss(value: float, logits: np.ndarray, batch: Batch) -> Finding:
    """`value` is the compiled loss of `batch`, in nats per label; `logits` (batch, frames, tokens) the network's."""
    expected = reference_loss(_log_softmax(logits), batch)
    evidence = [f"compiled {value:.4f}, in float64 {expected:.4f} nats per label"]
    if abs(value - expected) <= CLOSE * max(1.0, abs(expected)):
        return Finding("loss", "ok", "the loss is CTC's, to float32's accuracy", evidence)
    named = [(what, remedy) for what, remedy, flawed in MISTAKES
             if abs(value - flawed(logits, batch)) <= CLOSE * max(1.0, abs(value))]
    if named:
        return Finding("loss", "error", f"the loss is not CTC's: {named[0][0]}", [*evidence, "that mistake gives just "
                       "the compiled value"], named[0][1])
    return Finding("loss", "error", "the loss is not CTC's, nor any that a common mistake would make", evidence,
                   "hold steps/model/cells.py against `pytest tests/test_ctc.py`; nn.CTCLoss wants log-probabilities "
                   "(frames, batch, tokens), blank 0, and every utterance's own length")


def reference_loss(log_probs: np.ndarray, batch: Batch, blank: int = 0, lengths: np.ndarray | None = None) -> float:
    """CTC in float64 over a batch, divided by its labels. `lengths` in place of the batch's own output lengths."""
    lengths = batch.out_lengths if lengths is None else lengths
    total = sum(ctc_cost(matrix[:frames], list(labels[:count]), blank) for matrix, frames, labels, count in
                zip(log_probs, lengths, batch.labels, batch.label_lengths, strict=True))
    return total / float(batch.label_lengths.sum())


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(_log_softmax(logits))


def _last_is_blank(logits: np.ndarray, batch: Batch) -> float:
    return reference_loss(_log_softmax(logits), batch, blank=logits.shape[-1] - 1)


def _padded_lengths(logits: np.ndarray, batch: Batch) -> float:
    return reference_loss(_log_softmax(logits), batch, lengths=np.full(len(logits), logits.shape[1]))


def _longest_length(logits: np.ndarray, batch: Batch) -> float:
    return reference_loss(_log_softmax(logits), batch, lengths=np.full(len(logits), batch.out_lengths.max()))


ONE_SOFTMAX = "apply exactly one log-softmax between the network's logits and nn.CTCLoss (ops.CTCLoss has its own)"
OWN_LENGTHS = "pass every utterance's own number of output frames (steps/model/geometry.py: out_frames)"
MISTAKES: list[tuple[str, str, Callable[[np.ndarray, Batch], float]]] = [
    ("softmax is applied twice", ONE_SOFTMAX, lambda x, batch: reference_loss(_log_softmax(_softmax(x)), batch)),
    ("logits are passed as log-probabilities", ONE_SOFTMAX, lambda x, batch: reference_loss(x, batch)),
    ("probabilities are passed as log-probabilities", ONE_SOFTMAX,
     lambda x, batch: reference_loss(_softmax(x), batch)),
    ("negative logits are cut off by a ReLU", "take the ReLU off the output layer",
     lambda x, batch: reference_loss(_log_softmax(np.maximum(x, 0)), batch)),
    ("the last token is taken for the blank", "use nn.CTCLoss(blank=0); ops.CTCLoss takes the last class",
     _last_is_blank),
    ("every utterance counts as long as the padded batch", OWN_LENGTHS, _padded_lengths),
    ("every utterance counts as long as the batch's longest", OWN_LENGTHS, _longest_length),
]
