"""得: the particle de5 (跑得快), must, dei3 (我得走), or the verb, de2 (得了奖), by a clause's words and their tags.

RULES says which of them it is where it stands alone, the first that fits; steps/text/grammar.py has the tags.
"""

import re
from typing import NamedTuple

from steps.text.grammar import DIGITS, MODALS, NO_TOKEN, Clause, Token

DEGREES = tuple("很真太好更越不多最极挺特非十有比像跟如连飞那这")  # of 很 … 十分, 有点, 飞快: how it is done
AT_LEAST = ("起码", "至少", "最少", "恐怕", "大概", "估计")  # before 得 and a number: what is needed
GAINED = re.compile(  # what one gets, in 得奖, 得第一, 得感冒
    "[了到奖冠第病癌分铜名利钱感零几糖抑胜罪此]|[肺胃](?![都也里一像疼痛直要])|过(?![来去])|两(?![面腿眼手脚腮耳])|金(?![黄灿])|银(?!白)|流感|满分|高分|[好善恶][报果终]|一等|一块|一枚|一分|一百|一次|民心|天下")
OBJECTS = (  # of verbs: 开车得有驾照
    *"车病饭门班学课会书钱家票机酒烟澡觉婚房事菜站校店院楼电话戏球题字国烧冒号证信货款费税水汤药针泳山照牌棋鱼琴舞床脸牙妆礼假队架债约",
    "生意", "恋爱", "考试", "面试", "快递", "跑步", "散步", "健身", "出差", "工作", "旅游", "旅行", "洗手", "洗头",
    "回头", "租赁", "装修", "体检", "安检", "露营", "开锁", "炒股", "熬粥", "减肥", "考研")
TIMES = ("t", "c", "s")  # tags of times, conjunctions and places
THINGS = (  # nouns that jieba may take for something else
    *"树车饭路活票菜手米碗地盘锅面", "手续", "合同")
THINGS_FIRST = ("花", "锁")  # nouns at the beginning of a clause, behind 这种, verbs elsewhere: 花得浇水, 钱花得快
WITH = ("这么", "这样", "有", "跟", "和", "向", "把", "被", "从", "对")  # behind a noun and 得: 方案得跟客户商量
HOW = ("一手", "一口", "一身", "一脸", "一副", "一头", "一塌", "一干", "一清")  # 弹得一手好琴, 忘得一干二净
VERBS_TOO = (  # of the nouns: 气得说不出话
    *"病气处按烙裁卷换炸嗅画数量学问估藏飞流化肿闲旱锈涝赛种牧耕施传卡照结扇",
    "话说", "歌唱", "布置", "装饰", "设计", "表演", "演奏", "翻译", "描写", "刻画")
QUALITIES = re.compile(  # adjectives that jieba may take for something else: 热情得让人不好意思
    "天[黑亮]|头[晕疼痛]|心[慌疼酸]|[火痛热美香酸辣咸圆方空富帅酷精鲜假灵野静闲麻平晚多]|安静|宁静|文静|美丽|伤心|精彩|冷清|整齐|马虎|细心|礼貌|客气|热情|和气|可怕|单调|"
    "新鲜|陈旧|贵重|普通|特别|自然|大方|小气|空旷|结实|及时|缓慢|香甜|红润|苗条|天真|老实|真实|坦白|含蓄|明白|深刻|密集|生气|文明|"
    "陌生|红火")
DUTIES = (  # how one must do it: 这笔账得好好算算
    "好好", "重新", "及时", "按时", "尽快", "尽早", "小心", "当面", "提前", "定期", "一起", "分开", "一口一口", "一步",
    "一点一点", "一点点", "一个一个", "一件一件", "本人", "实名", "上心",
    "大点", "小点", "轻点", "慢点", "快点", "大声", "小声",
    "轻声", *"重多少早先再赶换修还给去找由让用按自亲马趁省问现从")
HAVE = re.compile("有(?![点些声条板模滋如说来])")  # 人得有骨气, but 说得有声有色
MOVING = re.compile("得[让叫令使]人[^去来]")  # 懂事得让人心疼
PASSIVE = re.compile("[被让叫把给][^，]{1,4}$")  # 手让门夹得生疼
TOLD = ("开心", "明白", "过去", "出口", "起劲", "有理", "在理", "动听", "流利")  # of 说得 …: how it is said
NEEDED = re.compile("(?<![累饿忙困病气哭笑走])得[一二两三四五六七八九十几百千万半]+个?"
                    "(?:小时|钟头|月|人|天|年|分钟|星期|礼拜|多|块|元|米|公里)")  # 回家得两个小时


def readings_of_de(clause: Clause) -> dict[int, str]:
    """得: the particle de5 (跑得快, 行得通), must, dei3 (我得走), or the verb, de2 (得了第一名)."""
    found = {}
    for index, token in enumerate(clause.tokens if "得" in clause.text else ()):
        if token.hanzi == "得":
            place = Place(clause, index)
            found[token.start] = next(reading for reading, fits in RULES if fits(place))
        elif "得" in token.hanzi[1:-1]:
            found[token.start + token.hanzi.index("得", 1)] = "de5"
        elif token.hanzi[0] == "得":  # 得法, 得劲, but 起得来
            able = token.hanzi == "得来" and index and clause.tokens[index - 1].tag[0] == "v"
            found[token.start] = "de5" if able else "de2"
        elif token.hanzi[-1] == "得":  # 冻得, which no dictionary of phrases has
            found[token.end - 1] = "de5"
    return found


class Place(NamedTuple):
    """A token 得 and what stands around it."""

    clause: Clause
    index: int  # of the token

    @property
    def ahead(self) -> Token:
        """The token before; empty if 得 begins the clause."""
        return self.clause.around(self.index)[0] or NO_TOKEN

    @property
    def behind(self) -> Token:
        """The token behind; empty if 得 ends the clause."""
        return self.clause.around(self.index)[2] or NO_TOKEN

    @property
    def rest(self) -> str:
        """The text from 得 on."""
        return self.clause.text[self.clause.tokens[self.index].start :]


def _takes_time(place: Place) -> bool:  # 回家得两个小时
    return NEEDED.match(place.clause.text, place.clause.tokens[place.index].start) is not None


def _is_told(place: Place) -> bool:  # 医生说得住院
    if place.index < 2 or place.ahead.hanzi != "说":
        return False
    speaker, behind = place.clause.tokens[place.index - 2], place.behind
    return speaker.tag[0] == "n" and behind.tag[0] in "vn" and not behind.hanzi.startswith((*DEGREES, *TOLD))


def _is_last(place: Place) -> bool:  # 值得
    return place.ahead is not NO_TOKEN and place.behind is NO_TOKEN


def _is_described(place: Place) -> bool:  # 美丽得像画, 弹得一手好琴
    return bool(QUALITIES.fullmatch(place.ahead.hanzi)) or (
        place.ahead.tag[0] == "v" and place.behind.hanzi.startswith(HOW) and not _is_object(place.ahead)) or (
        place.ahead.tag[0] in "vail" and MOVING.match(place.rest) is not None)


def _is_sum(place: Place) -> bool:  # 二加三得五
    return place.ahead.tag == place.behind.tag == "m" and place.ahead.hanzi[-1] in DIGITS


def _is_at_least(place: Place) -> bool:  # 起码得三天
    return place.ahead.hanzi in AT_LEAST and place.behind.tag == "m"


def _is_copied(place: Place) -> bool:  # 还价还得狠, 弹钢琴弹得好
    at = place.clause.tokens[place.index].start - 1
    return at > 1 and place.clause.text[at] in place.clause.text[max(0, at - 3) : at - 1]


def _is_gained(place: Place) -> bool:  # 得了奖, 得冠军, 儿子得过奖, but 日子得过, 睡得着
    behind = place.behind
    if behind.hanzi == "过" and _is_noun(place):
        return bool(GAINED.match(place.rest, 2)) or place.rest[2:3] in tuple("这那一不很")
    if behind.hanzi == "着" and place.ahead.tag[0] == "v":
        return False
    return behind is NO_TOKEN or behind.hanzi in ("了", "过", "着", "的") or bool(GAINED.match(place.rest, 1))


def _is_must(place: Place) -> bool:  # 我得走, 还得走, 明天得走, 一斤得三毛, 每个月得还
    ahead = place.ahead
    counted = ahead.tag in ("m", "q") and ahead.hanzi[-1] not in (*DIGITS, "种")
    return ahead is NO_TOKEN or counted or ahead.hanzi in (*MODALS, "了") or ahead.tag[0] == "r" or (
        ahead.tag in TIMES and ahead.hanzi[-1] not in "来和")


def _is_duty(place: Place) -> bool:  # 账得好好算, 方案得跟客户商量, 人得有骨气
    return _is_noun(place) and (place.rest.startswith(tuple(f"得{duty}" for duty in DUTIES))
                                or place.behind.hanzi in WITH or place.behind.tag == "t"
                                or HAVE.match(place.behind.hanzi) is not None)


def _is_done(place: Place) -> bool:  # 衣服得洗, 发烧得多喝水
    does = "vnpj" if len(place.ahead.hanzi) == 1 or place.ahead.tag[0] == "v" else "v"
    acts = place.behind.tag[0] in does or place.behind.tag in ("zg", "ug", "l") or (
        place.behind.tag == "d" and _is_object(place.ahead))
    return _is_noun(place) and acts and not place.behind.hanzi.startswith(DEGREES)


def _is_particle(place: Place) -> bool:  # 跑得快, 安静得出奇
    ahead, behind = place.ahead, place.behind
    return ahead.tag[0] in "vabizg" or ahead.hanzi in VERBS_TOO or ahead.hanzi[-1] == "心" or len(ahead.hanzi) == 1 or (
        behind.hanzi.startswith((*DEGREES, "怎么样", "咋样")) or behind.tag[0] in "az")


RULES = (  # the first that fits
    ("dei3", _takes_time), ("dei3", _is_told), ("de5", _is_last), ("de5", _is_copied), ("de5", _is_described),
    ("de2", _is_sum), ("dei3", _is_at_least), ("de2", _is_gained), ("dei3", _is_must), ("dei3", _is_duty),
    ("dei3", _is_done), ("de5", _is_particle), ("dei3", lambda place: True),
)


def _is_noun(place: Place) -> bool:
    """Whether a noun, or a verb with its object, stands before, behind which 得 begins no complement."""
    token = place.ahead
    if token.hanzi in VERBS_TOO:
        return token.start > 0 and place.clause.text[token.start - 1] in "这那的张幅"
    if len(token.hanzi) == 1 and PASSIVE.search(place.clause.text, 0, token.start):
        return False
    if token.hanzi in THINGS_FIRST and (
            place.index == 1 or place.clause.tokens[place.index - 2].hanzi[0] in "这那哪每一两几"):
        return True
    return _is_object(token) or token.tag[0] == "n" or token.hanzi in THINGS


def _is_object(token: Token) -> bool:
    """Whether the verb `token` ends with its object: 开车, 谈恋爱."""
    return token.tag[0] in "vil" and len(token.hanzi) > 1 and token.hanzi.endswith(OBJECTS)
