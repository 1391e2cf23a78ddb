"""The CTC loss, and the cells that compute it, its gradients and an update."""

from mindspore import dtype, nn, ops


class CTCObjective(nn.Cell):
    """The network and its CTC loss: nats per label, summed over the batch and divided by its number of labels."""

    def __init__(self, network: nn.Cell, make):
        super().__init__()
        self.network = network
        self.loss = make.ctc_loss()

    def construct(self, feats, out_lengths, labels, label_lengths):
        """float32 (batch, frames, bins), int32 (batch,), int32 (batch, labels), int32 (batch,) → float32 scalar."""
        logits = ops.cast(self.network(feats), dtype.float32)
        losses = self.loss(logits, out_lengths, labels, label_lengths)
        return losses.sum() / label_lengths.sum()


class Update(nn.Cell):
    """One update of the weights. `clip` clips the gradients before (see `steps.model.layers.Clip`).

    Returns a tensor that has a value only after the update, and the gradients' norm before they were clipped.
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
        # The product has no value before the last update, so that the thread that reads it sleeps until then. The loss
        # itself is known when the forward pass ends. A thread that reads it spins through the whole backward pass.
        return loss * 1.0, norm


class Inference(nn.Cell):
    """Features to log-probabilities."""

    def __init__(self, network: nn.Cell):
        super().__init__()
        self.network = network

    def construct(self, feats):
        """float32 (batch, frames, bins) → float32 (batch, out_frames, tokens)."""
        return ops.log_softmax(ops.cast(self.network(feats), dtype.float32), -1)
