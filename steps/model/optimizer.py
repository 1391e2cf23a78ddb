"""The optimizer, Muon or AdamW, and its learning rate, from the config."""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, dtype, nn, ops
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


class AdamW(nn.AdamWeightDecay):
    """AdamW of Loshchilov and Hutter 2019 (https://arxiv.org/abs/1711.05101), as PyTorch has it: with bias correction.

    MindSpore's nn.AdamWeightDecay has none. Its operator computes w -= rate · (m / (√v + eps) + decay · w). It gets
    rate, eps and decay changed such that the result is w -= rate · (m̂ / (√v̂ + eps) + decay · w).

    Args:
        groups: parameters with their `weight_decay`.
        rate: the learning rate, a schedule.
    """

    def __init__(self, groups: list[dict], rate):
        super().__init__(groups, rate, eps=1e-8)
        self.log_beta1, self.log_beta2 = (math.log(beta.asnumpy().item()) for beta in (self.beta1, self.beta2))
        self.decay = Tensor(np.array(self.group_weight_decay, np.float32))

    def construct(self, gradients):
        """Update the parameters by their gradients, float32 tensors of the same shapes. Returns the rate."""
        rate, eps, decay = self.corrected()
        for i in range(len(self._parameters)):
            self.fused_opt(self._parameters[i], self.moments1[i], self.moments2[i], rate, self.beta1, self.beta2, eps,
                           decay[i], gradients[i])
        return rate

    def corrected(self):
        """Count the update. Returns what the operator gets for it: rate (1,), eps (1,) and decay (parameters,)."""
        rate = self.get_lr().reshape(1)
        self.assignadd(self.global_step, self.global_step_increase_tensor)
        step = ops.cast(self.global_step, ms.float32)
        bias1 = -ops.expm1(step * self.log_beta1)  # 1 - beta1 ** step
        root2 = ops.sqrt(-ops.expm1(step * self.log_beta2))
        return rate * root2 / bias1, self.eps * root2, self.decay * bias1 / root2


class Muon(AdamW):
    """Muon for the weights of hidden layers, AdamW for all others, at one rate and one decay.

    Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) takes the momentum of a weight as a matrix, a
    row per output, and makes it nearly orthogonal: the update moves all directions alike, rare ones too. The update is
    as large as AdamW's (Liu et al. 2025, https://arxiv.org/abs/2502.16982), as torch.optim.Muon with match_rms_adamw.

    Args:
        groups, rate: as for AdamW.
        hidden: the weights of hidden layers, of two dimensions or more.
    """

    momentum = 0.95

    def __init__(self, groups: list[dict], rate, hidden: list[Parameter]):
        super().__init__(groups, rate)
        names = {weight.name for weight in hidden}
        self.is_hidden = [weight.name in names for weight in self._parameters]

    def construct(self, gradients):
        rate = self.get_lr()
        for_others, eps, decay = self.corrected()
        for i, is_hidden in enumerate(self.is_hidden):
            if is_hidden:
                self.turn(self._parameters[i], self.moments1[i], gradients[i], rate, self.decay[i])
            else:
                self.fused_opt(self._parameters[i], self.moments1[i], self.moments2[i], for_others, self.beta1,
                               self.beta2, eps, decay[i], gradients[i])
        return rate

    def turn(self, weight, mean, gradient, rate, decay):
        """Update a hidden layer's weight and the mean of its gradients, by Nesterov's momentum."""
        mean = ops.assign(mean, ops.lerp(gradient, mean, self.momentum))
        rows = gradient.shape[0]
        ahead = ops.lerp(gradient, mean, self.momentum).reshape(rows, -1)
        size = 0.2 * max(ahead.shape) ** 0.5
        update = size * orthogonal(ahead).reshape(weight.shape)
        ops.assign(weight, weight - rate * (update + decay * weight))


def orthogonal(matrix: Tensor) -> Tensor:
    """A float32 matrix (rows, columns) as one of the same singular vectors, with singular values of about 1.

    Five steps of Newton and Schulz's iteration, with Jordan's coefficients. The values come to lie between 0.7 and 1.2,
    those that were very small lower.
    """
    rows, columns = matrix.shape
    x = matrix if rows <= columns else matrix.T
    x = x / (ops.sqrt((x * x).sum()) + 1e-7)
    for _ in range(5):
        gram = ops.matmul(x, x.T)
        x = 3.4445 * x + ops.matmul(2.0315 * ops.matmul(gram, gram) - 4.7750 * gram, x)
    return x if rows <= columns else x.T


def make_optimizer(config: Optimizer, network: nn.Cell, total_steps: int, make) -> nn.Optimizer:
    """The optimizer over the network's weights, at the rates of the config's schedule."""
    return optimizer_at(WarmupCosine(config, total_steps), config, network, make)


def optimizer_at(rate: LearningRateSchedule, config: Optimizer, network: nn.Cell, make) -> nn.Optimizer:
    """The config's optimizer with another schedule. Biases and batch norm are not decayed. The output is not hidden."""
    decayed = [weight for weight in network.trainable_params() if weight.ndim > 1]
    others = [weight for weight in network.trainable_params() if weight.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if config.name == "rmsprop":
        return nn.RMSProp(groups, rate)
    if config.name == "muon":
        return Muon(groups, rate, [weight for weight in decayed if "output" not in weight.name.split(".")])
    return make.adamw(groups, rate)
