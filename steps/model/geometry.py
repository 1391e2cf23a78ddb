"""How many frames and bins a network leaves of its input: arithmetic on the config, without MindSpore."""

import itertools

from steps.config.schema import Block, Model


def convolutions(block: Block) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(stride, kernel) of a block's convolutions, those of a residual unit one behind the other."""
    count = block.layers * (2 if block.residual else 1)
    return [(block.stride, (3, 3)), *[((1, 1), block.kernel)] * (count - 1)]


def conv_size(size: int, stride: int, kernel: int, model: Model) -> int:
    """Positions that a `kernel`-wide convolution leaves of `size`; one of 1 is never padded."""
    if model.pad_mode == "same" or kernel == 1:
        return -(-size // stride)
    return (size + 2 * model.padding - kernel) // stride + 1


def out_sizes(model: Model, frames: int, bins: int) -> tuple[int, int]:
    """(frames, bins) in front of the dense layers, for an input of (frames, bins)."""
    sizes = [frames, bins]
    for block in model.blocks:
        for axis in (0, 1):
            for stride, kernel in convolutions(block):
                sizes[axis] = conv_size(sizes[axis], stride[axis], kernel[axis], model)
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


def sight(model: Model) -> tuple[int, int]:
    """The first and the last input frame that output frame 0 sees, padding counted (it comes before frame 0).

    Output frame i sees those i × `time_reduction` later. With pad_mode same: of an even number of frames.
    """
    first, last, jump = 0, 0, 1
    for block in model.blocks:
        for (stride, _), (kernel, _) in convolutions(block):
            before = _padding_before(model, stride, kernel)
            first -= jump * before
            last += jump * (kernel - 1 - before)
            jump *= stride
        last += jump * (block.pool[0] - 1)
        jump *= block.pool[0]
    return first, last


def _padding_before(model: Model, stride: int, kernel: int) -> int:
    if kernel == 1 or model.pad_mode == "valid":
        return 0
    return (kernel - stride) // 2 if model.pad_mode == "same" else model.padding


def frames_needed(labels: list[int]) -> int:
    """Output frames without which CTC has no path: one a label, and a blank between equal neighbours."""
    return len(labels) + sum(a == b for a, b in itertools.pairwise(labels))
