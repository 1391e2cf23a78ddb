"""The transcripts that corpora ship: text files in UTF-8, read strictly, and matched with the recordings."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from steps.common.errors import UserError
from steps.config.schema import Strict
from steps.datadir.table import decode, refuse

Unpaired = Literal["untranscribed", "unrecorded"]  # recordings without a transcript, transcripts without a recording
WIDE = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}  # full-width forms to ASCII


class PairOptions(Strict):
    """`options:` of the corpora that `pair` puts together."""

    skip: list[Unpaired] = []  # what may lack its other half, and is left out


def read_lines(path: str | os.PathLike) -> list[str]:
    """A text file's lines, without their newlines. Raises UserError for GBK, a BOM or CRLF, and where it is missing."""
    text, faults = decode(Path(path))
    if faults:
        raise UserError("\n  ".join(faults))
    return text.removesuffix("\n").split("\n") if text else []


def read_transcript(path: str | os.PathLike) -> dict[str, str]:
    """A file of `utt text…` lines in any order. Raises UserError for a line without text, and for an id used twice."""
    texts, faults = {}, []
    for number, line in enumerate(read_lines(path), 1):
        utt, _, text = line.replace("\t", " ").partition(" ")
        if not text.strip():
            faults.append(f"{path}:{number}: {utt or 'an empty line'}: no text")
        elif utt in texts:
            faults.append(f"{path}:{number}: {utt}: the utterance is there twice")
        texts[utt] = text.strip()
    refuse(faults)
    return texts


def half_width(text: str) -> str:
    """Full-width letters, digits, signs and blanks as ASCII, and one blank at the most between words."""
    return " ".join(text.translate(WIDE).split())


def pair(wavs: Iterable[str], texts: Iterable[str], where: Path, skip: Iterable[Unpaired] = ()) -> list[str]:
    """The ids that have a recording and a transcript, sorted.

    Raises UserError where one lacks the other, unless `skip` names that case: then stderr says how many are left out.
    """
    wavs, texts = set(wavs), set(texts)
    cases = {"untranscribed": (wavs - texts, len(wavs), "recordings have no transcript"),
             "unrecorded": (texts - wavs, len(texts), "transcripts have no recording")}
    for case, (alone, total, what) in cases.items():
        if not alone:
            continue
        message = f"{where}: {len(alone)} of {total} {what}, such as {', '.join(sorted(alone)[:3])}"
        if case not in skip:
            raise UserError(f"{message}; is the corpus whole and fully extracted? If this is how it is, "
                            f"`options: {{skip: [{case}]}}` leaves them out")
        print(f"{message}: left out", file=sys.stderr)
    return sorted(wavs & texts)
