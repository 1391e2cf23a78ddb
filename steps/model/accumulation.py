"""Updates from more than one forward and backward pass: over micro-batches, over workers."""

from mindspore import Parameter, ParameterTuple, Tensor, amp, dtype, nn, ops

from steps.config.schema import Train
from steps.model.cells import TrainStep, Update
from steps.model.precision import ScaledObjective, UnscaledUpdate, loss_scaler
from steps.model.workers import AllReduce, Workers


def make_step(objective: nn.Cell, optimizer: nn.Optimizer, clip: nn.Cell, train: Train, workers: Workers) -> nn.Cell:
    """What makes an update from this worker's share of a batch, and returns its loss and the gradient's norm."""
    if train.precision == "amp":
        scaler = loss_scaler(optimizer)
        return AccumulatedStep(objective, optimizer, clip, train.accum_grad, workers.count, scaler)
    if train.accum_grad == 1 and workers.count == 1:
        return TrainStep(objective, optimizer, clip)
    return AccumulatedStep(objective, optimizer, clip, train.accum_grad, workers.count)


class AccumulatedStep(nn.Cell):
    """One update from micro-batches of all workers: of the mean over all their labels, as from one batch of them all.

    (But for batch norm, which sees micro-batches.) Called as `TrainStep` is, with `micros` micro-batches of equal size
    one behind the other; returns the same, over all workers. With `scaler`, for float16, as `UnscaledUpdate` does.
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
        """Two compiled graphs in turn, hence no `construct`."""
        size = len(batch[0]) // self.micros
        for begin in range(0, size * self.micros, size):
            self.accumulate(*(part[begin:begin + size] for part in batch))
        return self.finish()


class Sums(nn.Cell):
    """What is added up for an update: gradients and losses, each times its labels, and the labels."""

    def __init__(self, optimizer: nn.Optimizer):
        super().__init__()
        self.weights = optimizer.parameters
        self.grads = ParameterTuple(optimizer.parameters).clone("sum", "zeros")
        self.loss = Parameter(Tensor(0.0, dtype.float32), "sum_loss", requires_grad=False)
        self.labels = Parameter(Tensor(0.0, dtype.float32), "sum_labels", requires_grad=False)


class Accumulate(nn.Cell):
    """A micro-batch, forward and backward, into the sums. Returns its loss."""

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
    """The update by the sums, which are empty afterwards. Returns loss and norm as `TrainStep` does."""

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
