"""data/<corpus>/lang: the words of the training set, how they are read, and the network's tokens."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from steps.common.files import write_lines
from steps.text.reading import Word
from steps.text.syllables import token_lines


class Lexicon:
    """Words and all the ways they were read; each hanzi of them is a word, too."""

    def __init__(self) -> None:
        self._readings: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)

    def add(self, words: Iterable[Word]) -> None:
        """Take in the words of an utterance."""
        for written, syllables in words:
            if syllables in self._readings.get(written, ()):
                continue
            self._readings[written].add(syllables)
            if not written.isascii():
                for character, syllable in zip(written, syllables, strict=True):
                    self._readings[character].add((syllable,))

    def words(self) -> list[str]:
        """The words in C order."""
        return sorted(self._readings)

    def lines(self) -> list[str]:
        """The lines of lexicon.txt: `word syllable…`, a line a reading, in C order."""
        return [" ".join((word, *syllables)) for word in self.words() for syllables in sorted(self._readings[word])]


def word_lines(words: Iterable[str]) -> list[str]:
    """The lines of words.txt, Kaldi's symbol table: `<eps> 0`, the words, then #0, <s> and </s>."""
    return [f"{word} {number}" for number, word in enumerate(["<eps>", *words, "#0", "<s>", "</s>"])]


def write_lang(lang: Path, lexicon: Lexicon, train_syllables: Iterable[str]) -> None:
    """Write lexicon.txt, words.txt and tokens.txt."""
    write_lines(lang / "lexicon.txt", lexicon.lines())
    write_lines(lang / "words.txt", word_lines(lexicon.words()))
    write_lines(lang / "tokens.txt", token_lines(train_syllables))
