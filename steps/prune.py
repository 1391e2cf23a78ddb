"""List what no result needs any more, with its size; with --yes, remove it.

It removes all but the best checkpoints of finished trainings, trainings that others have replaced
(exp/<experiment>/old.<date>), and features that no experiment names.
"""

import argparse
import fnmatch
import math
import shutil
from pathlib import Path

from steps.common.errors import UserError, run
from steps.common.files import disk_usage, megabytes
from steps.common.parallel import count
from steps.config.exp_dir import read_history, read_progress
from steps.config.load import experiment_names, load_experiment, load_resolved

EXP = Path("exp")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.prune", description=__doc__)
    parser.add_argument("names", nargs="*", help="experiments, or patterns such as 'lr@*', to look at "
                                                 "(default: all of exp/, and features)")
    parser.add_argument("--keep", type=count, default=1, metavar="N", help="checkpoints to keep of each (default: 1)")
    parser.add_argument("--yes", action="store_true", help="remove what is listed")
    args = parser.parse_args()
    found = {}
    for exp_dir in experiment_dirs(args.names):
        found |= unneeded_checkpoints(exp_dir, args.keep)
        found |= {path: "a training that another one replaced" for path in sorted(exp_dir.glob("old.*"))}
    if not args.names:
        found |= unneeded_features()
    if not found:
        print("nothing to remove")
        return
    sizes = {path: disk_usage(path) for path in found}
    for path, why in found.items():
        print(f"{megabytes(sizes[path]):>9}  {path}  ({why})")
    print(f"{megabytes(sum(sizes.values())):>9}  in all")
    if not args.yes:
        print("nothing is removed yet; to do it, add --yes")
        return
    for path in found:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    print("removed")


def experiment_dirs(patterns: list[str]) -> list[Path]:
    """The directories of exp/ that hold an experiment and match a pattern. Raises UserError if none does."""
    there = [path for path in folders(EXP) if (path / "config.yaml").exists()]
    wanted = [path for path in there if not patterns or any(fnmatch.fnmatch(path.name, one) for one in patterns)]
    if patterns and not wanted:
        raise UserError(f"exp/ holds no experiment {' or '.join(patterns)}, only "
                        f"{', '.join(path.name for path in there) or 'none at all'}")
    return wanted


def unneeded_checkpoints(exp_dir: Path, keep: int) -> dict[Path, str]:
    """Checkpoints that are not among the `keep` best by dev's error, and what going on from any of them would take.

    None of a training that has not ended: it will need them. Raises UserError if train.csv lacks their epochs.
    """
    progress = read_progress(exp_dir)
    if not (exp_dir / "final.ckpt").exists() or progress is not None:
        return {}
    there = sorted((exp_dir / "checkpoints").glob("epoch-*"))
    rates = {row["epoch"]: row.get("dev_ser", math.nan) for row in read_history(exp_dir)}
    unknown = [path for path in there if path.name.count(".") == 1 and path.suffix == ".ckpt"
               and not math.isfinite(rates.get(_epoch_of(path), math.nan))]
    if unknown:
        raise UserError(f"{exp_dir}/train.csv: does not tell how good {unknown[0]} is; put it back as training "
                        "wrote it, or remove checkpoints by hand")
    best = {f"epoch-{epoch:04d}.ckpt" for epoch in sorted(rates, key=lambda epoch: (rates[epoch], epoch))[:keep]}
    return {path: f"not among the {keep} best" if path.name.count(".") == 1 and path.suffix == ".ckpt"
            else "for resuming a training that has ended"
            for path in there if path.name not in best}


def _epoch_of(path: Path) -> int:
    digits = path.name.removeprefix("epoch-").split(".")[0]
    return int(digits) if digits.isdecimal() else 0


def unneeded_features() -> dict[Path, str]:
    """Directories of exp/features that neither an experiment of conf/ nor one that lies in exp/ reads.

    Raises UserError if a config cannot be read, since it is then unknown what it names.
    """
    try:
        configs = [*map(load_experiment, experiment_names()), *map(load_resolved, experiment_dirs([]))]
    except UserError as error:
        raise UserError(f"{error}\n  mend or remove it first: it may name any features") from None
    named = {config.feature_dir for config in configs}
    return {path: "named by no experiment" for path in folders(EXP / "features") if path not in named}


def folders(place: Path) -> list[Path]:
    """The folders in a folder, sorted; none if it is not there. Raises OSError if it cannot be read."""
    return sorted(path for path in place.iterdir() if path.is_dir()) if place.exists() else []


if __name__ == "__main__":
    run(main)
