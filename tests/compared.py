"""Finished experiments on disk, decoded as the tests say: for tests of comparing."""

from pathlib import Path

import numpy as np
import pandas as pd

from steps.common.checksums import forget_sums
from steps.common.files import sha256, write_json, write_lines
from steps.config.load import Resolved, dump, set_file
from steps.config.schema import Corpus, Experiment, Features
from steps.corpus.table import write_table
from steps.feats.archive import feature_writer
from steps.report.errors import edit_alignment
from steps.report.scores import error_rates
from steps.stage6_score import write_scores

SYLLABLES = ["guo2", "hao3", "ma1", "ma3", "ni3", "shi4", "si4", "zhong1"]
FRAMES = 10  # of features a decoded syllable


def noisy(refs, wrong, seed):
    """References with a share `wrong` of the syllables exchanged, missing or doubled."""
    draw = np.random.default_rng(seed)
    hyps = {}
    for utt, ref in refs.items():
        heard = []
        for one in ref:
            kind = draw.choice(["right", "other", "missing", "double"], p=[1 - wrong, wrong / 2, wrong / 4, wrong / 4])
            other = SYLLABLES[draw.integers(len(SYLLABLES))]
            heard += {"right": [one], "other": [other], "missing": [], "double": [one, one]}[kind]
        hyps[utt] = heard
    return hyps


def some_references(utterances=40, seed=0):
    """References of 1 to 8 syllables, of four speakers."""
    draw = np.random.default_rng(seed)
    return {f"spk{number % 4}-{number:03d}": [SYLLABLES[one] for one in draw.integers(0, 8, draw.integers(1, 9))]
            for number in sorted(range(utterances), key=lambda number: (number % 4, number))}


def make_run(exp_dir: Path, refs, hyps_by_set, *, method="greedy", weights=1_234_567, epochs=3, seed=1, corpus="toy",
             commit="abc123", **experiment) -> Path:
    """Write an experiment that decoded `hyps_by_set` where `refs` was said, as stages 4 to 6 would."""
    config = Resolved(name=exp_dir.name, corpus=Corpus(module="toy"), features=Features(type="fbank", num_bins=8),
                      experiment=Experiment(**{"corpus": corpus, "features": "fbank", "seed": seed,
                                               "model": {"blocks": [{"channels": 4}]}, "train": {"epochs": epochs},
                                               **experiment}))
    write_lines(exp_dir / "config.yaml", [dump(config)])
    write_json(exp_dir / "env.json", {"date": "2026-01-02T03:04:05+00:00", "git_commit": commit, "weights": weights})
    write_lines(exp_dir / "final.ckpt", ["weights of", str(exp_dir)])
    write_lines(exp_dir / "tokens.txt", ["<blk> 0", *(f"{one} {number}" for number, one in enumerate(SYLLABLES, 1))])
    numbers = np.arange(1, epochs + 1)
    history = pd.DataFrame({"epoch": numbers, "seconds": 60.0 * numbers, "dev_ser": 0.5 / numbers})
    history.to_csv(exp_dir / "train.csv", index=False)
    for part, hyps in hyps_by_set.items():
        write_decoding(exp_dir, part, method, refs, hyps)
    return exp_dir


def write_decoding(exp_dir: Path, part, method, refs, hyps) -> None:
    """Write what stages 5 and 6 would."""
    pinyin = Path("refs") / part
    write_table(pinyin, {utt: " ".join(ref) for utt, ref in refs.items()})
    ctm = [f"{utt} 1 {FRAMES * place / 100:.3f} 0.020 {one} 0.900"
           for utt, hyp in hyps.items() for place, one in enumerate(hyp)]
    write_lines(exp_dir / "decode" / f"{set_file(part)}_{method}" / "ctm", ctm)
    alignments = {utt: edit_alignment(refs[utt], hyps[utt]) for utt in sorted(refs)}
    scores = {"set": part, "method": method, **error_rates(refs, hyps, alignments), "skipped": 0,
              "real_time_factor": 0.0123,
              "ref_hash": sha256(pinyin), "tokens_hash": sha256(exp_dir / "tokens.txt"),
              "checkpoint_hash": sha256(exp_dir / "final.ckpt")}
    speakers = {utt: utt.split("-")[0] for utt in refs}
    score_dir = exp_dir / "score" / f"{set_file(part)}_{method}"
    write_scores(score_dir, alignments, speakers, scores)
    forget_sums(score_dir)  # tests change what was scored


def write_features(refs, part="test", corpus="toy") -> None:
    """Features of a set, where the configs of `make_run` look for them."""
    draw = np.random.default_rng(0)
    with feature_writer(Path(f"exp/features/{corpus}_fbank") / part) as write:
        for utt in refs:
            write(utt, draw.random((2 * FRAMES * (len(refs[utt]) + 1), 8)).astype(np.float32))
