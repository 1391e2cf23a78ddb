"""How well pronounce tells a wrong initial, final or tone: equal error rates by swapping the text of a test set.

    ./path.sh python -m tests.benchmarks.pronunciation exp/hsk test

Every syllable is scored once with its right text and once with another initial (final, tone) in the text, drawn among
those that make a syllable of the model. The equal error rate is where as many right ones are refused as wrong ones are
let pass. It also counts how many right syllables get a verdict other than None, and what a syllable costs. Those who
speak are natives, and a swapped text is easier to tell than a learner's error.
"""

import argparse
import time
from collections import Counter
from pathlib import Path

import numpy as np

from steps.common.errors import run
from steps.deploy.assess import PARTS, TokenParts, assess, labels_of, part_log_odds
from steps.deploy.reading_aloud import ReadingAloud, Target, reading_aloud
from steps.feats.archive import FeatureReader
from steps.model.checkpoints import finished_training
from steps.search.goodness import edits
from steps.text.transcripts import read_pinyin


def equal_error_rate(right: list[float], wrong: list[float]) -> tuple[float, float]:
    """(rate, threshold) at which as large a share of `right` is below as of `wrong` is above."""
    thresholds = np.unique([*right, *wrong])
    refused = np.searchsorted(np.sort(right), thresholds) / len(right)
    passed = 1 - np.searchsorted(np.sort(wrong), thresholds) / len(wrong)
    at = int(np.argmin(np.abs(refused - passed)))
    return float((refused[at] + passed[at]) / 2), float(thresholds[at])


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
    parts, rng = TokenParts(model.tokens), np.random.default_rng(1)
    right, wrong = ({(scored, swapped): [] for scored in PARTS for swapped in PARTS} for _ in range(2))
    margins = {name: [] for name in ("right", *PARTS)}
    errors, spent, syllables, left_out = Counter(), 0.0, 0, 0
    for _, log_probs, text in sorted((utt, log_probs, pinyin[utt]) for utt, log_probs in
                                     model.log_probs((utt, feats[utt]) for utt in pinyin if utt in feats)):
        if not all(syllable in parts.ids for syllable in text):
            left_out += 1
            continue
        reading = reading_aloud(" ".join(text)) if len(text) > 1 else _one(text[0])
        labels = labels_of(reading, parts)
        begin = time.perf_counter()
        heard, verdicts = assess(log_probs, reading, parts)
        spent += time.perf_counter() - begin
        syllables += len(labels)
        errors.update(verdict.error for verdict in verdicts)
        errors["Insertion"] += sum(one.target is None for one in heard)
        for target, row in zip(reading.targets, edits(log_probs, labels).instead, strict=True):
            row = row - np.logaddexp.reduce(row)
            margins["right"].append(_behind(row, target, parts))
            for swapped in PARTS:
                others = np.flatnonzero(parts.same_but(target.syllable, swapped))
                others = [one for one in others if one not in [parts.ids.get(form) for form in target.accepted]]
                if not others:
                    continue
                other = model.tokens[rng.choice(others)]
                false = Target(other, (other,), other, 0)
                margins[swapped].append(_behind(row, false, parts))
                for scored in PARTS:
                    right[scored, swapped].append(part_log_odds(row, target, scored, parts))
                    wrong[scored, swapped].append(part_log_odds(row, false, scored, parts))
    print(f"{args.exp_dir} {args.set}: {syllables} syllables, {1000 * spent / syllables:.1f} ms each; "
          f"{left_out} utterances left out: a syllable is no token")
    print("verdicts on what is right:", ", ".join(f"{name} {count / syllables:.2%}" for name, count in errors.items()))
    print("equal error rate of a score (row) where the text has another … (column), %")
    print("score    " + "".join(f"{part:>9}" for part in PARTS))
    for scored in PARTS:
        rates = [equal_error_rate(right[scored, swapped], wrong[scored, swapped]) for swapped in PARTS]
        print(f"{scored:9}" + "".join(f"{100 * rate:9.2f}" for rate, _ in rates)
              + f"   threshold {rates[PARTS.index(scored)][1]:.2f}")
    print("share of syllables that another one beats by more than … nats, %: right, and with another part in the text")
    print("nats     " + "".join(f"{name:>9}" for name in margins))
    for nats in (0, 1, 1.5, 2, 2.5, 3, 4):
        print(f"{nats:<9}" + "".join(f"{100 * np.mean(np.array(found) > nats):9.2f}" for found in margins.values()))


def _behind(row: np.ndarray, target: Target, parts: TokenParts) -> float:
    """By how many nats the likeliest syllable beats the target's right forms."""
    right = [parts.ids[form] for form in target.accepted if form in parts.ids]
    return float(row.max() - np.logaddexp.reduce(row[right]))


def _one(syllable: str) -> ReadingAloud:
    return ReadingAloud(syllable, (syllable,), (Target(syllable, (syllable,), syllable, 0),))


if __name__ == "__main__":
    run(main)
