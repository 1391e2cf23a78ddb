"""About how long tasks will take, by what they took before."""

import csv
import statistics
from collections.abc import Iterable
from pathlib import Path

from steps.common.errors import UserError
from steps.config.load import Resolved, load_known, shapes_weights
from steps.tasks import runs


class Estimates:
    """Durations, learned from all tasks' last complete runs and from the epochs in exp/*/train.csv."""

    def __init__(self, tasks: Iterable, experiments: dict[str, Resolved], exp: Path = Path("exp")):
        self._experiments, self._exp = experiments, exp
        self._own: dict[str, float] = {}
        by_stage: dict[str, list[float]] = {}
        for task in tasks:
            run = runs.last_run(task)
            if run is not None and run.seconds is not None:
                self._own[task.name] = run.seconds
                by_stage.setdefault(_stage(task.name), []).append(run.seconds)
        self._usual = {stage: statistics.median(seconds) for stage, seconds in by_stage.items()}
        self._epoch = {name: seconds for name in experiments if (seconds := self._seconds_per_epoch(name))}

    def seconds(self, name: str) -> float | None:
        """How long a task will take; None where nothing like it has ever run."""
        if _stage(name) == "train":
            return self._training(name.partition(":")[2])
        return self._own.get(name, self._usual.get(_stage(name)))

    def _training(self, name: str) -> float | None:
        """By the experiment's own epochs, else by those of experiments on the same corpus and features."""
        config = self._experiments.get(name)
        if config is None:
            return None
        alike = [seconds for other, seconds in self._epoch.items()
                 if self._experiments[other].feature_dir == config.feature_dir]
        rate = self._epoch.get(name) or (statistics.median(alike) if alike else None)
        return None if rate is None else rate * (config.experiment.train.epochs - self._epochs_done(config))

    def _epochs_done(self, config: Resolved) -> int:
        """What an unfinished training of this very config need not do again."""
        exp_dir = self._exp / config.name
        if (exp_dir / "final.ckpt").exists():
            return 0
        try:
            same = shapes_weights(load_known(exp_dir)[0]) == shapes_weights(config)
        except UserError:
            return 0
        rows = read_history(exp_dir)
        return min(int(rows[-1]["epoch"]), config.experiment.train.epochs) if same and rows else 0

    def _seconds_per_epoch(self, name: str) -> float | None:
        rows = read_history(self._exp / name)
        return float(rows[-1]["seconds"]) / int(rows[-1]["epoch"]) if rows else None


def read_history(exp_dir: Path) -> list[dict[str, str]]:
    """The rows of train.csv as they stand there, without pandas, which takes longer to load than all of them."""
    try:
        with open(exp_dir / "train.csv", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _stage(name: str) -> str:
    return name.partition(":")[0]
