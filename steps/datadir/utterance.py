"""One utterance, as a corpus module of local/ hands it to stage 1."""

from typing import NamedTuple


class Utterance(NamedTuple):
    """What a corpus says of one recording."""

    utt: str  # begins with the speaker's id
    spk: str
    wav: str  # path of an audio file that libsndfile reads
    text: str  # hanzi; empty where the corpus has only pinyin
    pinyin: str | None = None  # tonal syllables separated by spaces, where the corpus ships them
