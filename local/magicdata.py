"""MAGICDATA Mandarin read speech, 755 h by 1,080 speakers (openslr.org/68, CC BY-NC-ND 4.0): `<root>/{train,dev,test}`.

`train/38_5837/38_5837_20170826171159.wav` and `train/TRANS.txt`, tab-separated, headed `UtteranceID SpeakerID
Transcription` (egs/multi_cn of Kaldi and lhotse/recipes/magicdata.py read it so). The marks of noise, [FIL] and [SPK],
are not speech and are left out of the text; what has nothing else is left out whole, and counted.
"""

import re
import sys
from pathlib import Path

from steps.config.schema import Corpus
from steps.corpus.find import corpus_root, find_audio
from steps.corpus.rows import PairOptions as Options
from steps.corpus.rows import Unpaired, half_width, pair, read_lines
from steps.corpus.table import refuse
from steps.corpus.write import Utterance
from steps.download import Archive

# sizes: egs/multi_cn of Kaldi; no checksum is published
URL = "https://www.openslr.org/resources/68"
ARCHIVES = [
    Archive(f"{URL}/train_set.tar.gz", 52627842921, None, "train"),
    Archive(f"{URL}/dev_set.tar.gz", 1035537823, None, "dev"),
    Archive(f"{URL}/test_set.tar.gz", 2201936013, None, "test"),
]
NOISE = re.compile(r"\[?(FIL|SPK)\]?")
UNUSABLE = {"16_4013_20170819121429", "18_1565_20170712000170"}  # lhotse's recipe leaves them out as bad


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """The corpus' own train, dev and test."""
    root = corpus_root(corpus, "magicdata", "train")
    return {name: read_set(root / name, options.skip) for name in ("train", "dev", "test")}


def read_set(folder: Path, skip: list[Unpaired]) -> list[Utterance]:
    """One set's recordings and TRANS.txt. Raises UserError naming lines that are not what they should be."""
    transcript = read_trans(folder / "TRANS.txt")
    wavs = {utt: path for utt, path in find_audio(folder).items() if utt not in UNUSABLE}
    utterances = []
    for utt in pair(wavs, transcript, folder, skip):
        spk, text = transcript[utt]
        utterances.append(Utterance(utt, spk, wavs[utt], half_width(NOISE.sub(" ", text))))
    spoken = [each for each in utterances if each.text]
    if len(spoken) < len(utterances):
        print(f"{folder}: {len(utterances) - len(spoken)} of {len(utterances)} left out: noise alone", file=sys.stderr)
    return spoken


def read_trans(path: Path) -> dict[str, tuple[str, str]]:
    """{utterance: (speaker, text)} of a TRANS.txt."""
    found, faults = {}, []
    for number, line in enumerate(read_lines(path), 1):
        fields = line.split("\t")
        if fields[0] == "UtteranceID":
            continue
        if len(fields) != 3 or not fields[0].startswith(fields[1]):
            faults.append(f"{path}:{number}: recording, speaker and text are wanted, separated by tabs, not {line!r}")
            continue
        utt = fields[0].removesuffix(".wav")
        if utt in found:
            faults.append(f"{path}:{number}: {utt}: the utterance is there twice")
        found[utt] = fields[1], fields[2]
    refuse(faults)
    return {utt: fields for utt, fields in found.items() if utt not in UNUSABLE}
