"""Which operators the network is made of: MindSpore's own, or the recipe's over oneDNN. The weights are the same."""

from steps.common.errors import UserError
from steps.config.schema import Experiment
from steps.model.onednn.build import available, reason
from steps.model.stock import StockKernels


def kernels_for(experiment: Experiment) -> tuple[str, str]:
    """(`stock` or `onednn`, why), from `train.kernels`, the device and what is built.

    Raises UserError where the config demands onednn and it cannot be had.
    """
    asked = experiment.train.kernels
    if asked == "stock":
        return "stock", "train.kernels says so"
    obstacle = _obstacle(experiment)
    if obstacle is None:
        return "onednn", "built, and fit for this network"
    if asked == "onednn":
        raise UserError(f"train.kernels: onednn: {obstacle}")
    return "stock", obstacle


def make_kernels(experiment: Experiment):
    """The maker of the network's parts."""
    if kernels_for(experiment)[0] == "stock":
        return StockKernels(experiment.model)
    from steps.model.onednn.cells import OnednnKernels

    return OnednnKernels()


def _obstacle(experiment: Experiment) -> str | None:
    if experiment.device != "CPU":
        return f"device: {experiment.device} has operators of its own"
    model = experiment.model
    if (model.pad_mode, model.padding, model.has_bias) not in (("pad", 1, False), ("same", 0, False)):
        return "the kernels know convolutions padded by 1 without bias alone"
    if model.pad_mode == "same" and any(block.stride != (1, 1) for block in model.blocks):
        return "the kernels pad strided convolutions on both sides, pad_mode same does not"
    return None if available() else reason()
