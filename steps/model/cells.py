"""What is compiled: the network with its loss, one training step, and inference.

MindSpore has three CTC operators. `ops.CTCLoss` applies a softmax of its own and takes the last class for the blank;
`nn.CTCLoss` wants log-probabilities and takes class 0. This one is used, behind the only log-softmax of the network.
"""

from mindspore import dtype, nn, ops

BLANK = 0


class CTCObjective(nn.Cell):
    """The network and its CTC loss: nats per label, summed over the batch and divided by its number of labels."""

    def __init__(self, network: nn.Cell):
        super().__init__()
        self.network = network
        self.ctc = nn.CTCLoss(blank=BLANK, reduction="none")

    def construct(self, feats, out_lengths, labels, label_lengths):
        """float32 (batch, frames, bins), int32 (batch,), int32 (batch, labels), int32 (batch,) → float32 scalar."""
        log_probs = ops.log_softmax(ops.cast(self.network(feats), dtype.float32), -1)
        losses = self.ctc(log_probs.transpose(1, 0, 2), labels, out_lengths, label_lengths)
        return losses.sum() / label_lengths.sum()


class Update(nn.Cell):
    """One update of the weights by their gradients, which are clipped to a norm (0: they are not).

    Returns what there is only after the update, and the gradients' norm before they were clipped.
    """

    def __init__(self, optimizer: nn.Optimizer, clip_norm: float):
        super().__init__()
        self.optimizer = optimizer
        self.clip_norm = clip_norm

    def construct(self, grads):
        squares = 0.0
        for grad in grads:
            squares += (grad * grad).sum()
        norm = ops.sqrt(squares)
        if self.clip_norm > 0:
            scale = self.clip_norm / ops.maximum(norm, self.clip_norm)
            scaled = ()
            for grad in grads:
                scaled += (grad * scale,)
            grads = scaled
        return self.optimizer(grads), norm


class TrainStep(nn.Cell):
    """One update of the weights. Returns the loss before it, and the gradient's norm before it was clipped."""

    def __init__(self, objective: nn.Cell, optimizer: nn.Optimizer, clip_norm: float):
        super().__init__()
        self.objective = objective
        self.update = Update(optimizer, clip_norm)
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
