"""Training steps over several workers, several batches an update, and precisions below float32.

bf16: bfloat16 for the activations of the convolutional stack and their gradients, on the CPU. Its exponent is
float32's, so nothing over- or underflows. amp: float16 within the network. A loss scale keeps its gradients from
vanishing or overflowing. Weights, sums of gradients, log-softmax and CTC stay float32.
"""

import os
from collections.abc import Iterable

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, amp, communication, dtype, nn, ops

from steps.common.errors import UserError
from steps.config.schema import Experiment, Train
from steps.model.layers import TrainStep, Update, kernels_for
from steps.model.network import DFCNN
from steps.model.onednn.build import has_bfloat16
from steps.model.onednn.cells import Convert


class Workers:
    """The processes that train together, each on its share of every batch. By default there is only this one.

    Attributes:
        rank: of this process, from 0. Worker 0 writes the files.
        count: of processes.
    """

    def __init__(self, rank: int = 0, count: int = 1):
        self.rank, self.count = rank, count
        self._all_reduce = AllReduce() if count > 1 else None

    @property
    def writes(self) -> bool:
        return self.rank == 0

    def sum(self, values: np.ndarray) -> np.ndarray:
        """The sum of the workers' `values`, an array of any one shape: float32, the same bits on all workers.

        Returns when all workers have called it. With one worker, the sum is `values`.
        """
        if self._all_reduce is None:
            return values
        return self._all_reduce(ms.Tensor(np.asarray(values, np.float32))).asnumpy()

    def wait(self) -> None:
        """Return when all workers have called this."""
        self.sum(np.zeros(1))

    def average(self, parameters: Iterable[Parameter]) -> None:
        """Give parameters, float32, their mean over the workers."""
        parameters = list(parameters)
        if self._all_reduce is None or not parameters:
            return
        mean = self.sum(np.concatenate([parameter.asnumpy().ravel() for parameter in parameters])) / self.count
        ends = np.cumsum([parameter.size for parameter in parameters])[:-1]
        for parameter, values in zip(parameters, np.split(mean, ends), strict=True):
            parameter.set_data(ms.Tensor(values.reshape(parameter.shape)))


class AllReduce(nn.Cell):
    """A tensor's sum over all workers."""

    def __init__(self):
        super().__init__()
        self.all_reduce = ops.AllReduce()

    def construct(self, x):
        return self.all_reduce(x)


def join_workers(count: int) -> Workers | None:
    """Meet the other workers if msrun has started this process; the device must be set, and not yet used.

    None in the scheduler, which msrun starts beside the workers: it returns when they have ended. Raises UserError
    if there are not `count` of them.
    """
    role = os.environ.get("MS_ROLE")
    if role is None:
        return Workers()
    communication.init()
    if role == "MS_SCHED":
        return None
    rank, found = communication.get_rank(), communication.get_group_size()
    if found != count:
        raise UserError(f"train.workers is {count}, but msrun has started {found}; start it with --worker_num={count}")
    ms.set_auto_parallel_context(parallel_mode=ms.ParallelMode.DATA_PARALLEL, gradients_mean=False)
    return Workers(rank, count)


def statistics(network: nn.Cell) -> list[Parameter]:
    """Batch norm's moving averages. They differ between workers, as each sees its own share."""
    return [parameter for parameter in network.get_parameters()
            if not parameter.requires_grad and parameter.dtype == ms.float32]


FIRST_SCALE = 2.0**16
FACTOR = 2  # the scale is divided by it when a gradient overflows
WINDOW = 1000  # after so many updates without overflow the scale is multiplied by FACTOR; MindSpore's defaults
MOST_LEFT_OUT = 20  # updates in a row; the scale has then fallen to 1, its least


def check_precision(experiment: Experiment) -> None:
    """Raise UserError if the experiment's device or this machine does not have the experiment's precision."""
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

    With bf16, inference is float32, so that results do not depend on the machine.
    """
    if precision == "amp":
        return amp.auto_mixed_precision(network, "auto", ms.float16)
    if precision == "bf16":
        network.narrow, network.widen = Convert(), Convert()
    return network


def keep_with(optimizer: nn.Optimizer, scaler: amp.DynamicLossScaler) -> amp.DynamicLossScaler:
    """Make the state of `scaler` a part of the optimizer's, so that a resumed training goes on with it."""
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
    """An update by scaled gradients, which is left out if they overflowed; then the scale is adjusted.

    Returns as `Update` does; the norm is infinite if there was no update.
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


def make_step(objective: nn.Cell, optimizer: nn.Optimizer, clip: nn.Cell, train: Train, workers: Workers) -> nn.Cell:
    """The cell that updates the weights by this worker's share of a batch, and returns loss and gradient norm."""
    scaler = None
    if train.precision == "amp":
        scaler = keep_with(optimizer, amp.DynamicLossScaler(FIRST_SCALE, FACTOR, WINDOW))
    elif train.accum_grad == workers.count == 1:
        return TrainStep(objective, optimizer, clip)
    return AccumulatedStep(objective, optimizer, clip, train.accum_grad, workers.count, scaler)


class AccumulatedStep(nn.Cell):
    """One update from the micro-batches of all workers. The loss is the mean over all their labels.

    The result is that of one large batch, except that batch norm sees micro-batches. It is called as `TrainStep` is,
    with `micros` micro-batches of equal size one after the other. It returns the same, over all workers. With
    `scaler`, for float16, it returns what `UnscaledUpdate` does.
    """

    def __init__(self, objective: nn.Cell, optimizer: nn.Optimizer, clip: nn.Cell, micros: int, workers: int,
                 scaler: amp.LossScaler | None = None):
        super().__init__()
        self.micros = micros
        sums = Sums(optimizer)
        update = Update(optimizer, clip)
        if scaler is not None:
            objective, update = ScaledObjective(objective, scaler), UnscaledUpdate(update, scaler)
        self.accumulate = Accumulate(objective, sums)
        self.finish = Finish(sums, update, workers, scaler)

    def __call__(self, *batch):
        """Runs two compiled graphs in turn. Therefore there is no `construct`."""
        size = len(batch[0]) // self.micros
        for begin in range(0, size * self.micros, size):
            self.accumulate(*(part[begin:begin + size] for part in batch))
        return self.finish()


class Sums(nn.Cell):
    """The sums of an update: gradients and losses, each times its number of labels; and the number of labels."""

    def __init__(self, optimizer: nn.Optimizer):
        super().__init__()
        self.weights = optimizer.parameters
        self.grads = ParameterTuple(optimizer.parameters).clone("sum", "zeros")
        self.loss = Parameter(Tensor(0.0, dtype.float32), "sum_loss", requires_grad=False)
        self.labels = Parameter(Tensor(0.0, dtype.float32), "sum_labels", requires_grad=False)


class Accumulate(nn.Cell):
    """Adds the gradients and the loss of a micro-batch, as of `TrainStep`, to the sums. Returns its loss, a scalar."""

    def __init__(self, objective: nn.Cell, sums: Sums):
        super().__init__()
        self.objective = objective
        self.sums = sums
        self.value_and_grad = ops.value_and_grad(objective, None, sums.weights)

    def construct(self, feats, out_lengths, labels, label_lengths):
        loss, grads = self.value_and_grad(feats, out_lengths, labels, label_lengths)
        count = ops.cast(label_lengths.sum(), dtype.float32)
        for number, grad in enumerate(grads):
            ops.assign_add(self.sums.grads[number], grad * count)
        ops.assign_add(self.sums.loss, loss * count)
        ops.assign_add(self.sums.labels, count)
        return loss


class Finish(nn.Cell):
    """Updates the weights by the sums, and sets the sums to 0. Returns loss and norm as `TrainStep` does."""

    def __init__(self, sums: Sums, update: nn.Cell, workers: int, scaler: amp.LossScaler | None):
        super().__init__()
        self.sums = sums
        self.scaler = scaler
        self.update = update
        self.parallel = workers > 1
        if self.parallel:
            self.reduce_grads = nn.DistributedGradReducer(sums.weights, mean=False, degree=workers)
            self.reduce = AllReduce()

    def construct(self):
        grads, loss, labels = self.sums.grads, self.sums.loss, self.sums.labels
        if self.parallel:
            grads = self.reduce_grads(grads)
            loss, labels = self.reduce(loss), self.reduce(labels)
        means = ()
        for grad in grads:
            means += (grad / labels,)
        mean = loss / labels
        if self.scaler is not None:
            mean = self.scaler.unscale(mean)
        done, norm = self.update(means)
        for total in self.sums.grads:
            ops.assign(total, ops.depend(ops.zeros_like(total), done))
        zero = ops.depend(Tensor(0.0, dtype.float32), (done, mean))
        ops.assign(self.sums.loss, zero)
        ops.assign(self.sums.labels, zero)
        return ops.depend(mean, done) * 1.0, norm  # as in TrainStep: no value before the update is done
