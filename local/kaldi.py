"""Kaldi data directories that exist already: `<root>/<set>/{wav.scp,text,utt2spk,spk2utt}`, `pinyin` if they have it.

wav.scp holds paths: a command (`sox … |`) and `segments` are refused, since stage 3 reads files. A relative path starts
from `base`, in Kaldi the folder of the recipe that wrote it.
"""

import os
from pathlib import Path

from steps.config.schema import Corpus, Strict
from steps.corpus.find import named_root
from steps.corpus.write import Utterance, read_data_dir


class Options(Strict):
    """`options:` of a corpus of this kind."""

    base: str | None = None  # what relative paths in wav.scp start from; unset: the folder that stage 1 runs in


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """The sets that the config names, each a folder of `root`."""
    root = named_root(corpus, "the folder that holds the data directories")
    return {name: [_based(each, options.base) for each in read_data_dir(root / name)] for name in corpus.sets}


def _based(utterance: Utterance, base: str | None) -> Utterance:
    if base is None:
        return utterance
    return utterance._replace(wav=os.path.join(base, utterance.wav))
