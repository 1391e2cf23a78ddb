"""Utterances: split into sets, counted, written as Kaldi data directories, and read back."""

import contextlib
import functools
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from steps.common.checksums import write_sums
from steps.common.errors import UserError, counted
from steps.common.files import size_and_time, unfinished
from steps.corpus.table import doubtful, keep_mended, read_table, refuse, write_table
from steps.corpus.validate import Summary, read_valid, text_fault, validate


class Utterance(NamedTuple):
    """One recording of a corpus."""

    utt: str  # begins with the speaker's id
    spk: str
    wav: str  # path of an audio file that libsndfile reads
    text: str  # hanzi; empty if the corpus has only pinyin
    pinyin: str | None = None  # tonal syllables separated by spaces, if the corpus ships them


SUMMED = "wav.scp", "utt2spk", "spk2utt", "utt2dur", "utt2audio"  # not text and pinyin, which people mend by hand
SHARE = 0.1  # of dev, and of test


def share_of(key: str) -> float:
    """A number in [0, 1) that depends on `key` alone, uniform over keys."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def set_of(key: str) -> str:
    """train, dev or test. A key stays in its set however many others there are."""
    where = share_of(key)
    return "test" if where < SHARE else "dev" if where < 2 * SHARE else "train"


def split_speakers(speakers: Iterable[str]) -> dict[str, str]:
    """{speaker: set}: a tenth of the speakers, at least one, to test and to dev each, those of the lowest hashes.

    Raises UserError for fewer than three speakers.
    """
    ranked = sorted(set(speakers), key=lambda speaker: (share_of(speaker), speaker))
    if len(ranked) < 3:
        raise UserError(f"{counted(len(ranked), 'speaker')} cannot be split into train, dev and test by speaker; "
                        "three are needed, or say the set of every utterance")
    held = max(1, round(SHARE * len(ranked)))
    return {speaker: "test" if rank < held else "dev" if rank < 2 * held else "train"
            for rank, speaker in enumerate(ranked)}


def by_speaker(utterances: Iterable[Utterance]) -> dict[str, list[Utterance]]:
    """Train, dev and test of a corpus without sets, no speaker in two of them. Raises as `split_speakers` does."""
    utterances = list(utterances)
    of_speaker = split_speakers(each.spk for each in utterances)
    sets = {"train": [], "dev": [], "test": []}
    for each in utterances:
        sets[of_speaker[each.spk]].append(each)
    return sets


def check_counts(found: Mapping[str, int], expected: Mapping[str, int], strict: bool) -> None:
    """Say on stderr if a set does not have the expected number of utterances; with `strict` raise UserError."""
    differences = []
    for names, documented in expected.items():
        there = sum(found[name] for name in names.split("+"))
        if there != documented:
            differences.append(f"{names}: {there} utterances, but the documentation says {documented} "
                               f"({there - documented:+d})")
    if not differences:
        return
    message = "the corpus is not what its documentation says:\n  " + "\n  ".join(differences)
    if strict:
        raise UserError(message)
    print(f"warning: {message}", file=sys.stderr)


def write_data_dir(data_dir: Path, utterances: Sequence[Utterance], durations: Sequence[float]) -> None:
    """Write wav.scp, text, utt2spk, spk2utt, utt2dur (seconds), utt2audio and, if the corpus ships it, pinyin.

    utt2audio holds the size in bytes of an utterance's audio file and the time of its last change in ns since 1970.

    `text` is left out if no utterance has hanzi (Kaldi's --no-text). If only some lack them, their text is their
    pinyin: Kaldi wants `text` to cover all utterances or to be absent.
    Raises UserError for an utterance that is there twice or has neither text nor pinyin, and if some lack pinyin.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    _check(utterances)
    write_table(data_dir / "wav.scp", {each.utt: each.wav for each in utterances})
    seconds = dict(zip((each.utt for each in utterances), durations, strict=True))
    write_table(data_dir / "utt2dur", {utt: f"{duration:.6g}" for utt, duration in seconds.items()})
    write_table(data_dir / "utt2audio", {each.utt: size_and_time(each.wav) for each in utterances})
    write_speakers(data_dir, {each.utt: each.spk for each in utterances})
    if any(each.text for each in utterances):
        write_table(data_dir / "text", {each.utt: each.text or each.pinyin for each in utterances})
    if any(each.pinyin for each in utterances):
        write_table(data_dir / "pinyin", {each.utt: each.pinyin for each in utterances})


def write_speakers(data_dir: Path, utt2spk: Mapping[str, str]) -> None:
    """Write utt2spk, and spk2utt from it."""
    write_table(data_dir / "utt2spk", utt2spk)
    write_table(data_dir / "spk2utt", speakers_of(utt2spk))


def speakers_of(utt2spk: Mapping[str, str]) -> dict[str, str]:
    """spk2utt, the utterances of a speaker with blanks between them."""
    spk2utt: dict[str, list[str]] = {}
    for utt in sorted(utt2spk):
        spk2utt.setdefault(utt2spk[utt], []).append(utt)
    return {spk: " ".join(utts) for spk, utts in spk2utt.items()}


def write_sets(corpus_dir: Path, sets: Mapping[str, tuple[Sequence[Utterance], Sequence[float]]]) -> dict[str, Summary]:
    """Write {set: (utterances, durations)} below `corpus_dir`, each a directory that replaces the one before.

    All are written and validated beside their place first, so that an error leaves what was there. A `pinyin` that was
    mended by hand stays.
    """
    summaries = {}
    with folder_beside(corpus_dir) as beside:
        for name, (utterances, durations) in sets.items():
            write_data_dir(beside / name, utterances, durations)
            keep_mended(corpus_dir, name, beside / name)
            summaries[name] = validate_beside(beside / name, corpus_dir / name)
            write_sums(beside / name, SUMMED)
        for name in sets:
            replace_dir(beside / name, corpus_dir / name)
    return summaries


@contextlib.contextmanager
def folder_beside(parent: Path) -> Iterator[Path]:
    """A folder in `parent` to make data directories in before they are moved to their place; removed at the end."""
    parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=parent, prefix=unfinished("unfinished")))
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
        old = Path(tempfile.mkdtemp(dir=target.parent, prefix=unfinished(f"{target.name}.old")))
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
        fault = text_fault(each.text) if each.text else None if each.pinyin else "neither text nor pinyin"
        if fault:
            faults.append(f"{each.utt}: {fault} ({each.wav})")
        wavs[each.utt] = each.wav
    silent = [each.utt for each in utterances if not each.pinyin]
    if 0 < len(silent) < len(utterances):
        faults.append(f"{len(silent)} of {len(utterances)} utterances lack the pinyin that others of the set have, "
                      f"such as {silent[0]}; give it to them, take it from all, or make two corpora of them, and "
                      "combine them: `corpora: [a, b]` in an experiment")
    refuse(faults)


def read_data_dir(data_dir: Path) -> list[Utterance]:
    """The utterances of a Kaldi data directory, with the pinyin if it has some; audio is not opened.

    Raises UserError if it breaks Kaldi's rules, as `steps.corpus.validate.validate` does.
    """
    tables = read_valid(data_dir)
    texts, pinyin = tables.get("text", {}), tables.get("pinyin", {})
    return [Utterance(utt, spk, tables["wav.scp"][utt], texts.get(utt, ""), pinyin.get(utt))
            for utt, spk in tables["utt2spk"].items()]


def read_pinyin(path: Path) -> dict[str, list[str]]:
    """The syllables of data/<corpus>/<set>/pinyin by utterance, as stage 2 writes them. Says once if it is not as
    the stages wrote it.

    Raises UserError if it is missing, unsorted, or an utterance has no syllables.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; run stage 2 (lexicon) first")
    _tell_doubt(path)
    return {utt: syllables.split() for utt, syllables in read_table(path).items()}


@functools.cache
def _tell_doubt(path: Path) -> None:
    if said := doubtful(path.parent.parent, path.parent.name):
        print(f"note: {said}", file=sys.stderr)
