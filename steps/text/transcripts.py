"""The tables `text` and `pinyin` of a set, as stage 2 wants them."""

from pathlib import Path

from steps.common.errors import UserError
from steps.datadir.table import read_table
from steps.text.syllables import normalize


def read_texts(directory: Path, own: dict[str, list[str]] | None) -> dict[str, str]:
    """A set's transcripts by utterance; with the corpus' own pinyin (`own`), empty where there are no hanzi.

    Raises UserError where `text` is missing and there is no pinyin either, and where it lacks what has pinyin.
    """
    path = directory / "text"
    if own is None:
        return read_table(path)
    if not path.exists():
        return dict.fromkeys(own, "")
    texts = read_table(path)
    if own.keys() - texts.keys():
        raise UserError(f"{directory}: {min(own.keys() - texts.keys())} is in pinyin alone; run stage 1 again")
    # Stage 1 puts the pinyin in place of hanzi that some utterances lack.
    return {utt: "" if text.isascii() and text.split() == own.get(utt) else text for utt, text in texts.items()}


def read_pinyin(path: Path) -> dict[str, list[str]]:
    """A table of syllables by utterance, in the recipe's spelling. Raises UserError for what is no syllable."""
    return {utt: _syllables(path, utt, value) for utt, value in read_table(path).items()}


def _syllables(path: Path, utt: str, value: str) -> list[str]:
    try:
        return [normalize(syllable) for syllable in value.split()]
    except UserError as error:
        raise UserError(f"{path}: {utt}: {error}; mend the corpus' pinyin or leave the utterance out") from None
