"""Mixed precision: float16 within the network, and a loss scale that keeps its gradients from vanishing or overflowing.

Weights, their gradients' sums, log-softmax and CTC stay float32.
"""

import mindspore as ms
import numpy as np
from mindspore import Tensor, amp, nn

from steps.common.errors import UserError
from steps.config.schema import Experiment

FIRST_SCALE = 2.0**16
FACTOR = 2  # that the scale falls by when a gradient overflows, and grows by …
WINDOW = 1000  # … after so many updates without; MindSpore's defaults


def check_precision(experiment: Experiment) -> None:
    """Raise UserError where the device has no mixed precision."""
    if experiment.train.precision == "amp" and experiment.device == "CPU":
        raise UserError("train.precision: amp is for GPU and Ascend; on the CPU float16 is no faster: set it to fp32")


def with_precision(network: nn.Cell, precision: str) -> nn.Cell:
    """The network at `fp32` or `amp`; its parameters stay float32 and keep their names."""
    return amp.auto_mixed_precision(network, "auto", ms.float16) if precision == "amp" else network


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
