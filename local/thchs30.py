"""THCHS-30, 33 h read by students (openslr.org/18, Apache-2.0): `<root>/data_thchs30/{data,train,dev,test}`.

`data/A11_0.wav` and `data/A11_0.wav.trn` are all recordings and their transcripts: a line of words, one of tonal
syllables, one of initials and finals. `train`, `dev` and `test` hold links to the recordings, and beside each a .trn
file that says `../data/A11_0.wav.trn` (layout: the corpus' README.TXT; egs/thchs30 of Kaldi reads it so).

The corpus' own dev shares all its sentences and speakers with train: it is kept as `dev_official`. `dev` is carved from
train by sentence, so that none of its sentences is in train.
"""

import os
import re
from pathlib import Path

from pydantic import Field

from steps.common.errors import UserError
from steps.config.schema import Corpus, Strict
from steps.corpus.find import corpus_root
from steps.corpus.rows import read_lines
from steps.corpus.table import refuse
from steps.corpus.write import Utterance, share_of
from steps.download import Archive
from steps.text.syllables import normalize

# size: egs/multi_cn of Kaldi; MD5: dataset/thchs30 of PaddleSpeech
ARCHIVES = [Archive("https://www.openslr.org/resources/18/data_thchs30.tgz", 6453425169,
                    "2d2252bde5c8429929e1841d4cb95e90", "data_thchs30")]
FOLDER = "data_thchs30"
NAME = re.compile(r"([A-Z])(\d+)_(\d+)")


class Options(Strict):
    """`options:` of conf/corpora/thchs30.yaml."""

    dev_share: float = Field(0.05, gt=0, lt=0.5)  # of train's 750 sentences, held out as dev


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """Train, dev, test and dev_official, with the corpus' own pinyin. The neutral tone, unmarked there, is 5."""
    root = corpus_root(corpus, FOLDER, "data")
    official = {name: [read_utterance(root, stem) for stem in _stems(root / name)] for name in ("train", "dev", "test")}
    sentences = {each.text: share_of(each.text.replace(" ", "")) for each in official["train"]}
    return {
        "train": [each for each in official["train"] if sentences[each.text] >= options.dev_share],
        "dev": [each for each in official["train"] if sentences[each.text] < options.dev_share],
        "dev_official": official["dev"],
        "test": official["test"],
    }


def read_utterance(root: Path, stem: str) -> Utterance:
    """One recording. A2_3 is A02_003, so that utterances sort as their speakers do.

    Raises UserError if the transcript lacks a line, or holds what is not a syllable.
    """
    path = root / "data" / f"{stem}.wav.trn"
    lines = [line.strip() for line in read_lines(path)]
    if len(lines) < 2 or not lines[0] or not lines[1]:
        raise UserError(f"{path}: a line of words and one of syllables are wanted; get the corpus again")
    text = " ".join(lines[0].replace("l =", "").split())  # a slip of the corpus, which Kaldi's recipe removes too
    try:
        pinyin = [normalize(written) for written in lines[1].split()]
    except UserError as error:
        raise UserError(f"{path}:2: {error}") from None
    letter, speaker, sentence = NAME.fullmatch(stem).groups()
    spk = f"{letter}{int(speaker):02d}"
    return Utterance(f"{spk}_{int(sentence):03d}", spk, str(root / "data" / f"{stem}.wav"), text, " ".join(pinyin))


def _stems(folder: Path) -> list[str]:
    """The recordings that a set's folder names, be its entries links, copies or (as on Windows) text files."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such directory; the corpus has data, train, dev and test")
    stems = sorted(name.removesuffix(".wav") for name in os.listdir(folder) if name.endswith(".wav"))
    refuse([f"{folder / stem}.wav: not named as A11_0.wav is" for stem in stems if not NAME.fullmatch(stem)])
    return stems
