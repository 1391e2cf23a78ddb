"""Weights of the language models in decoding, chosen on dev: exp/<experiment>/decode/tuning.json.

A small grid for each method. Its lowest syllable error rate wins; that of greedy decoding stands beside it.
"""

import argparse
import itertools
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steps.common.checksums import forget_sums, write_sums
from steps.common.errors import run
from steps.common.files import write_json
from steps.common.lock import output_lock
from steps.common.parallel import track
from steps.corpus.write import read_pinyin
from steps.feats.archive import FeatureReader
from steps.model.checkpoints import finished_training
from steps.report.errors import syllable_error_rate
from steps.search.ctc import greedy
from steps.search.decode import TUNING, Search, make_search

DEV = "dev"
GRIDS = {"prefix": {"weight": (0.4, 0.7, 1.0, 1.3), "insertion": (0.0, 2.0, 4.0, 6.0, 8.0)},
         "wfst": {"scale": (0.6, 1.0, 1.6, 2.5), "blank_penalty": (0.0, 2.5, 5.0, 7.5)}}
AT_MOST = 50_000  # output frames of dev that are decoded: more hardly change the choice


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.tune", description=__doc__.split("\n")[0])
    parser.add_argument("exp_dir", type=Path, help="an experiment's directory, such as exp/mini")
    parser.add_argument("methods", nargs="+", choices=list(GRIDS), help="what to choose weights for")
    args = parser.parse_args()
    config = finished_training(args.exp_dir, DEV)
    with output_lock(args.exp_dir, "tune"):
        refs = read_pinyin(config.data_dir / DEV / "pinyin")
        feats = FeatureReader(config.feature_dir / DEV / "feats.scp", config.features)

        from steps.model.acoustic import AcousticModel  # MindSpore takes seconds to import

        model = AcousticModel(args.exp_dir)
        log_probs = _heard(model, feats, refs)
        refs = {utt: refs[utt] for utt in log_probs}
        found = tune(args.exp_dir / "graph", model.tokens, log_probs, refs, args.methods)
        forget_sums((args.exp_dir / TUNING).parent, [TUNING.name])
        write_json(args.exp_dir / TUNING, found)
        write_sums((args.exp_dir / TUNING).parent, [TUNING.name])


def _heard(model, feats: FeatureReader, refs: Mapping[str, list[str]]) -> dict[str, np.ndarray]:
    """The network's output for dev, or for the utterances of an even choice of it."""
    utts, found, frames = [utt for utt in feats if utt in refs], {}, 0
    shuffled = sorted(utts, key=lambda utt: zlib.crc32(utt.encode()))
    for utt, log_probs in model.log_probs((utt, feats[utt]) for utt in shuffled):
        found[utt] = log_probs
        frames += len(log_probs)
        if frames >= AT_MOST:
            break
    return found


def tune(folder: Path, tokens: list[str], log_probs: Mapping[str, np.ndarray], refs: Mapping[str, list[str]],
         methods: list[str]) -> dict[str, Any]:
    """The grids' results and the best of each method, as tuning.json holds them."""
    of_greedy = _error_rate(lambda matrix: [one.token for one in greedy(matrix)], tokens, log_probs, refs)
    found: dict[str, Any] = {"set": DEV, "utterances": len(refs), "greedy": {"syllable_error_rate": of_greedy}}
    for method in methods:
        grid = []
        values = itertools.product(*GRIDS[method].values())
        points = [dict(zip(GRIDS[method], chosen, strict=True)) for chosen in values]
        for point in track(points, len(points), f"tuning {method}"):
            search = make_search(folder, method, tokens, point)
            rate = _error_rate(lambda matrix, search=search: _tokens(search, matrix), tokens, log_probs, refs)
            grid.append({**point, "syllable_error_rate": rate})
        best = min(grid, key=lambda one: one["syllable_error_rate"])
        found[method] = {"best": best, "grid": grid, "pays": best["syllable_error_rate"] < of_greedy}
        chosen = ", ".join(f"{key} {best[key]:g}" for key in GRIDS[method])
        print(f"{method}: {100 * best['syllable_error_rate']:.2f} % of dev's syllables wrong with {chosen}; "
              f"greedy: {100 * of_greedy:.2f} %")
        if not found[method]["pays"]:
            print(f"WARNING: {method} is no better than greedy decoding on dev: its language model does not fit")
    return found


def _tokens(search: Search, matrix: np.ndarray) -> list[int]:
    return [one.token for one in search(matrix).emissions]


def _error_rate(decode: Callable[[np.ndarray], list[int]], tokens: list[str], log_probs: Mapping[str, np.ndarray],
                refs: Mapping[str, list[str]]) -> float:
    return syllable_error_rate(refs, {utt: [tokens[token] for token in decode(matrix)]
                                      for utt, matrix in log_probs.items()})


if __name__ == "__main__":
    run(main)
