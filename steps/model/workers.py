"""Data parallelism: which of msrun's processes this one is, and sums over all of them."""

import os
from collections.abc import Iterable

import mindspore as ms
import numpy as np
from mindspore import Parameter, communication, nn, ops

from steps.common.errors import UserError


class Workers:
    """The processes that train together, each on its share of every batch. By default this one alone.

    Attributes:
        rank: of this process, from 0. It is 0 that writes files.
        count: of processes.
    """

    def __init__(self, rank: int = 0, count: int = 1):
        self.rank, self.count = rank, count
        self._all_reduce = AllReduce() if count > 1 else None

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def sum(self, values: np.ndarray) -> np.ndarray:
        """The sum of the workers' `values`, of the same shape on each: float32, the same bits on all workers.

        Returns when all workers have called it. Of one worker alone, it is `values`.
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
    """Meet the other workers where msrun has started this process; the device must be set, and not yet used.

    None in the scheduler, which msrun starts beside the workers: it returns when they have ended. Raises UserError
    where there are not `count` of them.
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
    """Batch norm's moving averages, which workers have of their own shares."""
    return [parameter for parameter in network.get_parameters()
            if not parameter.requires_grad and parameter.dtype == ms.float32]
