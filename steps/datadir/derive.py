"""Data directories made of others: a part of one, or several put together. All that they have in tables comes along."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from steps.common.errors import UserError
from steps.datadir.table import write_table
from steps.datadir.validate import SPK_TABLES, UTT_TABLES, Summary, read_valid
from steps.datadir.write import folder_beside, replace_dir, validate_beside, write_speakers

Tables = Mapping[str, Mapping[str, str]]


def subset(source: Path, target: Path, utts: Collection[str]) -> Summary:
    """Write the directory `target` with those utterances of `source`. Raises UserError for one that is not there."""
    tables = read_valid(source)
    unknown = [utt for utt in utts if utt not in tables["utt2spk"]]
    if unknown or not utts:
        raise UserError(f"{source}: {unknown[0] + ': no such utterance' if unknown else 'no utterance is chosen'}")
    chosen = {name: {utt: tables[name][utt] for utt in utts if utt in tables[name]}
              for name in UTT_TABLES if name in tables}
    return _write_folder(target, chosen, {name: tables[name] for name in SPK_TABLES if name in tables})


def spread(utts: Sequence[str], number: int) -> list[str]:
    """`number` of the utterances, at even distances (as Kaldi's subset_data_dir.sh takes them)."""
    if not 0 < number <= len(utts):
        raise UserError(f"{number} utterances can't be taken of {len(utts)}")
    return [utts[position * len(utts) // number] for position in range(number)]


def combine(sources: Sequence[Path], target: Path) -> tuple[Summary, list[str]]:
    """Write the directory `target` with all utterances of `sources`, and say which tables are left out: those that not
    every source has. Raises UserError where two sources say different things of one utterance or speaker.
    """
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
