"""What is compiled: the network with its loss, one training step, and inference."""

from mindspore import Tensor, dtype, nn, ops

from steps.config.schema import Experiment
from steps.model.inter import frames_ratio
from steps.model.output import syllable_units


class CTCObjective(nn.Cell):
    """The network and its CTC loss: nats per label, summed over the batch and divided by its number of labels."""

    def __init__(self, network: nn.Cell, kernels):
        super().__init__()
        self.network = network
        self.loss = kernels.ctc_loss()

    def construct(self, feats, out_lengths, labels, label_lengths):
        """float32 (batch, frames, bins), int32 (batch,), int32 (batch, labels), int32 (batch,) → float32 scalar."""
        logits = ops.cast(self.network(feats), dtype.float32)
        losses = self.loss(logits, out_lengths, labels, label_lengths)
        return losses.sum() / label_lengths.sum()


class Objective(nn.Cell):
    """What training minimises: `CTCObjective`, and what an experiment adds to it.

    With `model.inter_ctc` a share `train.inter_ctc_weight` of it is the CTC of initials and finals. `train.consistency`
    is how much counts how far two views of an utterance, rows 2i and 2i + 1, are from each other (CR-CTC, Yao et al.
    2024).
    """

    def __init__(self, network: nn.Cell, kernels, experiment: Experiment, tokens: list[str]):
        super().__init__()
        self.network = network
        self.loss = kernels.ctc_loss()
        self.consistency = experiment.train.consistency
        if self.consistency:
            self.divergence = kernels.divergence()
        self.inter = experiment.model.inter_ctc > 0
        if self.inter:
            self.weight = experiment.train.inter_ctc_weight
            self.units = Tensor(syllable_units(tokens))
            self.ratio = frames_ratio(experiment.model)

    def construct(self, feats, out_lengths, labels, label_lengths):
        outputs = self.network(feats)
        logits = ops.cast(outputs[0] if self.inter else outputs, dtype.float32)
        loss = self.loss(logits, out_lengths, labels, label_lengths).sum()
        if self.inter:
            between = ops.cast(outputs[1], dtype.float32)
            lengths = ops.minimum(out_lengths * self.ratio, between.shape[1])
            units = ops.gather(self.units, labels, 0).reshape(labels.shape[0], -1)
            between = self.loss(between, lengths, units, label_lengths * 2).sum()
            loss = (1 - self.weight) * loss + self.weight * between
        if self.consistency:
            loss += self.consistency * self.divergence(logits, out_lengths).sum()
        return loss / label_lengths.sum()


class Update(nn.Cell):
    """One update of the weights by their gradients, which `clip` clips (see `steps.model.stock.Clip`).

    Returns what there is only after the update, and the gradients' norm before they were clipped.
    """

    def __init__(self, optimizer: nn.Optimizer, clip: nn.Cell):
        super().__init__()
        self.optimizer = optimizer
        self.clip = clip

    def construct(self, grads):
        grads, norm = self.clip(grads)
        return self.optimizer(grads), norm


class TrainStep(nn.Cell):
    """One update of the weights. Returns the loss before it, and the gradient's norm before it was clipped."""

    def __init__(self, objective: nn.Cell, optimizer: nn.Optimizer, clip: nn.Cell):
        super().__init__()
        self.objective = objective
        self.update = Update(optimizer, clip)
        self.weights = optimizer.parameters
        self.value_and_grad = ops.value_and_grad(objective, None, self.weights)

    def construct(self, feats, out_lengths, labels, label_lengths):
        loss, grads = self.value_and_grad(feats, out_lengths, labels, label_lengths)
        done, norm = self.update(grads)
        loss = ops.depend(loss, done)
        # The product has no value before the last update: whoever reads it then sleeps. The loss itself is known
        # when the forward pass ends, and Python's waiting thread would spin through the whole backward pass.
        return loss * 1.0, norm


class Inference(nn.Cell):
    """Features to log-probabilities."""

    def __init__(self, network: nn.Cell):
        super().__init__()
        self.network = network

    def construct(self, feats):
        """float32 (batch, frames, bins) → float32 (batch, out_frames, tokens)."""
        return ops.log_softmax(ops.cast(self.network(feats), dtype.float32), -1)
