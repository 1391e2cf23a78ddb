"""Look for what may be wrong with an experiment, before a long training or after it: data, loss, network, rate.

Writes exp/<experiment>/diagnosis.html and diagnosis.json, and prints a line for each check.
"""

# A check of data or curves is a function `(Context) -> Finding`, plain numpy on what stages 1 to 4 wrote. A check that
# runs the network is a function `(Bench) -> Finding`; all of these share one `Bench`, which holds it compiled.

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from steps.common.errors import UserError, run
from steps.common.files import atomic_open, write_json
from steps.common.process import output_lock
from steps.config.load import load_experiment
from steps.diagnosis import features, labels, network, training
from steps.diagnosis.bench import Bench
from steps.diagnosis.context import Context, Finding, build_page, lines, summary

ON_DATA: dict[str, Callable[[Context], Finding]] = {
    "blank": lambda of: labels.judge_blank(of.token_lines),
    "ids": lambda of: labels.judge_ids(of.pinyin("train"), of.pinyin("dev"), of.tokens),
    "labels fit": lambda of: labels.judge_lengths(of.frames("train"), of.pinyin("train"), of.config.experiment.model),
    "labels match": lambda of: labels.judge_match(of.frames("train"), of.pinyin("train")),
    "finite": lambda of: features.judge_finite(of.stream("train", features.SEARCHED)),
    "constant": lambda of: features.judge_constant(of.raw_feats("train")),
    "silent": lambda of: features.judge_silent(of.raw_feats("train"), of.config.features),
    "holes": lambda of: features.judge_holes(of.raw_feats("train"), of.config.features),
    "features clipped": lambda of: features.judge_clipped(of.raw_feats("train")),
    "scale": lambda of: features.judge_scale(of.feats("train")),
    "audio": features.check_audio,
    "set lengths": labels.check_set_lengths,
    "set levels": lambda of: labels.judge_set_levels(of.feats("train"), of.feats("dev")),
    "set tokens": lambda of: labels.judge_set_tokens(of.pinyin("train"), of.pinyin("dev")),
    "overlap": labels.check_overlap,
    "divergence": lambda of: training.judge_course(training.judge_divergence, of.history),
    "oscillation": lambda of: training.judge_course(training.judge_oscillation, of.history),
    "plateau": lambda of: training.judge_course(training.judge_plateau, of.history),
}
ON_NETWORK: dict[str, Callable[[Bench], Finding]] = {
    "loss": lambda of: network.judge_loss(of.loss(), of.logits(), of.batch),
    "logits": lambda of: network.judge_logits(of.logits(), of.inference()),
    "output": network.check_output, "alignment": network.check_alignment, "batch norm": training.check_norm,
    "relus": network.check_relus, "gradients": network.check_gradients, "overfit": training.check_overfit,
    "learning rate": training.check_rate,
}
BEFORE_NETWORK = ("blank", "ids", "labels fit", "labels match", "finite")  # whose errors leave nothing to be trained
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


def run_checks(context: Context) -> Iterator[Finding]:
    """Run all checks, those of the data first, and yield each finding. A file that cannot be read is an error."""
    errors = set()
    for name, check in ON_DATA.items():
        finding = _call(name, check, context)
        if finding.severity == "error":
            errors.add(name)
        yield finding
    obstacles = [name for name in BEFORE_NETWORK if name in errors]
    if not obstacles:
        try:
            bench = Bench(context)
        except UserError as error:
            obstacles = ["network"]
            yield Finding("error", str(error), check="network")
    for name, check in ON_NETWORK.items():
        if obstacles:
            why = f"cannot be run before the error of {', '.join(obstacles)} is mended"
            yield Finding("skipped", why, check=name)
        else:
            yield _call(name, check, bench)


def _call(name: str, check: Callable[[Any], Finding], of: Context | Bench) -> Finding:
    try:
        return check(of)._replace(check=name)
    except UserError as error:
        return Finding("error", str(error), check=name)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.diagnose", description=__doc__)
    parser.add_argument("experiment", help="conf/<experiment>.yaml, of which stages 1 to 3 are done")
    parser.add_argument("--minutes", type=float, default=3.0, help="minutes for all short trainings together (3)")
    parser.add_argument("--strict", action="store_true", help="exit status 1 if a check finds an error")
    args = parser.parse_args()
    if not 0 < args.minutes <= MOST_MINUTES:
        parser.error(f"--minutes must be above 0, and {MOST_MINUTES} at most")
    return args


if __name__ == "__main__":
    run(main)
