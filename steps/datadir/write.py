"""Writing data directories: all sets of a corpus appear whole, or none does."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from steps.common.errors import UserError
from steps.datadir.table import refuse, write_table
from steps.datadir.utterance import Utterance
from steps.datadir.validate import Summary, validate


def write_data_dir(data_dir: Path, utterances: Sequence[Utterance], durations: Sequence[float]) -> None:
    """Write wav.scp, text, utt2spk, spk2utt, utt2dur (seconds) and, where the corpus ships it, pinyin.

    `text` is left out where no utterance has hanzi (Kaldi's --no-text). Where only some lack them, their text is their
    pinyin: Kaldi wants `text` to cover all utterances or to be absent.
    Raises UserError for an utterance that is there twice or has neither text nor pinyin, and where some lack pinyin.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    _check(utterances)
    write_table(data_dir / "wav.scp", {each.utt: each.wav for each in utterances})
    seconds = dict(zip((each.utt for each in utterances), durations, strict=True))
    write_table(data_dir / "utt2dur", {utt: f"{duration:.6g}" for utt, duration in seconds.items()})
    write_speakers(data_dir, {each.utt: each.spk for each in utterances})
    if any(each.text for each in utterances):
        write_table(data_dir / "text", {each.utt: each.text or each.pinyin for each in utterances})
    if any(each.pinyin for each in utterances):
        write_table(data_dir / "pinyin", {each.utt: each.pinyin for each in utterances})


def write_speakers(data_dir: Path, utt2spk: Mapping[str, str]) -> None:
    """Write utt2spk, and spk2utt from it."""
    spk2utt = {}
    for utt in sorted(utt2spk):
        spk2utt.setdefault(utt2spk[utt], []).append(utt)
    write_table(data_dir / "utt2spk", utt2spk)
    write_table(data_dir / "spk2utt", {spk: " ".join(utts) for spk, utts in spk2utt.items()})


def write_sets(corpus_dir: Path, sets: Mapping[str, tuple[Sequence[Utterance], Sequence[float]]]) -> dict[str, Summary]:
    """Write {set: (utterances, durations)} below `corpus_dir`, each a directory that replaces the one before.

    All are written and validated beside their place first, so that an error leaves what was there.
    """
    summaries = {}
    with folder_beside(corpus_dir) as beside:
        for name, (utterances, durations) in sets.items():
            write_data_dir(beside / name, utterances, durations)
            summaries[name] = validate_beside(beside / name, corpus_dir / name)
        for name in sets:
            replace_dir(beside / name, corpus_dir / name)
    return summaries


@contextlib.contextmanager
def folder_beside(parent: Path) -> Iterator[Path]:
    """A folder in `parent` to make data directories in before they are moved to their place; removed at the end."""
    parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=parent, prefix=".unfinished."))
    try:
        yield beside
    finally:
        shutil.rmtree(beside)


def validate_beside(beside: Path, target: Path) -> Summary:
    """Validate a directory whose errors are to name the place that it was made for."""
    try:
        return validate(beside, audio="no")
    except UserError as error:
        raise UserError(str(error).replace(str(beside), str(target))) from None


def replace_dir(source: Path, target: Path) -> None:
    """Rename a directory to a place where another may lie, which is removed."""
    if target.exists():
        old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old."))
        os.replace(target, old / target.name)
        os.replace(source, target)
        shutil.rmtree(old)
    else:
        os.replace(source, target)


def _check(utterances: Sequence[Utterance]) -> None:
    wavs, faults = {}, []
    for each in utterances:
        if each.utt in wavs:
            faults.append(f"{each.utt}: the utterance is there twice: {wavs[each.utt]} and {each.wav}")
        if not (each.text or each.pinyin):
            faults.append(f"{each.utt}: neither text nor pinyin ({each.wav})")
        wavs[each.utt] = each.wav
    silent = [each.utt for each in utterances if not each.pinyin]
    if 0 < len(silent) < len(utterances):
        faults.append(f"{len(silent)} of {len(utterances)} utterances lack the pinyin that others have, such as "
                      f"{silent[0]}; make two corpora of them, and combine them: `corpora: [a, b]` in an experiment")
    refuse(faults)
