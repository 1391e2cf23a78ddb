"""The tables `text` and `pinyin` of a set as stage 2 wants them, and texts to readings, spread over processes."""

import functools
import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from steps.common.errors import UserError, counted
from steps.common.files import utf8_lines
from steps.common.parallel import default_jobs, ordered_map
from steps.config.schema import Pinyin
from steps.corpus.table import read_table
from steps.text import syllables
from steps.text.normalize import Normalized, normalize
from steps.text.phrases import neutral_bases
from steps.text.reading import Doubt, Reader, Word, reader_of

CHUNK = 1000  # utterances a process is handed at once
SMALL = 4 * CHUNK  # below this, starting processes costs more than it saves


class Reading(NamedTuple):
    """How one utterance's text is read aloud."""

    utt: str
    words: list[Word]
    changed: tuple[str, ...]  # see steps.text.normalize
    unread: tuple[str, ...]  # characters and words that could not be read; `words` is then empty
    doubts: tuple[Doubt, ...] = ()  # characters whose reading is a guess

    @property
    def written(self) -> list[str]:
        return [word.written for word in self.words]

    @property
    def syllables(self) -> list[str]:
        return [syllable for word in self.words for syllable in word.syllables]


def transcribe(texts: dict[str, str], policy: Pinyin, jobs: int | None = None) -> Iterator[Reading]:
    """The readings of `texts` (raw text by utterance), in their order, under `policy`."""
    jobs = 1 if len(texts) <= SMALL else jobs or default_jobs()
    for readings in ordered_map(functools.partial(_read_chunk, policy), _chunks(texts.items()), jobs):
        yield from readings


def transcribe_file(path: Path, policy: Pinyin, if_missing: str = "") -> list[Reading]:
    """The readings of a text file of sentences, hanzi, one a line; what cannot be read is left out, and counted aloud.

    Raises UserError if the file is missing (`if_missing`, the remedy, at its end), not UTF-8, or has no sentence.
    """
    lines = utf8_lines(path, if_missing)
    found = [one for one in transcribe({str(at): line for at, line in enumerate(lines, 1)}, policy) if one.words]
    if not found:
        raise UserError(f"{path}: no sentences in it; write hanzi, one sentence a line")
    left = {at for at, line in enumerate(lines, 1) if line.strip()} - {int(one.utt) for one in found}
    if left:
        print(f"{path}: {len(left)} of {len(left) + len(found)} lines are left out, such as line {min(left)}: they "
              f"hold what cannot be read", file=sys.stderr)
    return found


def _chunks(items: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    items = iter(items)
    while chunk := list(itertools.islice(items, CHUNK)):
        yield chunk


def _read_chunk(policy: Pinyin, chunk: list[tuple[str, str]]) -> list[Reading]:
    reader = reader_of(policy)
    texts = [_readable(reader, raw) for _, raw in chunk]
    read = iter(reader.read([clause for clauses, _, _ in texts for clause in clauses]))
    readings = []
    for (utt, _), (clauses, changed, unread) in zip(chunk, texts, strict=True):
        mine = [next(read) for _ in clauses]
        readings.append(Reading(utt, [word for words, _ in mine for word in words], changed, unread,
                                tuple(doubt for _, doubts in mine for doubt in doubts)))
    return readings


def _readable(reader: Reader, raw: str) -> Normalized:
    """The normalised text, without the clauses that cannot be read."""
    clauses, changed, unread = normalize(raw)
    unread = (*unread, *(part for clause in clauses for part in reader.unknown(clause) if part not in unread))
    return Normalized(() if unread else clauses, changed, unread)


def read_texts(directory: Path, own: dict[str, list[str]] | None) -> dict[str, str]:
    """A set's transcripts by utterance; with the corpus' own pinyin (`own`), empty if there are no hanzi.

    Raises UserError if `text` is missing and there is no pinyin either, and if it lacks an utterance that has pinyin.
    """
    path = directory / "text"
    if own is None:
        return read_table(path)
    if not path.exists():
        return dict.fromkeys(own, "")
    texts = read_table(path)
    if own.keys() - texts.keys():
        raise UserError(f"{path}: has no {min(own.keys() - texts.keys())}, which pinyin has; run stage 1 again")
    # Stage 1 puts the pinyin in place of hanzi that some utterances lack.
    return {utt: "" if text.isascii() and text.split() == own.get(utt) else text for utt, text in texts.items()}


def check_texts(directory: Path) -> None:
    """Raise UserError if a set's `text` has other utterances than utt2spk, as that of another set, or one cut short.
    """
    path, speakers = directory / "text", directory / "utt2spk"
    other = read_table(path).keys() ^ read_table(speakers).keys() if path.exists() and speakers.exists() else ()
    if other:
        raise UserError(f"{path}: {counted(len(other), 'utterance')} in it or in utt2spk alone, such as {min(other)}; "
                        "run stage 1 (prepare) again, or let `python -m steps.data_dir fix` drop them")


def read_pinyin(path: Path) -> dict[str, list[str]]:
    """A table of syllables by utterance, in the recipe's spelling. Raises UserError for what is not a syllable."""
    return {utt: _syllables(path, utt, value) for utt, value in read_table(path).items()}


def written_syllables(line: str) -> list[str]:
    """The syllables of a line of pinyin, in the recipe's spelling.

    Raises UserError for what is not a syllable, and if tones are missing: a syllable without a digit has the neutral
    tone only if that is common for it (de, zi), and if the line does not write it as 5 elsewhere.
    """
    written = line.split()
    found = [syllables.normalize(syllable) for syllable in written]
    toneless = [one for one in written if not one[-1].isdigit()]
    if len(toneless) == len(written) > 1:
        raise UserError(f"{line!r} has no tones; write digits after the syllables, such as ni3 hao3, or de5")
    marked = any(one[-1] in "05" for one in written)
    for one in toneless:
        base = syllables.normalize(one)[:-1]
        if marked or base not in neutral_bases():
            raise UserError(f"{one!r} has no tone digit; write {base}1 to {base}4, or {base}5 for the neutral tone")
    return found


def _syllables(path: Path, utt: str, value: str) -> list[str]:
    try:
        return written_syllables(value)
    except UserError as error:
        raise UserError(f"{path}: {utt}: {error}; mend the corpus' pinyin or leave the utterance out") from None
