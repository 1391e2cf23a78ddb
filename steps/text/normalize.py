"""Raw text to clauses of hanzi and Latin words: width, numbers, units, punctuation; traditional to simplified.

The raw text stays as it is. Dictionaries and rules know the simplified characters (OpenCC), which stand for the
traditional ones while a text is read; some readings the traditional character alone decides.
"""

import functools
import re
import unicodedata
from difflib import SequenceMatcher
from typing import NamedTuple

from steps.text.numbers import rewrite

SIGNS = "&@%#*/\\_§†‡‰"  # Unicode counts them as punctuation, but people say them
ROMAN = re.compile("[IVX]{2}")  # perhaps a Roman number
EXPONENT = re.compile("(?:(?<=\\d)|(?<=(?<![A-Za-z])[abcnrxyz])|(?<=[\\w][)）]))⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")  # m² is an area
TILDE = "~"  # and this, a mark of a drawn-out word, as a mathematical sign
# The names that speakers of Mandarin give to the English letters, as near as pinyin comes to them.
LETTERS = {
    "A": "ei1", "B": "bi4", "C": "xi1", "D": "di4", "E": "yi4", "F": "ai2 fu5", "G": "ji4", "H": "ai2 chi5", "I": "ai4",
    "J": "zhei4", "K": "kei1", "L": "ai2 lou5", "M": "ai2 mu5", "N": "en1", "O": "ou1", "P": "pi4", "Q": "qiu1",
    "R": "a1 er5", "S": "ai2 si5", "T": "ti4", "U": "you1", "V": "wei1", "W": "da2 bu5 liu5", "X": "ai2 ke4 si5",
    "Y": "wai4", "Z": "zei2",
}
NO_TEXT = re.compile("[\ud800-\udfff]")  # of bytes that are no UTF-8
HEARD = (
    "(?:大|轻|偷|苦|冷)?笑声?|哭声?|掌声|鼓掌|音乐声?|背景(?:音乐|音|声|噪音)|咳嗽声?|咳|叹气声?|叹息|停顿|沉默|静音|静默|无声|噪音|噪声|杂音|呼吸声?|"
    "吸气声?|喘气声?|清嗓子?|打喷嚏|喷嚏|听不清楚?|听不见|听不懂|不清|不清楚|铃声|(?:欢呼|尖叫|脚步|敲门|关门|汽车|喇叭|[风雨雷歌琴钟枪炮水人])声")
MARKER = re.compile(  # of what is heard and not said, as many transcripts have it: <NOISE>, <s>, [LAUGH], SIL, (笑)
    r"(?<![A-Za-z0-9])</?[A-Za-z][^<>]*>|[\[{【][A-Z_]{2,}[\]}】]|(?<![A-Za-z])(?:SIL|SPN|NSN|UNK|NULL)(?![A-Za-z])|"
    rf"[\[({{<【〔](?:{HEARD})[\])}}>】〕]")
TITLE = re.compile("(?<![A-Za-z0-9])<(?=[^\x00-\x7f])([^<>]*)(?<=[^\x00-\x7f])>")  # as <红楼梦> for 《红楼梦》
WITHOUT_VOWEL = re.compile("[b-df-hj-np-tv-z]+")


class Normalized(NamedTuple):
    """Text ready to be read aloud."""

    clauses: tuple[str, ...]  # hanzi, letters, and blanks where the raw text had them; cut at punctuation
    changed: tuple[str, ...]  # what is spoken otherwise than written: `digits` (and units, signs), `latin`
    unread: tuple[str, ...]  # what is neither hanzi nor letter nor punctuation and was not read as a number; markers


def normalize(raw: str) -> Normalized:
    """Full-width forms narrowed, numbers with their units, dates and signs read as Mandarin (WeTextProcessing's rules),
    punctuation cut out; `unread` has all that is left, and markers of noise.
    """
    narrow = unicodedata.normalize("NFKC", EXPONENT.sub(_raised, NO_TEXT.sub("\ufffd", raw)))
    if markers := MARKER.findall(narrow):
        return Normalized((), (), tuple(markers))
    narrow = TITLE.sub(r"《\1》", narrow)
    spoken = narrow if _is_plain(narrow) else _speak_numbers(narrow)
    text = "".join("\n" if _is_punctuation(char) else char for char in spoken)
    clauses = tuple(" ".join(clause.split()) for clause in text.split("\n") if clause.strip())
    unread = tuple(char for clause in clauses for char in clause if not _is_speakable(char))
    numbers = ("digits",) if spoken != narrow else ()
    letters = ("latin",) if re.search("[a-zA-Z]", spoken) else ()
    return Normalized(clauses, numbers + letters, unread)


def _raised(match: re.Match[str]) -> str:
    """x² is the square of x, and 10⁻³ is ten to the power of -3, which the rules for numbers read."""
    return "的平方" if match[0] == "²" else f"^{match[0]}"


@functools.cache
def is_hanzi(char: str) -> bool:
    """Whether `char` is a Chinese character, in any plane, 〇 included."""
    return char == "〇" or unicodedata.name(char, "").startswith("CJK UNIFIED IDEOGRAPH")


def _is_plain(text: str) -> bool:
    """Whether there is nothing in `text` that the number rules might read."""
    return not ROMAN.search(text) and all(_is_speakable(char) or _is_punctuation(char) for char in text)


def _is_speakable(char: str) -> bool:
    return char.isspace() or is_hanzi(char) or (char.isascii() and char.isalpha())


@functools.cache
def _is_punctuation(char: str) -> bool:
    return char == TILDE or (unicodedata.category(char)[0] == "P" and char not in SIGNS)


def _speak_numbers(text: str) -> str:
    text = text.replace("\N{FRACTION SLASH}", "/")
    plain = simplified(text)
    spoken = _rules().normalize(rewrite(plain))
    if plain == text:
        return spoken
    kept = list(spoken)
    for start, target, length in SequenceMatcher(None, plain, spoken, autojunk=False).get_matching_blocks():
        kept[target : target + length] = text[start : start + length]
    return "".join(kept)


@functools.cache
def _rules():
    from wetext import Normalizer  # a second to import and load, and most texts do not need it

    return Normalizer(lang="zh", operator="tn")


def spell(word: str) -> tuple[str, ...]:
    """The syllables of an abbreviation: one letter, capitals (CEO, pH, iOS), or no vowel (ktv); empty for other words,
    which one reads as a whole (WiFi, hello) and nobody knows how but a user's dictionary."""
    if not word.isalpha():
        return ()
    if len(word) == 1 or word[1:].isupper() or WITHOUT_VOWEL.fullmatch(word):
        return tuple(syllable for letter in word.upper() for syllable in LETTERS[letter].split())
    return ()


# Where one simplified character stands for several traditional ones: 只 is zhi1 or zhi3, 隻 is zhi1 alone.
DECIDED = {
    "乾": "gan1", "幹": "gan4", "髮": "fa4", "發": "fa1", "隻": "zhi1", "衹": "zhi3", "祇": "zhi3", "鬥": "dou4",
    "揹": "bei1", "捲": "juan3", "儘": "jin3", "盡": "jin4", "髒": "zang1", "臟": "zang4", "縴": "qian4", "纖": "xian1",
    "捨": "she3", "蔔": "bo5", "係": "xi4", "沖": "chong1", "樸": "pu3", "癥": "zheng1", "籲": "yu4", "瞭": "liao3",
    "葉": "ye4", "術": "shu4", "適": "shi4", "穀": "gu3", "讎": "chou2", "佔": "zhan4", "喫": "chi1", "甯": "ning4",
    "薑": "jiang1", "鬍": "hu2", "夥": "huo3", "摺": "zhe2", "噹": "dang1", "颱": "tai2"}
SHARED = frozenset("乾後於夥摺菸麽藉瞭徵")  # traditional, although GB 2312 has them
KEPT = "乾瞭徵藉著"  # decide nothing if OpenCC leaves them: 乾坤, 瞭望
ZHU = re.compile(  # Taiwan writes 著 for 着, which the simplified script has in the words of zhu4 alone
    "(?<=[原名論论專专編编譯译巨顯显土卓昭遺遗合拙所較较知])著|著(?=[名述稱称者錄录]|作(?![業业])|[書书][立說说])|"
    "(?<=[他她曾並并])著(?=有)")


def is_basic(text: str) -> bool:
    """Whether the hanzi of `text` are all among the 6,763 of GB 2312, which are the common simplified ones."""
    try:
        text.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


def simplified(text: str) -> str:
    """`text` with simplified characters for traditional ones, one for each, and 着 for 著."""
    plain = text if is_basic(text) and SHARED.isdisjoint(text) else _converted(text)
    if "著" not in plain:
        return plain
    zhu = {match.start() for match in ZHU.finditer(text)}
    return "".join("着" if char == "著" and at not in zhu else char for at, char in enumerate(plain))


def _converted(text: str) -> str:
    plain = _converter().convert(text)
    return plain if len(plain) == len(text) else "".join(map(_of_character, text))


def decided(text: str, plain: str) -> dict[int, str]:
    """The readings, by position, that traditional characters of `text` decide; `plain` is the text simplified."""
    if text == plain:
        return {}
    return {at: DECIDED[char] for at, char in enumerate(text)
            if char in DECIDED and not (char in KEPT and plain[at] == char)}


@functools.cache
def _converter():
    from opencc import OpenCC  # most texts do not need it

    return OpenCC("t2s")


@functools.cache
def _of_character(char: str) -> str:
    plain = _converter().convert(char)
    return plain if len(plain) == 1 else char
