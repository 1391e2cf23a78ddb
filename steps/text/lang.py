"""data/<corpus>/lang: the words of the training set, how they are read, the network's tokens, and the report: how much
there is, what train lacks, what was normalised, which readings are guesses, what could not be read.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from steps.common.checksums import forget_sums, write_sums
from steps.common.files import write_lines
from steps.text.reading import Word
from steps.text.syllables import token_lines
from steps.text.traditional import is_basic, simplified

FILES = "lexicon.txt", "words.txt", "tokens.txt"
SHOWN = 10  # examples a message shows; the report file has all


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


def is_rare(hanzi: str) -> bool:
    """Whether a character, simplified, is not among those of GB 2312, so that dictionaries may have its reading wrong.
    """
    return not is_basic(hanzi) and not is_basic(simplified(hanzi))


def word_lines(words: Iterable[str]) -> list[str]:
    """The lines of words.txt, Kaldi's symbol table: `<eps> 0`, the words, then #0, <s> and </s>."""
    return [f"{word} {number}" for number, word in enumerate(["<eps>", *words, "#0", "<s>", "</s>"])]


def write_lang(lang: Path, lexicon: Lexicon, train_syllables: Iterable[str]) -> None:
    """Write lexicon.txt, words.txt and tokens.txt."""
    forget_sums(lang, FILES)
    write_lines(lang / "lexicon.txt", lexicon.lines())
    write_lines(lang / "words.txt", word_lines(lexicon.words()))
    write_lines(lang / "tokens.txt", token_lines(train_syllables))
    write_sums(lang, FILES)


@dataclass
class SetSummary:
    """The tally of one set."""

    name: str
    shipped: bool  # the pinyin came with the corpus
    utterances: int = 0
    syllables: Counter[str] = field(default_factory=Counter)
    changed: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # kind to utterances
    unread: dict[str, tuple[str, ...]] = field(default_factory=dict)  # utterance to characters and words, left out
    doubts: list[tuple[float, str]] = field(default_factory=list)  # readings that are guesses, by their probability
    rare: list[str] = field(default_factory=list)  # characters that are rare, with their utterances
    uneven: list[str] = field(default_factory=list)  # utterances with other than one shipped syllable a character

    def line(self, train: Counter[str]) -> str:
        """The summary on one line; `train` holds the syllables of the training set."""
        oov = self.out_of_tokens(train)
        total = sum(self.syllables.values())
        parts = [f"{self.name}: {self.utterances} utterances", f"{total} syllables", f"{len(self.syllables)} distinct",
                 f"{sum(oov.values())} ({len(oov)} distinct) not in train" + _commonest(oov),
                 "pinyin of the corpus" if self.shipped else "pinyin derived"]
        parts += [f"{kind} normalised in {len(utts)}" for kind, utts in sorted(self.changed.items())]
        if self.doubts:
            parts.append(f"{len(self.doubts)} readings are guesses")
        if self.rare:
            parts.append(f"{len(self.rare)} rare characters")
        if self.uneven:
            parts.append(f"{len(self.uneven)} with other than one syllable a character")
        if self.unread:
            parts.append(f"{len(self.unread)} LEFT OUT as {self._why_unread}")
        return ", ".join(parts)

    def doubtful(self) -> Counter[str]:
        """The readings that people should look at, counted by kind."""
        return Counter({"guesses": len(self.doubts), "rare characters": len(self.rare),
                        **{f"texts with {kind}": len(told) for kind, told in self.changed.items()}})

    def out_of_tokens(self, train: Counter[str]) -> Counter[str]:
        """The syllables that `train` lacks, counted."""
        return Counter({syllable: n for syllable, n in self.syllables.items() if syllable not in train})

    def details(self, train: Counter[str]) -> list[str]:
        """The lines of the report file about the set: `set: kind: utterance or syllable: …`."""
        lines = [f"{self.name}: reading guessed: {what}" for _, what in sorted(self.doubts)]
        lines += [f"{self.name}: rare character: {what}" for what in self.rare]
        for kind, told in sorted(self.changed.items()):
            lines += [f"{self.name}: {kind} normalised: {what}" for what in told]
        oov = self.out_of_tokens(train)
        lines += [f"{self.name}: not in train: {syllable} {n}" for syllable, n in oov.most_common()]
        lines += [f"{self.name}: other than one syllable a character: {utt}" for utt in self.uneven]
        lines += [" ".join([f"{self.name}: LEFT OUT as {self._why_unread}:", utt, *what])
                  for utt, what in self.unread.items()]
        return lines

    @property
    def _why_unread(self) -> str:
        return "without pinyin" if self.shipped else "unreadable"

    def unread_message(self, directory: Path) -> str:
        """The message about text without a reading, with counts and utterances."""
        total = len(self.unread) + self.utterances
        utts = ", ".join(list(self.unread)[:SHOWN]) + (", …" if len(self.unread) > SHOWN else "")
        if self.shipped:
            return (f"{directory}/pinyin: the corpus' own, or mended by hand, lacks {len(self.unread)} of the {total} "
                    f"utterances of text: {utts}")
        counts = Counter(what for found in self.unread.values() for what in found)
        found = ", ".join(f"{_name(what)} {n}×" for what, n in counts.most_common(SHOWN))
        return (f"{directory}/text: {len(self.unread)} of {total} utterances cannot be read aloud: "
                f"{found or 'no words'}; in {utts}")


def _name(what: str) -> str:
    return what if len(what) > 1 else f"{what} (U+{ord(what):04X})"


def _commonest(counts: Counter[str]) -> str:
    return ": " + " ".join(f"{syllable} {n}×" for syllable, n in counts.most_common(SHOWN)) if counts else ""
