"""MindSpore's own layers, the choice between them and the oneDNN kernels, the CTC loss, and the cells of an update."""

import os
from pathlib import Path

import mindspore as ms
from mindspore import dtype, nn, ops

from steps.common.errors import UserError
from steps.config.schema import Experiment
from steps.model.onednn.build import available, reason
from steps.model.onednn.cells import OnednnLayers
from steps.model.optimizer import AdamW


def set_device(target: str, log_dir: Path) -> None:
    """Graph mode on `CPU`, `GPU` or `Ascend`; what MindSpore leaves of failed compilations goes to `log_dir`.

    Raises UserError if this MindSpore has no such device.
    """
    # MindSpore makes rank_0/ and kernel_meta/ there. By default they are in the current directory.
    for variable in ("MS_OM_PATH", "MS_COMPILER_CACHE_PATH"):
        os.environ.setdefault(variable, str(log_dir.absolute()))
    ms.set_context(mode=ms.GRAPH_MODE)
    if ms.get_context("device_target") == target:  # set_device refuses to be called once anything has run
        return
    try:
        ms.set_device(target)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"device: {target}: MindSpore has no such device here ({str(error).splitlines()[0]}); "
                        f"set `device: CPU` in the experiment's config") from None


class Add(nn.Cell):
    """The sum of two tensors of the same shape and type, in a residual unit."""

    def construct(self, x, y):
        return x + y


class Fork(nn.Cell):
    """A tensor, twice: for the two branches of a residual unit."""

    def construct(self, x):
        return x, x


class NormReLU(nn.BatchNorm2d):
    """Batch norm, then ReLU. Parameters are named as nn.BatchNorm2d's."""

    def construct(self, x):
        """float32 (batch, channels, frames, bins) → the same shape."""
        return ops.relu(super().construct(x))


class SumRows(nn.Cell):
    """Gathers rows and sums them."""

    def construct(self, matrix, where):
        """float32 (rows, width), int32 (kinds, sums) → float32 (sums, width): each the sum of a row of every kind."""
        return ops.gather(matrix, where, 0).sum(axis=0)


class CTCLoss(nn.Cell):
    """Softmax and CTC.

    MindSpore has three CTC operators. `ops.CTCLoss` applies a softmax of its own, and its blank is the last class.
    `nn.CTCLoss` takes log-probabilities, and its blank is class 0. This one is used, behind the only softmax.
    """

    def __init__(self):
        super().__init__()
        self.ctc = nn.CTCLoss(blank=0, reduction="none")

    def construct(self, logits, lengths, labels, label_lengths):
        """float32 (batch, frames, tokens), int32 (batch,), (batch, most), (batch,) → losses (batch,), in nats."""
        return self.ctc(ops.log_softmax(logits, -1).transpose(1, 0, 2), labels, lengths, label_lengths)


class Clip(nn.Cell):
    """Clips gradients to the norm `limit`, and gives the norm before. A limit of 0 leaves them as they are."""

    def __init__(self, limit: float):
        super().__init__()
        self.limit = limit

    def construct(self, grads):
        """The gradients, a tuple of float32 tensors → (the clipped gradients, their norm before, a float32 scalar)."""
        squares = ()
        for grad in grads:
            squares += ((grad * grad).sum(),)
        norm = ops.sqrt(ops.stack(squares).sum())  # added one by one, NaN + 2 is 2 in MindSpore 2.10's graphs
        if self.limit > 0:
            scale = self.limit / ops.maximum(norm, self.limit)
            scaled = ()
            for grad in grads:
                scaled += (grad * scale,)
            grads = scaled
        return grads, norm


class StockLayers:
    """Makes the layers of a network of MindSpore's own operators, and what trains it."""

    layout = "NCHW"
    norm = nn.BatchNorm2d
    norm_relu = NormReLU
    fork = Fork
    add = Add
    sum_rows = SumRows
    ctc_loss = CTCLoss
    clip = Clip
    adamw = AdamW

    def conv(self, in_channels: int, out_channels: int, stride: tuple[int, int] = (1, 1),
             kernel: tuple[int, int] = (3, 3)) -> nn.Cell:
        """A convolution, padded by half its kernel; the batch norm after it takes the place of a bias."""
        frames, bins = (size // 2 for size in kernel)
        return nn.Conv2d(in_channels, out_channels, kernel, stride, "pad", (frames, frames, bins, bins),
                         has_bias=False, weight_init="HeNormal")

    def max_pool(self, size: tuple[int, int]) -> nn.Cell:
        """Max pooling; a remainder at the edge is dropped."""
        return nn.MaxPool2d(size, size, pad_mode="valid")


def kernels_for(experiment: Experiment) -> tuple[str, str]:
    """(`stock` or `onednn`, why), from `train.kernels`, the device and what is built.

    Raises UserError if the config demands onednn and it cannot be had.
    """
    asked = experiment.train.kernels
    if asked == "stock":
        return "stock", "train.kernels says so"
    if experiment.device != "CPU":
        obstacle = f"device: {experiment.device} has operators of its own"
    elif available():
        return "onednn", "built, and fit for this network"
    else:
        obstacle = reason()
    if asked == "onednn":
        raise UserError(f"train.kernels: onednn: {obstacle}")
    return "stock", obstacle


def describe_kernels(experiment: Experiment) -> str:
    """A line for logs: which kernels compute this experiment's network, and why."""
    kernels, why = kernels_for(experiment)
    return f"kernels: {kernels} ({why})"


def layer_maker(experiment: Experiment):
    """The factory of the layers of the experiment's network: StockLayers or OnednnLayers."""
    return StockLayers() if kernels_for(experiment)[0] == "stock" else OnednnLayers()


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
        """The gradients, a tuple of float32 tensors → (a tensor that waits for the update, their norm)."""
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
        """The parts of a `steps.model.batches.Batch` → (loss in nats per label, gradient norm), float32 scalars."""
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
