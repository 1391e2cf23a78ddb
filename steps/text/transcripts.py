"""The Kaldi tables `text` and `pinyin` of a data directory's set."""

from pathlib import Path

from steps.common.errors import UserError
from steps.text.syllables import normalize


def read_transcripts(path: Path) -> dict[str, str]:
    """A table `utt value…` as a dictionary, in the file's order. A value may be empty. Raises UserError."""
    try:
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run stage 1 (doit prepare:<corpus>) first") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not utf-8 (byte {error.start}); convert the corpus' transcripts to utf-8") from None
    table: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        utt, _, value = line.partition(" ")
        if not utt or utt in table:
            wrong = f"{utt} for the second time" if utt else "a line without utterance id"
            raise UserError(f"{path}:{number}: {wrong}; run stage 1 again")
        table[utt] = value.strip()
    return table


def read_texts(directory: Path) -> dict[str, str]:
    """A set's `text`; empty texts where the corpus ships pinyin alone, and so has none. Raises UserError."""
    if not (directory / "text").exists() and (directory / "pinyin").exists():
        return dict.fromkeys(read_transcripts(directory / "pinyin"), "")
    return read_transcripts(directory / "text")


def read_pinyin(path: Path, texts: dict[str, str]) -> dict[str, list[str]]:
    """A set's `pinyin` table, its syllables in the recipe's spelling. Raises UserError for what is no syllable and
    where the utterances are not those of `texts`."""
    table = read_transcripts(path)
    if table.keys() != texts.keys():
        utt = min(table.keys() ^ texts.keys())
        raise UserError(f"{path}: {utt} is in {'this file' if utt in table else 'text'} alone; run stage 1 again")
    return {utt: _syllables(path, utt, value) for utt, value in table.items()}


def _syllables(path: Path, utt: str, value: str) -> list[str]:
    if not value:
        raise UserError(f"{path}: {utt} has no syllables; mend the corpus' pinyin or leave the utterance out")
    try:
        return [normalize(syllable) for syllable in value.split()]
    except UserError as error:
        raise UserError(f"{path}: {utt}: {error}; mend the corpus' pinyin or leave the utterance out") from None
