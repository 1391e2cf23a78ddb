"""Stage 4: train an experiment's network with CTC, or go on where an interrupted training stopped.

Where train.workers is more than 1, it starts that many processes by msrun. One that msrun has started is a worker.
"""

import argparse
import contextlib
import os
from pathlib import Path

from steps.common.errors import run
from steps.common.process import output_lock
from steps.config.load import load_experiment
from steps.model.launch import follow_msrun, is_worker, launch


def main() -> None:
    """Parse the arguments and train."""
    parser = argparse.ArgumentParser(prog="python -m steps.stage4_train", description=__doc__)
    parser.add_argument("experiment", help="conf/<experiment>.yaml; results go to exp/<experiment>/")
    args = parser.parse_args()
    config = load_experiment(args.experiment)
    exp_dir = Path("exp") / args.experiment
    if is_worker():
        follow_msrun()
    elif config.experiment.train.workers > 1:
        with main_lock(exp_dir):
            launch(config, exp_dir)
        return
    from steps.model.training import train  # after the config is known to be right: MindSpore takes seconds to load

    with main_lock(exp_dir):
        train(config, exp_dir)


def main_lock(exp_dir: Path) -> contextlib.AbstractContextManager:
    """The lock on a training's files: taken once, where it was started, on the first of several machines."""
    if is_worker() or os.environ.get("NODE_RANK", "0") != "0":
        return contextlib.nullcontext()
    return output_lock(exp_dir, "train")


if __name__ == "__main__":
    run(main)
