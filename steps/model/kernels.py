"""Which operators the network is made of."""

from steps.config.schema import Experiment
from steps.model.stock import StockKernels


def make_kernels(experiment: Experiment):
    """The parts' maker for an experiment."""
    return StockKernels(experiment.model)
