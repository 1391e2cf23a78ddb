"""Strict checks of a Kaldi data directory and of its audio."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from steps.common.errors import UserError, counted
from steps.corpus.audio import check_audios
from steps.corpus.table import positive_fault, scan_table, shorten

UTT_TABLES = ("wav.scp", "utt2spk", "utt2dur", "utt2audio", "text", "pinyin", "feats.scp", "utt2num_frames", "utt2lang",
              "utt2uniq", "vad.scp")  # keyed by utterance
SPK_TABLES = ("spk2utt", "spk2gender", "cmvn.scp")  # keyed by speaker
REQUIRED = ("wav.scp", "utt2spk", "spk2utt")
SYLLABLE = re.compile(r"[a-zê]+[1-5]")
FULL_WIDTH = re.compile(r"[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]")
ENTITY = re.compile(r"&(?:[A-Za-z]{2,8}|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});")  # of HTML: &amp;
LOST = "锟斤拷"  # what GBK makes of two characters that had been lost before
KALDI_SYMBOLS = ("<s>", "</s>", "#0")
Audio = Literal["no", "header", "deep"]


class Summary(NamedTuple):
    """The size of a data directory."""

    utterances: int
    speakers: int
    seconds: float
    unread: int = 0  # utterances that `pinyin` lacks, see `may_lack`

    def __str__(self) -> str:
        unread = f", {self.unread} without pinyin, which `unreadable: skip` leaves out" if self.unread else ""
        return (f"{counted(self.utterances, 'utterance')}, {counted(self.speakers, 'speaker')}, "
                f"{self.seconds / 3600:.2f} h{unread}")


def validate(data_dir: Path, audio: Audio = "header") -> Summary:
    """Check a data directory and say what it holds.

    `audio`: "no" (leave files alone), "header" (open each), "deep" (decode each).
    Raises UserError with every kind of fault that was found.
    """
    tables = read_valid(data_dir)
    if audio != "no":
        checked = zip(tables["wav.scp"], check_audios(list(tables["wav.scp"].values()), audio == "deep"), strict=True)
        _refuse(data_dir, shorten([f"{data_dir / 'wav.scp'}: {utt}: {result}" for utt, result in checked
                                   if isinstance(result, str)]))
    seconds = sum(map(float, tables.get("utt2dur", {}).values()))
    utts = tables["utt2spk"]
    return Summary(len(utts), len(tables["spk2utt"]), seconds, len(utts) - len(tables.get("pinyin", utts)))


def read_valid(data_dir: Path) -> dict[str, dict[str, str]]:
    """The known tables of a directory. Raises UserError as `validate` does; audio is left alone."""
    tables, faults = _read_all(data_dir)
    _refuse(data_dir, faults or table_faults(data_dir, tables))
    return tables


def may_lack(name: str, utt: str, tables: dict[str, dict[str, str]]) -> bool:
    """Whether the table `name` may be without an utterance: only `pinyin`, of one that has a text, which stage 2 could
    not read and left out (`pinyin: {unreadable: skip}`)."""
    return name == "pinyin" and utt in tables.get("text", ())


def _refuse(data_dir: Path, faults: list[str]) -> None:
    if faults:
        raise UserError(f"{data_dir} is not a valid data directory:\n  " + "\n  ".join(faults))


def _read_all(data_dir: Path) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The known tables of a directory, and the faults of the files as such."""
    if not data_dir.is_dir():
        raise UserError(f"{data_dir}: no such directory")
    faults = [f"{data_dir / name}: no such file" for name in REQUIRED if not (data_dir / name).exists()]
    if (data_dir / "segments").exists():
        faults.append(f"{data_dir / 'segments'}: utterances cut from longer recordings; stage 1 cuts them: name the "
                      f"folder as `root` of a corpus in conf/corpora/ (module: kaldi)")
    tables = {}
    for name in (*UTT_TABLES, *SPK_TABLES):
        if os.path.lexists(data_dir / name):
            scan = scan_table(data_dir / name)
            tables[name] = dict(scan.rows)
            faults += scan.faults
    return tables, faults


def table_faults(data_dir: Path, tables: dict[str, dict[str, str]]) -> list[str]:
    """The faults between and inside tables that are well-formed as such."""
    faults = list(_key_faults(data_dir, tables)) + _speaker_faults(data_dir, tables)
    if "text" not in tables and "pinyin" not in tables:
        faults.append(f"{data_dir}: neither text nor pinyin says what was spoken")
    for name, fault_of in VALUE_CHECKS.items():
        found = [f"{data_dir / name}: {key}: {fault}" for key, value in tables.get(name, {}).items()
                 if (fault := fault_of(value))]
        faults += shorten(found)
    return faults


def speaker_order_fault(utt2spk: dict[str, str]) -> str | None:
    """Kaldi wants utterances in the same order whether sorted by themselves or by speaker first."""
    utts = sorted(utt2spk)
    by_speaker = sorted(utts, key=lambda utt: (utt2spk[utt], utt))
    for utt, other in zip(utts, by_speaker, strict=True):
        if utt != other:
            return (f"{utt} and {other}: the order of utterances is not that of their speakers {utt2spk[utt]} and "
                    f"{utt2spk[other]}; let utterance ids begin with the speaker and '-'")
    return None


def _key_faults(data_dir: Path, tables: dict[str, dict[str, str]]) -> Iterator[str]:
    for names, reference in ((UTT_TABLES, "utt2spk"), (SPK_TABLES, "spk2utt")):
        for name in names:
            if name not in tables:
                continue
            lacking = [key for key in tables[reference] if key not in tables[name] and not may_lack(name, key, tables)]
            extra = [key for key in tables[name] if key not in tables[reference]]
            if lacking:
                yield f"{data_dir / name}: {len(lacking)} of {reference} are missing, the first is {lacking[0]}"
            if extra:
                yield f"{data_dir / name}: {len(extra)} are not in {reference}, the first is {extra[0]}"


def _speaker_faults(data_dir: Path, tables: dict[str, dict[str, str]]) -> list[str]:
    utt2spk = tables["utt2spk"]
    listed = [(utt, spk) for spk, utts in tables["spk2utt"].items() for utt in utts.split()]
    faults = []
    order = speaker_order_fault(utt2spk)
    if order:
        faults.append(f"{data_dir / 'utt2spk'}: {order}")
    if sorted(listed) != sorted(utt2spk.items()):
        faults.append(f"{data_dir / 'spk2utt'}: does not hold the same utterances and speakers as utt2spk")
    return shorten(faults)


def text_fault(text: str) -> str | None:
    """The fault of a transcript, in words; None if there is none."""
    for symbol in KALDI_SYMBOLS:
        if symbol in text.split():
            return f"{symbol} in the text means something else to Kaldi; remove it"
    if re.search(r"[^\S ]", text):
        return f"white space other than a plain blank in {text!r}; replace it by a blank"
    found = FULL_WIDTH.search(text)
    if found:
        return f"full-width {found.group()!r} in the text; write letters and digits in half width"
    entity = ENTITY.search(text)
    if entity:
        return f"the HTML entity {entity.group()} in the text; write the character that it stands for"
    if "\N{REPLACEMENT CHARACTER}" in text or LOST in text or not text.replace(" ", "").isprintable():
        return f"characters broken by a wrong decoding in {text!r}"
    return None


def _pinyin_fault(pinyin: str) -> str | None:
    for syllable in pinyin.split(" "):
        if not SYLLABLE.fullmatch(syllable):
            return f"{syllable!r} is not a tonal syllable; write zhong1 guo2: neutral tone 5, ü as v, one blank between"
    return None


def _wav_fault(value: str) -> str | None:
    if value.endswith("|"):
        return f"a command ({value}); run it once and name the file that it makes"
    if value.startswith("~"):
        return f"{value}: write the path without ~, which neither Kaldi nor this recipe expands"
    return None


VALUE_CHECKS: dict[str, Callable[[str], str | None]] = {
    "text": text_fault,
    "pinyin": _pinyin_fault,
    "wav.scp": _wav_fault,
    "utt2spk": lambda value: f"{value!r} holds a blank" if " " in value else None,
    "utt2dur": positive_fault,
    "utt2num_frames": positive_fault,
    "reco2dur": positive_fault,
}
