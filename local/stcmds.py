"""ST-CMDS, 110 h of commands and chat by 855 speakers (openslr.org/38, CC BY-NC-ND 4.0).

One folder, `<root>/ST-CMDS-20170001_1-OS`: `20170001P00001A0001.wav` with its text in `20170001P00001A0001.txt`
(egs/multi_cn of Kaldi and lhotse/recipes/stcmds.py read it so). The corpus has no sets: a tenth of the speakers is
test, a tenth dev.
"""

from pathlib import Path

from steps.config.schema import Corpus
from steps.corpus.find import corpus_root, find_audio
from steps.corpus.rows import PairOptions as Options
from steps.corpus.rows import half_width, pair, read_lines
from steps.corpus.table import refuse
from steps.corpus.write import Utterance, by_speaker
from steps.download import Archive

FOLDER = "ST-CMDS-20170001_1-OS"
# size: egs/multi_cn of Kaldi; MD5: as public recipes for PaddlePaddle have it
ARCHIVES = [Archive(f"https://www.openslr.org/resources/38/{FOLDER}.tar.gz", 8231662593,
                    "c28ddfc8e4ebe48949bc79a0c23c5545", FOLDER)]
PREFIX = "20170001"  # of all names
SPEAKER = slice(len("P00001"))


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """Train, dev and test by a hash of the speaker."""
    root = corpus_root(corpus, FOLDER, f"{PREFIX}*.wav")
    wavs, texts = find_audio(root), find_audio(root, ".txt")
    utterances, faults = [], []
    for stem in pair(wavs, texts, root, options.skip):
        text = half_width(" ".join(read_lines(texts[stem])))
        if not stem.startswith(PREFIX) or not text:
            faults.append(f"{texts[stem]}: no text, or the name does not begin with {PREFIX}")
        utt = stem.removeprefix(PREFIX)
        utterances.append(Utterance(utt, utt[SPEAKER], wavs[stem], text))
    refuse(faults)
    return by_speaker(utterances)
