"""What a network reaches that hears nothing: the plateau that CTC begins with, and that bad trainings never leave."""

from collections.abc import Sequence

import numpy as np

from steps.model.batches import Batch
from steps.model.ctc import ctc_cost

BLANKS = np.linspace(0.05, 0.95, 10)  # probabilities of the blank that are tried


def deaf_loss(batches: Sequence[Batch]) -> float:
    """The lowest CTC loss, in nats per label, of an output that is the same in all frames of all utterances.

    It knows how frequent each token is in the batches, and how many blanks to give, but nothing of the features.
    """
    utts = [(int(frames), labels[:count].tolist()) for batch in batches
            for frames, labels, count in zip(batch.out_lengths, batch.labels, batch.label_lengths, strict=True)]
    _, places = np.unique(np.concatenate([labels for _, labels in utts]), return_inverse=True)
    shares = np.bincount(places) / len(places)
    renumbered = iter(places + 1)
    short = [(frames, [int(next(renumbered)) for _ in labels]) for frames, labels in utts]
    return min(_constant(np.log(np.append(blank, (1 - blank) * shares)), short) for blank in BLANKS) / len(places)


def _constant(log_probs: np.ndarray, utts: list[tuple[int, list[int]]]) -> float:
    return sum(ctc_cost(np.broadcast_to(log_probs, (frames, len(log_probs))), labels) for frames, labels in utts)
