"""The optimizer and its learning rate, from the config."""

import math

from mindspore import Tensor, dtype, nn, ops
from mindspore.nn.learning_rate_schedule import LearningRateSchedule

from steps.config.schema import Optimizer


class WarmupCosine(LearningRateSchedule):
    """Linear from 0 to the peak over `warmup_steps`, then half a cosine down to `final` × the peak."""

    def __init__(self, config: Optimizer, total_steps: int):
        super().__init__()
        self.peak = config.learning_rate
        self.warmup = float(max(1, config.warmup_steps))
        self.rest = float(max(1, total_steps - config.warmup_steps))
        self.final = config.final if config.schedule == "cosine" else 1.0

    def construct(self, global_step):
        """int32 number of updates done → float32 learning rate of the next."""
        step = ops.cast(global_step, dtype.float32) + 1.0
        rise = ops.minimum(step / self.warmup, Tensor(1.0, dtype.float32))
        done = ops.clamp((step - self.warmup) / self.rest, 0.0, 1.0)
        fall = self.final + (1.0 - self.final) * 0.5 * (1.0 + ops.cos(done * math.pi))
        return self.peak * rise * fall


def learning_rate(config: Optimizer, total_steps: int, step: int) -> float:
    """The rate that `WarmupCosine` gives after `step` updates, for logs."""
    schedule = WarmupCosine(config, total_steps)
    step += 1
    done = min(max((step - schedule.warmup) / schedule.rest, 0.0), 1.0)
    fall = schedule.final + (1 - schedule.final) * 0.5 * (1 + math.cos(done * math.pi))
    return schedule.peak * min(step / schedule.warmup, 1.0) * fall


def make_optimizer(config: Optimizer, network: nn.Cell, total_steps: int, make) -> nn.Optimizer:
    """The optimizer over the network's weights, at the rates of the config's schedule."""
    return optimizer_at(WarmupCosine(config, total_steps), config, network, make)


def optimizer_at(rate: LearningRateSchedule, config: Optimizer, network: nn.Cell, make) -> nn.Optimizer:
    """The config's optimizer with another schedule. Biases and batch norm are not decayed."""
    decayed = [weight for weight in network.trainable_params() if weight.ndim > 1]
    others = [weight for weight in network.trainable_params() if weight.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if config.name == "adam":
        return nn.Adam(groups, rate)
    if config.name == "rmsprop":
        return nn.RMSProp(groups, rate)
    return make.adamw(groups, rate)
