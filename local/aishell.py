"""AISHELL-1, 178 h read by 400 speakers (openslr.org/33, Apache-2.0): `<root>/data_aishell/{wav,transcript}`.

`wav/train/S0002/BAC009S0002W0122.wav` (extracted from `wav/S0002.tar.gz`, one for each speaker) and
`transcript/aishell_transcript_v0.8.txt` with lines `BAC009S0002W0122 而 对 楼市 …` (layout: the corpus' README;
egs/aishell of Kaldi and lhotse/recipes/aishell.py read it so). 325 of the 141,925 recordings have no transcript. A few
letters in the text are full-width; they are written in half width. The speaker is BAC009S0002: ids begin with it.
"""

from pathlib import Path

from steps.config.schema import Corpus
from steps.corpus.find import corpus_root, read_sets
from steps.corpus.rows import PairOptions as Options
from steps.corpus.write import Utterance
from steps.download import Archive

# size: egs/multi_cn of Kaldi; MD5: dataset/aishell of PaddleSpeech
ARCHIVES = [Archive("https://www.openslr.org/resources/33/data_aishell.tgz", 15582913665,
                    "2f494334227864a8a8fec932999db9d8", "data_aishell", nested="wav/*.tar.gz")]
FOLDER = "data_aishell"
SPEAKER = slice(len("BAC009S0002"))


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """The corpus' own train, dev and test."""
    root = corpus_root(corpus, FOLDER, "transcript")
    return read_sets(root, "wav", "transcript/aishell_transcript_v0.8.txt", SPEAKER, options)
