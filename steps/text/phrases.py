"""Dictionaries of readings: pypinyin's characters and phrases, and files of `word syllable…` lines that win."""

import functools
import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pypinyin.constants import PHRASES_DICT, PINYIN_DICT

from steps.common.errors import UserError
from steps.common.files import utf8_lines
from steps.text.grammar import is_word
from steps.text.normalize import is_hanzi
from steps.text.syllables import NEUTRAL, from_marked, normalize

WEAK = Path(__file__).parent / "neutral.txt"  # words with the neutral tones of speech, most of which pypinyin's lacks
LONGEST = 8  # words of a phrase
FULL_IN_COMPOUNDS = ("学生",)  # 大学生, 中学生
FULL_BEFORE_OTHERS = ("地方", "地道", "打算", "难为")  # 地方官, 打算盘
Entries = Mapping[str, tuple[str, ...]]


class Span(NamedTuple):
    """A phrase of a dictionary, or one character, as found in a text."""

    start: int
    hanzi: str
    syllables: tuple[str, ...]  # one a character; empty if a character is in no dictionary


class Phrases:
    """Finds phrases in text by longest forward match, as pypinyin does, with `extra` entries beside its own.

    `loose` is the segmentation that pypinyin once had and still offers: the longest beginning of any phrase is cut off
    as a word, even if it is none by itself.
    """

    def __init__(self, extra: Entries, loose: bool = False):
        self._extra = dict(extra)
        self._loose = loose
        self.syllables = functools.cache(self._syllables)
        self._cut = functools.cache(self._cut_word)
        self._prefixes = _prefixes(PHRASES_DICT) | _prefixes(extra)

    def spans(self, text: str) -> list[Span]:
        """`text` (hanzi alone) cut into phrases and single characters."""
        found, start = [], 0
        while start < len(text):
            end = max(self._ends(text, start))
            hanzi = text[start:end]
            found.append(Span(start, hanzi, self.syllables(hanzi)))
            start = end
        return found

    def spans_of_words(self, words: Sequence[str]) -> list[Span]:
        """A text's `words` in phrases and single characters; no phrase straddles a word's edge.

        A phrase may hold several words, if it is longer than two characters (到了 and 都会 are seldom meant as one) or
        of ours.
        """
        found, start, index = [], 0, 0
        while index < len(words):
            held = next((count for count in range(min(LONGEST, len(words) - index), 0, -1)
                         if self._is_phrase("".join(words[index : index + count]), count)), 1)
            hanzi = "".join(words[index : index + held])
            if self._is_phrase(hanzi, held):
                found.append(Span(start, hanzi, self.syllables(hanzi)))
            else:
                at = start
                for part in self._cut(hanzi):
                    begins = part == "子" and at == start < start + len(hanzi) - 1  # 子公司: no suffix
                    found.append(Span(at, part, ("zi3",) if begins else self.syllables(part)))
                    at += len(part)
            start, index = start + len(hanzi), index + held
        return found

    def _cut_word(self, word: str) -> list[str]:
        """A word that is not a phrase, in phrases and characters. It is cut into the fewest words. Among such cuts the
        one wins that has most of the word in phrases (ours count twice: 放风筝 is 放 and 风筝, not 放风 and 筝), else
        the one whose first words are longest. Words that are not phrases are cut again. A phrase of two doubled
        characters (欢欢乐乐) stays whole."""
        if _is_doubled(word) and self._is_phrase(word[::2], 1):
            return [word]
        if len(word) < 3 or self._prefixes.isdisjoint(map(operator.add, word, word[1:])):
            return list(word)
        best = [(0, 0, 0)] * (len(word) + 1)  # from a place on: words, their worth negated, the first one's end negated
        for start in reversed(range(len(word))):
            best[start] = min((best[end][0] + 1, best[end][1] - self._worth(word[start:end]), -end)
                              for end in self._ends_in_word(word, start))
        found, start = [], 0
        while start < len(word):
            part = word[start : -best[start][2]]
            found += [part] if self._is_phrase(part, 1) else self._cut(part)
            start += len(part)
        return found

    def _ends_in_word(self, word: str, start: int) -> list[int]:
        """Where phrases, pairs of characters that are a word, and the character end; pairs decide nothing in three."""
        ends = list(self._ends(word, start))
        pair = word[start : start + 2]
        if len(word) > 3 and len(pair) == 2 and start + 2 not in ends and is_word(pair):
            ends.append(start + 2)
        return ends

    def _worth(self, part: str) -> int:
        return len(part) * ((part in self._extra) + self._is_phrase(part, 1))

    def _is_phrase(self, hanzi: str, words: int) -> bool:
        return hanzi in self._extra or (hanzi in PHRASES_DICT and (words == 1 or len(hanzi) > 2))

    def _syllables(self, phrase: str) -> tuple[str, ...]:
        """The reading of a phrase, or of each character of what is not a phrase; empty for an unknown character."""
        if phrase in self._extra:
            return self._extra[phrase]
        if phrase in PHRASES_DICT:
            return tuple(from_marked(readings[0]) for readings in PHRASES_DICT[phrase])
        if _is_doubled(phrase):
            return tuple(syllable for syllable in self.syllables(phrase[::2]) for _ in range(2))
        if len(phrase) > 1:
            return tuple(syllable for character in phrase for syllable in self.syllables(character))
        readings = PINYIN_DICT.get(ord(phrase))
        return (from_marked(readings.split(",")[0]),) if readings else ()

    def _ends(self, text: str, start: int) -> Iterator[int]:
        """Where a phrase, or the character, that begins at `start` ends, the shortest first."""
        yield start + 1
        for end in range(start + 2, len(text) + 1):
            piece = text[start:end]
            if piece not in self._prefixes:
                return
            if self._loose or piece in PHRASES_DICT or piece in self._extra:
                yield end


def _is_doubled(word: str) -> bool:
    return len(word) == 4 and word[0] == word[1] != word[2] == word[3]


def _prefixes(phrases: Iterable[str]) -> set[str]:
    return {phrase[:end] for phrase in phrases for end in range(1, len(phrase) + 1)}


def read_entries(path: Path) -> dict[str, tuple[str, ...]]:
    """A dictionary file: lines `word syllable…`, one syllable a character of hanzi, or any number of them for a Latin
    word; # begins a comment. Raises UserError."""
    lines = utf8_lines(path, "; mend --user-dict, or pinyin.user_dict in the corpus' yaml file", "utf-8-sig")
    entries: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines, 1):
        word, *written = line.partition("#")[0].split() or [""]
        if not word:
            continue
        try:
            entry = _entry(word, written)
        except UserError as error:
            raise UserError(f"{path}:{number}: {error}") from None
        if entries.setdefault(word, entry) != entry:
            raise UserError(f"{path}:{number}: {word} for the second time, read otherwise; keep one of the lines")
    if not entries:
        raise UserError(f"{path}: no words in it; write lines such as 大夫 dai4 fu5, or do not name the file")
    return entries


def _entry(word: str, written: list[str]) -> tuple[str, ...]:
    if not (word.isascii() and word.isalpha()):
        strange = next((char for char in word if not is_hanzi(char)), None)
        if strange is not None:
            raise UserError(f"{word}: {strange!r} is neither hanzi nor a letter; write lines such as 大夫 dai4 fu5")
        if len(written) != len(word):
            raise UserError(f"{word}: {len(word)} characters but {len(written)} syllables; write one a character")
    if not written:
        raise UserError(f"{word}: no syllables; write lines such as WiFi wai1 fei1")
    return tuple(normalize(syllable) for syllable in written)


def weak_entries(entries: Entries) -> dict[str, tuple[str, ...]]:
    """The words of neutral.txt read with `entries` and a neutral tone on their last character, and the dictionary's
    phrases of three characters that end in one (没关系) or begin with one (玻璃杯, 媳妇儿); doubled (清清楚楚,
    规规矩矩), words keep their tones."""
    phrases, found = Phrases(entries), {}
    listed = set(_weak_words())
    ends, begins = listed.difference(FULL_IN_COMPOUNDS), listed.difference(FULL_BEFORE_OTHERS)
    threes = [phrase for phrase in PHRASES_DICT if len(phrase) == 3 and phrase not in entries]
    weak_at = {phrase: 1 for phrase in threes if phrase[:2] in begins}
    weak_at |= {word: len(word) - 1 for word in (*listed, *(phrase for phrase in threes if phrase[1:] in ends))}
    for word, at in weak_at.items():
        full = [syllable for span in phrases.spans(word) for syllable in span.syllables]
        found[word] = (*full[:at], full[at][:-1] + NEUTRAL, *full[at + 1 :])
        doubled = "".join(2 * char for char in word)
        if len(word) == 2 and word[0] != word[1] and doubled not in entries and doubled not in PHRASES_DICT:
            found[doubled] = (full[0], full[0], full[1], full[1])
    return found


@functools.cache
def neutral_bases() -> frozenset[str]:
    """The syllables, without tone, that are commonly neutral: by pypinyin's dictionaries, or in three words and more of
    neutral.txt."""
    phrases = (syllable for readings in PHRASES_DICT.values() for syllables in readings for syllable in syllables)
    characters = (syllable for readings in PINYIN_DICT.values() for syllable in readings.split(","))
    known = {syllable[:-1] for syllable in map(from_marked, {*phrases, *characters}) if syllable.endswith(NEUTRAL)}
    weak = Counter(reading[-1][:-1] for reading in weak_entries({}).values() if reading[-1].endswith(NEUTRAL))
    return frozenset(known | {base for base, words in weak.items() if words > 2})


def _weak_words() -> Iterator[str]:
    for line in WEAK.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            yield from line.split()
