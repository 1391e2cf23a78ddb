"""audio-cmn: words of the HSK lists and single syllables, a file each (github.com/hugolpz/audio-cmn, CC BY-SA).

`<root>/24k-abr/hsk/cmn-<hanzi>.mp3` are spoken by Yue Tan, `<root>/24k-abr/syllabs/cmn-<pinyin><tone>.mp3` by Chen
Wang. Words and syllables are split by a hash of themselves, so those of test are never in train; if the config has
`sets: [train]`, all are for training.
"""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from steps.common.errors import UserError
from steps.config.schema import Corpus, Strict
from steps.corpus.find import corpus_root
from steps.corpus.write import Utterance, set_of
from steps.download import Archive, tree_hash
from steps.text.syllables import normalize

COMMIT = "ff9ed3d0c631195bd2c06f39450f3264c7124040"
TREE = "b783fafa39bd4b5c48911a709f0b77f2d9e02326"  # git's hash of its files
FOLDER = f"audio-cmn-{COMMIT}"
HANZI = re.compile(r"[\u3400-\u9fff]+")
SYLLABLE = re.compile(r"[a-z]+[1-5]")


class Options(Strict):
    """`options:` of conf/corpora/audio_cmn.yaml."""

    part: Literal["hsk", "syllabs"] = "hsk"  # words, or single syllables
    quality: Literal["96k", "64k", "24k-abr", "18k-abr"] = "24k-abr"  # the syllables are not there at 96k


def check_tree(folder: Path) -> None:
    """Raises UserError if the files are not those of the commit, byte for byte."""
    if tree_hash(folder) != TREE:
        raise UserError(f"{folder.name}: the files are not those of that commit; remove the archive and run again")


ARCHIVES = [Archive(f"https://github.com/hugolpz/audio-cmn/archive/{COMMIT}.tar.gz", None, None, FOLDER,
                    check=check_tree)]


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """Train, dev and test, with hanzi for words and pinyin for syllables; says which files it left out."""
    folder = corpus_root(corpus, FOLDER, options.quality) / options.quality / options.part
    read = read_words if options.part == "hsk" else read_syllables
    utterances = list(read(folder, mp3_names(folder)))
    if corpus.sets == ["train"]:
        return {"train": utterances}
    sets = {"train": [], "dev": [], "test": []}
    for each in utterances:
        sets[set_of(each.text or each.pinyin)].append(each)
    return sets


def mp3_names(folder: Path) -> list[str]:
    """What stands between `cmn-` and `.mp3` in a folder's names, sorted; patterns with an underscore are left out."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such directory; is the clone complete?")
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
    for name in _fitting(folder, names, HANZI.fullmatch, "hanzi"):
        yield Utterance(f"yuetan-hsk-{name}", "yuetan", str(folder / f"cmn-{name}.mp3"), name)


def read_syllables(folder: Path, names: list[str]) -> Iterator[Utterance]:
    """Syllables: the name is their pinyin. `jv4`, the one written so, is ju4. fe and yai are none."""
    for name in _fitting(folder, names, _is_syllable, "a tonal syllable of Mandarin"):
        yield Utterance(f"chenwang-syllabs-{name}", "chenwang", str(folder / f"cmn-{name}.mp3"), "", normalize(name))


def _is_syllable(name: str) -> bool:
    try:
        return bool(SYLLABLE.fullmatch(name)) and bool(normalize(name))
    except UserError:
        return False


def _fitting(folder: Path, names: list[str], fits: Callable[[str], object], what: str) -> list[str]:
    odd = [name for name in names if not fits(name)]
    if odd:
        print(f"warning: {folder}: {len(odd)} of {len(names)} left out: their names are not {what}: {', '.join(odd)}",
              file=sys.stderr)
    return [name for name in names if fits(name)]
