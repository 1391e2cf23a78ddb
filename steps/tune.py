"""Weights of the language models in decoding, chosen on dev: exp/<experiment>/decode/tuning.json.

A small grid of weights is tried for each method, and the lowest syllable error rate wins. The file also has the rate of
greedy decoding. If the corpus is a combination, weights are also chosen for each of its parts, for sets such as
aishell_sample/test: sentences need other weights than words.
"""

import argparse
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steps.common.checksums import forget_sums, write_sums
from steps.common.errors import run
from steps.common.files import write_json
from steps.common.parallel import track
from steps.common.process import output_lock
from steps.config.exp_dir import finished_training
from steps.config.load import Resolved
from steps.corpus.table import read_table
from steps.feats.archive import FeatureReader, dev_pinyin
from steps.report.errors import syllable_error_rate
from steps.search.ctc import Acoustic, greedy
from steps.search.decode import TUNING, Search, make_search

DEV = "dev"
GRIDS = {"prefix": {"weight": (0.4, 0.7, 1.0, 1.3), "insertion": (0.0, 2.0, 4.0, 6.0, 8.0)},
         "wfst": {"scale": (1.0, 1.6, 2.5), "blank_penalty": (0.0, 2.5, 5.0, 7.5)}}
AT_MOST = 50_000  # output frames of dev that are decoded: more hardly change the choice


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.tune", description=__doc__)
    parser.add_argument("exp_dir", type=Path, help="an experiment's directory, such as exp/mini")
    parser.add_argument("methods", nargs="+", choices=list(GRIDS), help="what to choose weights for")
    args = parser.parse_args()
    config = finished_training(args.exp_dir, DEV)
    with output_lock(args.exp_dir, "tune"):
        feats = FeatureReader(config.feature_dir / DEV / "feats.scp", config.features)
        refs = dev_pinyin(config, feats)
        parts = by_corpus(config, [utt for utt in feats if utt in refs])

        from steps.model.acoustic import AcousticModel  # MindSpore takes seconds to import: not for --help or a mistake

        model = AcousticModel(args.exp_dir)
        log_probs = {utt: matrix for utts in parts.values() for utt, matrix in _heard(model, feats, utts, len(parts))}
        refs = {utt: refs[utt] for utt in log_probs}
        found = tune(args.exp_dir / "graph", model.tokens, log_probs, refs, args.methods, parts)
        forget_sums((args.exp_dir / TUNING).parent, [TUNING.name])
        write_json(args.exp_dir / TUNING, found)
        write_sums((args.exp_dir / TUNING).parent, [TUNING.name])


def by_corpus(config: Resolved, utts: Iterable[str]) -> dict[str, list[str]]:
    """The utterances of dev by the corpus of a combination that they come from."""
    names = [name for name, sets in config.corpus.options.get("corpora", {}).items() if DEV in sets]
    if len(names) < 2:
        return {config.experiment.corpus: list(utts)}
    tables = {name: read_table(Path("data") / name / DEV / "utt2spk") for name in names}
    return {name: [utt for utt in utts if utt in table] for name, table in tables.items()}


def _heard(model: Acoustic, feats: FeatureReader, utts: Sequence[str], parts: int) -> Iterator[tuple[str, np.ndarray]]:
    """The network's output for one of several parts of dev, or for the utterances of an even choice of it."""
    frames = 0
    shuffled = sorted(utts, key=lambda utt: zlib.crc32(utt.encode()))
    for utt, log_probs in model.log_probs((utt, feats[utt]) for utt in shuffled):
        yield utt, log_probs
        frames += len(log_probs)
        if frames >= AT_MOST / parts:
            break


def tune(folder: Path, tokens: list[str], log_probs: Mapping[str, np.ndarray], refs: Mapping[str, list[str]],
         methods: list[str], parts: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """The grids' results and the best of each method, as tuning.json holds them.

    Args:
        parts: the utterances by corpus.
    """
    parts = {name: [utt for utt in utts if utt in refs] for name, utts in parts.items()}
    parts = {name: utts for name, utts in parts.items() if utts} if len(parts) > 1 else {}
    of_greedy = _error_rates(lambda matrix: [one.token for one in greedy(matrix)], tokens, log_probs, refs, {})[DEV]
    found: dict[str, Any] = {"set": DEV, "utterances": len(refs), "greedy": {"syllable_error_rate": of_greedy}}
    for method in methods:
        values = itertools.product(*GRIDS[method].values())
        points = [dict(zip(GRIDS[method], chosen, strict=True)) for chosen in values]
        grids: dict[str, list[dict[str, float]]] = {name: [] for name in (DEV, *parts)}
        for point in track(points, len(points), f"tuning {method}"):
            search = make_search(folder, method, tokens, point)
            rates = _error_rates(lambda matrix, search=search: _tokens(search, matrix), tokens, log_probs, refs, parts)
            for name, rate in rates.items():
                grids[name].append({**point, "syllable_error_rate": rate})
        best, *of_parts = (min(grid, key=lambda one: one["syllable_error_rate"]) for grid in grids.values())
        found[method] = {"best": best, "grid": grids[DEV], "pays": best["syllable_error_rate"] < of_greedy,
                         "by_corpus": dict(zip(parts, of_parts, strict=True))}
        _tell(method, best, of_greedy)
    return found


def _tell(method: str, best: Mapping[str, float], of_greedy: float) -> None:
    chosen = ", ".join(f"{key} {best[key]:g}" for key in GRIDS[method])
    print(f"{method}: {100 * best['syllable_error_rate']:.2f} % of dev's syllables wrong with {chosen}; "
          f"greedy: {100 * of_greedy:.2f} %")
    if best["syllable_error_rate"] >= of_greedy:
        print(f"WARNING: {method} is no better than greedy decoding on dev: its language model does not fit")


def _tokens(search: Search, matrix: np.ndarray) -> list[int]:
    return [one.token for one in search([matrix]).emissions]


def _error_rates(decode: Callable[[np.ndarray], list[int]], tokens: list[str], log_probs: Mapping[str, np.ndarray],
                 refs: Mapping[str, list[str]], parts: Mapping[str, list[str]]) -> dict[str, float]:
    """Syllable error rates of the whole and of its parts."""
    hyps = {utt: [tokens[token] for token in decode(matrix)] for utt, matrix in log_probs.items()}
    return {name: syllable_error_rate({utt: refs[utt] for utt in utts}, {utt: hyps[utt] for utt in utts})
            for name, utts in {DEV: list(refs), **parts}.items()}


if __name__ == "__main__":
    run(main)
