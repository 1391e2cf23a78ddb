"""Stage 5: decode a set with an experiment's final.ckpt into pinyin, with times (ctm).

If the set is of another corpus, its features are made here, with the experiment's own features config.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

from steps.common.errors import counted, run
from steps.common.files import sha256, utf8_lines
from steps.common.parallel import on_cluster
from steps.common.process import git_commit, output_lock
from steps.config.exp_dir import finished_training
from steps.config.load import Resolved, set_argument, set_file
from steps.feats.archive import FeatureReader
from steps.feats.compute import extract_set
from steps.search.decode import (
    METHODS,
    Decoded,
    Search,
    chosen_weights,
    decode_in_parts,
    decode_set,
    make_search,
    write_decoded,
)
from steps.search.lm import OWN_WEIGHTS, own_graph


def main() -> None:
    args = parse_args()
    config = finished_training(args.exp_dir, args.set)
    with output_lock(args.exp_dir, f"decode.{set_file(args.set)}"):
        decode(args, config)


def decode(args: argparse.Namespace, config: Resolved) -> None:
    name = f"{args.method}+{args.words.stem}" if args.words else args.method
    out_dir = args.exp_dir / "decode" / f"{set_file(args.set)}_{name}"
    weights = OWN_WEIGHTS if args.words else chosen_weights(args.exp_dir, args.method, args.set)
    feature_dir = config.set_feats(args.set, args.exp_dir)
    if "/" in args.set:
        extract_set(config.set_data(args.set), feature_dir, config.features)
    feats = FeatureReader(feature_dir / "feats.scp", config.features)

    from steps.model.acoustic import AcousticModel  # MindSpore takes seconds to import: not for --help or a mistake

    model = AcousticModel(args.exp_dir)
    checkpoint_hash = sha256(args.exp_dir / "final.ckpt")  # of what was read, whatever happens to it meanwhile
    if on_cluster() and not args.words:
        decoded = decode_in_parts(AcousticModel, args.exp_dir, feature_dir, args.method, args.set)
    else:
        search = asked_search(args, config, model.tokens, weights)
        decoded = decode_set(model, config.features, feats, search, f"decoding {args.set}")
    audio_seconds = decoded.frames * config.features.frame_shift_ms / 1000
    write_decoded(out_dir, decoded, model, config.features, {
        "set": args.set,
        "method": name,
        "weights": weights,
        "utterances": len(decoded.found),
        "skipped": skipped_utterances(feature_dir),
        "frames": decoded.frames,
        "audio_seconds": audio_seconds,
        "seconds": decoded.seconds,
        "search_seconds": decoded.search_seconds,
        "real_time_factor": decoded.seconds / audio_seconds if audio_seconds else 0.0,
        "git_commit": git_commit(),
        "checkpoint_hash": checkpoint_hash,
        "tokens_hash": sha256(args.exp_dir / "tokens.txt"),
    })
    print(f"{out_dir}: {counted(len(decoded.found), 'utterance')}, {audio_seconds:.0f} s of audio in "
          f"{decoded.seconds:.1f} s")
    warn_if_silent(decoded)


def asked_search(args: argparse.Namespace, config: Resolved, tokens: list[str], weights: Mapping[str, float]) -> Search:
    """The search that the arguments ask for. With --words, its graph is made here."""
    folder = args.exp_dir / "graph"
    if args.words:
        folder = own_graph(args.words, folder / args.words.stem, tokens, config.corpus.pinyin)
    return make_search(folder, args.method, tokens, weights)


def skipped_utterances(feature_dir: Path) -> list[str]:
    """Utterances that stage 3 left out for their broken audio (`skip_bad: true`)."""
    path = feature_dir / "skipped"
    return sorted(line.split()[0] for line in utf8_lines(path) if line.strip()) if path.exists() else []


def warn_if_silent(decoded: Decoded) -> None:
    if not any(best.emissions for best in decoded.found.values()):
        print("warning: every utterance decoded to nothing: the network only emits blanks; train it longer")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.stage5_decode", description=__doc__)
    parser.add_argument("exp_dir", type=Path, help="an experiment's directory, such as exp/mini")
    parser.add_argument("set", type=set_argument, help="a set of its corpus, such as test, or data/<corpus>/<set>")
    parser.add_argument("--method", choices=METHODS, default="greedy")
    parser.add_argument("--words", type=Path, help="decode with these words alone, into decode/<set>_wfst+<file>: "
                        "lines of a word, and if you like its pinyin and its frequency in a million")
    args = parser.parse_args()
    if args.words:
        args.method = "wfst"
    return args


if __name__ == "__main__":
    run(main)
