"""How well pronounce tells a wrong initial, final or tone: equal error rates by swapping the text of a test set.

    ./path.sh python -m tests.benchmarks.pronunciation exp/hsk test

Every syllable is scored with its right text, and with every other initial (final, tone) in the text that makes a
syllable of the model. The equal error rate is where as many right ones are refused as wrong ones are
let pass. It also counts how many right syllables get a verdict other than None, and what a syllable costs. Those who
speak are natives, and a swapped text is easier to tell than a learner's error.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from steps.common.errors import run
from steps.common.parallel import track
from steps.config.exp_dir import finished_training
from steps.deploy.assess import PARTS, ReadingAloud, Target, TokenParts, assess, labels_of, part_log_odds, reading_aloud
from steps.feats.archive import FeatureReader
from steps.search.ctc import edits
from steps.text.transcripts import read_pinyin

NATS = (0, 1, 1.5, 2, 2.5, 3, 4)


def equal_error_rate(right: list[float], wrong: list[float]) -> tuple[float, float]:
    """(rate, threshold) at which as large a share of `right` is below as of `wrong` is above."""
    thresholds = np.unique([*right, *wrong])
    refused = np.searchsorted(np.sort(right), thresholds) / len(right)
    passed = 1 - np.searchsorted(np.sort(wrong), thresholds) / len(wrong)
    at = int(np.argmin(np.abs(refused - passed)))
    return float((refused[at] + passed[at]) / 2), float(thresholds[at])


class Tally:
    """What is counted over a set."""

    def __init__(self, tokens: list[str]):
        self.parts = TokenParts(tokens)
        self.right = {(scored, swapped): [] for scored in PARTS for swapped in PARTS}
        self.wrong = {pair: [] for pair in self.right}
        self.margins = {name: [] for name in ("right", *PARTS)}
        self.errors = Counter()
        self.seconds = 0.0
        self.syllables = 0

    def add(self, log_probs: np.ndarray, text: list[str]) -> None:
        """Count an utterance of `text`."""
        reading = reading_aloud(" ".join(text)) if len(text) > 1 else _one(text[0])
        begin = time.perf_counter()
        heard, verdicts = assess(log_probs, reading, self.parts)
        self.seconds += time.perf_counter() - begin
        self.syllables += len(text)
        self.errors.update(verdict.error for verdict in verdicts)
        self.errors["Insertion"] += sum(one.target is None for one in heard)
        for target, row in zip(reading.targets, edits(log_probs, labels_of(reading, self.parts)).instead, strict=True):
            row = row - np.logaddexp.reduce(row)
            self.margins["right"].append(_behind(row, target, self.parts))
            for swapped in PARTS:
                self._swap(target, swapped, row)

    def _swap(self, target: Target, swapped: str, row: np.ndarray) -> None:
        others = {self.parts.tokens[one] for one in np.flatnonzero(self.parts.same_but(target.syllable, swapped))}
        for number, other in enumerate(sorted(others.difference(target.accepted))):
            false = Target(other, (other,), other, 0)
            self.margins[swapped].append(_behind(row, false, self.parts))
            for scored in PARTS:
                self.wrong[scored, swapped].append(part_log_odds(row, false, scored, self.parts))
                if number == 0:
                    self.right[scored, swapped].append(part_log_odds(row, target, scored, self.parts))

    def lines(self) -> Iterator[str]:
        """The tables."""
        yield f"{self.syllables} syllables, {1000 * self.seconds / self.syllables:.1f} ms each; verdicts on what is " \
              "right: " + ", ".join(f"{name} {count / self.syllables:.2%}" for name, count in self.errors.items())
        yield "equal error rate of a score (row) where the text has another … (column), %"
        yield "score    " + "".join(f"{part:>9}" for part in PARTS)
        for scored in PARTS:
            rates = [equal_error_rate(self.right[scored, swapped], self.wrong[scored, swapped]) for swapped in PARTS]
            yield f"{scored:9}" + "".join(f"{100 * rate:9.2f}" for rate, _ in rates) \
                + f"   threshold {rates[PARTS.index(scored)][1]:.2f}"
        yield "share of syllables that another beats by more than … nats, %: right, and with another part in the text"
        yield "nats     " + "".join(f"{name:>9}" for name in self.margins)
        for nats in NATS:
            yield f"{nats:<9}" + "".join(f"{100 * np.mean(np.array(of) > nats):9.2f}" for of in self.margins.values())


def main() -> None:
    """Score a set and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.pronunciation", description=__doc__)
    parser.add_argument("exp_dir", type=Path)
    parser.add_argument("set")
    args = parser.parse_args()
    config = finished_training(args.exp_dir, args.set)
    pinyin = read_pinyin(config.data_dir / args.set / "pinyin")
    feats = FeatureReader(config.feature_dir / args.set / "feats.scp")

    from steps.model.acoustic import AcousticModel

    model = AcousticModel(args.exp_dir)
    tally = Tally(model.tokens)
    utts = [utt for utt in pinyin if utt in feats and all(one in tally.parts.ids for one in pinyin[utt])]
    for utt, log_probs in track(model.log_probs((utt, feats[utt]) for utt in utts), len(utts), "scoring"):
        tally.add(log_probs, pinyin[utt])
    print(f"{args.exp_dir} {args.set}: {len(utts)} of {len(pinyin)} utterances; the others have an unknown syllable")
    print("\n".join(tally.lines()))


def _behind(row: np.ndarray, target: Target, parts: TokenParts) -> float:
    """By how many nats the likeliest syllable beats the target's right forms."""
    right = [parts.ids[form] for form in target.accepted if form in parts.ids]
    return float(row.max() - np.logaddexp.reduce(row[right]))


def _one(syllable: str) -> ReadingAloud:
    return ReadingAloud(syllable, (syllable,), (Target(syllable, (syllable,), syllable, 0),))


if __name__ == "__main__":
    run(main)
