"""Print an experiment's config with all keys: those of its file, of its base, of the corpus and features, defaults."""

import argparse

from steps.common.errors import run
from steps.config.load import dump, load_experiment


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.config", description=__doc__)
    parser.add_argument("experiment", help="conf/<experiment>.yaml, or a point of a sweep")
    print(dump(load_experiment(parser.parse_args().experiment)), end="")


if __name__ == "__main__":
    run(main, errors="strict")
