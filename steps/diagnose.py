"""Look for what may be wrong with an experiment, before a long training or after it: data, loss, network, rate.

Writes exp/<experiment>/diagnosis.html and diagnosis.json, and says a line a check.
"""

import argparse
import sys
from pathlib import Path

from steps.common.errors import run
from steps.common.files import atomic_open, write_json
from steps.common.lock import output_lock
from steps.config.load import load_experiment
from steps.diagnosis.checks import run_checks
from steps.diagnosis.context import Context
from steps.diagnosis.page import build_page, lines, summary

MOST_MINUTES = 1440


def main() -> None:
    args = parse_args()
    exp_dir = Path("exp") / args.experiment
    context = Context(load_experiment(args.experiment), exp_dir, args.minutes)
    with output_lock(exp_dir, "diagnose"):
        findings = []
        for finding in run_checks(context):
            findings.append(finding)
            print(*lines(finding), sep="\n", flush=True)
        page = build_page(context, findings)
        with atomic_open(exp_dir / "diagnosis.html") as file:
            file.write(page)
        write_json(exp_dir / "diagnosis.json", [finding.as_dict() for finding in findings])
        print(f"{summary(findings)}: {exp_dir}/diagnosis.html")
        if args.strict and any(finding.severity == "error" for finding in findings):
            sys.exit(1)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.diagnose", description=__doc__)
    parser.add_argument("experiment", help="conf/<experiment>.yaml, of which stages 1 to 3 are done")
    parser.add_argument("--minutes", type=float, default=3.0, help="for the short trainings in all (3)")
    parser.add_argument("--strict", action="store_true", help="exit status 1 where a check finds an error")
    args = parser.parse_args()
    if not 0 < args.minutes <= MOST_MINUTES:
        parser.error(f"--minutes must be above 0, and {MOST_MINUTES} at the most")
    return args


if __name__ == "__main__":
    run(main)
