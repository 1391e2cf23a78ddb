"""Raw text to hanzi and Latin words: nothing is lost on the way."""

import re
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from steps.text.normalize import LETTERS, is_hanzi, normalize, spell
from steps.text.numbers import cardinal
from steps.text.syllables import all_syllables

HANZI = "我们今天很好的一不地得了着为在北京〇𠮷龘"
PUNCTUATION = "，。！？、；：“”‘’（）《》—…·,.!?;:'\"()-~～　 "
UNREADABLE = "☃α→©かé"


@pytest.mark.parametrize(("raw", "spoken"), [
    ("增长了50%", "增长了百分之五十"),
    ("增长了５０％", "增长了百分之五十"),
    ("今天是2024年5月1日", "今天是二零二四年五月一日"),
    ("1949年后和5年后", "一九四九年后和五年后"),
    ("2008-08-08开幕", "二零零八年八月八日开幕"),
    ("气温-5℃", "气温零下五摄氏度"),
    ("价格3.14元", "价格三点一四元"),
    ("12:30开会", "十二点三十分开会"),
    ("1,234,567人", "一百二十三万四千五百六十七人"),
    ("跑了10km", "跑了十公里"),
    ("重5kg", "重五千克"),
    ("面积20㎡", "面积二十平方米"),
    ("½的人", "二分之一的人"),
    ("2个", "两个"),
    ("第3名", "第三名"),
    ("￥25.5", "二十五点五元"),
    ("手机号是13800138000对吗", "手机号是幺三八零零幺三八零零零对吗"),
    ("拨打0551-5550100", "拨打零五五幺五五五零幺零零"),
    ("证号110101190001010008", "证号幺幺零幺零幺幺九零零零幺零幺零零零八"),
    ("住在502房间", "住在五零二房间"),
    ("打110", "打幺幺零"),
    ("1998-2003年", "一九九八到二零零三年"),
    ("距今2000年", "距今两千年"),
    ("有1300年的历史", "有一千三百年的历史"), ("2500年前", "两千五百年前"), ("1500多年", "一千五百多年"),
    ("3000年", "三千年"), ("1500年", "一五零零年"),
    ("第2名", "第二名"),
    ("第200页", "第二百页"),
    ("第1-3名", "第一到三名"),
    ("2-1战胜日本队", "二比一战胜日本队"),
    ("5·12地震", "五幺二地震"),
    ("版本2.0.1", "版本二点零点一"),
    ("下午2点见", "下午两点见"),
    ("3:2", "三比二"),
    ("比例1:1.5", "比例一比一点五"),
    ("14:05开始", "十四点零五分开始"),
    ("HK$100", "一百港元"),
    ("3-5个", "三到五个"),
    ("1000年", "一千年"),
    ("2023.12.31", "二零二三年十二月三十一日"),
    ("2022年2月2日2点02分", "二零二二年二月二日两点零二分"),
    ("22年2月看了2次", "二二年二月看了两次"),
    ("5—8岁", "五到八岁"),
    ("20%-30%", "百分之二十到百分之三十"),
    ("收益为-5%", "收益为负百分之五"),
    ("8:00-9:30开门", "八点到九点三十分开门"),
    ("10^3", "十的三次方"),
    ("歼-20", "歼二十"),
    ("985高校", "九八五高校"),
    ("房间1203", "房间幺二零三"),
    ("@所有人", "艾特所有人"),
])
def test_numbers_are_read_as_mandarin(raw, spoken):
    assert normalize(raw) == ((spoken,), ("digits",), ())


def test_punctuation_cuts_clauses_and_blanks_stay():
    assert normalize("“我们，今天　很好！”") == (("我们", "今天 很好"), (), ())
    assert normalize("小 明 在 2 班").clauses == ("小 明 在 二 班",)
    assert normalize("，。！") == ((), (), ())
    assert normalize("") == ((), (), ())


def test_full_width_letters_and_compatibility_forms_are_narrowed():
    assert normalize("ＣＥＯ来了") == (("CEO来了",), ("latin",), ())
    assert normalize("\uf9dc") == (("隆",), (), ())  # a compatibility ideograph


def test_what_cannot_be_read_is_told():
    assert normalize("我☃你") == (("我☃你",), (), ("☃",))
    assert normalize("你*我").unread == ("*",)
    assert normalize("你#我*他&她").unread == ("#", "*")


def test_bytes_that_are_no_text_are_told():
    assert normalize("ni3 \udcc4你").unread == ("\ufffd",)


@pytest.mark.parametrize("marker", ["<NOISE>", "<SPOKEN_NOISE>", "</s>", "<b>", "[LAUGH]", "{NOISE}", "【UM】", "SIL",
                                    "NULL", "(笑)", "[掌声]", "(听不清)", "【音乐】", "<敲门声>"])
def test_markers_are_not_spelled(marker):
    assert normalize(f"{marker}你好") == ((), (), (marker,))


def test_text_in_brackets_is_read():
    assert normalize("他（笑着说）好").clauses == ("他", "笑着说", "好")


def test_pointed_brackets_about_a_title_are_no_signs():
    assert normalize("他看<红楼梦>").clauses == ("他看", "红楼梦")
    assert normalize("价格<100元且>50元").clauses == ("价格小于一百元且大于五十元",)


@pytest.mark.parametrize(("raw", "clauses"), [
    ("E=MC2", ("E等于MC二",)),
    ("x>5", ("x大于五",)),
    ("C++语言", ("C加加语言",)),
    ("得了A+", ("得了A加",)),
    ("A/B", ("A B",)),
    ("AT&T公司", ("AT和T公司",)),
    ("a@b.cn", ("a艾特b点cn",)),
    ("路易XIV", ("路易十四",)),
    ("第Ⅱ章", ("第二章",)),
    ("VIP和XXL", ("VIP和XXL",)), ("沪A·D12345", ("沪AD幺二三四五",)),
])
def test_signs_beside_letters_and_roman_numbers_are_read(raw, clauses):
    assert normalize(raw).clauses == clauses
    assert normalize(raw).unread == ()


@given(st.integers(0, 10**8 - 1))
def test_cardinals_are_those_of_the_rules(number):
    theirs = normalize(f"共{number}").clauses[0][1:]
    assume("幺" not in theirs)  # 110, 119 and 120 are telephone numbers everywhere
    assert cardinal(number) == theirs.replace("两", "二")


@given(st.text(HANZI + PUNCTUATION + UNREADABLE + "AbZ"))
def test_nothing_but_punctuation_is_dropped(raw):
    normalized = normalize(raw)
    left = [char for char in unicodedata.normalize("NFKC", raw)
            if not (char.isspace() or char == "~" or unicodedata.category(char)[0] == "P")]
    assert "".join(normalized.clauses).replace(" ", "") == "".join(left)
    assert list(normalized.unread) == [char for char in left if not is_hanzi(char) and not char.isascii()]


@given(st.lists(st.sampled_from(["我们", "今天", "2024", "3.5", "50%", "很好", "，", "10月"]), max_size=8).map("".join))
def test_numbers_leave_the_hanzi_around_them(raw):
    left = iter("".join(normalize(raw).clauses))
    assert all(char in left for char in raw if char in "我们今天很好")  # in this order
    assert not re.search(r"\d", "".join(normalize(raw).clauses))


@pytest.mark.parametrize(("word", "syllables"), [
    ("A", "ei1"), ("x", "ai2 ke4 si5"), ("CEO", "xi1 yi4 ou1"), ("ktv", "kei1 ti4 wei1"), ("WiFi", ""), ("hello", ""),
])
def test_abbreviations_are_spelled_and_words_are_not(word, syllables):
    assert " ".join(spell(word)) == syllables


def test_letters_are_read_with_syllables_of_mandarin():
    assert sorted(LETTERS) == list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert {syllable for name in LETTERS.values() for syllable in name.split()} <= set(all_syllables())
