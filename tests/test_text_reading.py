"""Text read aloud: dictionaries, rules and policies, against pypinyin and against sentences read by hand."""

import functools
import itertools

import numpy as np
import pytest
from everyday_sentences import everyday_sentences
from hypothesis import given
from hypothesis import strategies as st
from pypinyin import Style, lazy_pinyin
from pypinyin.constants import PHRASES_DICT
from pypinyin.seg.mmseg import PrefixSet, Seg
from scipy.special import expit

from steps.common.errors import UserError
from steps.config.schema import Pinyin
from steps.search.words import POLICIES, general_words
from steps.text.normalize import is_hanzi, normalize, simplified
from steps.text.phrases import Phrases, read_entries
from steps.text.polyphones import DATA, Contexts, Polyphones, find, polyphones
from steps.text.reading import Reader, Word
from steps.text.syllables import all_syllables
from steps.text.tones import sandhi_blind, third_tones
from steps.text.transcripts import transcribe

CITATION = Pinyin(neutral_tone="citation")
SPOKEN = Pinyin(sandhi="spoken")
LEXICAL = Pinyin(sandhi="lexical", neutral_tone="citation")
THCHS30 = Pinyin(sandhi="lexical", neutral_tone="citation", dictionary="early", user_dict="conf/pinyin/thchs30.txt")

COMMON = "我的一不地得了着为在这那个有人大小上下来去"
some_hanzi = st.lists(st.sampled_from(sorted(PHRASES_DICT)) | st.sampled_from(COMMON), max_size=8).map("".join)


@functools.cache
def reader_of(policy: Pinyin) -> Reader:
    """A reader, built once: that takes a second."""
    return Reader(policy)


def words_of(clause: str, reader: Reader | None = None) -> list[Word]:
    return (reader or reader_of(Pinyin())).read([clause])[0][0]


def read(policy: Pinyin, text: str) -> str:
    return " ".join(syllable for word in words_of(text, reader_of(policy)) for syllable in word.syllables)


@given(some_hanzi.filter(lambda text: all("\u4e00" <= char <= "\u9fa5" for char in text)))
def test_without_entries_of_ours_phrases_are_those_of_pypinyin(text):
    ours = [syllable for span in Phrases({}).spans(text) for syllable in span.syllables]
    assert ours == lazy_pinyin(text, style=Style.TONE3, v_to_u=False, neutral_tone_with_five=True)


@functools.cache
def prefixes_of_pypinyin() -> PrefixSet:
    prefixes = PrefixSet()
    prefixes.train(PHRASES_DICT)
    return prefixes


@given(some_hanzi)
def test_loose_segmentation_is_that_of_pypinyin(text):
    theirs = list(Seg(prefixes_of_pypinyin(), no_non_phrases=False).cut(text))
    assert [span.hanzi for span in Phrases({}, loose=True).spans(text)] == theirs


def test_words_are_read_as_clauses_are():
    words = [*sorted(general_words())[::300], *"得行乾长", "头发", "頭髮", "看看", "WiFi", "的𠮷"]
    for reader in map(Reader, (Pinyin(), SPOKEN, *POLICIES, THCHS30)):
        known = [[] if reader.unknown(word) else words_of(word, reader) for word in words]
        assert reader.syllables_of(words) == [[syllable for part in parts for syllable in part.syllables]
                                              for parts in known]


@pytest.mark.parametrize("policy", [Pinyin(), CITATION, SPOKEN, LEXICAL, THCHS30], ids=str)
def test_every_character_gets_one_syllable(policy):
    reader = Reader(policy)

    @given(some_hanzi)
    def check(text):
        words = words_of(text, reader)
        assert "".join(word.written for word in words) == text
        assert all(len(word.written) == len(word.syllables) for word in words)
        assert {syllable for word in words for syllable in word.syllables} <= set(all_syllables())

    check()


@pytest.mark.parametrize(("text", "syllables"), [
    ("他高兴地笑了", "ta1 gao1 xing4 de5 xiao4 le5"),
    ("慢慢地走", "man4 man4 de5 zou3"),
    ("有意无意地把它丢了", "you3 yi4 wu2 yi4 de5 ba3 ta1 diu1 le5"),
    ("轰地一声", "hong1 de5 yi1 sheng1"),
    ("一次次地问", "yi1 ci4 ci4 de5 wen4"),
    ("草地上有人", "cao3 di4 shang4 you3 ren2"),
    ("全国各地", "quan2 guo2 ge4 di4"),
    ("在堂屋地上爬", "zai4 tang2 wu1 di4 shang4 pa2"),
    ("有三亩地", "you3 san1 mu3 di4"),
    ("三亩地种菜", "san1 mu3 di4 zhong4 cai4"),
    ("一只猫和这只狗", "yi1 zhi1 mao1 he2 zhe4 zhi1 gou3"),
    ("只有一个", "zhi3 you3 yi1 ge4"),
    ("真受不了", "zhen1 shou4 bu4 liao3"),
    ("我不了解", "wo3 bu4 liao3 jie3"),
    ("谁还给他", "shei2 huan2 gei3 ta1"),
    ("大夫住在银行旁边", "dai4 fu1 zhu4 zai4 yin2 hang2 pang2 bian1"),
    ("旅行社重新开张", "lv3 xing2 she4 chong2 xin1 kai1 zhang1"),
    ("孔子和电子", "kong3 zi3 he2 dian4 zi3"),
    ("内蒙古和朝鲜", "nei4 meng3 gu3 he2 chao2 xian3"),
])
def test_heteronyms_by_context(text, syllables):
    assert read(CITATION, text) == syllables


@pytest.mark.parametrize(("text", "syllables"), [
    ("他跑得很快", "ta1 pao3 de5 hen3 kuai4"),
    ("我得走了", "wo3 dei3 zou3 le5"),
    ("他必须得去", "ta1 bi4 xu1 dei3 qu4"),
    ("取得成功", "qu3 de2 cheng2 gong1"),
    ("朋友喜欢这个东西", "peng2 you5 xi3 huan5 zhe4 ge5 dong1 xi5"),
    ("没关系", "mei2 guan1 xi5"),
    ("大学生", "da4 xue2 sheng1"),
    ("学生", "xue2 sheng5"),
    ("东西方", "dong1 xi1 fang1"),
    ("你看看", "ni3 kan4 kan5"),
    ("看看书", "kan4 kan5 shu1"),
    ("常常", "chang2 chang2"),
    ("说说笑笑", "shuo1 shuo1 xiao4 xiao4"),
    ("玩儿一会儿", "wan2 er5 yi1 hui4 er5"),
    ("女儿", "nv3 er2"),
])
def test_neutral_tones_of_speech(text, syllables):
    assert read(Pinyin(), text) == syllables


def test_neutral_tones_of_the_citation_policy_are_few():
    assert read(CITATION, "朋友喜欢这个东西") == "peng2 you3 xi3 huan1 zhe4 ge4 dong1 xi1"
    assert read(CITATION, "我们的桌子呢") == "wo3 men5 de5 zhuo1 zi5 ne5"


@pytest.mark.parametrize(("text", "citation", "lexical", "spoken"), [
    ("一直", "yi1 zhi2", "yi4 zhi2", "yi4 zhi2"),
    ("不是", "bu4 shi4", "bu2 shi4", "bu2 shi4"),
    ("一万", "yi1 wan4", "yi1 wan4", "yi2 wan4"),
    ("一百", "yi1 bai3", "yi4 bai3", "yi4 bai3"),
    ("不去", "bu4 qu4", "bu4 qu4", "bu2 qu4"),
    ("不来", "bu4 lai2", "bu4 lai2", "bu4 lai2"),
    ("看不到", "kan4 bu4 dao4", "kan4 bu4 dao4", "kan4 bu2 dao4"),
    ("十一个人", "shi2 yi1 ge4 ren2", "shi2 yi1 ge4 ren2", "shi2 yi1 ge4 ren2"),
    ("一个人", "yi1 ge4 ren2", "yi2 ge4 ren2", "yi2 ge4 ren2"),
    ("第一天", "di4 yi1 tian1", "di4 yi1 tian1", "di4 yi1 tian1"),
    ("一九五一年", "yi1 jiu3 wu3 yi1 nian2", "yi1 jiu3 wu3 yi1 nian2", "yi1 jiu2 wu3 yi1 nian2"),
    ("统一行动", "tong3 yi1 xing2 dong4", "tong3 yi1 xing2 dong4", "tong3 yi1 xing2 dong4"),
    ("去不去", "qu4 bu4 qu4", "qu4 bu4 qu4", "qu4 bu5 qu4"),
    ("想一想", "xiang3 yi1 xiang3", "xiang3 yi1 xiang3", "xiang3 yi5 xiang3"),
    ("我不", "wo3 bu4", "wo3 bu4", "wo3 bu4"),
])
def test_sandhi_by_policy(text, citation, lexical, spoken):
    assert read(CITATION, text) == citation
    assert read(LEXICAL, text) == lexical
    assert read(Pinyin(sandhi="spoken", neutral_tone="citation"), text) == spoken


@pytest.mark.parametrize(("text", "syllables"), [
    ("你好", "ni2 hao3"),
    ("展览馆", "zhan2 lan2 guan3"),
    ("很勇敢", "hen3 yong2 gan3"),
    ("冷处理", "leng3 chu2 li3"),
    ("洗脸水", "xi2 lian2 shui3"),
    ("我很好", "wo2 hen2 hao3"),
    ("我想买伞", "wo2 xiang3 mai2 san3"),
    ("我买雨伞", "wo2 mai3 yu2 san3"),
    ("老师好", "lao3 shi1 hao3"),
    ("想一想", "xiang3 yi5 xiang3"),
    ("一步一步", "yi2 bu4 yi2 bu4"),
    ("五点", "wu2 dian3"),
    ("我们", "wo3 men5"),
    ("住一楼", "zhu4 yi1 lou2"), ("得一等奖", "de2 yi1 deng2 jiang3"), ("一把手", "yi1 ba2 shou3"),
    ("周一一早走", "zhou1 yi1 yi4 zao2 zou3"), ("数一数二", "shu3 yi1 shu3 er4"), ("一点五", "yi1 dian2 wu3"),
    ("不不不", "bu2 bu2 bu4"),
])
def test_spoken_third_tones(text, syllables):
    assert read(SPOKEN, text) == syllables


@given(st.lists(st.sampled_from(["ma1", "ni3", "hao3", "lao3", "ming2", "shi4", "le5"]), max_size=9), st.data())
def test_third_tones_end_in_no_two_in_a_row(syllables, data):
    words, left = [], len(syllables)
    while left:
        words.append("字" * data.draw(st.integers(1, min(left, 4))))
        left -= len(words[-1])
    said = [third_tones(words, syllables).get(at, one) for at, one in enumerate(syllables)]
    assert not any(one[-1] == two[-1] == "3" for one, two in itertools.pairwise(said))
    assert [one[:-1] for one in said] == [one[:-1] for one in syllables]
    assert all(one == two or (one[-1], two[-1]) == ("3", "2") for one, two in zip(syllables, said, strict=True))
    assert sandhi_blind(said) == sandhi_blind(syllables)


def test_policies_of_sandhi_are_alike_to_the_blind():
    texts = [sentence.text for sentence in everyday_sentences() if all(map(is_hanzi, sentence.text))][::9]
    readings = ([words for words, _ in reader_of(policy).read(texts)] for policy in (Pinyin(), SPOKEN))
    for text, *words in zip(texts, *readings, strict=True):
        citation, spoken = ([syllable for word in one for syllable in word.syllables] for one in words)
        pairs = zip(sandhi_blind(citation), sandhi_blind(spoken), strict=True)
        different = {one[:-1] for pair in pairs if len(set(pair)) > 1 for one in pair}
        assert different <= {"yi", "bu"}, text  # 想一想 has yi5


@pytest.mark.parametrize(("text", "syllables"), [
    ("谁那么舒服", "shei2 na4 me5 shu1 fu5"),
    ("那些成绩", "nei4 xie1 cheng2 ji1"),
    ("紧张地忙碌", "jin3 zhang1 de5 mang2 lu4"),
    ("这个时候", "zhe4 ge4 shi2 hou4"),
])
def test_labels_like_those_of_thchs30(text, syllables):
    assert read(THCHS30, text) == syllables


def test_words_are_those_of_the_text_or_of_jieba():
    assert [word.written for word in words_of("我们 在一起 吃饭")] == ["我们", "在一起", "吃饭"]
    assert [word.written for word in words_of("我们在北京吃饭")] == ["我们", "在", "北京", "吃饭"]
    assert [word.written for word in words_of("我用 CEO 买T恤")] == ["我", "用", "CEO", "买", "T", "恤"]


def test_word_boundaries_keep_phrases_apart():
    assert read(CITATION, "商标 的 包装") == "shang1 biao1 de5 bao1 zhuang1"
    assert read(CITATION, "改变 了 结果") == "gai3 bian4 le5 jie2 guo3"


@pytest.mark.parametrize(("word", "parts"), [
    ("放风筝", "放 风筝"), ("发生意外", "发生 意 外"), ("军人家庭", "军 人 家庭"), ("欢欢乐乐", "欢欢乐乐"),
])
def test_a_word_that_is_no_phrase_is_cut_into_the_fewest_words(word, parts):
    entries = {"风筝": ("feng1", "zheng5"), "生意": ("sheng1", "yi5"), "人家": ("ren2", "jia5")}
    spans = Phrases(entries).spans_of_words(["他", word])
    assert [span.hanzi for span in spans] == ["他", *parts.split()]
    assert [span.start for span in spans[1:]] == [1 + word.index(part) for part in parts.split()]


def test_user_dict_wins_over_dictionaries_and_rules(tmp_path):
    user_dict = tmp_path / "mine.txt"
    lines = ("# mine", "单于 chan2 yu2  # a title", "慢慢地 man4 man1 di4", "一直 yi2 zhi2", "WiFi wai1 fai4",
             "谁 shui2")
    user_dict.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError, match=r"mine.txt:5: 'fai4' is not a syllable"):
        Reader(Pinyin(user_dict=str(user_dict)))
    user_dict.write_text(user_dict.read_text(encoding="utf-8").replace("fai4", "fei4"), encoding="utf-8")
    policy = Pinyin(user_dict=str(user_dict), sandhi="spoken")
    assert read(policy, "谁在慢慢地说单于一直用WiFi") == \
        "shui2 zai4 man4 man1 di4 shuo1 chan2 yu2 yi2 zhi2 yong4 wai1 fei4"


@pytest.mark.parametrize(("line", "message"), [
    ("大夫 dai4", "2 characters but 1 syllables"),
    ("大-夫 dai4 fu1 fu1", "'-' is neither hanzi nor a letter"),
    ("WiFi", "no syllables"),
    ("大夫 dai4 fuu1", "'fuu1' is not a syllable"),
    ("大夫 dai4 fu5\n大夫 da4 fu1", "for the second time"),
])
def test_user_dict_mistakes_name_file_and_line(tmp_path, line, message):
    path = tmp_path / "mine.txt"
    path.write_text(f"# mine\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"mine.txt:[23]: .*{message}"):
        read_entries(path)


def test_traditional_characters_are_read_as_simplified_and_stay_as_written(tmp_path):
    text = "銀行 的 行長 看著 兩隻 貓 曬乾 頭髮"
    words = words_of(text)
    assert " ".join(word.written for word in words) == text
    assert " ".join(syllable for word in words for syllable in word.syllables) == (
        "yin2 hang2 de5 hang2 zhang3 kan4 zhe5 liang3 zhi1 mao1 shai4 gan1 tou2 fa5")
    assert read(Pinyin(), "這本原著") == "zhe4 ben3 yuan2 zhu4"
    assert read(Pinyin(), "她㑮") == "ta1 " + lazy_pinyin("㑮", style=Style.TONE3)[0]
    assert normalize("第2名得了3萬塊錢").clauses == ("第二名得了三萬塊錢",)
    (tmp_path / "mine.txt").write_text("行長 xing2 chang2\n", encoding="utf-8")
    assert read(Pinyin(user_dict=f"{tmp_path}/mine.txt"), "銀行行長") == "yin2 hang2 xing2 chang2"


@pytest.mark.parametrize(("traditional", "plain"), [("乾坤乾淨", "乾坤干净"), ("做著作業，名著", "做着作业，名著")])
def test_each_traditional_character_gives_one_simplified(traditional, plain):
    assert simplified(traditional) == plain


def test_unknown_characters_and_words_are_told():
    reader = Reader(Pinyin())
    assert reader.unknown("我们 用T恤") == []
    assert reader.unknown("𠮷野家hello世界") == ["𠮷", "hello"]


@pytest.mark.parametrize(("text", "syllables"), [
    ("拿着手机", "na2 zhe5 shou3 ji1"),
    ("很多人参加", "hen3 duo1 ren2 can1 jia1"),
    ("我看中国电影", "wo3 kan4 zhong1 guo2 dian4 ying3"),
    ("房间有空调", "fang2 jian1 you3 kong1 tiao2"),
    ("我们都会去", "wo3 men5 dou1 hui4 qu4"),
    ("他是好学生", "ta1 shi4 hao3 xue2 sheng5"),
    ("改变了结果", "gai3 bian4 le5 jie2 guo3"),
    ("我的士兵", "wo3 de5 shi4 bing1"),
    ("穿着长大衣", "chuan1 zhe5 chang2 da4 yi1"),
])
def test_phrases_do_not_straddle_words(text, syllables):
    assert read(Pinyin(), text) == syllables


@pytest.mark.parametrize(("text", "syllables"), [
    ("头发很长", "tou2 fa5 hen3 chang2"),
    ("把书还我", "ba3 shu1 huan2 wo3"),
    ("他教我唱歌", "ta1 jiao1 wo3 chang4 ge1"),
    ("第一行代码", "di4 yi1 hang2 dai4 ma3"),
    ("这只是开始", "zhe4 zhi3 shi4 kai1 shi3"),
    ("那只能算了", "na4 zhi3 neng2 suan4 le5"),
    ("他数了数人数", "ta1 shu3 le5 shu3 ren2 shu4"),
    ("你得多喝水", "ni3 dei3 duo1 he1 shui3"),
    ("你得小心", "ni3 dei3 xiao3 xin1"),
    ("跑得快", "pao3 de5 kuai4"),
    ("办得了吗", "ban4 de5 liao3 ma5"),
    ("睡不着", "shui4 bu4 zhao2"),
    ("翻天覆地的变化", "fan1 tian1 fu4 di4 de5 bian4 hua4"),
    ("幸运儿", "xing4 yun4 er2"),
    ("曾经姓曾", "ceng2 jing1 xing4 zeng1"),
    ("单老师", "shan4 lao3 shi1"),
    ("以人为本", "yi3 ren2 wei2 ben3"),
    ("他为你骄傲", "ta1 wei4 ni3 jiao1 ao4"),
])
def test_context_decides_what_no_phrase_does(text, syllables):
    assert read(Pinyin(), text) == syllables


@pytest.mark.parametrize("text", ["我去银行取钱", "东西都便宜", "我要睡觉", "音乐会"])
def test_blanks_between_all_characters_part_no_words(text):
    together = words_of(text)
    assert words_of(" ".join(text)) == together


def test_many_clauses_are_read_as_each_alone():
    clauses = [sentence.text for sentence in everyday_sentences() if all(map(is_hanzi, sentence.text))][::5]
    reader = Reader(Pinyin())
    assert [words for words, _ in reader.read(clauses)] == [words_of(clause, reader) for clause in clauses]


def test_everyday_sentences_are_read_right():
    sentences = everyday_sentences()
    wrong = [reading.utt for policy in (Pinyin(), SPOKEN)
             for at in [{one.text: one for one in sentences if one.policy == policy}]
             for reading in transcribe({text: text for text in at}, policy)
             if not at[reading.utt].is_right(reading.syllables)]
    assert len(wrong) <= 3, wrong  # none here; another processor may round a close call otherwise


def test_the_network_is_the_lstm_of_its_weights():
    network = polyphones()
    text, at = "他的头发很长", 5
    with np.load(DATA) as data:
        weights = {name: data[name].astype(np.float64) for name in data.files if data[name].dtype.kind in "fi"}
        characters, classes = str(data["characters"]), str(data["classes"]).split()
    matrix = {name: weights[name] * weights[f"{name}_scale"][:, None] for name in weights if f"{name}_scale" in weights}
    inputs = [matrix["embedding"][number] for number in (2, *(4 + characters.index(char) for char in text), 3)]

    def states(way: str, inputs: list[np.ndarray]) -> list[np.ndarray]:
        state, cell, found = np.zeros(32), np.zeros(32), []
        for vector in inputs:
            gates = matrix[f"{way}_input"] @ vector + matrix[f"{way}_state"] @ state + weights[f"{way}_bias"]
            enter, forget, new, leave = np.split(gates, 4)
            cell = expit(forget) * cell + expit(enter) * np.tanh(new)
            state = expit(leave) * np.tanh(cell)
            found.append(state)
        return found

    both = np.concatenate([states("forward", inputs)[at + 1], states("backward", inputs[::-1])[::-1][at + 1]])
    hidden = np.maximum(matrix["hidden"] @ both + weights["hidden_bias"], 0)
    logits = matrix["output"] @ hidden + weights["output_bias"]
    theirs = {one: logits[classes.index(one)] for one in ("zhang3", "chang2")}
    ours = network.log_odds([text, "短"])[0][at]
    prior = {one: ours[one] - theirs[one] for one in ours}
    assert prior == pytest.approx(Polyphones().prior("长"), abs=1e-4)


def test_malformed_contexts_name_file_and_line(tmp_path):
    path = tmp_path / "contexts.txt"
    path.write_text("{数} = [一二]\n行hang2 第{数}+_\n行hang2 (_\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"contexts.txt:3: "):
        Contexts(path)
    path.write_text("{数} = [一二]\n行hang2 第{数}+_\n!行xing2 _不[行{数}]\n数shu3 量liang2 _一{同}\n",
                    encoding="utf-8")
    found = Contexts(path)
    assert find(found.weak["行"], "^第一行$", 3) == "hang2"
    assert find(found.strong["行"], "^行不二$", 1) == "xing2"
    assert find(found.strong["行"], "^行不三$", 1) is None
    assert [find(found.weak["量"], text, 1) for text in ("^量一量$", "^量一数$")] == ["liang2", None]
