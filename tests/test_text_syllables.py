"""Tonal syllables: their spelling, their parts, all there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.common.errors import UserError
from steps.text.syllables import NEUTRAL, accented, all_syllables, from_marked, normalize, split, token_lines
from steps.text.transcripts import written_syllables

ALONE = {"i": "yi", "ia": "ya", "ian": "yan", "iang": "yang", "iao": "yao", "ie": "ye", "in": "yin", "ing": "ying",
         "io": "yo", "iong": "yong", "iou": "you", "u": "wu", "ua": "wa", "uai": "wai", "uan": "wan", "uang": "wang",
         "uei": "wei", "uen": "wen", "ueng": "weng", "uo": "wo", "v": "yu", "van": "yuan", "ve": "yue", "vn": "yun"}
BEHIND_INITIAL = {"iou": "iu", "uei": "ui", "uen": "un"}


def spell(initial: str, final: str) -> str:
    """The orthography of Hanyu Pinyin (GB/T 16159), from the parts: an independent way back."""
    if not initial:
        return ALONE.get(final, final)
    if initial in "jqx" and final.startswith("v"):
        return initial + "u" + final[1:]
    return initial + BEHIND_INITIAL.get(final, final)


def test_parts_spell_every_syllable():
    spelled = {syllable: spell(split(syllable).initial, split(syllable).final) + split(syllable).tone
               for syllable in all_syllables()}
    wrong = {syllable for syllable, again in spelled.items() if again != syllable}
    assert {syllable[:-1] for syllable in wrong} == {"wong"}  # a dialect's, outside the orthography


def test_parts_tell_all_syllables_apart():
    assert len({split(syllable) for syllable in all_syllables()}) == len(all_syllables())


@pytest.mark.parametrize(("syllable", "parts"), [
    ("zhi1", ("zh", "i", "1")), ("ju4", ("j", "v", "4")), ("yu2", ("", "v", "2")), ("wu3", ("", "u", "3")),
    ("liu2", ("l", "iou", "2")), ("gui4", ("g", "uei", "4")), ("lun2", ("l", "uen", "2")), ("jun1", ("j", "vn", "1")),
    ("yuan2", ("", "van", "2")), ("lve4", ("l", "ve", "4")), ("er2", ("", "er", "2")), ("ng2", ("", "ng", "2")),
    ("hm5", ("h", "m", "5")), ("yo1", ("", "io", "1")),
])
def test_parts_of_usual_and_odd_syllables(syllable, parts):
    assert split(syllable) == parts


def test_all_syllables_are_those_of_mandarin():
    syllables = all_syllables()
    assert list(syllables) == sorted(set(syllables), key=str.encode)
    assert {"zhong1", "guo2", "lv4", "nve4", "de5", "er5", "yi2", "yi4", "bu2", "shei2", "qie5"} <= set(syllables)
    assert not {"lü4", "de", "ê2", "zhong", "zh1", "yv2", "jv1"} & set(syllables)
    assert 400 <= len({syllable[:-1] for syllable in syllables}) <= 430
    assert {syllable[:-1] + NEUTRAL for syllable in syllables} <= set(syllables)
    assert 20 < len({split(syllable).initial for syllable in syllables}) < 24
    assert 35 < len({split(syllable).final for syllable in syllables}) < 42


@given(st.sampled_from(all_syllables()))
def test_a_normal_syllable_stays(syllable):
    assert normalize(syllable) == syllable
    assert normalize(syllable.upper()) == syllable


@pytest.mark.parametrize(("written", "syllable"), [
    ("Lü4", "lv4"), ("lu:4", "lv4"), ("de", "de5"), ("de0", "de5"), ("r5", "er5"), ("jv1", "ju1"), ("lue4", "lve4"),
    ("ｚｈｏｎｇ１", "zhong1"), ("yve4", "yue4"), ("nü3", "nv3"),
])
def test_other_spellings_are_brought_into_ours(written, syllable):
    assert normalize(written) == syllable


@pytest.mark.parametrize("written", ["", "zhong6", "zho1", "1", "hello", "zhōng", "中", "a 1", "lüü4", "shrimp2"])
def test_what_is_no_syllable_is_refused(written):
    with pytest.raises(UserError, match="is not a syllable"):
        normalize(written)


@pytest.mark.parametrize("line", ["ni3 hao3", "wo3 men", "shi2 hou", "de", "wo3 de shu1", "kan4 kan5", "yi1 hui4 r5"])
def test_lines_with_tones_are_read(line):
    assert all(syllable[-1] in "12345" for syllable in written_syllables(line))


@pytest.mark.parametrize(("line", "said"), [
    ("ni hao", "'ni hao' has no tones; write digits"),
    ("ni3 hao", "'hao' has no tone digit; write hao1 to hao4, or hao5"),
    ("wo3 de5 ma", "'ma' has no tone digit"),
    ("zher4 ne5", "'zher4': write 儿 as a syllable of its own: zhe4 er5"),
])
def test_missing_tones_and_merged_suffixes_are_told(line, said):
    with pytest.raises(UserError, match=said):
        written_syllables(line)


@pytest.mark.parametrize(("syllable", "marked"), [
    ("ni3", "nǐ"), ("lv4", "lǜ"), ("nve4", "nüè"), ("de5", "de"), ("er2", "ér"), ("xiong1", "xiōng"), ("gui4", "guì"),
    ("m2", "ḿ"), ("ju1", "jū")])
def test_digits_and_marks(syllable, marked):
    assert accented(syllable) == marked


def test_marks_and_digits_say_the_same():
    for syllable in all_syllables():
        assert from_marked(accented(syllable)) == syllable
    assert from_marked("ê̄") == "ei1"


def test_token_lines_begin_with_the_blank():
    assert token_lines(["b1", "a2", "b1", "a1"]) == ["<blk> 0", "a1 1", "a2 2", "b1 3"]
