"""Tones that speech changes: 一 and 不 by what follows, and words' weak syllables. Policies of `pinyin:` in conf/.

sandhi: `citation` gives 一 and 不 their own tone (yi1, bu4) everywhere. `lexical` changes it in the words for which the
dictionary says so (一直 yi4 zhi2, 不是 bu2 shi4) and nowhere else, as THCHS-30's transcripts do. `spoken` changes it as
speech does: 一 to yi2 and 不 to bu2 before a fourth tone, 一 to yi4 before the others, save in numbers and ordinals.
Third-tone sandhi is never written.
"""

from steps.text.grammar import DIGITS, Clause

HUNDREDS = ("百", "千", "万", "亿")
UNITS = tuple("〇零一二两三四五六七八九十")
ORDINAL_BEFORE = tuple("第初期周拜")  # 第一, 初一, 星期一, 周一, 礼拜一
BOUND_BEFORE = tuple("统唯专单划逐之其")  # 统一, 唯一, 之一: the word ends with it
ORDINAL_BEHIND = tuple("月日号")  # 一月 is January
COMPLEMENTS = tuple("到住见下过上去动")  # 看不到, 拿不住: "can't", two words although the dictionary knows 不到


def citation_tones(clause: Clause) -> dict[int, str]:
    """一 and 不 as they are read alone."""
    own = {"一": "yi1", "不": "bu4"}
    return {at: own[char] for at, char in enumerate(clause.text) if char in own}


def lexical_tones(clause: Clause) -> dict[int, str]:
    """Where the dictionary's 一 and 不 is part of a longer number (十一个) or of a complement (看不到): no sandhi."""
    text, found = clause.text, {}
    for at, char in enumerate(text):
        if char == "一" and at and text[at - 1] in DIGITS and text[at + 1 : at + 2] not in HUNDREDS:
            found[at] = "yi1"
        if char == "不" and at and text[at + 1 : at + 2] in COMPLEMENTS and _verb_ends_at(clause, at):
            found[at] = "bu4"
    return found


def spoken_tones(clause: Clause, syllables: list[str]) -> dict[int, str]:
    """Sandhi of 一 and 不 before the syllable that follows, and neutral between a doubled verb (看一看, 去不去)."""
    found = {}
    for at, char in enumerate(clause.text):
        if char not in "一不":
            continue
        base = "yi" if char == "一" else "bu"
        behind = clause.text[at + 1 : at + 2]
        if at and behind and clause.text[at - 1] == behind and behind not in DIGITS:
            found[at] = base + "5"
        elif char == "一":
            found[at] = base + _tone_of_yi(clause, at, syllables)
        else:
            found[at] = base + ("2" if behind and _is_fourth(behind, syllables[at + 1]) else "4")
    return found


def _tone_of_yi(clause: Clause, at: int, syllables: list[str]) -> str:
    text = clause.text
    behind, before = text[at + 1 : at + 2], text[max(at - 1, 0) : at]
    in_number = behind in UNITS or (before in DIGITS and behind not in HUNDREDS)
    ordinal = before in (*ORDINAL_BEFORE, *BOUND_BEFORE) or behind in ORDINAL_BEHIND
    if not behind or in_number or ordinal or _word_ends_behind(clause, at):
        return "1"
    return "2" if _is_fourth(behind, syllables[at + 1]) else "4"


def _is_fourth(char: str, syllable: str) -> bool:
    return syllable.endswith("4") or char == "个"


def _word_ends_behind(clause: Clause, at: int) -> bool:
    """Whether the character at `at` ends a word of several: 统一, 唯一."""
    return any(token.end == at + 1 and len(token.hanzi) > 1 for token in clause.tokens)


def _verb_ends_at(clause: Clause, at: int) -> bool:
    return any(token.start < at <= token.end and (token.tag[0] == "v" or token.end > at) for token in clause.tokens)


def sounds_otherwise(syllable: str, following: str) -> bool:
    """Whether speech changes the tone that pinyin writes: a third one before another sounds like a second."""
    return syllable.endswith("3") and following.endswith("3")
