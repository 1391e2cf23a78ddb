"""Tonal syllables: `zhong1`, tone digits 1 to 5 (neutral is 5), ü is v; their parts; all there are in Mandarin;
tokens.txt, which numbers them."""

import functools
import hashlib
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pypinyin.constants import PHRASES_DICT, PINYIN_DICT
from pypinyin.contrib.tone_convert import to_finals, to_initials, to_tone, to_tone3

from steps.common.errors import UserError
from steps.common.files import utf8_lines

BLANK = "<blk>"
NEUTRAL = "5"
TOKENS_FIRST, TOKENS_AGAIN = "; run stage 2 (lexicon) first", "; run stage 2 (lexicon) again"
_SYLLABIC = ("hng", "hm", "ng", "m", "n")  # interjections without a vowel: 哼, 噷, 嗯, 呒
_WRITTEN = re.compile(r"([a-zü:]+)([0-5]?)")


class Parts(NamedTuple):
    """A syllable's parts, as underlying pinyin has them: jiu3 is j + iou + 3, yu2 is v + 2, wen4 is uen + 4."""

    initial: str  # empty if the syllable begins with its final
    final: str
    tone: str


@functools.cache
def normalize(written: str) -> str:
    """The recipe's spelling of a syllable with or without a tone digit: lower case, v for ü, 5 for the neutral tone.

    `Lü4`, `lu:4` and `lv4` give `lv4`; `de`, `de0` and `de5` give `de5`; `r5` (as CC-CEDICT has erhua) gives `er5`;
    `jv1` gives `ju1`. Raises UserError if `written` is not a syllable of Mandarin.
    """
    match = _WRITTEN.fullmatch(unicodedata.normalize("NFKC", written).lower().replace("ê", "ei"))
    if match is None:
        raise UserError(f"{written!r} is not a syllable; write pinyin with a tone digit, such as zhong1 or de5")
    base = match[1].replace("u:", "v").replace("ü", "v")
    base = re.sub(r"^([jqxy])v", r"\1u", "er" if base == "r" else base)
    base = re.sub(r"^([ln])ue$", r"\1ve", base)
    if base not in _bases() and base.removesuffix("r") in _bases():
        raise UserError(f"{written!r}: write 儿 as a syllable of its own: {base[:-1]}{match[2]} er5")
    if base not in _bases():
        raise UserError(f"{written!r} is not a syllable of Mandarin")
    return base + (match[2] if match[2] not in ("", "0") else NEUTRAL)


@functools.cache
def split(syllable: str) -> Parts:
    """The parts of a normalised syllable. The final's spelling is the underlying one (pypinyin's strict mode)."""
    base, tone = syllable[:-1], syllable[-1]
    if base in _SYLLABIC:
        initial = "h" if base.startswith("h") else ""
        return Parts(initial, base.removeprefix(initial), tone)
    if base == "yo":  # pypinyin takes it for o
        return Parts("", "io", tone)
    return Parts(to_initials(base, strict=True), to_finals(base, strict=True, v_to_u=False), tone)


@functools.cache
def all_syllables() -> tuple[str, ...]:
    """Every tonal syllable of Mandarin, in C order.

    Those that pypinyin's dictionaries of characters and phrases know; each base in the neutral tone, into which any
    syllable falls where it is not stressed (看看 kan4 kan5); and for each in the third tone the one in the second,
    which it has before another third one (口语 kou2 yu3).
    """
    phrases = (syllable for readings in PHRASES_DICT.values() for syllables in readings for syllable in syllables)
    characters = (syllable for readings in PINYIN_DICT.values() for syllable in readings.split(","))
    known = {from_marked(syllable) for syllable in {*phrases, *characters}}
    raised = {f"{syllable[:-1]}2" for syllable in known if syllable.endswith("3")}
    return tuple(sorted(known | raised | {syllable[:-1] + NEUTRAL for syllable in known}))


@functools.cache
def from_marked(syllable: str) -> str:
    """`zhōng` as `zhong1`. Rare ê (诶) is written ei, the reading that dictionaries give beside it."""
    digit = to_tone3(syllable, v_to_u=False, neutral_tone_with_five=True)
    return digit.replace("ê", "ei")


def accented(syllable: str) -> str:
    """`zhong1` as `zhōng`, `lv4` as `lǜ`, `de5` as `de`."""
    return to_tone(syllable.removesuffix(NEUTRAL))


@functools.cache
def _bases() -> frozenset[str]:
    return frozenset(syllable[:-1] for syllable in all_syllables())


def token_lines(syllables: Iterable[str]) -> list[str]:
    """The lines of tokens.txt: `<blk> 0`, then the distinct syllables in C order, numbered from 1."""
    return [f"{token} {number}" for number, token in enumerate([BLANK, *sorted(set(syllables))])]


def read_tokens(path: Path) -> list[str]:
    """The tokens in the order of their ids.

    Raises UserError if the ids are not 0, 1, 2 …, if a token is there twice, and if 0 is not <blk>.
    """
    tokens, seen = [], set()
    for number, line in enumerate(utf8_lines(path, TOKENS_FIRST, if_not_utf8=TOKENS_AGAIN)):
        fields = line.split()
        if len(fields) != 2 or fields[1] != str(number):
            raise UserError(f"{path}:{number + 1}: expected `token {number}`, found {line[:100]!r}{TOKENS_AGAIN}")
        if fields[0] in seen:
            raise UserError(f"{path}:{number + 1}: {fields[0]} is there twice{TOKENS_AGAIN}")
        seen.add(fields[0])
        tokens.append(fields[0])
    if tokens[:1] != [BLANK]:
        raise UserError(f"{path}: token 0 must be {BLANK}, CTC's blank{TOKENS_AGAIN}")
    return tokens


def tokens_hash(tokens: list[str]) -> str:
    """The hash by which checkpoints and graphs know the tokens that they were made for."""
    return hashlib.sha256("\n".join(tokens).encode()).hexdigest()
