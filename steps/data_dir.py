"""Validate, fix, subset and combine data directories after Kaldi's rules, or join them with their features."""

import argparse
from collections.abc import Collection
from pathlib import Path

from steps.common.errors import UserError, run
from steps.common.parallel import count
from steps.common.yaml import load
from steps.config.schema import Features
from steps.corpus.fix import combine, fix, spread, subset
from steps.corpus.table import read_lines, read_numbers, read_table, refuse
from steps.corpus.validate import Summary, validate


def main() -> None:
    """Parse the command line and do one of the five."""
    args = parse()
    if args.act == "validate":
        try:
            print(f"{args.dir}: valid, {validate(args.dir, args.audio)}")
        except UserError as error:
            raise UserError(f"{error}\n`python -m steps.data_dir fix {args.dir}` drops what is unusable") from None
    elif args.act == "fix":
        fixed = fix(args.dir, args.audio)
        print(*fixed.said, f"{args.dir}: kept {fixed.kept} of {fixed.total}", sep="\n")
        print(f"{args.dir}: valid, {validate(args.dir, 'no')}")
    elif args.act == "subset":
        print(f"{args.target}: {subset(args.source, args.target, choose(args))}")
    elif args.act == "feats":
        print(f"{args.target}: {with_features(args.source, args.features, args.target)}")
    else:
        summary, left_out = combine(args.sources, args.target)
        print(*left_out, f"{args.target}: {summary}", sep="\n")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m steps.data_dir", description=__doc__)
    acts = parser.add_subparsers(dest="act", required=True)
    for name, what in (("validate", "say all that is wrong, and exit with status 1 where anything is"),
                       ("fix", "drop what is unusable, and say what; the files as they were go to .backup")):
        act = acts.add_parser(name, help=what, description=what)
        act.add_argument("dir", type=Path, help="such as data/mini/train")
        act.add_argument("--audio", choices=["no", "header", "deep"], default="header",
                         help="leave audio alone, open each file (default), or decode all of it")
    act = acts.add_parser("subset", help="a part of a directory as a new one")
    act.add_argument("source", type=Path)
    act.add_argument("target", type=Path)
    which = act.add_mutually_exclusive_group(required=True)
    which.add_argument("--utts", type=count, metavar="N", help="N utterances at even distances")
    which.add_argument("--first", type=count, metavar="N", help="the first N utterances")
    which.add_argument("--shortest", type=count, metavar="N", help="the N shortest utterances")
    which.add_argument("--utt-list", type=Path, metavar="FILE", help="those whose ids begin a line of FILE")
    which.add_argument("--spk-list", type=Path, metavar="FILE", help="those whose speakers begin a line of FILE")
    act = acts.add_parser("combine", help="several directories as one")
    act.add_argument("target", type=Path)
    act.add_argument("sources", type=Path, nargs="+")
    act = acts.add_parser("feats", help="a directory together with its features, for Kaldi and lhotse",
                          description="A directory together with the features that stage 3 made of it. reco2dur tells "
                                      "what they cover, so that lhotse's cuts keep their supervisions.")
    act.add_argument("source", type=Path, help="such as data/mini/test")
    act.add_argument("features", type=Path, help="such as exp/features/mini_fbank/test")
    act.add_argument("target", type=Path)
    return parser.parse_args()


def choose(args: argparse.Namespace) -> list[str]:
    """The utterances that the options of `subset` mean."""
    utt2spk = read_table(args.source / "utt2spk")
    if args.utt_list:
        return _keys(args.utt_list, utt2spk, f"utterance of {args.source}")
    if args.spk_list:
        speakers = set(_keys(args.spk_list, utt2spk.values(), f"speaker of {args.source}"))
        return [utt for utt, spk in utt2spk.items() if spk in speakers]
    if args.shortest:
        duration = read_numbers(args.source / "utt2dur")
        return sorted(utt2spk, key=lambda utt: (duration[utt], utt))[: args.shortest]
    return list(utt2spk)[: args.first] if args.first else spread(list(utt2spk), args.utts)


def with_features(source: Path, feature_dir: Path, target: Path) -> Summary:
    """Write `target` with those utterances of `source` that have features, and feats.scp, utt2num_frames and reco2dur.

    lhotse takes a recording's seconds from reco2dur, and leaves a supervision out that ends behind its features; frames
    cover a little more or less than the audio. So reco2dur is what they cover.
    """
    if not (feature_dir / "feats.scp").exists():
        raise UserError(f"{feature_dir / 'feats.scp'}: no such file; run stage 3 (features) first")
    shift = load(feature_dir.parent / "features.yaml", Features).frame_shift_ms / 1000
    frames = read_numbers(feature_dir / "utt2num_frames")
    return subset(source, target, list(frames), {
        "feats.scp": read_table(feature_dir / "feats.scp"),
        "utt2num_frames": read_table(feature_dir / "utt2num_frames"),
        "reco2dur": {utt: f"{count * shift:.6g}" for utt, count in frames.items()}})


def _keys(path: Path, known: Collection[str], what: str) -> list[str]:
    """The first words of a file's lines. Raises UserError for one that is not known, and where there are none."""
    keys, known = [line.split()[0] for line in read_lines(path) if line.strip()], set(known)
    refuse([f"{path}: {key[:100]}: no {what}" for key in keys if key not in known])
    if not keys:
        raise UserError(f"{path}: no id in it; write one a line")
    return keys


if __name__ == "__main__":
    run(main)
