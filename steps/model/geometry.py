"""How many frames and bins a network leaves of its input: arithmetic on the config, without MindSpore."""

import itertools

from steps.config.schema import Model

KERNEL = 3


def conv_size(size: int, stride: int, model: Model) -> int:
    """Positions that a 3-wide convolution leaves of `size`."""
    if model.pad_mode == "same":
        return -(-size // stride)
    return (size + 2 * model.padding - KERNEL) // stride + 1


def out_sizes(model: Model, frames: int, bins: int) -> tuple[int, int]:
    """(frames, bins) in front of the dense layers, for an input of (frames, bins)."""
    sizes = [frames, bins]
    for block in model.blocks:
        convolutions = block.layers * (2 if block.residual else 1)
        for axis in (0, 1):
            sizes[axis] = conv_size(sizes[axis], block.stride[axis], model)
            for _ in range(convolutions - 1):
                sizes[axis] = conv_size(sizes[axis], 1, model)
            sizes[axis] //= block.pool[axis]
    return sizes[0], sizes[1]


def out_frames(model: Model, frames: int) -> int:
    """Output frames of an utterance of `frames` input frames; 0 where none is left."""
    return max(0, out_sizes(model, frames, 1 << 20)[0])


def time_reduction(model: Model) -> int:
    """Input frames per output frame."""
    factor = 1
    for block in model.blocks:
        factor *= block.stride[0] * block.pool[0]
    return factor


def frames_needed(labels: list[int]) -> int:
    """Output frames without which CTC has no path: one a label, and a blank between equal neighbours."""
    return len(labels) + sum(a == b for a, b in itertools.pairwise(labels))
