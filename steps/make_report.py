"""An experiment's results as one self-contained page, exp/<experiment>/report.html."""

import argparse
from collections import Counter
from pathlib import Path

from steps.common.errors import run
from steps.common.files import atomic_open, remove_leftovers
from steps.config.load import Resolved
from steps.corpus.table import read_numbers, read_table
from steps.corpus.write import read_pinyin
from steps.feats.archive import FeatureReader
from steps.report.experiment import Results, find_mistakes
from steps.report.page import report_page


def main() -> None:
    args = parse_args()
    results = Results(args.exp_dir)
    feats, text, wavs, mistakes = {}, {}, {}, None
    if results.main is not None:
        part = results.main.scores["set"]
        scp, data_dir = results.config.set_feats(part, args.exp_dir) / "feats.scp", results.config.set_data(part)
        feats = FeatureReader(scp) if scp.exists() else {}
        text, wavs = (read_table(path) if path.exists() else {} for path in (data_dir / "text", data_dir / "wav.scp"))
        mistakes = find_mistakes(results.main.alignments, *_counts_and_seconds(results.config, data_dir))
    page = report_page(results, feats, text, wavs, mistakes)
    remove_leftovers(args.exp_dir)
    with atomic_open(args.exp_dir / "report.html") as file:
        file.write(page)
    print(f"{args.exp_dir / 'report.html'}: {len(page.encode()) / 1e6:.1f} MB")


def _counts_and_seconds(config: Resolved, data_dir: Path) -> tuple[Counter, dict[str, float]]:
    """How often training has each syllable, and how long the utterances of `data_dir` are; empty where it is gone."""
    pinyin, durations = config.set_data("train") / "pinyin", data_dir / "utt2dur"
    training = read_pinyin(pinyin) if pinyin.exists() else {}
    seconds = read_numbers(durations) if durations.exists() else {}
    return Counter(one for syllables in training.values() for one in syllables), seconds


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.make_report", description=__doc__)
    parser.add_argument("exp_dir", type=Path, help="an experiment's directory, such as exp/mini")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
