"""Align a set with its own pinyin: where each syllable is in the sound, exp/<experiment>/ali/<set>/ctm."""

import argparse
from pathlib import Path

from steps.common.errors import UserError, counted, run
from steps.common.process import output_lock
from steps.config.exp_dir import finished_training
from steps.config.load import set_argument
from steps.corpus.write import read_pinyin
from steps.feats.archive import FeatureReader
from steps.search.alignment import align_set, write_aligned


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.align", description=__doc__)
    parser.add_argument("exp_dir", type=Path, help="an experiment's directory, such as exp/mini")
    parser.add_argument("set", type=set_argument, help="a set of its corpus, such as train")
    args = parser.parse_args()
    corpus, _, part = args.set.rpartition("/")
    config = finished_training(args.exp_dir, part)
    if corpus not in ("", config.experiment.corpus):
        raise UserError(f"{args.set}: not of {config.experiment.corpus}, which {args.exp_dir} is for; name a set of it")
    with output_lock(args.exp_dir, "align"):
        pinyin = read_pinyin(config.data_dir / part / "pinyin")
        feats = FeatureReader(config.feature_dir / part / "feats.scp", config.features)

        from steps.model.acoustic import AcousticModel  # MindSpore takes seconds to import: not for --help or a mistake

        out_dir = args.exp_dir / "ali" / part
        aligned = align_set(AcousticModel(args.exp_dir), config.features, feats, pinyin, f"aligning {part}")
        write_aligned(out_dir, aligned)
        print(f"{out_dir}/ctm: {counted(len(aligned.times), 'utterance')}; a syllable's spike lies "
              f"{aligned.place:.0%} into it")
        for why, utts in aligned.left_out.items():
            print(f"left out {counted(len(utts), 'utterance')}, such as {utts[0]}: {why}")


if __name__ == "__main__":
    run(main)
