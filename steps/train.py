"""Stage 4: train an experiment's network with CTC, or go on where an interrupted training stopped."""

import argparse
from pathlib import Path

from steps.common.errors import run
from steps.config.load import load_experiment


def main() -> None:
    """Parse the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", help="conf/<experiment>.yaml; results go to exp/<experiment>/")
    args = parser.parse_args()
    config = load_experiment(args.experiment)
    from steps.model.training import train  # after the config is known to be right: MindSpore takes seconds to load

    train(config, Path("exp") / args.experiment)


if __name__ == "__main__":
    run(main)
