"""Kills every stage at many file operations, runs the chain again, and compares: a table by stage.

    ./path.sh python tests/faults/campaign.py FOLDER KILLS [STAGE…]

KILLS is a number for each stage, 0 for all of its file operations; they are spread evenly, the signals take turns.
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from chain import STAGES, kill_and_rerun, make_project, operations, run_stage  # noqa: E402

SIGNALS = "SIGKILL", "SIGTERM", "SIGINT"


def main() -> None:
    """Make the project, run its stages, kill them."""
    folder, kills, *stages = sys.argv[1:]
    whole = Path(folder).absolute() / "whole"
    make_project(whole)
    counts = {stage: operations(run_stage(whole, stage)) for stage in STAGES}
    for stage in stages or STAGES:
        tried = survived = 0
        number = min(int(kills) or counts[stage], counts[stage])
        for end in sorted({1 + step * (counts[stage] - 1) // max(1, number - 1) for step in range(number)}):
            signal = SIGNALS[tried % len(SIGNALS)]
            faults = kill_and_rerun(whole, whole.with_name(f"{stage}-{end}"), stage, end, signal)
            tried, survived = tried + 1, survived + (not faults)
            if faults:
                print(f"  {stage}, operation {end}, {signal}: {faults}", flush=True)
        print(f"{stage}: {counts[stage]} file operations, {tried} kills tried, {survived} survived", flush=True)


if __name__ == "__main__":
    main()
