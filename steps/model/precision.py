"""Precisions below float32, for training: weights, their gradients' sums, log-softmax and CTC stay float32.

bf16: bfloat16 for the activations of the convolutional stack and their gradients, on the CPU. Its exponent is
float32's, so that nothing over- or underflows.

amp: float16 within the network, and a loss scale that keeps its gradients from vanishing or overflowing.
"""

import mindspore as ms
import numpy as np
from mindspore import Tensor, amp, nn

from steps.common.errors import UserError
from steps.config.schema import Experiment
from steps.model.kernels import kernels_for
from steps.model.network import DFCNN
from steps.model.onednn.build import has_bfloat16

FIRST_SCALE = 2.0**16
FACTOR = 2  # that the scale falls by when a gradient overflows, and grows by …
WINDOW = 1000  # … after so many updates without; MindSpore's defaults


def check_precision(experiment: Experiment) -> None:
    """Raise UserError where the experiment's precision is not to be had on its device, or here."""
    if experiment.train.precision == "bf16":
        obstacle = _bfloat16_obstacle(experiment)
        if obstacle:
            raise UserError(f"train.precision: bf16 {obstacle}")
    if experiment.train.precision == "amp" and experiment.device == "CPU":
        raise UserError("train.precision: amp is for GPU and Ascend; on the CPU float16 is no faster: set it to fp32")


def _bfloat16_obstacle(experiment: Experiment) -> str | None:
    if experiment.device != "CPU":
        return f"is for the CPU; on {experiment.device} set it to amp"
    kernels, why = kernels_for(experiment)
    if kernels == "stock":
        return f"needs the onednn kernels, and training would use MindSpore's own: {why}; set it to fp32"
    if not has_bfloat16():
        return "needs a processor that has avx512_bf16 or amx_bf16; on this one it is slower: set it to fp32"
    return None


def with_precision(network: DFCNN, precision: str) -> nn.Cell:
    """The network at `fp32`, `bf16` or `amp`; its parameters stay float32 and keep their names.

    With bf16 inference is as with fp32, so that it does not depend on the machine.
    """
    if precision == "amp":
        return amp.auto_mixed_precision(network, "auto", ms.float16)
    if precision == "bf16":
        from steps.model.onednn.cells import Convert

        network.narrow, network.widen = Convert(), Convert()
    return network


def loss_scaler(optimizer: nn.Optimizer) -> amp.DynamicLossScaler:
    """A dynamic loss scale, kept with the optimizer's state."""
    return keep_with(optimizer, amp.DynamicLossScaler(FIRST_SCALE, FACTOR, WINDOW))


def keep_with(optimizer: nn.Optimizer, scaler: amp.DynamicLossScaler) -> amp.DynamicLossScaler:
    """`scaler`, its state made part of the optimizer's, so that a resumed training goes on with it."""
    optimizer.insert_param_to_cell("scaler_value", scaler.scale_value)
    optimizer.insert_param_to_cell("scaler_counter", scaler.counter)
    return scaler


class ScaledObjective(nn.Cell):
    """An objective times the loss scale."""

    def __init__(self, objective: nn.Cell, scaler: amp.LossScaler):
        super().__init__()
        self.objective = objective
        self.scaler = scaler

    def construct(self, *batch):
        return self.scaler.scale(self.objective(*batch))


class UnscaledUpdate(nn.Cell):
    """An update by scaled gradients, which is left out where they overflowed; then the scale is adjusted.

    Returns as `Update` does; the norm is infinite where there was no update.
    """

    def __init__(self, update: nn.Cell, scaler: amp.LossScaler):
        super().__init__()
        self.update = update
        self.scaler = scaler
        self.overflow = Tensor(np.float32(np.inf))

    def construct(self, grads):
        grads = self.scaler.unscale(grads)
        finite = amp.all_finite(grads)
        norm = self.overflow
        if finite:
            done, norm = self.update(grads)
            norm = ms.ops.depend(norm, done)
        self.scaler.adjust(finite)
        return norm, norm
