"""Checks of the network: loss, gradients, activations, output, and where it emits its syllables."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax, softmax

from steps.config.schema import Features, Model
from steps.diagnosis.bench import Bench
from steps.diagnosis.context import Activations, Finding, few, graded, gradient_figure, histogram_figure, percent
from steps.diagnosis.features import Feats
from steps.model.batches import Batch
from steps.model.network import sight, time_reduction
from steps.search.alignment import voice_of
from steps.search.ctc import ctc_cost, greedy

BLANKS = np.linspace(0.05, 0.95, 10)  # probabilities of the blank that are tried


def deaf_loss(batches: Sequence[Batch]) -> float:
    """The lowest CTC loss, in nats per label, of an output that is the same in all frames of all utterances.

    It knows how frequent each token is in the batches, and how many blanks to give, but nothing of the features.
    """
    utts = [(int(frames), labels[:count].tolist()) for batch in batches
            for frames, labels, count in zip(batch.out_lengths, batch.labels, batch.label_lengths, strict=True)]
    _, places = np.unique(np.concatenate([labels for _, labels in utts]), return_inverse=True)
    shares = np.bincount(places) / len(places)
    renumbered = iter(places + 1)
    short = [(frames, [int(next(renumbered)) for _ in labels]) for frames, labels in utts]
    return min(_constant(np.log(np.append(blank, (1 - blank) * shares)), short) for blank in BLANKS) / len(places)


def _constant(log_probs: np.ndarray, utts: list[tuple[int, list[int]]]) -> float:
    return sum(ctc_cost(np.broadcast_to(log_probs, (frames, len(log_probs))), labels) for frames, labels in utts)


UNTRAINED = "there is no checkpoint yet, or none of this network"
EARLY = 3  # epochs in which saying nothing is what CTC always begins with


def check_output(bench: Bench) -> Finding:
    """The trained network recognises different syllables, about as many as there are."""
    if bench.trained is None:
        return Finding("skipped", UNTRAINED)
    context = bench.context
    pinyin = context.pinyin("dev")
    feats = {utt: matrix for utt, matrix in context.feats("dev").items() if utt in pinyin}
    return judge_output(bench.log_probs(feats, most=64), pinyin, len(context.history))


def judge_output(log_probs: Mapping[str, np.ndarray], pinyin: Mapping[str, list[str]], epochs: int) -> Finding:
    """`log_probs` (frames, tokens) by utterance, blank 0; `pinyin` the reference; `epochs` of training so far."""
    heard = {utt: [label.token for label in greedy(matrix)] for utt, matrix in log_probs.items()}
    blanks = float(np.mean(np.concatenate([matrix.argmax(axis=1) == 0 for matrix in log_probs.values()])))
    empty = float(np.mean([not labels for labels in heard.values()]))
    counts = Counter(token for labels in heard.values() for token in labels)
    spoken = sum(len(pinyin[utt]) for utt in log_probs)
    evidence = [f"{percent(blanks)} of frames are blank, {percent(empty)} of {len(heard)} utterances came out empty",
                f"{counts.total()} syllables recognised, {len(counts)} different ones; {spoken} were spoken"]
    early = "; in the first epochs CTC always begins so: wait" if epochs <= EARLY else ""
    severity = "warning" if early else "error"
    if empty > 0.5 or counts.total() < 0.2 * spoken:
        return Finding(severity, "the network answers with blanks alone" + early, evidence,
                       "if it stays so: see the checks of loss and overfit; then lower the rate (sweep), lengthen "
                       "warmup_steps, and leave more frames a label (fewer pools or strides in frames)")
    top = counts.most_common(1)[0][1] / counts.total()
    if top > 0.5 and len({tuple(pinyin[utt]) for utt in log_probs}) > 1 and len(counts) < 10:
        return Finding(severity, f"one syllable makes up {percent(top)} of the network's answers" + early,
                       evidence, "features that say nothing (see their checks), or a rate far too high (see the sweep)")
    if counts.total() > 2 * spoken:
        return Finding("warning", "the network recognises more than twice the syllables that were spoken",
                       evidence, "does the text hold all that is spoken? do lengths of dev and train differ?")
    return Finding("ok", "the network recognises different syllables, about as many as were spoken", evidence)


VANISHED = 1e-4  # of the largest layer's gradient
EXPLODED = 1e3


def check_relus(bench: Bench) -> Finding:
    """No layer's ReLUs are dead, at the start or, if there is a checkpoint, in the trained network."""
    bench.load()
    activations = bench.activations()
    finding = judge_relus(activations)
    figure = histogram_figure(activations, f"Activations by layer, {bench.trained or 'before training'}")
    return finding._replace(figures=[figure])


def judge_relus(activations: Mapping[str, Activations]) -> Finding:
    """A channel is dead that is 0 for all that the batches hold."""
    dead = {name: float(np.mean(~layer.alive)) for name, layer in activations.items()}
    passed = [float(np.mean(layer.values > 0)) for layer in activations.values()]
    worst = max(dead, key=dead.get)
    evidence = [f"dead channels: {percent(dead[worst])} in {worst}, {percent(np.mean(list(dead.values())))} on average",
                f"values above 0: {percent(min(passed))} to {percent(max(passed))} by layer"]
    broken = [name for name, layer in activations.items() if not layer.finite]
    if broken:
        return Finding("error", f"activations are NaN or infinite from layer {broken[0]} on", evidence,
                       "see the checks of features; lower the learning rate")
    severity = graded(dead[worst], 0.5, 0.9)
    if severity == "ok":
        return Finding("ok", f"the ReLUs of all {len(dead)} layers are alive", evidence)
    return Finding(severity, f"{percent(dead[worst])} of the channels of {worst} are dead: 0 whatever comes",
                   evidence, "lower the learning rate or lengthen warmup_steps (large steps kill ReLUs for good), then "
                   "train again; keep batch norm before them; before training: check the scale of the features")


def check_gradients(bench: Bench) -> Finding:
    """Gradients reach all layers, and none is far larger than the others."""
    bench.load()
    norms = bench.gradient_norms()
    clip = bench.context.config.experiment.train.optimizer.clip_norm
    finding = judge_gradients(norms, clip)
    figure = gradient_figure(norms, f"Gradient norms by weight, {bench.trained or 'before training'}")
    return finding._replace(figures=[figure])


def judge_gradients(norms: Mapping[str, tuple[float, float]], clip_norm: float) -> Finding:
    """`norms`: (gradient's, weight's) by weight from the input to the output; weights named `….weight` are judged."""
    matrices = {name: pair for name, pair in norms.items() if name.endswith("weight")}
    gradients = {name: gradient for name, (gradient, _) in matrices.items()}
    total = float(np.sqrt(sum(gradient**2 for gradient, _ in norms.values())))
    smallest, largest = min(gradients, key=gradients.get), max(gradients, key=gradients.get)
    evidence = [f"norm of the whole gradient: {total:.3g}" + (f"; clip_norm is {clip_norm:g}" if clip_norm else ""),
                f"largest in {largest} ({gradients[largest]:.2g}), smallest in {smallest} ({gradients[smallest]:.2g})"]
    if not np.isfinite(total):
        bad = next(name for name, (gradient, _) in norms.items() if not np.isfinite(gradient))
        return Finding("error", f"the gradient of {bad} is NaN or infinite", evidence,
                       "see the checks of features and of the loss")
    if gradients[largest] == 0:
        return Finding("error", "there is no gradient at all", evidence, "see the check of the loss")
    vanished = [name for name, gradient in gradients.items() if gradient < VANISHED * gradients[largest]]
    if vanished:
        severity = "error" if len(vanished) > len(gradients) / 4 else "warning"
        return Finding(severity,
                       f"gradients vanish in {len(vanished)} of {len(gradients)} layers, such as {vanished[0]}",
                       evidence, "take residual blocks, keep batch norm in every layer, lessen the depth; see "
                       "the check of ReLUs")
    first, *_, last = gradients.values()
    if total > EXPLODED or first > EXPLODED * max(last, 1e-12):
        return Finding("warning" if clip_norm else "error", "gradients explode towards the input",
                       evidence, "set clip_norm (5), keep batch norm in every layer, check the scale of the features")
    return Finding("ok", f"gradients reach all {len(gradients)} layers", evidence)


CLOSE = 2e-3  # relative; float32 on a device is within 1e-4


def judge_logits(logits: np.ndarray, log_probs: np.ndarray) -> Finding:
    """The network ends with logits, and its inference with log-probabilities that sum to 1. (batch, frames, tokens)
    both: what the network gives, and what decoding gets."""
    sums = np.exp(log_probs.astype(np.float64)).sum(axis=-1)
    off = float(np.abs(sums - 1).max())
    evidence = [f"each frame's probabilities sum to 1 within {off:.1e}",
                f"logits lie between {logits.min():.2f} and {logits.max():.2f}"]
    if not np.isfinite(logits).all():
        return Finding("error", "the network's outputs are NaN or infinite", evidence,
                       "see the checks of features and of layers; lower the learning rate")
    if off > 1e-3:
        return Finding("error", "what decoding gets are not log-probabilities", evidence,
                       "put one log-softmax, over the tokens, after the network's output (steps/model/layers.py)")
    if logits.min() >= 0 and np.abs(logits.sum(axis=-1) - 1).max() < 1e-3:
        return Finding("error", "the network ends with a softmax, and the loss applies another", evidence,
                       "take the softmax off the network's output")
    if logits.min() >= 0:
        return Finding("error", "the network ends with a ReLU: no token can get a logit below 0", evidence,
                       "take the activation off the output layer (activation=None)")
    return Finding("ok", "the network gives logits, decoding log-probabilities", evidence)


def judge_loss(value: float, logits: np.ndarray, batch: Batch) -> Finding:
    """The loss that training minimises is CTC's. `value` is the compiled loss of `batch`, in nats per label; `logits`
    (batch, frames, tokens) the network's."""
    expected = _normalised(logits, batch)
    evidence = [f"compiled {value:.4f}, in float64 {expected:.4f} nats per label"]
    if abs(value - expected) <= CLOSE * max(1.0, abs(expected)):
        return Finding("ok", "the loss is CTC's, to float32's accuracy", evidence)
    named = [(what, remedy) for what, remedy, flawed in MISTAKES
             if abs(value - flawed(logits, batch)) <= CLOSE * max(1.0, abs(value))]
    if named:
        return Finding("error", f"the loss is not CTC's: {named[0][0]}", [*evidence, "that mistake gives just "
                       "the compiled value"], named[0][1])
    return Finding("error", "the loss is not CTC's, nor any that a common mistake would make", evidence,
                   "check steps/model/layers.py by `pytest tests/test_ctc.py`; nn.CTCLoss takes log-probabilities "
                   "(frames, batch, tokens), blank 0, and every utterance's own length")


def reference_loss(log_probs: np.ndarray, batch: Batch, blank: int = 0, lengths: np.ndarray | None = None) -> float:
    """CTC in float64 over a batch, divided by its labels. `lengths` in place of the batch's own output lengths."""
    lengths = batch.out_lengths if lengths is None else lengths
    total = sum(ctc_cost(matrix[:frames], list(labels[:count]), blank) for matrix, frames, labels, count in
                zip(log_probs, lengths, batch.labels, batch.label_lengths, strict=True))
    return total / float(batch.label_lengths.sum())


def _normalised(logits: np.ndarray, batch: Batch, **other) -> float:
    return reference_loss(log_softmax(logits.astype(np.float64), axis=-1), batch, **other)


ONE_SOFTMAX = "apply exactly one log-softmax between the network's logits and nn.CTCLoss (ops.CTCLoss has its own)"
OWN_LENGTHS = "pass every utterance's own number of output frames (steps/model/network.py: out_frames)"
MISTAKES: list[tuple[str, str, Callable[[np.ndarray, Batch], float]]] = [
    ("softmax is applied twice", ONE_SOFTMAX, lambda x, batch: _normalised(softmax(x, axis=-1), batch)),
    ("logits are passed as log-probabilities", ONE_SOFTMAX, lambda x, batch: reference_loss(x, batch)),
    ("probabilities are passed as log-probabilities", ONE_SOFTMAX,
     lambda x, batch: reference_loss(softmax(x, axis=-1), batch)),
    ("negative logits are cut off by a ReLU", "take the ReLU off the output layer",
     lambda x, batch: _normalised(np.maximum(x, 0), batch)),
    ("the last token is taken for the blank", "use nn.CTCLoss(blank=0); ops.CTCLoss takes the last class",
     lambda x, batch: _normalised(x, batch, blank=x.shape[-1] - 1)),
    ("every utterance counts as long as the padded batch", OWN_LENGTHS,
     lambda x, batch: _normalised(x, batch, lengths=np.full(len(x), x.shape[1]))),
    ("every utterance counts as long as the batch's longest", OWN_LENGTHS,
     lambda x, batch: _normalised(x, batch, lengths=np.full(len(x), batch.out_lengths.max()))),
]


NEAR = 1.5  # output frames from the speech to the middle of a spike: half its own, and one as weak consonants are quiet
# Of the spikes: a warning, an error. Of real words (hsk) it was 60 % with 3×3 kernels throughout, 0 % with its own.
MANY = (0.1, 0.3)
FEW = 20  # spikes, of which a share says nothing yet


def check_alignment(bench: Bench) -> Finding:
    """The trained network emits syllables while they are spoken.

    CTC asks for the order of syllables alone. A network that sees a whole word at once may recognise it from anywhere,
    and emit its first syllable at the utterance's first frame: whichever frame wins early in training is kept. Such a
    network learns whole words, and fails on words that it does not know.
    """
    if bench.trained is None:
        return Finding("skipped", UNTRAINED)
    context = bench.context
    log_probs = bench.log_probs(context.feats("dev"), most=64)
    return judge_alignment(log_probs, context.raw_feats("dev"), context.config.experiment.model,
                           context.config.features)


def judge_alignment(log_probs: Mapping[str, np.ndarray], feats: Feats, model: Model, config: Features) -> Finding:
    """`log_probs` (output frames, tokens) by utterance, blank 0; `feats` (frames, bins) as stored."""
    found = find_spikes(log_probs, feats, model, config)
    if len(found) < FEW:
        return Finding("skipped", f"{len(found)} syllables are too few to tell where they are emitted")
    first, last = sight(model)
    reach = (last - first) // 2
    silent = [spike for spike in found if spike.away > NEAR * time_reduction(model)]
    share = len(silent) / len(found)
    early, blind = sum(one.early for one in silent), sum(one.away > reach for one in silent)
    evidence = [f"{len(silent)} of {len(found)} syllables are emitted in silence, {early} of them before the speech "
                f"begins, {blind} with no speech in sight",
                f"an output frame sees {(last - first + 1) * config.frame_shift_ms / 1000:.2f} s"]
    severity = graded(share, *MANY)
    if severity == "ok":
        return Finding("ok", "syllables are emitted while they are spoken", evidence)
    return Finding(severity, f"{percent(share)} of the syllables are emitted while nothing is spoken",
                   [*evidence, few(sorted({one.utt for one in silent}))],
                   "set `train: {sortagrad: 1}`: from short utterances CTC learns where a syllable is; let an output "
                   "frame see less, by `kernel: [1, 3]` in the last of model.blocks; then train again")


class Spike(NamedTuple):
    """A syllable as emitted."""

    utt: str
    away: int  # feature frames from the speech; 0 within
    early: bool  # before the speech


def find_spikes(log_probs: Mapping[str, np.ndarray], feats: Feats, model: Model, config: Features) -> list[Spike]:
    """The spikes of greedy decoding, each where its syllable is likeliest. Utterances with NaN are left out."""
    middle_of_first = sum(sight(model)) // 2
    found = []
    for utt, matrix in log_probs.items():
        if not np.isfinite(feats[utt]).all():
            continue
        voice = voice_of(feats[utt], config)
        for one in greedy(matrix):
            peak = one.first + int(matrix[one.first:one.last + 1, one.token].argmax())
            middle = middle_of_first + peak * time_reduction(model)
            away = max(0, voice.onset - middle, middle - voice.offset)
            found.append(Spike(utt, away, middle < voice.onset))
    return found
