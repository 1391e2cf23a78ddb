"""A network's output over features of any length, in memory that does not grow with it."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np

Part = tuple[np.ndarray, np.ndarray]  # some of the network's input, (frames, bins), and output, (out_frames, tokens)


class Windowed(Protocol):
    """What running a network in windows takes: input frames per output frame, and how many of them output frame i sees
    before and behind i × subsampling_factor; `one` maps features to log-probabilities."""

    subsampling_factor: int
    left_context: int
    right_context: int
    frame_shift_s: float  # seconds per output frame
    one: Callable[[np.ndarray], np.ndarray]


class Network(NamedTuple):
    """A network as `Windowed`."""

    one: Callable[[np.ndarray], np.ndarray]
    frame_shift_s: float
    subsampling_factor: int
    left_context: int
    right_context: int


def windows(model: Windowed, feats: Iterable[np.ndarray], window_s: float) -> Iterator[Part]:
    """The network's output over features that come in parts: what it is over all of them at once, bit by bit.

    Args:
        feats: float32 (frames, bins) each.
        window_s: seconds of new frames in a window.

    Yields:
        Features and log-probabilities, float32 (frames, bins) and (out_frames, tokens), that lie one behind the other;
        nothing where there is no frame.
    """
    factor = model.subsampling_factor
    before = -(-model.left_context // factor) * factor  # aligned to the strides
    count = max(1, round(window_s / model.frame_shift_s))
    start = done = 0  # the buffer's first frame; output frames that were given
    buffer: np.ndarray | None = None
    for part in feats:
        buffer = part if buffer is None else np.concatenate([buffer, part])
        while start + len(buffer) >= (done + count) * factor + model.right_context:
            frame = done * factor - start
            log_probs = model.one(buffer[:frame + count * factor + model.right_context])
            yield buffer[frame:frame + count * factor], log_probs[frame // factor:][:count]
            done += count
            drop = max(0, done * factor - before) - start
            buffer, start = buffer[drop:], start + drop
    if buffer is None or not start + len(buffer):
        return
    frame = done * factor - start
    yield buffer[frame:], model.one(buffer)[frame // factor:]
