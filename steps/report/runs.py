"""Experiment directories as runs that can be compared: names, seeds, sweeps."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from steps.common.errors import UserError
from steps.common.files import sha256
from steps.report.experiment import Results

_SEED = re.compile(r"(?P<rest>.+)@(?P<seed>\d+)")


class Name(NamedTuple):
    """An experiment's name, taken apart."""

    group: str  # what all seeds have in common
    seed: int | None
    sweep: str | None
    point: dict[str, str]  # of a sweep: value by the end of the varied key, both as steps.config.variants writes them


def parse_name(name: str) -> Name:
    """`lr@epochs-3@1` → group `lr@epochs-3`, seed 1, sweep `lr`, point {`epochs`: `3`}."""
    seeded = _SEED.fullmatch(name)
    group, seed = (seeded["rest"], int(seeded["seed"])) if seeded else (name, None)
    sweep, _, assignments = group.partition("@")
    if "-" not in assignments:
        return Name(group, seed, None, {})
    return Name(group, seed, sweep, dict(part.split("-", 1) for part in assignments.split(",")))


EXP = Path("exp")
_SIGNS = ("config.yaml", "env.json", "train.csv", "final.ckpt", "checkpoints", "score")  # of an experiment


class Run(NamedTuple):
    """An experiment directory: one training."""

    path: Path
    name: Name
    results: Results | None  # None where damaged
    problem: str  # why it cannot be compared; empty where it can


def find_runs(words: Sequence[str], exp: Path = EXP) -> list[Path]:
    """The experiment directories that `words` mean, in their order: paths, names, sweeps, patterns such as `mini*`.

    Without words, all of `exp`. Raises UserError for a word that means none.
    """
    there = sorted(path for path in exp.glob("*") if any((path / sign).exists() for sign in _SIGNS))
    found: list[Path] = []
    for word in words:
        matches = [Path(word)] if Path(word).is_dir() else [path for path in there if _means(word, path.name)]
        if not matches:
            raise UserError(f"{word}: no experiment of this name or path; "
                            f"{exp} has {', '.join(path.name for path in there) or 'none yet'}")
        found += matches
    return list(dict.fromkeys(found)) if words else there


def is_one(word: str) -> bool:
    """Whether `word` means a single experiment, perhaps of several seeds, and not a sweep or many by a pattern."""
    return len({parse_name(path.absolute().name).group for path in find_runs([word])}) == 1


def _means(word: str, name: str) -> bool:
    parsed = parse_name(name)
    return word in (name, parsed.group, parsed.sweep) or fnmatchcase(name, word)


def open_run(path: Path) -> Run:
    """Read an experiment directory. What is missing or damaged in it becomes `problem`."""
    name = parse_name(path.absolute().name)
    try:
        results = Results(path)
    except UserError as error:
        begun = (path / "config.yaml").exists() and not (path / "env.json").exists()
        return Run(path, name, None, "unfinished: training has only begun" if begun else f"damaged: {error}")
    return Run(path, name, results, _problem(results))


def _problem(results: Results) -> str:
    path, checkpoint = results.exp_dir, results.exp_dir / "final.ckpt"
    if results.scored:
        digest = sha256(checkpoint) if checkpoint.exists() else None
        for one in results.scored:
            if digest and one.scores.get("checkpoint_hash", digest) != digest:
                return f"stale: {one.name} was scored with other weights than {path}/final.ckpt; run doit score"
        return ""
    if checkpoint.exists():
        return f"unfinished: trained, but not scored; run doit score:{path.name}"
    done, epochs = len(results.history), results.config.experiment.train.epochs
    return f"unfinished: {done} of {epochs} epochs trained"
