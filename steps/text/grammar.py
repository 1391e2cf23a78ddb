"""Characters whose reading the sentence decides: particles and measure words that no dictionary of words can settle.

Each rule looks at one clause, its segmentation with jieba's part-of-speech tags, and the syllables so far, and returns
the readings it would change, by position. Tags: github.com/fxsjy/jieba lists them (a adjective, d adverb, f locality,
i idiom, l set phrase, m numeral, n noun, p preposition, q measure word, r pronoun, u particle, v verb, z state).
"""

import functools
import re
from typing import NamedTuple

import rjieba

RULED = frozenset("了地着得为只一不个儿")  # what rules, here and of sandhi, are about, beside doubled characters
DIGITS = tuple("〇零一二两三四五六七八九十百千万亿")
COUNTING = (*DIGITS, *"这那哪每几半数")
PLACES = "上下里中内外面"  # 地上, 地下, 地里 …: ground, not a particle
GROUND_BEHIND = tuple("着到离落扫拖擦扒种耕租买占圈")  # 够不着地, 在这里拖地
ATTRIBUTE_TAGS = ("m", "q", "r", "p", "u", "f", "ns", "nt", "c")  # before 地 they make a noun phrase of it
DOUBLED = frozenset(
    "看试想说听问走坐等找写读学玩谈聊歇尝管帮洗吃喝穿用唱跳跑逛摸算查讲教笑睡晒动转练猜量拍擦扫收劝夸瞧瞅遛逗揉捏敲闻改补修催骂"
    "挠抱躺吹烤涮搅拌煮称认记背咬调拖铺叠挂搬抬推挪让躲避停养陪接送品掂捶按蹭搓涂抹评砍提润练摇伸踢扭招挥握眨跺耸抖踩换"
    "磕熬炖摘捡夹剪掏翻晾甩捅戳拧掰擀剁醒消解压降败租借挑扶梳盖"
    "剃刻吸喊嚼塞填弄扒抄抓抠抽拆拼拿挖挤捂捆捞捣探插搁搂搞搭撑撒撕敷敬染浇漱炒炸烧煎熏熨照爬牵瞄磨站筛绕编耍蘸训议赶蹲递遮选钓"
    "锯靠骑骗化量削")
DOUBLED_BEFORE = re.compile(  # verbs here, something else elsewhere: 散散步, 点点头
    "散散[步心味]|松松[土口绑]|[透通]{2}[气风]|暖暖[身手胃]|热热[身菜饭]|弯弯腰|开开[窗门眼]|(?<!一)点点(?:[头名数菜]|$)|张张[嘴口]|把把[关脉]|"
    "鼓鼓[掌劲]|洒洒水|过过[瘾目]|出出[气主汗]|去去[火味]|比比(?![皆较])|拉拉[手关家]|缓缓(?:再|吧|$)|拜拜[年佛神]|画画图|"
    "理理[发头]|泡泡[脚澡]|(?<=[们你我来])分分$|弹弹(?![的跳])|晃晃[瓶杯脑头手]|会会[他她]|见见[他她世面]|打打(?=[^闹杀])|烫烫(?!的)|喘喘气|哄哄[孩他她我你宝]")
DOUBLED_TWICE = re.compile(r"(.)\1(?!\1)(.)\2")  # 说说笑笑
# Behind a verb of the same character: 剪剪刀.
MADE_OF_VERBS = re.compile(".[子把户]|剪刀|扶手|量杯|挂面|[背提]包|抱枕|挂钩|烤[箱鸭肉]|练习|补贴")
CHILDREN = tuple(f"{before}儿" for before in "女婴幼孤少健男胎血妻宠育托孙生小患弃侄运产形能潮")  # 幸运儿, 早产儿
STATE_TAGS = ("a", "d", "i", "l", "z")
FIELD = re.compile("[这那几两二三四五十百有种租买包]+[块片亩]$")  # before 地: land
COUNTED = re.compile(  # 会数数 is shu3 shu4, to count numbers
    "数数(?=看|有|吧|这|那|一共|清|日子|钱|手)|(?<=[再来去我帮])数数$")
AND_SO_ON = re.compile("(?<=[^再先请你我他她们就来，])等等(?=$|[的都方问等一这地原])")  # no verb
ONE_BY_ONE = re.compile(r"(一..?|[大小很].)又?\1$")  # 一口一口地, 一遍又一遍地
MODALS = (  # before 得, must; before 得了, no verb
    *"还就也都全总又只可非真先便这那仍却", "必须", "一定", "现在", "今天", "明天", "后天", "早晚", "恐怕", "怕是",
    "看来", "大概", "可能", "肯定", "也许", "或许", "估计", "说不定", "应该", "看样子", "前", "后", "下回",
    "下次", "至少", "起码", "八成", "多半", "迟早", "铁定", "一准", "准", "保不齐", "没准",
    "当然", "往往", "一般", "最后", "下周", "周末", "有时", "不行", "别急", "不急")
PRIZES = re.compile("[第冠亚季奖金银铜满高病癌一]|这(?!么)|感冒")  # behind 得了, what one gets
ENDS = re.compile("$|[吗吧呢么的这那你我他她谁多啊]")  # behind V得了, can
ATTAINED = "睡猜逮"  # 睡着, 猜着: always attained; the others with 了 behind alone: 找着了
ATTAINED_WITH_LE = "找够买抓捉碰见遇借摸点烧打犯数用抢捞赶轮排占赚挣讨骗"
NAMING = tuple(
    "展称选评定列视变化分改设誉译作转升降折推拜尊奉封引传合换立授认判沦贬演成聘指解当扩增减缩并名划拆夷结俗喻")
WHOM = tuple("我你您他她它咱谁何此这那")  # behind 为, for
MAIN = (*"主辅首准止荣例限先本重", "己任", "主要", "核心", "中心", "基础")  # behind 为, in 以 … 为主
MEASURED = tuple("率度高长重积量值价龄额数间期速温比号名径宽深厚距寿史")


class Token(NamedTuple):
    """A word of jieba's segmentation."""

    start: int
    hanzi: str
    tag: str

    @property
    def end(self) -> int:
        """The position after its last character."""
        return self.start + len(self.hanzi)


@functools.cache
def is_word(hanzi: str) -> bool:
    """Whether jieba does not cut it."""
    return len(rjieba.cut(hanzi, hmm=False)) == 1


NO_TOKEN = Token(0, " ", " ")  # beyond the ends of a clause


class Clause(NamedTuple):
    """Text between two marks of punctuation, without blanks."""

    text: str
    tokens: list[Token]

    def around(self, index: int) -> tuple[Token | None, Token, Token | None]:
        """A token and its neighbours."""
        behind = self.tokens[index + 1] if index + 1 < len(self.tokens) else None
        return self.tokens[index - 1] if index else None, self.tokens[index], behind


def tagged(text: str) -> Clause:
    """The clause with jieba's words and their classes."""
    tokens, start = [], 0
    for hanzi, tag in rjieba.tag(text, hmm=False):
        tokens.append(Token(start, hanzi, tag))
        start += len(hanzi)
    return Clause(text, tokens)


def adverbial_di(clause: Clause) -> dict[int, str]:
    """地 that makes an adverb of what stands before it (紧张地忙碌) is de5; ground, place (各地, 堂屋地上) are di4."""
    found = {}
    for index, token in enumerate(clause.tokens if "地" in clause.text else ()):
        before, token, behind = clause.around(index)
        if token.hanzi[-1] != "地":
            continue
        if ONE_BY_ONE.search(clause.text[: token.end - 1]):
            found[token.end - 1] = "de5"
            continue
        if FIELD.search(clause.text[: token.start]):
            continue
        if len(token.hanzi) == 1:
            adverbial = before is not None and _makes_adverb(before, behind or NO_TOKEN)
        else:
            adverbial = len(token.hanzi) > 2 and (_repeats(token.hanzi) or token.hanzi[-2] in "性般" or (
                token.tag[0] in (STATE_TAGS if len(token.hanzi) == 3 else "d")))  # 周期性地, but 祖国各地
        if adverbial:
            found[token.end - 1] = "de5"
    return found


def _makes_adverb(before: Token, behind: Token) -> bool:
    if behind is NO_TOKEN and before.hanzi[-1] in GROUND_BEHIND:
        return False
    if len(before.hanzi) == 1:
        return before.tag in ("z", "zg", "o", "d") or (behind.hanzi[0] == "一" and before.tag[0] not in "un")
    if _repeats(before.hanzi) or before.hanzi[-1] in "样般":
        return True
    if before.tag.startswith(ATTRIBUTE_TAGS) and before.hanzi[-1] != "声":
        return False
    return before.tag[0] in STATE_TAGS or (behind is not NO_TOKEN and behind.hanzi[0] not in PLACES)


def _repeats(word: str) -> bool:
    """Whether a character stands twice in a word: 一次次, 轻轻, 一步一步."""
    return len(set(word)) < len(word)


def distance_back(text: str, at: int) -> int:
    """How far before `at` the same character stands that is read alike: 量了量, 数一数, 一只只; 0 if it does not."""
    if at > 1 and text[at] == text[at - 2] and text[at - 1] in "了一":
        return 2
    return int(at > 1 and text[at] == text[at - 1] and text[at - 2] == "一")


def able_liao(clause: Clause) -> dict[int, str]:
    """了 in V不了 and V得了 (受不了, 去得了吗) is the verb liao3, can, cannot; the first 了 in 终于了了 also is."""
    if "了" not in clause.text:
        return {}
    found = {match.start(): "liao3" for match in re.finditer("(?<=[^除为罢])了(?=了(?!解|如|然|断))", clause.text)}
    for match in re.finditer("[不得]了(?!解|结|然|却|断|如指掌)", clause.text):
        at, before = match.start(), _word_at(clause, match.start() - 1)
        if before is None:
            continue
        if match[0] == "得了" and clause.text[at - 1] == "不":
            found |= {at: "de2", at + 1: "liao3"}
        elif match[0] == "不了" and (before.end > at or before.tag[0] in "vag"):
            found[at + 1] = "liao3"
        elif match[0] == "得了" and _is_able(clause, before, at):
            found |= {at: "de5", at + 1: "liao3"}
    return found


def _is_able(clause: Clause, before: Token, at: int) -> bool:
    """Whether 得了 at `at` is after a verb, and nothing that one gets is after it."""
    if before.end > at + 1:  # one word: 干得了
        return ENDS.match(clause.text, at + 2) is not None
    if before.hanzi in (*MODALS, "考试", "比赛") or PRIZES.match(clause.text, at + 2):
        return False
    if before.hanzi == "快" and "能" not in clause.text:  # 饭快得了
        return False
    if before.tag == "v" and len(before.hanzi) > 1 and before.end == at:
        return True
    return before.tag[0] in "vagz" and before.end == at and ENDS.match(clause.text, at + 2) is not None


def _word_at(clause: Clause, at: int) -> Token | None:
    return next((token for token in clause.tokens if token.start <= at < token.end), None)


def attained_zhao(clause: Clause) -> dict[int, str]:
    """着 in V不着, V得着 (够不着), behind verbs of attaining (睡着, 找着了, 找着钥匙了) and alone as a verb, to burn
    (就着了), is zhao2."""
    if "着" not in clause.text:
        return {}
    pattern = (f"(?<=.)[不得]着(?![急手想落重眼陆痕调色装墨笔]|边[际沿])|[{ATTAINED}]着|"
               f"[吓烫碰伤]着(?=孩子|人|[我你他她小老])|"
               f"[{ATTAINED_WITH_LE}]着(?:了|[^，的]{{1,4}}了$)|"
               f"没[{ATTAINED_WITH_LE}]着(?:$|过|[人你我他她谁]|什么|东西|便宜|好处)|没[买找抢逮捞赚挣骗]着|差点儿?.?[踩碰撞绊烫扎砸]着|"
               "[就又也没都火灯炉房库柴车烛煤楼]子?着(?=了|起来)|[就才]着$|"
               "别[饿冻累吓烫伤碰摔晒热呛噎]着(?=$|了|孩子)|[蒙吓累冻饿]着(?=了)|着(?=了魔)|打着(?=火(?:$|了|没))|着(?=过[一两几]?[次回场]?火)|还着$")
    return {match.start() + match[0].index("着"): "zhao2" for match in re.finditer(pattern, clause.text)}


def readings_of_wei(clause: Clause) -> dict[int, str]:
    """为 alone: wei2, to be or become (称为, 以人为本, 长度为三米), or wei4, for (为你骄傲)."""
    found = {}
    for index, token in enumerate(clause.tokens if "为" in clause.text else ()):
        if token.hanzi == "为":
            found[token.start] = "wei2" if _is_copula(clause, index) else "wei4"
        elif token.hanzi[-1] == "为" and token.hanzi[-2] not in "因专特只":
            found[token.end - 1] = "wei2"
        elif "为" in token.hanzi[1:-1]:  # 成则为王, but 舍己为人
            at = token.hanzi.index("为", 1)
            found[token.start + at] = "wei4" if token.hanzi[at + 1] in "人民国己我你他她" else "wei2"
    return found


def _is_copula(clause: Clause, index: int) -> bool:
    before, token, behind = clause.around(index)
    if behind is None:
        return True
    if behind.tag[0] == "r" or behind.hanzi in ("了", "着") or behind.hanzi.startswith(WHOM):
        return False
    if before is not None and before.hanzi in ("去", "来", "能", "会", "要", "想", "专门", "愿意", "可以"):
        return False
    ahead = clause.text[: token.start]
    if re.search("以[^，]{1,12}$", ahead) or re.match(".{1,8}所", clause.text[token.end :]):
        return True
    if before is not None and (before.hanzi[-1] in NAMING or before.hanzi[-1] in MEASURED):
        return True
    if (behind.tag[0] == "m" and behind.hanzi[0] != "一") or behind.hanzi in MAIN:
        return True
    later = clause.tokens[index + 1 :]
    idiom = len(later) > 1 and later[-1].tag[0] in "il" and len(later[-1].hanzi) == 4 and later[-2].hanzi != "的"
    acts = idiom or any(word.tag[0] == "v" for word in later) or re.search("..[了过着].", clause.text[token.end :])
    return before is not None and not acts


def measure_zhi(clause: Clause) -> dict[int, str]:
    """只 behind a number or 这 那 哪 每 几 半 counts animals and things: zhi1."""
    return {at: "zhi1" for at, char in enumerate(clause.text if "只" in clause.text else "")
            if char == "只" and at and clause.text[at - 1] in COUNTING}


def doubled_verbs(clause: Clause) -> list[int]:
    """The positions of doubled verbs' second syllables, which lose their tone: 看看, 试试, but not 说说笑笑."""
    if len(set(clause.text)) == len(clause.text):
        return []
    text, listed = clause.text, {match.start() + 1 for match in AND_SO_ON.finditer(clause.text)}
    in_words = {at for token in clause.tokens if len(token.hanzi) > 3 for at in range(token.start, token.end)}
    in_words |= {token.end for token in clause.tokens if len(token.hanzi) > 1 and token.hanzi[0] not in "来再去"}
    in_words |= {at for match in DOUBLED_TWICE.finditer(text) if DOUBLED.issuperset(match.groups())
                 for at in range(*match.span())}
    counted = [match.start() + 1 for match in COUNTED.finditer(text)]
    found = {match.start() + 1 for match in DOUBLED_BEFORE.finditer(text)} | {
        at for at in range(1, len(text)) if text[at] == text[at - 1] and text[at] in DOUBLED
        and text[at] not in (text[at - 2 : at - 1], text[at + 1 : at + 2]) and at not in listed
        and not MADE_OF_VERBS.match(text, at)}
    return counted + sorted(found - in_words)


def erhua(clause: Clause) -> dict[int, str]:
    """儿 as a suffix (玩儿, 一点儿) is er5; 儿 as child (女儿, 婴儿) keeps its tone."""
    return {token.end - 1: "er5" for token in (clause.tokens if "儿" in clause.text else ())
            if token.end > 1 and token.hanzi[-1] == "儿"
            and not clause.text[: token.end].endswith(CHILDREN)}
