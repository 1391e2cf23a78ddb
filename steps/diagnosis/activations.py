"""What is kept of a layer's activations: enough for a histogram, and which channels ever said anything."""

from typing import NamedTuple

import numpy as np

KEPT = 5000  # values of a batch


class Activations(NamedTuple):
    """Behind one ReLU.

    Attributes:
        values: float32 (some,), evenly taken from all values.
        alive: bool (channels,): whether a channel was above 0 anywhere.
        finite: whether all values were.
    """

    values: np.ndarray
    alive: np.ndarray
    finite: bool

    def joined(self, other: "Activations") -> "Activations":
        """Of two batches together."""
        return Activations(np.concatenate([self.values, other.values]), self.alive | other.alive,
                           self.finite and other.finite)


def summarise(values: np.ndarray) -> Activations:
    """`values` (…, channels) of one batch."""
    flat = values.reshape(-1)
    return Activations(flat[::max(1, flat.size // KEPT)], values.reshape(-1, values.shape[-1]).max(axis=0) > 0,
                       bool(np.isfinite(values).all()))
