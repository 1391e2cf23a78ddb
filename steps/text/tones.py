"""Tones that speech changes: 一 and 不 by what follows, and words' weak syllables. Policies of `pinyin:` in conf/.

sandhi: `citation` gives 一 and 不 their own tone (yi1, bu4) everywhere. `lexical` changes it in the words for which the
dictionary says so (一直 yi4 zhi2, 不是 bu2 shi4) and nowhere else, as THCHS-30's transcripts do. `spoken` changes it as
speech does: 一 to yi2 and 不 to bu2 before a fourth tone, 一 to yi4 before the others, save in numbers and ordinals. It
changes a third tone before another to a second (你好 ni2 hao3): within words first (展览馆 zhan2 lan2 guan3, but
小老虎 xiao3 lao2 hu3), then in pairs of words of one character, then from right to left, so that a syllable changes
where the next still has its third tone (选举法很有用 fa3 hen2 you3; Chen 2000, Tone Sandhi).
"""

import re
from collections.abc import Iterable, Sequence

from steps.text.grammar import DIGITS, Clause, doubled_verbs, is_word

HUNDREDS = ("百", "千", "万", "亿")
UNITS = tuple("〇零一二两三四五六七八九十")
ORDINAL_BEFORE = tuple("第初期周拜")  # 第一, 初一, 星期一, 周一, 礼拜一
DAY_BEFORE = tuple("期周拜初十")  # 周一一早: the second one begins a word
BOUND_BEFORE = tuple("统唯专单划逐之其")  # 统一, 唯一, 之一: the word ends with it
ORDINAL_BEHIND = re.compile(  # 一月 is January, 一楼 the ground floor, 一点五 a decimal number
    "[月日号楼审]|单元|年级|把手|(?<![了高低升降差每上下]一)级(?!级)|流(?![了到进出入])|班(?![人车])|等[奖品功舱座]|"
    "线(?:城市|员工|医|工作|明星)|期工程|点[零一二三四五六七八九](?![十刻分])")
COMPLEMENTS = tuple("到住见下过上去动")  # 看不到, 拿不住: "cannot", two words although the dictionary knows 不到


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
        again = at > 1 and clause.text[at - 2] == char  # 一步一步
        if clause.text.startswith("一数二", at):  # 数一数二
            found[at] = "yi1"
        elif at and clause.text[at - 1] == behind != char and behind not in DIGITS and not again:
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
    ordinal = before in (*ORDINAL_BEFORE, *BOUND_BEFORE) or ORDINAL_BEHIND.match(text, at + 1)
    if before == "一" and text[max(at - 2, 0) : at - 1] in DAY_BEFORE and behind and behind not in DIGITS:
        return "2" if _is_fourth(behind, syllables[at + 1]) else "4"
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


def third_tones(words: Iterable[str], syllables: Sequence[str]) -> dict[int, str]:
    """Third tones that become second ones before a third, by the place of the syllable in the clause.

    `syllables` are those of the words' characters. A syllable changes where, at the joint of two parts, the second part
    begins with a third tone as it then sounds; smaller parts are joined first.
    """
    said = list(syllables)
    start, feet = 0, []
    for word in words:
        _join_halves(word, start, said)
        feet.append((start, len(word)))
        start += len(word)
    before = 0  # characters of the foot before, a single one that is open for a second
    for start, length in feet:
        if start and length == 1 and before == 1:
            _join(start, said)
            before = 0
        else:
            before = length
    for start, _ in reversed(feet[1:]):
        _join(start, said)
    return {at: syllable for at, syllable in enumerate(said) if syllable != syllables[at]}


def doubled_third_tones(clause: Clause, syllables: Sequence[str]) -> dict[int, str]:
    """The first of a doubled verb in the third tone, which the second one raises before it loses its tone: 走走 zou2
    zou5, but 姐姐 jie3 jie5."""
    return {at - 1: f"{syllables[at - 1][:-1]}2" for at in doubled_verbs(clause)
            if syllables[at - 1].endswith("3") and syllables[at].endswith("5")}


def _join(start: int, said: list[str]) -> None:
    if said[start - 1].endswith("3") and said[start].endswith("3"):
        said[start - 1] = said[start - 1][:-1] + "2"


def _join_halves(word: str, start: int, said: list[str]) -> None:
    """Join the parts of a word of two and more: 展览|馆, 小|老虎, 理想|主义."""
    if len(word) < 2:
        return
    right = len(word) == 3 and is_word(word[1:]) and not is_word(word[:2])
    cut = 1 if right or len(word) == 2 else 2
    _join_halves(word[:cut], start, said)
    _join_halves(word[cut:], start + cut, said)
    _join(start + cut, said)


def sandhi_blind(syllables: Sequence[str]) -> list[str]:
    """The syllables with what sandhi may change written in one way, so that any policy's labels come out alike.

    In a row of second and third tones, those before its last third tone are second (你好 is ni2 hao3 in either policy,
    小老虎 xiao2 lao2 hu3); yi and bu before a tone that sandhi answers to are yi1 and bu4.
    """
    found = list(syllables)
    raised = before_third(syllables)
    for at in reversed(range(len(found))):
        base, tone = found[at][:-1], found[at][-1]
        behind = found[at + 1][-1] if at + 1 < len(found) else ""
        if base == "yi" and behind and tone == ("2" if behind == "4" else "4"):
            found[at] = "yi1"
        elif base == "bu" and tone == "2" and behind == "4":
            found[at] = "bu4"
        elif at in raised:
            found[at] = base + "2"
    return found


def before_third(syllables: Sequence[str]) -> set[int]:
    """The places in rows of second and third tones before a row's last third tone: a second tone that is heard there
    may be a third one."""
    found, third = set(), False  # whether a third tone follows in this row
    for at in reversed(range(len(syllables))):
        tone = syllables[at][-1]
        if third and tone in "23":
            found.add(at)
        third = tone == "3" or (third and tone == "2")
    return found
