"""Raw text to hanzi alone: width, punctuation, digits, letters."""

import functools
import unicodedata
from typing import NamedTuple


class Normalized(NamedTuple):
    """Text ready to be read aloud."""

    text: str  # hanzi, segmented by spaces where the raw text was
    changed: tuple[str, ...]  # what was normalised, other than punctuation: `digits`, `latin`
    unread: str  # characters that nobody here can read aloud, in order; they are still in `text`


def normalize(raw: str) -> Normalized:
    """Full-width forms narrowed, punctuation removed, the rest of `raw` kept or reported."""
    wide = unicodedata.normalize("NFKC", raw)
    text = " ".join("".join(" " if _is_punctuation(char) else char for char in wide).split())
    unread = "".join(char for char in text if char != " " and not is_hanzi(char))
    return Normalized(text, (), unread)


@functools.cache
def is_hanzi(char: str) -> bool:
    """Whether `char` is a Chinese character, in any plane, 〇 included."""
    return char == "〇" or unicodedata.name(char, "").startswith("CJK UNIFIED IDEOGRAPH")


@functools.cache
def _is_punctuation(char: str) -> bool:
    return unicodedata.category(char)[0] in "PZC"
