"""Characters whose reading the sentence decides: particles and measure words that no dictionary of words can settle.

Each rule looks at one clause, its segmentation with jieba's part-of-speech tags, and the syllables so far, and returns
the readings it would change, by position. Tags: github.com/fxsjy/jieba lists them (a adjective, d adverb, f locality,
i idiom, l set phrase, m numeral, n noun, p preposition, q measure word, r pronoun, u particle, v verb, z state).
"""

from typing import NamedTuple

DIGITS = tuple("〇零一二两三四五六七八九十百千万亿")
COUNTING = (*DIGITS, *"这那哪每几半数")
PLACES = "上下里中内外面"  # 地上, 地下, 地里 …: ground, not a particle
ATTRIBUTE_TAGS = ("m", "q", "r", "p", "u", "f", "ns", "nt", "c")  # before 地 they make a noun phrase of it
DOUBLED = tuple("看试想说听问走坐等找写读学玩谈聊歇尝管帮洗吃喝穿用唱跳跑逛摸算查讲教笑睡晒动转练猜量拍擦扫收")
CHILDREN = tuple(f"{before}儿" for before in "女婴幼孤少健男胎血妻宠育托孙生小患弃侄")
STATE_TAGS = ("a", "d", "i", "l", "z")


class Token(NamedTuple):
    """A word of jieba's segmentation."""

    start: int
    hanzi: str
    tag: str

    @property
    def end(self) -> int:
        """The position behind its last character."""
        return self.start + len(self.hanzi)


class Clause(NamedTuple):
    """Text between two marks of punctuation, without blanks."""

    text: str
    tokens: list[Token]

    def around(self, index: int) -> tuple[Token | None, Token, Token | None]:
        """A token and its neighbours."""
        behind = self.tokens[index + 1] if index + 1 < len(self.tokens) else None
        return self.tokens[index - 1] if index else None, self.tokens[index], behind


def adverbial_di(clause: Clause) -> dict[int, str]:
    """地 that makes an adverb of what stands before it (紧张地忙碌) is de5; ground, place (各地, 堂屋地上) are di4."""
    found = {}
    for index, token in enumerate(clause.tokens):
        before, token, behind = clause.around(index)
        if token.hanzi[-1] != "地" or behind is None:
            continue
        if len(token.hanzi) == 1:
            adverbial = before is not None and _makes_adverb(before, behind)
        else:
            adverbial = len(token.hanzi) > 2 and token.tag[0] in STATE_TAGS
        if adverbial:
            found[token.end - 1] = "de5"
    return found


def _makes_adverb(before: Token, behind: Token) -> bool:
    if len(before.hanzi) == 1:
        return before.tag in ("z", "zg", "o", "d") or (behind.hanzi[0] == "一" and before.tag[0] not in "un")
    if _repeats(before.hanzi) or before.hanzi[-1] in "样般":
        return True
    if before.tag.startswith(ATTRIBUTE_TAGS):
        return False
    return before.tag[0] in STATE_TAGS or behind.hanzi[0] not in PLACES


def _repeats(word: str) -> bool:
    """Whether a character stands twice in a word: 一次次, 轻轻, 一步一步."""
    return len(set(word)) < len(word)


def complement_de(clause: Clause) -> dict[int, str]:
    """得 between a verb or adjective and what it leads to (急得直哭) is the particle de5."""
    found = {}
    for index, token in enumerate(clause.tokens):
        before, token, behind = clause.around(index)
        if token.hanzi == "得" and before is not None and behind is not None and before.tag[0] in "vaiz":
            found[token.start] = "de5"
    return found


def must_dei(clause: Clause) -> dict[int, str]:
    """得 between an adverb or pronoun and a verb (必须得有, 我得走) means must: dei3."""
    found = {}
    for index, token in enumerate(clause.tokens):
        before, token, behind = clause.around(index)
        if token.hanzi != "得" or before is None or behind is None:
            continue
        if before.tag[0] in "dr" and behind.tag[0] in "vdp":
            found[token.start] = "dei3"
    return found


def unable_liao(clause: Clause) -> dict[int, str]:
    """了 in V不了 (受不了, 忘 不了) is the verb liao3: can't."""
    found = {}
    for index in range(len(clause.tokens)):
        before, token, _ = clause.around(index)
        at = token.hanzi.find("不了")
        if at > 0 or (at == 0 and before is not None and before.tag[0] == "v"):
            found[token.start + at + 1] = "liao3"
    return found


def measure_zhi(clause: Clause) -> dict[int, str]:
    """只 behind a number or 这 那 哪 每 几 半 counts animals and things: zhi1."""
    return {at: "zhi1" for at, char in enumerate(clause.text)
            if char == "只" and at and clause.text[at - 1] in COUNTING}


def doubled_verbs(clause: Clause) -> list[int]:
    """The positions of doubled verbs' second syllables, which lose their tone: 看看, 试试, but not 说说笑笑."""
    inside_longer = {at for token in clause.tokens if len(token.hanzi) > 3 for at in range(token.start, token.end)}
    return [at for at in range(1, len(clause.text))
            if clause.text[at] == clause.text[at - 1] and clause.text[at] in DOUBLED and at not in inside_longer]


def erhua(clause: Clause) -> dict[int, str]:
    """儿 as a suffix (玩儿, 一点儿) is er5; 儿 as child (女儿, 婴儿) keeps its tone."""
    return {token.end - 1: "er5" for token in clause.tokens
            if len(token.hanzi) > 1 and token.hanzi[-1] == "儿" and not token.hanzi.endswith(CHILDREN)}
