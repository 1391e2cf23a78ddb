"""audio-cmn: words of the HSK lists and single syllables, a file each (github.com/hugolpz/audio-cmn, CC BY-SA).

`<root>/24k-abr/hsk/cmn-<hanzi>.mp3` are spoken by Yue Tan, `<root>/24k-abr/syllabs/cmn-<pinyin><tone>.mp3` by Chen
Wang. Words and syllables are split by a hash of themselves, so those of test are never in train.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from steps.common.errors import UserError
from steps.config.schema import Corpus, Strict
from steps.datadir.split import set_of
from steps.datadir.utterance import Utterance

HANZI = re.compile(r"[\u3400-\u9fff]+")
SYLLABLE = re.compile(r"[a-z]+[1-5]")


class Options(Strict):
    """`options:` of conf/corpora/audio_cmn.yaml."""

    parts: list[Literal["hsk", "syllabs"]] = Field(["hsk"], min_length=1)
    quality: str = "24k-abr"  # the folder of one encoding: the project has several


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """Train, dev and test, with hanzi for words and pinyin for syllables; says which files it left out."""
    sets = {"train": [], "dev": [], "test": []}
    for part in options.parts:
        folder = Path(corpus.root) / options.quality / part
        read = read_words if part == "hsk" else read_syllables
        for each in read(folder, mp3_names(folder)):
            sets[set_of(each.text or each.pinyin)].append(each)
    return sets


def mp3_names(folder: Path) -> list[str]:
    """What stands between `cmn-` and `.mp3` in a folder's names, sorted; patterns with an underscore are left out."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such directory; `root` is to be a clone of github.com/hugolpz/audio-cmn")
    names = sorted(path.name[len("cmn-") : -len(".mp3")] for path in folder.glob("cmn-*.mp3"))
    if not names:
        raise UserError(f"{folder}: no cmn-*.mp3 in it; is the clone complete?")
    patterns = [name for name in names if "_" in name]
    if patterns:
        print(f"{folder}: {len(patterns)} of {len(names)} left out: patterns with an underscore, such as {patterns[0]}",
              file=sys.stderr)
    return [name for name in names if "_" not in name]


def read_words(folder: Path, names: list[str]) -> Iterator[Utterance]:
    """Words: the name must be hanzi and nothing else; others are named on stderr and left out."""
    for name in _fitting(folder, names, HANZI, "hanzi"):
        yield Utterance(f"yuetan-hsk-{name}", "yuetan", str(folder / f"cmn-{name}.mp3"), name)


def read_syllables(folder: Path, names: list[str]) -> Iterator[Utterance]:
    """Syllables: the name is their pinyin. `jv4`, the one written so, is ju4."""
    for name in _fitting(folder, names, SYLLABLE, "a tonal syllable"):
        pinyin = re.sub("^([jqxy])v", r"\1u", name)
        yield Utterance(f"chenwang-syllabs-{name}", "chenwang", str(folder / f"cmn-{name}.mp3"), "", pinyin)


def _fitting(folder: Path, names: list[str], pattern: re.Pattern, what: str) -> list[str]:
    odd = [name for name in names if not pattern.fullmatch(name)]
    if odd:
        print(f"warning: {folder}: {len(odd)} of {len(names)} left out: their names are not {what}: {', '.join(odd)}",
              file=sys.stderr)
    return [name for name in names if pattern.fullmatch(name)]
