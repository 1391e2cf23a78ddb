"""Stage 3: features of all sets of a corpus, and CMVN statistics of its training set."""

import argparse
import shutil
import sys
from collections import Counter
from pathlib import Path

from steps.common.checksums import forget_sums, write_sums
from steps.common.errors import UserError, run
from steps.common.files import atomic_open, disk_usage, megabytes
from steps.common.lock import output_lock
from steps.common.parallel import default_jobs, on_cluster, positive
from steps.config.load import dump, load_corpus, load_features
from steps.config.schema import Features
from steps.corpus.audio import is_there
from steps.feats.archive import discard, save_cmvn
from steps.feats.compute import check_config
from steps.feats.extract import extract_set, read_seconds, read_wav_scp


def main() -> None:
    args = parse_args()
    corpus, config = load_corpus(args.corpus), load_features(args.features)
    data_dir, out_dir = Path("data") / args.corpus, Path("exp/features") / f"{args.corpus}_{args.features}"
    check_config(config, f"conf/features/{args.features}.yaml")
    jobs = args.nj or (None if on_cluster() else default_jobs())
    for part in corpus.sets:
        check_input(data_dir / part)
    check_room(data_dir, out_dir, corpus.sets, config)
    with output_lock(out_dir, "features"):
        discard_all(out_dir, corpus.sets)  # what can be checked has been
        try:
            extract_all(data_dir, out_dir, corpus.sets, config, jobs)
        except BaseException:
            discard_all(out_dir, corpus.sets)
            raise


def extract_all(data_dir: Path, out_dir: Path, sets: list[str], config: Features, jobs: int | None) -> None:
    """Features of each set, and cmvn from the one called train."""
    with atomic_open(out_dir / "features.yaml") as file:
        file.write(dump(config))
    formats: Counter = Counter()
    for part in sets:
        done = extract_set(data_dir / part, out_dir / part, config, jobs)
        formats += done.formats
        print(f"{out_dir / part}: {done.formats.total()} utterances, {int(done.stats[0, -1])} frames "
              f"of {config.num_bins} bins", flush=True)
        if done.skipped:
            print(f"{out_dir / part}: left out {len(done.skipped)} utterances, see {out_dir / part / 'skipped'}")
        for doubt, utts in done.doubts.items():
            print(f"warning: {out_dir / part}: {len(utts)} of {done.formats.total()} utterances, such as {utts[0]}: "
                  f"{doubt}", file=sys.stderr)
        if part == "train":
            save_cmvn(out_dir / "cmvn", done.stats)
            for name, copy in zip(config.copy_sets, config.copies, strict=True):
                extract_set(data_dir / part, out_dir / name, config, jobs, copy)
    write_sums(out_dir, ["cmvn", "features.yaml"])
    tell_conversions(formats, config.sample_rate)


def check_input(data_dir: Path) -> None:
    """Raise UserError where stage 1 is not done, or its recordings are gone: all of them, as where a disk is not there.
    """
    wavs = read_wav_scp(data_dir / "wav.scp")
    if not any(is_there(wav) for _, wav in wavs):
        raise UserError(f"{data_dir / 'wav.scp'}: none of its {len(wavs)} recordings is there, such as {wavs[0][1]}; "
                        f"is the disk mounted? Else run stage 1 (prepare) again")


def check_room(data_dir: Path, out_dir: Path, sets: list[str], config: Features) -> None:
    """Raise UserError where the disk has less room than the features will take, beside those that they replace."""
    frames = {part: sum(read_seconds(data_dir / part).values()) * 1000 / config.frame_shift_ms for part in sets}
    total = sum(frames.values()) + len(config.copies) * frames.get("train", 0)
    wanted = total * config.num_bins * (1 if config.compress else 4)
    out_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out_dir).free + disk_usage(out_dir)
    if wanted > free:
        raise UserError(f"{out_dir}: the features take some {megabytes(wanted)}, where {megabytes(free)} are free; "
                        f"free some space, or let exp/features be a link to another disk")


def discard_all(out_dir: Path, sets: list[str]) -> None:
    """Remove what an earlier or failed run left: a stage that fails leaves no target behind."""
    forget_sums(out_dir)
    (out_dir / "cmvn").unlink(missing_ok=True)
    for part in [*(out_dir / part for part in sets), *out_dir.glob("train_copy*")]:
        discard(part)


def tell_conversions(formats: Counter, sample_rate: int) -> None:
    """Say what was resampled or mixed down: once a run, with counts."""
    for (rate, channels), count in sorted(formats.items()):
        words = [f"resampled to {sample_rate} Hz"] * (rate != sample_rate) + ["mixed down to one"] * (channels > 1)
        if words:
            of = f"{rate} Hz, {channels} channel{'s' * (channels > 1)}"
            print(f"{count} files of {of}: {', '.join(words)}", file=sys.stderr)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.stage3_features", description=__doc__)
    parser.add_argument("corpus", help="a file of conf/corpora, without .yaml")
    parser.add_argument("features", help="a file of conf/features, without .yaml")
    parser.add_argument("--nj", type=positive, help="processes; default: YINJIE_NJ, else one a processor")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
