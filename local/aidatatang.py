"""aidatatang_200zh, 200 h by 600 speakers (openslr.org/62, CC BY-NC-ND 4.0): `<root>/aidatatang_200zh`.

`corpus/train/G0013/T0055G0013S0001.wav` (extracted from `corpus/train/G0013.tar.gz`, one for each speaker) and
`transcript/aidatatang_200_zh_transcript.txt` with lines `T0055G0013S0001 以后 你 是 男孩子` (egs/multi_cn of Kaldi and
lhotse/recipes/aidatatang_200zh.py read it so). Full-width letters in the text are written in half width. The speaker is
T0055G0013, so that ids begin with it.
"""

from pathlib import Path

from steps.config.schema import Corpus
from steps.corpus.find import corpus_root, read_sets
from steps.corpus.rows import PairOptions as Options
from steps.corpus.write import Utterance
from steps.download import Archive

# size: egs/multi_cn of Kaldi; MD5: dataset/aidatatang_200zh of PaddleSpeech
ARCHIVES = [Archive("https://www.openslr.org/resources/62/aidatatang_200zh.tgz", 18756983399,
                    "6e0f4f39cd5f667a7ee53c397c8d0949", "aidatatang_200zh", nested="corpus/*/*.tar.gz")]
FOLDER = "aidatatang_200zh"
SPEAKER = slice(len("T0055G0013"))


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """The corpus' own train, dev and test."""
    root = corpus_root(corpus, FOLDER, "transcript")
    return read_sets(root, "corpus", "transcript/aidatatang_200_zh_transcript.txt", SPEAKER, options)
