"""Speed and errors of the searches, side by side on one core, on the output of a trained experiment for dev.

    ./path.sh python -m tests.benchmarks.decode exp/hsk

`./path.sh doit tune:hsk` comes first. For each method: syllable error rate on dev with the weights that dev chose, so
too good, and seconds of search for a second of sound, the network's beside it. Where pyctcdecode is installed (in an
environment of its own: it wants other versions than the recipe), its prefix beam search over the same n-gram, beam and
output is timed, too.
"""

import argparse
import importlib.util
import time
from pathlib import Path

import numpy as np

from steps.config.load import load_resolved
from steps.corpus.write import read_pinyin
from steps.feats.archive import FeatureReader
from steps.report.errors import syllable_error_rate
from steps.search.decode import METHODS, chosen_weights, make_search
from steps.search.prefix import BEAM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("exp_dir", type=Path)
    exp_dir = parser.parse_args().exp_dir

    from steps.model.acoustic import AcousticModel

    config, model = load_resolved(exp_dir), AcousticModel(exp_dir)
    feats = FeatureReader(config.feature_dir / "dev/feats.scp")
    begin = time.process_time()
    output = dict(model.log_probs((utt, feats[utt]) for utt in feats))
    seconds = sum(map(len, output.values())) * model.frame_shift_s
    network = (time.process_time() - begin) / seconds
    print(f"{len(output)} utterances, {seconds:.0f} s; network {network:.4f} s a second")
    refs = read_pinyin(config.data_dir / "dev/pinyin")
    output = {utt: matrix for utt, matrix in output.items() if utt in refs}
    for method in METHODS:
        search = make_search(exp_dir / "graph", method, model.tokens, chosen_weights(exp_dir, method))
        begin = time.process_time()
        hyps = {utt: [model.tokens[one.token] for one in search(matrix).emissions] for utt, matrix in output.items()}
        spent = (time.process_time() - begin) / seconds
        rate = syllable_error_rate({utt: refs[utt] for utt in hyps}, hyps)
        print(f"{method:12} {100 * rate:6.2f} % {spent:.5f} s a second")
    if importlib.util.find_spec("pyctcdecode"):
        _pyctcdecode(exp_dir, model.tokens, output, seconds)


def _pyctcdecode(exp_dir: Path, tokens: list[str], output: dict[str, np.ndarray], seconds: float) -> None:
    from pyctcdecode import build_ctcdecoder

    labels = ["", *(f"▁{token}" for token in tokens[1:])]  # every syllable is a word, as SentencePiece marks it
    decoder = build_ctcdecoder(labels, str(exp_dir / "graph/syllables.arpa"), unigrams=tokens[1:])
    begin = time.process_time()
    for matrix in output.values():
        decoder.decode(matrix, beam_width=BEAM)
    print(f"{'pyctcdecode':12} {(time.process_time() - begin) / seconds:17.5f} s a second")


if __name__ == "__main__":
    main()
