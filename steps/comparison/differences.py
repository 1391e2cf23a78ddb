"""What differs between configs, key by key."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from steps.comparison.rows import Row
from steps.comparison.runs import Run
from steps.config.load import Resolved

ABSENT = "–"


def flatten(config: Resolved) -> dict[str, str]:
    """A config by dotted key, as in `train.optimizer.learning_rate`, `model.blocks.2.channels`, `features.num_bins`."""
    parts = config.model_dump(mode="json")
    return {**dict(_leaves(parts["experiment"])), **dict(_leaves(parts["corpus"], "corpus.")),
            **dict(_leaves(parts["features"], "features."))}


def _leaves(value: Any, prefix: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        entries = value.items()
    elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
        entries = enumerate(value)
    else:
        yield prefix[:-1], ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        return
    for key, part in entries:
        yield from _leaves(part, f"{prefix}{key}.")


def run_config(run: Run) -> dict[str, str]:
    """The flattened config of a run, with the keys that only another version of the recipe knows."""
    unknown = {key.removeprefix("experiment."): str(value) for key, value in run.results.unknown_keys.items()}
    return {**flatten(run.results.config), **unknown}


def row_config(row: Row) -> dict[str, str]:
    """The flattened config of a row; `seed` lists those of all its runs."""
    seeds = [str(run.results.config.experiment.seed) for run in row.runs]
    return {**run_config(row.runs[0]), "seed": ", ".join(seeds)}


def differing(configs: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """By key the values of all configs, where they are not all the same; ABSENT where one lacks the key."""
    keys = dict.fromkeys(key for config in configs for key in config)
    values = {key: [config.get(key, ABSENT) for config in configs] for key in keys}
    return {key: found for key, found in values.items() if len(set(found)) > 1}


def seed_notes(rows: Iterable[Row]) -> list[str]:
    """Sentences on rows whose runs differ in more than their seed."""
    notes = []
    for row in rows:
        keys = [key for key in differing([run_config(run) for run in row.runs]) if key != "seed"]
        if keys:
            notes.append(f"The seeds of {row.label} differ in {', '.join(keys)}, too: their mean means little.")
    return notes
