"""Text read aloud: words of hanzi to tonal syllables, under a corpus' `pinyin:` policy."""

from typing import NamedTuple

from pypinyin import Style, lazy_pinyin

from steps.config.schema import Pinyin


class Word(NamedTuple):
    """A word as it was read where it stood."""

    hanzi: str
    syllables: tuple[str, ...]  # one a character; none where a character is in no dictionary


class Reader:
    """Reads text aloud under one policy. Hold on to it: building one loads the dictionaries."""

    def __init__(self, policy: Pinyin):
        self.policy = policy

    def read(self, text: str) -> list[Word]:
        """The words of `text` (hanzi, perhaps segmented by spaces) with their syllables."""
        return [Word(word, self._word(word)) for word in text.split()]

    def _word(self, word: str) -> tuple[str, ...]:
        syllables = lazy_pinyin(word, style=Style.TONE3, v_to_u=False, neutral_tone_with_five=True, errors="ignore")
        return tuple(syllables) if len(syllables) == len(word) else ()
