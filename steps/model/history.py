"""What training remembers of its epochs: train.csv, and which checkpoint was the best."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from steps.common.files import atomic_open


class Epoch(NamedTuple):
    """A row of train.csv."""

    epoch: int
    steps: int  # updates so far
    seconds: float  # of training so far, dev passes included
    learning_rate: float  # of the last update
    train_loss: float  # nats per syllable, mean over the epoch's batches
    grad_norm: float  # median over the epoch's updates, before clipping
    dev_loss: float
    dev_ser: float  # dev's syllable error rate, a fraction
    best: bool  # the lowest dev_ser so far


class History:
    """The epochs done so far."""

    def __init__(self, rows: list[dict] | None = None):
        self.rows = [Epoch(**row) for row in rows or []]

    def add(self, row: Epoch) -> Epoch:
        """Append an epoch, marked as best where it is."""
        row = row._replace(best=not self.rows or row.dev_ser < min(before.dev_ser for before in self.rows))
        self.rows.append(row)
        return row

    def best(self, count: int) -> list[int]:
        """The epochs of lowest dev error, best first; the earlier of equals."""
        return [row.epoch for row in sorted(self.rows, key=lambda row: (row.dev_ser, row.epoch))[:count]]

    def epochs_since_best(self) -> int:
        """How many epochs brought no lower dev error."""
        return self.rows[-1].epoch - self.best(1)[0]

    def as_dicts(self) -> list[dict]:
        """For the checkpoint's metadata."""
        return [row._asdict() for row in self.rows]

    def write(self, path: Path) -> None:
        """Write train.csv."""
        with atomic_open(path) as file:
            pd.DataFrame(self.rows, columns=Epoch._fields).to_csv(file, index=False, float_format="%.6g")
