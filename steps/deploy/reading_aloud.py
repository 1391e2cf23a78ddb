"""The text that somebody reads aloud: its words, its syllables, and the tones that count as right for each."""

import functools
import re
from typing import NamedTuple

from steps.common.errors import UserError
from steps.config.schema import Pinyin
from steps.text.normalize import is_hanzi
from steps.text.syllables import NEUTRAL, from_marked, normalize
from steps.text.transcripts import Reading, transcribe

RUN = re.compile(r"[^\W\d_]+:?[^\W\d_]*[0-5]?")  # ni3hao3 is two of them; u: is ü


class Target(NamedTuple):
    """A syllable of the text."""

    syllable: str  # as the text has it, without sandhi
    accepted: tuple[str, ...]  # the forms that count as right, `syllable` first
    grapheme: str  # the hanzi, or the pinyin as it was written
    word: int  # the number of its word


class ReadingAloud(NamedTuple):
    """A text to be read aloud."""

    text: str
    words: tuple[str, ...]
    targets: tuple[Target, ...]


@functools.lru_cache(maxsize=256)
def reading_aloud(text: str) -> ReadingAloud:
    """`text` in hanzi (with digits and Latin words, as in transcripts), or in pinyin: `ni3 hao3`, `nǐ hǎo`.

    Right is the tone that a dictionary has, and also the one that speech makes of it: a third tone before another may
    be a second; 一 and 不 may change by what follows. Pinyin does not show 一 and 不: they count as written.
    Raises UserError where it cannot be read, or has no syllable.
    """
    if any(is_hanzi(char) for char in text):
        return _from_hanzi(text)
    return _from_pinyin(text)


def _from_hanzi(text: str) -> ReadingAloud:
    citation, spoken = (_reading(text, Pinyin(sandhi=sandhi)) for sandhi in ("citation", "spoken"))
    tones = [tuple(dict.fromkeys(both)) for both in zip(citation.syllables, spoken.syllables, strict=True)]
    words = [(word.written, _graphemes(word.written, len(word.syllables))) for word in citation.words]
    return _made(text, words, tones)


def _reading(text: str, policy: Pinyin) -> Reading:
    [reading] = transcribe({"text": text}, policy)
    if reading.unread:
        raise UserError(f"text {text!r}: no reading is known for {reading.unread[0]!r}; "
                        "write it in other hanzi, or the whole text in pinyin such as ni3 hao3")
    return reading


def _graphemes(word: str, syllables: int) -> list[str]:
    return list(word) if len(word) == syllables else [word] + [""] * (syllables - 1)


def _from_pinyin(text: str) -> ReadingAloud:
    written = [match[0] for match in RUN.finditer(text)]
    if not written:
        raise UserError(f"text {text!r}: holds no syllable; write hanzi such as 你好, or pinyin such as ni3 hao3")
    try:
        syllables = [normalize(one if one[-1].isdigit() else from_marked(one.lower())) for one in written]
    except UserError as error:
        raise UserError(f"text {text!r}: {error}; write a blank between syllables: nǐ hǎo") from None
    if len(syllables) > 1 and all(syllable.endswith(NEUTRAL) for syllable in syllables):
        raise UserError(f"text {text!r}: without tones; write them as digits or accents, such as ni3 hao3 or nǐ hǎo")
    return _made(text, [(one, [one]) for one in written], [(syllable,) for syllable in syllables])


def _made(text: str, words: list[tuple[str, list[str]]], forms: list[tuple[str, ...]]) -> ReadingAloud:
    places = [(number, grapheme) for number, (_, graphemes) in enumerate(words) for grapheme in graphemes]
    following = [*(tones[0] for tones in forms[1:]), ""]
    targets = [Target(right[0], _with_third_tone(right, behind), grapheme, word)
               for right, behind, (word, grapheme) in zip(forms, following, places, strict=True)]
    return ReadingAloud(text, tuple(word for word, _ in words), tuple(targets))


def _with_third_tone(forms: tuple[str, ...], behind: str) -> tuple[str, ...]:
    if forms[0].endswith("3") and behind.endswith("3"):
        return tuple(dict.fromkeys([*forms, forms[0][:-1] + "2"]))
    return forms
