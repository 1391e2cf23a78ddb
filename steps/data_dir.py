"""Validate, fix, subset and combine data directories after Kaldi's rules, or join them with their features."""

import argparse
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from steps.common.checksums import SUMS, write_sums
from steps.common.errors import UserError, counted, run
from steps.common.parallel import count
from steps.common.yaml import load
from steps.config.schema import Features
from steps.corpus.audio import check_audios
from steps.corpus.rows import half_width, read_lines
from steps.corpus.table import read_numbers, read_table, refuse, scan_table, shorten, write_table
from steps.corpus.validate import (
    SPK_TABLES,
    UTT_TABLES,
    VALUE_CHECKS,
    Audio,
    Summary,
    may_lack,
    read_valid,
    speaker_order_fault,
    validate,
)
from steps.corpus.write import SUMMED, folder_beside, replace_dir, validate_beside, write_speakers


def main() -> None:
    args = parse()
    if args.act == "validate":
        try:
            print(f"{args.dir}: valid, {validate(args.dir, args.audio)}")
        except UserError as error:
            raise UserError(f"{error}\n`python -m steps.data_dir fix {args.dir}` drops what is unusable") from None
    elif args.act == "fix":
        print(*fix(args.dir, args.audio), sep="\n")
        print(f"{args.dir}: valid, {validate(args.dir, 'no')}")
    elif args.act == "subset":
        print(f"{args.target}: {subset(args.source, args.target, choose(args))}")
    elif args.act == "feats":
        print(f"{args.target}: {with_features(args.source, args.features, args.target)}")
    else:
        summary, left_out = combine(args.sources, args.target)
        print(*left_out, f"{args.target}: {summary}", sep="\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.data_dir", description=__doc__)
    acts = parser.add_subparsers(dest="act", required=True)
    for name, what in (("validate", "say all that is wrong, and exit with status 1 if anything is"),
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

    lhotse takes a recording's seconds from reco2dur, and leaves a supervision out that ends after its features; frames
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
    """The first words of a file's lines. Raises UserError for one that is not known, and if there are none."""
    keys, known = [line.split()[0] for line in read_lines(path) if line.strip()], set(known)
    refuse([f"{path}: {key[:100]}: no {what}" for key in keys if key not in known])
    if not keys:
        raise UserError(f"{path}: no id in it; write one a line")
    return keys


BACKUP = ".backup"  # as Kaldi's fix_data_dir.sh calls it
REQUIRED = ("wav.scp", "utt2spk")


def fix(data_dir: Path, audio: Audio = "header") -> list[str]:
    """Rewrite a directory's tables: UTF-8, LF, sorted, unique, text in half width, the same utterances in all of them.

    Drops utterances that a table lacks, or with an unusable value or audio. The files as they were go to `.backup`.
    Returns what was dropped or rewritten, and why; the last line says how many utterances were kept. Raises UserError
    if nothing would be left, and if no dropping helps (utterances that do not sort as their speakers do).
    """
    for name in REQUIRED:
        if not (data_dir / name).exists():
            raise UserError(f"{data_dir / name}: no such file; without it the directory cannot be mended")
    said: list[str] = []
    tables = {name: _read(data_dir / name, said) for name in UTT_TABLES if (data_dir / name).exists()}
    if "text" in tables:
        narrow = {utt: half_width(text) for utt, text in tables["text"].items()}
        if changed := [utt for utt, text in tables["text"].items() if narrow[utt] != text]:
            said.append(f"text: brought to half width: {counted(len(changed), 'utterance')}, such as {changed[0]}")
        tables["text"] = narrow
    total = len(set().union(*tables.values()))
    why = _unusable(tables)
    if audio != "no":
        wavs = {utt: wav for utt, wav in tables["wav.scp"].items() if utt not in why}
        checked = check_audios(list(wavs.values()), audio == "deep")
        why |= {utt: result for utt, result in zip(wavs, checked, strict=True) if isinstance(result, str)}
    said += shorten([f"dropped {utt}: {reason}" for utt, reason in sorted(why.items())])
    kept = {name: {utt: value for utt, value in table.items() if utt not in why} for name, table in tables.items()}
    hopeless = speaker_order_fault(kept["utt2spk"]) if kept["utt2spk"] else "nothing would be left"
    if hopeless:
        raise UserError(f"{data_dir}: {hopeless}\n  " + "\n  ".join(said))
    (data_dir / BACKUP).mkdir(exist_ok=True)
    for path in [data_dir / name for name in (*tables, *SPK_TABLES)]:
        if path.exists():
            shutil.copy2(path, data_dir / BACKUP / path.name)
    _write(data_dir, kept, said)
    if (data_dir / SUMS).exists():
        write_sums(data_dir, SUMMED)
    return [*said, f"{data_dir}: kept {len(kept['utt2spk'])} of {total}"]


def _read(path: Path, said: list[str]) -> dict[str, str]:
    """The first value of every key."""
    scan = scan_table(path)
    said += [f"mended {fault}" for fault in scan.faults]
    table: dict[str, str] = {}
    for key, value in scan.rows:
        table.setdefault(key, value)
    return table


def _unusable(tables: dict[str, dict[str, str]]) -> dict[str, str]:
    """{utterance: why it cannot be used}, by what the tables say of it."""
    why = {}
    for utt in set().union(*tables.values()):
        lacking = [name for name, table in tables.items() if utt not in table and not may_lack(name, utt, tables)]
        empty = [name for name, table in tables.items() if table.get(utt) == ""]
        wrong = [f"{name}: {fault}" for name, fault_of in VALUE_CHECKS.items()
                 if tables.get(name, {}).get(utt) and (fault := fault_of(tables[name][utt]))]
        if lacking:
            why[utt] = f"not in {', '.join(lacking)}"
        elif not utt or any(blank.isspace() for blank in utt):
            why[utt] = "no usable id"
        elif empty:
            why[utt] = f"nothing in {', '.join(empty)}"
        elif wrong:
            why[utt] = wrong[0]
    return why


def _write(data_dir: Path, tables: dict[str, dict[str, str]], said: list[str]) -> None:
    for name, table in tables.items():
        write_table(data_dir / name, table)
    write_speakers(data_dir, tables["utt2spk"])
    speakers = set(tables["utt2spk"].values())
    for name in SPK_TABLES:
        if name != "spk2utt" and (data_dir / name).exists():
            table = _read(data_dir / name, said)
            write_table(data_dir / name, {spk: value for spk, value in table.items() if spk in speakers})


Tables = Mapping[str, Mapping[str, str]]


def subset(source: Path, target: Path, utts: Collection[str], more: Tables = MappingProxyType({})) -> Summary:
    """Write the directory `target` with those utterances of `source`, and with `more` tables, such as feats.scp.

    Raises UserError for an utterance that is not there.
    """
    _check_target(target, [source])
    tables = read_valid(source)
    unknown = [utt for utt in utts if utt not in tables["utt2spk"]]
    if unknown or not utts:
        raise UserError(f"{source}: {unknown[0] + ': no such utterance' if unknown else 'no utterance is chosen'}")
    chosen = {name: {utt: tables[name][utt] for utt in utts if utt in tables[name]}
              for name in UTT_TABLES if name in tables}
    return _write_folder(target, {**chosen, **more}, {name: tables[name] for name in SPK_TABLES if name in tables})


def spread(utts: Sequence[str], number: int) -> list[str]:
    """`number` of the utterances, at even distances (as Kaldi's subset_data_dir.sh takes them)."""
    if not 0 < number <= len(utts):
        raise UserError(f"{number} utterances cannot be taken of {len(utts)}")
    return [utts[position * len(utts) // number] for position in range(number)]


def combine(sources: Sequence[Path], target: Path) -> tuple[Summary, list[str]]:
    """Write the directory `target` with all utterances of `sources`, and say which tables are left out: those that not
    every source has. Raises UserError if two sources say different things of one utterance or speaker.
    """
    _check_target(target, sources)
    parts = [read_valid(source) for source in sources]
    names = [name for name in (*UTT_TABLES, *SPK_TABLES) if any(name in part for part in parts)]
    common = [name for name in names if all(name in part for part in parts)]
    tables: dict[str, dict[str, str]] = {name: {} for name in common}
    for source, part in zip(sources, parts, strict=True):
        for name in common:
            for key, value in part[name].items():
                if name != "spk2utt" and tables[name].setdefault(key, value) != value:
                    raise UserError(f"{source / name}: {key}: is {value} here, and {tables[name][key]} in another of "
                                    f"the directories; ids must differ between them")
    summary = _write_folder(target, {name: tables[name] for name in common if name in UTT_TABLES},
                     {name: tables[name] for name in common if name in SPK_TABLES})
    left_out = [f"{name}: left out, {source} has none" for name in names
                for source, part in zip(sources, parts, strict=True) if name not in part]
    return summary, left_out


def _check_target(target: Path, sources: Sequence[Path]) -> None:
    """Raise UserError if `target` holds one of `sources`, or anything but an earlier data directory."""
    place = target.resolve()
    if any(place in (source.resolve(), *source.resolve().parents) for source in sources):
        raise UserError(f"{target}: it would replace what it is made from; name another directory to write to")
    free = not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir()))
    if target.name in ("", "..") or (not free and not (target / "utt2spk").is_file()):
        raise UserError(f"{target}: is there, but is not a data directory (it has no utt2spk); name another target")


def _write_folder(target: Path, utt_tables: Tables, spk_tables: Tables) -> Summary:
    with folder_beside(target.absolute().parent) as beside:
        (beside / target.name).mkdir()
        speakers = set(utt_tables["utt2spk"].values())
        for name, table in utt_tables.items():
            if table:  # `pinyin` may lack all that were chosen
                write_table(beside / target.name / name, table)
        for name, table in spk_tables.items():
            write_table(beside / target.name / name, {spk: value for spk, value in table.items() if spk in speakers})
        write_speakers(beside / target.name, utt_tables["utt2spk"])
        summary = validate_beside(beside / target.name, target)
        replace_dir(beside / target.name, target)
    return summary


if __name__ == "__main__":
    run(main)
