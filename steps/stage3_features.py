"""Stage 3: features of all sets of a corpus, and CMVN statistics of its training set."""

import argparse
import contextlib
import os
import shutil
import sys
from collections import Counter
from pathlib import Path

from steps.common.checksums import AGAIN, SUMS, check_sums, forget_sums, write_sums
from steps.common.errors import UserError, counted, run
from steps.common.files import GONE, megabytes, size_and_time, write_lines
from steps.common.parallel import default_jobs, on_cluster, positive
from steps.common.process import output_lock
from steps.config.load import dump, load_corpus, load_features
from steps.config.schema import Features
from steps.corpus.audio import is_there
from steps.corpus.table import read_table
from steps.corpus.write import folder_beside
from steps.feats.archive import MIN_STD, discard, mean_std, move_features, save_cmvn
from steps.feats.compute import check_config, extract_set, read_seconds, read_wav_scp


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.stage3_features", description=__doc__)
    parser.add_argument("corpus", help="a file of conf/corpora, without .yaml")
    parser.add_argument("features", help="a file of conf/features, without .yaml")
    parser.add_argument("--nj", type=positive, help="processes; default: YINJIE_NJ, else one a processor")
    args = parser.parse_args()
    corpus, config = load_corpus(args.corpus), load_features(args.features)
    data_dir, out_dir = Path("data") / args.corpus, Path("exp/features") / f"{args.corpus}_{args.features}"
    check_config(config, f"conf/features/{args.features}.yaml")
    jobs = args.nj or (None if on_cluster() else default_jobs())
    for part in corpus.sets:
        check_input(data_dir / part)
    with output_lock(out_dir, "features"):
        check_room(data_dir, out_dir, corpus.sets, config)
        with folder_beside(out_dir) as beside:
            extract_all(data_dir, beside, out_dir, corpus.sets, config, jobs)
            put_in_place(beside, out_dir)


def extract_all(data_dir: Path, beside: Path, out_dir: Path, sets: list[str], config: Features, jobs: int | None
                ) -> None:
    """Features of each set, and cmvn from the one called train, in the folder `beside` that is moved to `out_dir`."""
    write_lines(beside / "features.yaml", [dump(config).rstrip()])
    formats: Counter = Counter()
    for part in sets:
        done = extract_set(data_dir / part, beside / part, config, jobs, named=out_dir / part)
        formats += done.formats
        print(f"{out_dir / part}: {counted(done.formats.total(), 'utterance')}, {int(done.stats[0, -1])} frames "
              f"of {config.num_bins} bins", flush=True)
        if done.skipped:
            print(f"{out_dir / part}: left out {counted(len(done.skipped), 'utterance')}, see "
                  f"{out_dir / part / 'skipped'}")
        for doubt, utts in done.doubts.items():
            print(f"warning: {out_dir / part}: {len(utts)} of {done.formats.total()} utterances, such as {utts[0]}: "
                  f"{doubt}", file=sys.stderr)
        if part == "train":
            if (mean_std(done.stats)[1] <= MIN_STD).all():
                raise UserError(f"{data_dir / part}: all frames have the same features: the recordings are silent, or "
                                f"floor_db, {config.floor_db:g}, is too high in conf/features")
            save_cmvn(beside / "cmvn", done.stats)
            for name, copy in zip(config.copy_sets, config.copies, strict=True):
                extract_set(data_dir / part, beside / name, config, jobs, copy, out_dir / name)
    write_sums(beside, ["cmvn", "features.yaml"])
    tell_conversions(formats, config.sample_rate)


def put_in_place(beside: Path, out_dir: Path) -> None:
    """Move the features that are made to their place; cmvn, without which nobody takes them for whole, goes first and
    comes last."""
    forget_sums(out_dir, ["cmvn", "features.yaml"])
    (out_dir / "cmvn").unlink(missing_ok=True)
    for old in out_dir.glob("train_copy*"):
        discard(old)
    for part in [path for path in beside.iterdir() if path.is_dir()]:
        move_features(part, out_dir / part.name)
    for name in ("features.yaml", SUMS, "cmvn"):
        with contextlib.suppress(FileNotFoundError):  # cmvn is of corpora with a set train
            os.replace(beside / name, out_dir / name)


def check_input(data_dir: Path) -> None:
    """Raise UserError if stage 1 is not done, or its recordings are gone: all of them, as when a disk is not there.
    Say on stderr how many were changed after stage 1.
    """
    wavs = read_wav_scp(data_dir / "wav.scp")
    check_sums(data_dir, AGAIN.format("1 (prepare)"), ["wav.scp", "utt2dur", "utt2audio"])
    if not any(is_there(wav) for _, wav in wavs):
        raise UserError(f"{data_dir / 'wav.scp'}: none of its {len(wavs)} recordings is there, such as {wavs[0][1]}; "
                        f"is the disk mounted? Else run stage 1 (prepare) again")
    noted = read_table(data_dir / "utt2audio") if (data_dir / "utt2audio").exists() else {}
    changed = [wav for utt, wav in wavs if utt in noted and size_and_time(wav) not in (noted[utt], GONE)]
    if changed:
        print(f"warning: {data_dir}: {len(changed)} of {len(wavs)} recordings were changed after stage 1, such as "
              f"{changed[0]}; run stage 1 (prepare) again, so that durations and texts are theirs", file=sys.stderr)


def check_room(data_dir: Path, out_dir: Path, sets: list[str], config: Features) -> None:
    """Raise UserError if the disk has less room than the features will take. Earlier ones stay until then."""
    frames = {part: sum(read_seconds(data_dir / part).values()) * 1000 / config.frame_shift_ms for part in sets}
    total = sum(frames.values()) + len(config.copies) * frames.get("train", 0)
    wanted = total * config.num_bins * (1 if config.compress else 4)
    free = shutil.disk_usage(out_dir).free
    if wanted > free:
        earlier = (f" (the earlier ones: doit clean features:{out_dir.name})" if (out_dir / "cmvn").exists() else "")
        raise UserError(f"{out_dir}: the features take about {megabytes(wanted)}, but {megabytes(free)} are free; "
                        f"free some space{earlier}, or let exp/features be a link to another disk")


def tell_conversions(formats: Counter, sample_rate: int) -> None:
    """Say what was resampled or mixed down: once a run, with counts."""
    for (rate, channels), count in sorted(formats.items()):
        words = [f"resampled to {sample_rate} Hz"] * (rate != sample_rate) + ["mixed down to one"] * (channels > 1)
        if words:
            of = f"{rate} Hz, {counted(channels, 'channel')}"
            print(f"{counted(count, 'file')} of {of}: {', '.join(words)}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
