"""AISHELL's official sample, AISHELL-ASR0009-OS1: 1,000 clips, 1.2 h, of two speakers (Apache-2.0).

W0001 to W0120 of a speaker are commands, places and numbers, the others sentences of the news. Two layouts are read:
that of github.com/QianZ423/kaldi-asr-aishell-sample, `<root>/AISHELL_Sample_data/BAC009S0150W0001.wav` with its text in
a `.txt` beside it, and a packed one, `<root>/transcripts.tsv` with the columns file (from `root`) and text. The speaker
is BAC009S0150: ids begin with it, as in AISHELL-1.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from steps.common.errors import UserError
from steps.config.schema import Corpus, Strict
from steps.corpus.find import corpus_root, find_audio, named_root
from steps.corpus.rows import half_width, pair, read_columns, read_lines
from steps.corpus.write import Utterance, set_of
from steps.download import Archive

COMMIT = "4e69bf1a29621515d4a21ef6c2458335e6f86e24"
REPOSITORY = f"kaldi-asr-aishell-sample-{COMMIT}"
FOLDER = "AISHELL_Sample_data"
PACKED = "transcripts.tsv"
COLUMNS = "file", "text"
CLIPS = 1000  # of the repository's folder
SPEAKER = slice(len("BAC009S0150"))
LATIN = re.compile("[A-Za-z]")


class Options(Strict):
    """`options:` of conf/corpora/aishell_sample.yaml."""

    test_speaker: str | None = None  # such as S0252: test is all of it, train and dev are of the others alone


def check_clips(folder: Path) -> None:
    """Raises UserError if the extracted repository lacks clips or texts."""
    found = {suffix: len(list(folder.glob(f"{FOLDER}/*{suffix}"))) for suffix in (".wav", ".txt")}
    if set(found.values()) != {CLIPS}:
        raise UserError(f"{folder.name}/{FOLDER}: {found['.wav']} .wav and {found['.txt']} .txt, but {CLIPS} of each "
                        "are expected; remove the archive and run again")


ARCHIVES = [Archive(f"https://github.com/QianZ423/kaldi-asr-aishell-sample/archive/{COMMIT}.tar.gz", None, None,
                    REPOSITORY, check=check_clips)]


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """Train, dev and test: by a hash of the text, so that no sentence is in two of them; or test by speaker.

    Texts with Latin letters are left out, and counted on stderr: LetItGo and LOGO are read as English words, which no
    pinyin is for.
    """
    found = sorted(read_clips(corpus))
    latin = [each for each in found if LATIN.search(each.text)]
    if latin:
        print(f"{corpus.root}: {len(latin)} of {len(found)} left out: Latin letters in the text, such as "
              f"{latin[0].text}", file=sys.stderr)
    utterances = [each for each in found if not LATIN.search(each.text)]
    if options.test_speaker is not None:
        return by_test_speaker(utterances, options.test_speaker)
    sets = {"train": [], "dev": [], "test": []}
    for each in utterances:
        sets[set_of(each.text)].append(each)
    return sets


def read_clips(corpus: Corpus) -> Iterator[Utterance]:
    """All clips, of either layout."""
    root = named_root(corpus, f"the folder that {FOLDER} or {PACKED} lies in")
    if (root / PACKED).exists():
        for row in read_columns(root / PACKED, COLUMNS):
            yield utterance(root / row.cells["file"], row.cells["text"])
        return
    root = corpus_root(corpus, REPOSITORY, FOLDER)
    wavs = find_audio(root / FOLDER)
    texts = find_audio(root / FOLDER, ".txt")
    for utt in pair(wavs, texts, root / FOLDER):
        yield utterance(Path(wavs[utt]), " ".join(read_lines(texts[utt])))


def utterance(audio: Path, text: str) -> Utterance:
    """The clip's utterance. Blanks are taken out of the text: a sentence with and without them is the same."""
    return Utterance(audio.stem, audio.stem[SPEAKER], str(audio), half_width(text).replace(" ", ""))


def by_test_speaker(utterances: list[Utterance], speaker: str) -> dict[str, list[Utterance]]:
    """All clips of a speaker for test; those of others whose text is not in test for train, and a tenth for dev.

    Raises UserError for a speaker who is not there.
    """
    test = [each for each in utterances if each.spk.endswith(speaker)]
    if not test:
        speakers = sorted({each.spk for each in utterances})
        raise UserError(f"options: test_speaker: there is no {speaker}, only {', '.join(speakers)}")
    said = {each.text for each in test}
    others = [each for each in utterances if not each.spk.endswith(speaker) and each.text not in said]
    dev = [each for each in others if set_of(each.text) == "dev"]
    return {"train": [each for each in others if set_of(each.text) != "dev"], "dev": dev, "test": test}
