"""Raw text to hanzi and Latin words: nothing is lost on the way."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.text.normalize import LETTERS, is_hanzi, normalize, spell
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
    ("气温-5℃", "气温负五摄氏度"),
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
    assert normalize("a@b").unread == ("@",)
    assert normalize("你#我*他&她").unread == ("#", "*", "&")


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
