"""Traditional characters: simplified ones in their place, by which dictionaries and rules know them (OpenCC), and the
readings that the traditional character alone decides.

The text itself keeps its characters: only its reading goes by the simplified ones.
"""

import functools
import re

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
    from opencc import OpenCC  # most texts don't need it

    return OpenCC("t2s")


@functools.cache
def _of_character(char: str) -> str:
    plain = _converter().convert(char)
    return plain if len(plain) == 1 else char
