"""Stage 4: train an experiment's network with CTC, or go on where an interrupted training stopped.

Where train.workers is more than 1, it starts them, by msrun; or be one of those that you have started by it.
"""

import argparse
from pathlib import Path

from steps.common.errors import run
from steps.config.load import load_experiment
from steps.model.launch import follow_msrun, is_worker, launch


def main() -> None:
    """Parse the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", help="conf/<experiment>.yaml; results go to exp/<experiment>/")
    args = parser.parse_args()
    config = load_experiment(args.experiment)
    exp_dir = Path("exp") / args.experiment
    if is_worker():
        follow_msrun()
    elif config.experiment.train.workers > 1:
        launch(config, exp_dir)
        return
    from steps.model.training import train  # after the config is known to be right: MindSpore takes seconds to load

    train(config, exp_dir)


if __name__ == "__main__":
    run(main)
