"""What makes an update of the gradients, over all parameters at once: hundreds of small kernels would cost more."""

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from steps.model.onednn.operators import operator


class Clip(nn.Cell):
    """Gradients, scaled where their norm is above `limit` (0: never); and that norm."""

    def __init__(self, limit: float):
        super().__init__()
        self.limit = Tensor([limit], ms.float32)
        self.clip = operator("clip", lambda *shapes: shapes, lambda *types: types)

    def construct(self, grads):
        results = self.clip(*grads, self.limit)
        return results[:-1], results[-1].reshape(())


class AdamW(nn.AdamWeightDecay):
    """nn.AdamWeightDecay in one operator, with the same arithmetic and parameters."""

    def __init__(self, groups: list[dict], rate):
        super().__init__(groups, rate)
        self.decay = Tensor(np.array(self.group_weight_decay, np.float32))
        # It writes weights and moments, unknown to MindSpore. But it waits for all gradients, and so for all that reads
        # the weights; and whoever waits for its result finds them updated.
        self.update = operator("adamw", lambda *shapes: shapes[-5], lambda *types: types[-5])

    def construct(self, gradients):
        rate = self.get_lr()
        self.assignadd(self.global_step, self.global_step_increase_tensor)
        return self.update(*self._parameters, *self.moments1, *self.moments2, *gradients, rate.reshape(1), self.beta1,
                           self.beta2, self.eps, self.decay)
