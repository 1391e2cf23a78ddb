"""Speed and errors of the searches, side by side on one core, on the output of a trained experiment for dev.

    ./path.sh python -m tests.benchmarks.decode exp/hsk --others /tmp/others/bin/python

`./path.sh doit tune:hsk` comes first. For each method: syllable error rate on dev with the weights that dev chose, so
too good, and processor seconds of search for a second of sound, the network's beside it. `--others` is the Python of an
environment of its own (`pip install pyctcdecode flashlight-text kenlm-ex "numpy<2"`), which times the beam searches of
pyctcdecode and flashlight-text over the same n-grams, beam and output (decode_others.py).
"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from steps.config.load import load_resolved
from steps.corpus.write import read_pinyin
from steps.feats.archive import FeatureReader
from steps.report.errors import syllable_error_rate
from steps.search.decode import METHODS, chosen_weights, make_search
from steps.search.prefix import BEAM, TOKENS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("exp_dir", type=Path)
    parser.add_argument("--others", type=Path, help="a Python that has pyctcdecode and flashlight-text")
    parser.add_argument("--utterances", type=int, help="of dev, at most")
    args = parser.parse_args()
    exp_dir = args.exp_dir

    from steps.model.acoustic import AcousticModel

    config, model = load_resolved(exp_dir), AcousticModel(exp_dir)
    feats = FeatureReader(config.feature_dir / "dev/feats.scp")
    refs = read_pinyin(config.data_dir / "dev/pinyin")
    utts = [utt for utt in feats if utt in refs][:args.utterances]
    begin = time.process_time()
    output = dict(model.log_probs((utt, feats[utt]) for utt in utts))
    seconds = sum(map(len, output.values())) * model.frame_shift_s
    network = (time.process_time() - begin) / seconds
    print(f"{len(output)} utterances, {seconds:.0f} s; network {network:.4f} s a second")
    for method in METHODS:
        search = make_search(exp_dir / "graph", method, model.tokens, chosen_weights(exp_dir, method))
        begin = time.process_time()
        hyps = {utt: [model.tokens[one.token] for one in search([matrix]).emissions] for utt, matrix in output.items()}
        spent = (time.process_time() - begin) / seconds
        rate = syllable_error_rate({utt: refs[utt] for utt in hyps}, hyps)
        print(f"{method:16} {100 * rate:6.2f} % {spent:.5f} s a second")
    if args.others:
        with tempfile.TemporaryDirectory() as folder:
            np.savez(f"{folder}/output.npz", *output.values())
            Path(folder, "tokens").write_text("\n".join(model.tokens))
            subprocess.run([args.others, Path(__file__).with_name("decode_others.py"), folder,
                            exp_dir / "graph/syllables.arpa", str(BEAM), str(TOKENS), str(seconds)], check=True)


if __name__ == "__main__":
    main()
