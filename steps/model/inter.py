"""CTC for initials and finals in the midst of the network, in training alone.

What the blocks below have seen of the sound is short: from it they must tell b from d, and in from ian, in whatever
syllable they come. Without, the network learns frequent syllables as a whole, and takes rare ones for them. After
Lee and Watanabe 2021 ("Intermediate loss regularization for CTC-based speech recognition"), and Sanabria and Metze 2018
("Hierarchical multitask learning with CTC"), whose lower layers have smaller units, too.
"""

from mindspore import nn

from steps.config.schema import Model
from steps.model.geometry import out_sizes, time_reduction
from steps.model.output import syllable_units


class InterCTC(nn.Cell):
    """The layers behind block `model.inter_ctc`: batch norm and ReLU, then a logit for every unit and frame."""

    def __init__(self, model: Model, bins: int, tokens: list[str], kernels):
        super().__init__()
        below = blocks_below(model)
        channels = below.blocks[-1].channels
        self.norm = kernels.norm_relu(channels)
        self.classify = nn.Dense(channels * out_sizes(below, 1 << 20, bins)[1], int(syllable_units(tokens).max()) + 1)


def blocks_below(model: Model) -> Model:
    """The network as far as `inter_ctc`."""
    return model.model_copy(update={"blocks": model.blocks[:model.inter_ctc]})


def frames_ratio(model: Model) -> int:
    """Frames that the units have for each output frame."""
    return time_reduction(model) // time_reduction(blocks_below(model))
