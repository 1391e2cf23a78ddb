"""Your own recordings: a CSV or TSV with a line an utterance.

Columns: the audio's path (from `root`), and hanzi or pinyin or both. Optional are the speaker (without it each
recording counts as a speaker of its own) and the set (without it, or if all rows are of train, a tenth of the
speakers goes to test and a tenth to dev, by a hash of their names). The columns may have one of the usual names below,
in any case, or the one that `options` gives.
"""

import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from steps.common.errors import UserError, counted
from steps.config.schema import Corpus, Strict
from steps.corpus.find import beside_them, named_root
from steps.corpus.rows import Row, find_column, half_width, read_rows
from steps.corpus.table import refuse, refuse_or_leave_out, shorten
from steps.corpus.validate import text_fault
from steps.corpus.write import Utterance, split_speakers
from steps.text.transcripts import written_syllables

NAMES = {  # the usual ones of each column; the first wins over the others
    "audio": ("audio", "path", "wav", "file", "filename", "file_name", "audio_path", "wav_path", "audio_filepath",
              "音频", "录音", "文件", "文件名", "路径"),
    "speaker": ("speaker", "spk", "speaker_id", "spk_id", "client_id", "user", "user_id", "说话人", "发音人", "录音人"),
    "text": ("text", "sentence", "transcript", "transcription", "txt", "文本", "句子", "内容", "汉字"),
    "pinyin": ("pinyin", "拼音"),
    "set": ("set", "split", "subset", "part", "集合", "数据集"),
}
SETS = {"train": ("train", "training", "训练", "训练集"), "dev": ("dev", "development", "valid", "validation", "val",
                                                            "开发", "开发集", "验证", "验证集"),
        "test": ("test", "testing", "测试", "测试集")}


def _character(value: str) -> str:
    if len(value) != 1 or value in '\r\n\0"':
        raise ValueError(r'one character, a tab as "\t" in double quotation marks')
    return value


class Options(Strict):
    """`options:` of a corpus of this kind: the file below `root`, and what is not as usual in it."""

    file: str
    # one character, a tab as "\t"; unset: tab, semicolon, comma or |, whichever the header has most of
    delimiter: Annotated[str, AfterValidator(_character)] | None = None
    encoding: str | None = None  # such as gb18030; unset: UTF-8, or UTF-16 with a byte order mark
    audio: str | None = None  # names of columns; unset: the usual ones
    speaker: str | None = None
    text: str | None = None
    pinyin: str | None = None
    set: str | None = None


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """The sets that the table's set column names, or train, dev and test by speaker. Raises UserError naming lines."""
    root = named_root(corpus, "the folder that the table's paths start from")
    path = root / options.file
    header, rows = read_rows(path, options.delimiter, options.encoding)
    columns = find_columns(path, header, options)
    read, faults = [], []
    for row in rows:
        try:
            read.append((row, read_utterance(row, columns, root)))
        except UserError as error:
            faults.append(f"{path}:{row.line}: {error}")
    refuse_or_leave_out(faults, corpus.skip_bad, len(rows), f"rows of {path}")
    if not read:
        raise UserError(f"{path}: no usable row in it")
    utterances = with_ids(path, root, read, columns["speaker"] is None)
    cells = [(row.line, half_width(row.cells[columns["set"]])) for row, _ in read] if columns["set"] else []
    sets = named_sets(path, cells, corpus.sets) if cells and not all_train(path, cells, corpus.sets) else \
        drawn_sets(path, utterances)
    prepared: dict[str, list[Utterance]] = {}
    for utterance, name in zip(utterances, sets, strict=True):
        prepared.setdefault(name, []).append(utterance)
    beside_them([each.wav for each in utterances])
    return prepared


def find_columns(path: Path, header: Sequence[str], options: Options) -> dict[str, str | None]:
    """The table's columns by role, None for those that it lacks. Raises UserError if one is missing that it needs."""
    found = {role: find_column(path, header, getattr(options, role), names, role) for role, names in NAMES.items()}
    missing = [] if found["audio"] else ["audio"]
    if not found["text"] and not found["pinyin"]:
        missing.append("text or pinyin")
    if missing:
        raise UserError(f"{path}:1: no column {', '.join(missing)}; its first line, which is to name the columns, has "
                        f"{', '.join(header)}. `options` in conf/corpora/ can name them otherwise, such as "
                        f"{{audio: {header[0]}}}")
    return found


def read_utterance(row: Row, columns: dict[str, str | None], root: Path) -> Utterance:
    """A row as an utterance whose id is still to be made. Raises UserError for cells that are not what they should be.
    """
    cells = {role: row.cells[name] if name else "" for role, name in columns.items()}
    audio, text, pinyin = cells["audio"], cells["text"], cells["pinyin"]
    for role in ("audio", "speaker", "set"):
        if columns[role] and not cells[role]:
            raise UserError(f"nothing in column {columns[role]}")
    if not (text or pinyin):
        raise UserError(f"nothing in column {' or '.join(filter(None, (columns['text'], columns['pinyin'])))}")
    text = half_width(text)
    fault = text_fault(text) if text else None
    if fault:
        raise UserError(fault)
    if re.match(r"\w{2,}://", audio):
        raise UserError(f"{audio}: an address, but a file is needed; download it and write its path")
    wav = root / (os.path.expanduser(audio) if audio.startswith("~/") else audio)
    others = audio.replace("\\", "/"), *(unicodedata.normalize(form, audio) for form in ("NFC", "NFD"))
    if not wav.exists():  # Windows writes backslashes, and macOS writes letters and their marks apart
        wav = next((root / other for other in others if (root / other).exists()), wav)
    straight = Path(os.path.normpath(wav))  # without `..`, which behind a link leads elsewhere
    if straight.exists() and wav.exists() and straight.samefile(wav):
        wav = straight
    syllables = " ".join(written_syllables(half_width(pinyin)))
    return Utterance("", half_width(cells["speaker"]), str(wav), text, syllables or None)


def with_ids(path: Path, root: Path, read: Sequence[tuple[Row, Utterance]], alone: bool) -> list[Utterance]:
    """The utterances with ids: `<speaker>-<file name>`, or the path from `root` if files of a speaker have the same
    name; the file's name alone with `alone`. They sort as their speakers do.

    Raises UserError for a recording that is there twice, and for two speakers whose ids would be the same.
    """
    wavs: dict[str, int] = {}
    speakers: dict[str, str] = {}
    faults = []
    for row, each in read:
        if each.wav in wavs:
            faults.append(f"{path}:{row.line}: {each.wav} is in line {wavs[each.wav]}, too")
        wavs.setdefault(each.wav, row.line)
        if speakers.setdefault(speaker_id(each.spk), each.spk) != each.spk:
            faults.append(f"{path}:{row.line}: the speakers {each.spk} and {speakers[speaker_id(each.spk)]} would have "
                          f"the same id {speaker_id(each.spk)}; rename one")
    refuse(faults)
    stems = [(each.spk, file_id(Path(each.wav).stem)) for _, each in read]
    counts = Counter(stems)
    utterances = []
    for (_, each), (_, stem) in zip(read, stems, strict=True):
        if counts[each.spk, stem] > 1:
            wav = Path(each.wav)
            inside = wav.relative_to(root) if wav.is_relative_to(root) else wav
            stem = file_id("_".join(inside.with_suffix("").parts).lstrip("/_"))
        spk = stem if alone else speaker_id(each.spk)
        utterances.append(each._replace(utt=stem if alone else f"{spk}-{stem}", spk=spk))
    return utterances


def file_id(name: str) -> str:
    """A file's name without white space."""
    return re.sub(r"\s+", "_", name)


def speaker_id(name: str) -> str:
    """A speaker's name without white space, and without the hyphen and what sorts before it: S1-2 and S1 would be
    `S1-2-a`, `S1-b`, which do not sort as S1 and S1-2 do."""
    return re.sub(r"[\s!-\-]+", "_", name)


def all_train(path: Path, cells: Sequence[tuple[int, str]], known: Sequence[str]) -> bool:
    """Whether all rows are of train, so that the other sets, if there are any, must be drawn. Says so."""
    alone = len(known) > 1 and all(cell.casefold() in SETS["train"] for _, cell in cells)
    if alone:
        print(f"{path}: all rows are of train; dev and test are drawn from them", file=sys.stderr)
    return alone


def named_sets(path: Path, cells: Sequence[tuple[int, str]], known: Sequence[str]) -> list[str]:
    """The set of each row, from (line, cell): one of `known`, or a usual name of it in any case.

    Says which names were taken for which sets. Raises UserError for others, with their lines.
    """
    usual = {name: part for part, names in SETS.items() for name in names}
    meant = {cell: cell if cell in known else usual.get(cell.casefold()) or
             next((part for part in known if part.casefold() == cell.casefold()), None) for _, cell in cells}
    unknown = [f"{path}:{line}: there is no set {cell!r}" for line, cell in cells if meant[cell] is None]
    if unknown:
        names = sorted(cell for cell, part in meant.items() if part is None)
        raise UserError("\n  ".join(shorten(unknown)) + f"\n  {len(unknown)} of {len(cells)} rows are of "
                        f"{', '.join(names)}; mend the cells ({', '.join(known)}), or add the names to `sets` in "
                        "conf/corpora/")
    for cell, part in meant.items():
        if cell != part:
            print(f"{path}: {sum(cell == other for _, other in cells)} rows of {cell!r} are taken for {part}",
                  file=sys.stderr)
    missing = [part for part in known if part not in meant.values()]
    if missing:
        others = "" if "train" in meant.values() and "dev" in missing else (  # no experiment could be trained on that
            f", or write `sets: [{', '.join(sorted({*meant.values()}))}]`")
        raise UserError(f"{path}: no row is of {', '.join(missing)}; write some, or rename the column so that train, "
                        f"dev and test are drawn by speaker{others}")
    return [meant[cell] for _, cell in cells]


def drawn_sets(path: Path, utterances: Sequence[Utterance]) -> list[str]:
    """The set of each utterance, by its speaker; by its sentence if there are fewer than three speakers."""
    speakers = {each.spk for each in utterances}
    if len(speakers) >= 3:
        of_speaker = split_speakers(speakers)
        return [of_speaker[each.spk] for each in utterances]
    sentences = {each.text or each.pinyin for each in utterances}
    few = f"{path}: {counted(len(speakers), 'speaker')}"
    if len(sentences) < 3:
        raise UserError(f"{few} with {counted(len(sentences), 'sentence')} cannot be split into train, dev and test: "
                        f"three of either are needed, or a column `set`")
    print(f"warning: {few} cannot be split into train, dev and test, so the sentences are: the results will "
          f"be those of speakers who are in train, too", file=sys.stderr)
    of_sentence = split_speakers(sentences)
    return [of_sentence[each.text or each.pinyin] for each in utterances]
