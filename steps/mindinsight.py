"""Show an experiment's summary (`train.summary: true`) in MindInsight, while it trains or later, until Ctrl-C."""

import argparse
import os
import sys
from pathlib import Path

from steps.common.errors import UserError, run
from steps.watch.mindinsight import ensure_environment, server


def main() -> None:
    """Parse the arguments and become the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("exp_dir", type=Path, help="exp/<experiment>")
    parser.add_argument("--port", type=int, default=8080, help="on this machine alone (default: %(default)s)")
    args = parser.parse_args()
    if not any((args.exp_dir / "summary").glob("*.summary.*")):
        raise UserError(f"{args.exp_dir}/summary: nothing there; set `train: {{summary: true}}` in the experiment's "
                        f"config, and train")
    command, variables = server(ensure_environment(), args.exp_dir, args.port)
    print(f"http://127.0.0.1:{args.port} in a few seconds; Ctrl-C ends it", file=sys.stderr)
    os.execve(command[0], command, variables)


if __name__ == "__main__":
    run(main)
