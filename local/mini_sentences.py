"""The sentences of the corpus `mini`: templates of everyday commands, times, dates, weather and digit strings.

A sentence is a list of words, a word is `hanzi:syl+syl`. The pinyin is the citation form, as in a dictionary: tones
as written before any sandhi (一 is yi1, 不 is bu4, 五九 is wu3 jiu3), the neutral tone where a dictionary has it. No two
syllables of the vocabulary differ in tone 2 against 3 alone, so that the third tone's sandhi never makes two
sentences sound alike.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

DIGITS = "零:ling2 一:yi1 二:er4 三:san1 四:si4 五:wu3 六:liu4 七:qi1 八:ba1 九:jiu3".split()
TEN = "十:shi2"
COUNTS = "一:yi1 两:liang3 三:san1 四:si4 五:wu3 六:liu4 七:qi1 八:ba1 九:jiu3".split()
DAYS = "今天:jin1+tian1 明天:ming2+tian1 昨天:zuo2+tian1 后天:hou4+tian1".split()
PARTS = "早上:zao3+shang5 上午:shang4+wu3 中午:zhong1+wu3 下午:xia4+wu3 晚上:wan3+shang5".split()
CITIES = "北京:bei3+jing1 上海:shang4+hai3 广州:guang3+zhou1".split()
SKIES = "下雨:xia4+yu3 下雪:xia4+xue3 刮风:gua1+feng1".split()
WEATHER = "很冷:hen3+leng3 很热:hen3+re4 多云:duo1+yun2 不冷:bu4+leng3 不热:bu4+re4 晴天:qing2+tian1".split()
ROOMS = "厨房:chu2+fang2 客厅:ke4+ting1 房间:fang2+jian1".split()
DEVICES = "灯:deng1 门:men2 窗户:chuang1+hu5 空调:kong1+tiao2 电视:dian4+shi4 音乐:yin1+yue4".split()
SWITCHES = "打开:da3+kai1 关掉:guan1+diao4".split()
FAMILY = "妈妈:ma1+ma5 爸爸:ba4+ba5 哥哥:ge1+ge5 姐姐:jie3+jie5".split()
WHO = "我:wo3 他:ta1".split()
CANDIDATES = 6


class Sentence(NamedTuple):
    """What is said."""

    text: str  # hanzi words separated by spaces
    words: tuple[str, ...]  # the words' syllables, joined: da3kai1
    pinyin: str  # syllables separated by spaces


def number(value: int) -> list[str]:
    """The words of a number from 1 to 99, as clocks, calendars and thermometers say it."""
    tens, ones = divmod(value, 10)
    words = [] if tens < 2 else [DIGITS[tens]]
    words += [TEN] if tens else []
    return words + ([DIGITS[ones]] if ones else [])


def digit_string(draw: random.Random) -> list[str]:
    """Four to eight digits, as of a telephone."""
    return draw.choices(DIGITS, k=draw.randint(4, 8))


def clock(draw: random.Random) -> list[str]:
    """A time of day: 现在 三 点 半."""
    hour = draw.randint(1, 12)
    hours = ["两:liang3"] if hour == 2 else number(hour)
    minutes = draw.choice([["半:ban4"], ["一:yi1", "刻:ke4"], ["整:zheng3"], [*number(draw.randint(11, 59)), "分:fen1"]])
    begin = draw.choice([["现在:xian4+zai4"], ["现在:xian4+zai4", "是:shi4"], [draw.choice(DAYS), draw.choice(PARTS)]])
    return [*begin, *hours, "点:dian3", *minutes]


def date(draw: random.Random) -> list[str]:
    """A date or a day of the week: 明天 是 三 月 八 号, 后天 星期 六."""
    week = ["星期:xing1+qi1", draw.choice(["日:ri4", *DIGITS[1:7]])]
    month = [*number(draw.randint(1, 12)), "月:yue4", *number(draw.randint(1, 31)), "号:hao4"]
    if draw.random() < 0.3:
        return [draw.choice(WHO), "的:de5", "生日:sheng1+ri4", "是:shi4", *month]
    return [draw.choice(DAYS), *draw.choice([[], ["是:shi4"]]), *draw.choice([week, month])]


def weather(draw: random.Random) -> list[str]:
    """What the weather is, was, will be: 北京 明天 会 下雪 吗."""
    where = [draw.choice(CITIES), draw.choice(DAYS)]
    return draw.choice([
        [*where, "天气:tian1+qi4", "怎么样:zen3+me5+yang4"],
        [*where, "会:hui4", draw.choice(SKIES), "吗:ma5"],
        [*where, draw.choice(PARTS), draw.choice(WEATHER)],
        [draw.choice(CITIES), draw.choice(SKIES), "了:le5"],
        [*where, *number(draw.randint(1, 39)), "度:du4"],
    ])


def command(draw: random.Random) -> list[str]:
    """What one asks of a house: 帮 我 打开 客厅 的 灯, 把 声音 调 高 一点."""
    device, room = draw.choice(DEVICES), draw.choice(ROOMS)
    polite = draw.choice([[], ["帮:bang1", "我:wo3"]])
    return draw.choice([
        [*polite, draw.choice(SWITCHES), *draw.choice([[], [room, "的:de5"]]), device],
        ["把:ba3", draw.choice(["声音:sheng1+yin1", "温度:wen1+du4", "空调:kong1+tiao2"]), "调:tiao2",
         draw.choice(["高:gao1", "低:di1"]), "一点:yi1+dian3"],
        ["给:gei3", draw.choice(FAMILY), "打:da3", "电话:dian4+hua4"],
        [*polite, "设:she4", *number(draw.randint(5, 11)), "点:dian3", "的:de5", "闹钟:nao4+zhong1"],
        [draw.choice(FAMILY), "在:zai4", draw.choice(ROOMS), draw.choice(["吗:ma5", "吧:ba5"])],
    ])


def errand(draw: random.Random) -> list[str]:
    """What one wants: 我 想 买 两 个 苹果."""
    goods = draw.choice(["苹果:ping2+guo3", "面包:mian4+bao1", "鸡蛋:ji1+dan4"])
    drink = draw.choice(["水:shui3", "茶:cha2", "咖啡:ka1+fei1"])
    return draw.choice([
        [draw.choice(WHO), "想:xiang3", "买:mai3", draw.choice(COUNTS), "个:ge4", goods],
        [draw.choice(WHO), "不:bu4", "想:xiang3", "喝:he1", drink],
        ["谢谢:xie4+xie5", draw.choice(FAMILY), "的:de5", draw.choice([goods, drink])],
    ])


TEMPLATES: Sequence[tuple[Callable[[random.Random], list[str]], int]] = (
    (digit_string, 2), (clock, 2), (date, 2), (weather, 3), (command, 4), (errand, 2))


def draw_sentences(count: int, draw: random.Random) -> list[Sentence]:
    """`count` sentences of 3 to 10 syllables. Of a few candidates each time the one whose words were said least wins."""
    said: Counter[str] = Counter()
    sentences = []
    for _ in range(count):
        candidates = [_draw_sentence(draw) for _ in range(CANDIDATES)]
        best = min(candidates, key=lambda sentence: min(said[word] for word in sentence.words))
        said.update(best.words)
        sentences.append(best)
    return sentences


def _draw_sentence(draw: random.Random) -> Sentence:
    templates, weights = zip(*TEMPLATES, strict=True)
    while True:
        words = [word.split(":") for word in draw.choices(templates, weights)[0](draw)]
        syllables = " ".join(pinyin.replace("+", " ") for _, pinyin in words)
        if 3 <= len(syllables.split()) <= 10:
            return Sentence(" ".join(hanzi for hanzi, _ in words),
                            tuple(pinyin.replace("+", "") for _, pinyin in words), syllables)
