"""The corpus `mini`: everyday sentences spoken by espeak-ng, in voices that train, dev and test do not share.

The pinyin is the citation form, as in a dictionary: tones as they are before any sandhi (一 is yi1, 不 is bu4, 五 九 is
wu3 jiu3), and the neutral tone where a dictionary has it. espeak-ng is given that pinyin itself: what is spoken is what
the label says. One thing espeak-ng does of its own, as speakers do: of third tones in a row all but the last are spoken
as second ones. No two syllables of the vocabulary differ in tone 2 against tone 3 alone, so that this never makes two
sentences sound alike.
"""

import io
import random
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from local.espeak import SAMPLE_RATE, Speech, speak
from steps.common.errors import UserError
from steps.common.files import atomic_open, remove_others
from steps.common.parallel import ordered_map, track
from steps.config.schema import Corpus, Name, Strict, upto
from steps.corpus.write import Utterance

# Variants of espeak-ng's cmn voice that a linear classifier trained on the others understands: at least 9 of 10 single
# syllables with their tones, and three higher women's voices with 87 %. Left out are the whispering, clipping and
# robotic ones. No voice has a near twin in another set: log-mel spectra of the same words are at least 1.5 apart (root
# mean square; adam and klatt6 0.2, steph and steph2 0.7, f2 and f5 1.6): voices of dev and test are really unseen.
VOICES = {
    "train": """
        Alex Annie Diogo Gene Gene2 Henrique Hugo Mike Mr_serious Reed RicishayMax Storm Tweaky adam aunty belinda
        benjamin edward edward2 f1 f4 fast grandma iven3 iven4 john klatt3 klatt4 klatt5 linda m1 m2 m3 m4 m6 m8
        marcelo michel miguel mike2 norbert pablo paul quincy rob robert steph steph2 travis""",
    "dev": "Denis Nguyen f5 m5 m7 sandro victor",
    "test": "Mario Michael boris f2 f3 grandpa gustave max",
}
RATES = 125, 165  # words a minute, of espeak's measure
PITCHES = 42, 72  # of espeak's 0 to 99; 50 is the voice's own
SILENCE_S = 0.08, 0.25  # before and after
LEVELS_DB = -26.0, -18.0  # of the loudest 10 ms, against full scale
NOISE_DB = -62.0  # white, so that silence is not digital zero
OUT_RATE = 16000

LEXICON = """
零 ling2, 一 yi1, 二 er4, 三 san1, 四 si4, 五 wu3, 六 liu4, 七 qi1, 八 ba1, 九 jiu3, 十 shi2, 两 liang3, 半 ban4,
点 dian3, 刻 ke4, 分 fen1, 整 zheng3, 月 yue4, 号 hao4, 日 ri4, 星期 xing1 qi1, 生日 sheng1 ri4, 度 du4, 个 ge4,
现在 xian4 zai4, 今天 jin1 tian1, 明天 ming2 tian1, 昨天 zuo2 tian1, 后天 hou4 tian1, 早上 zao3 shang5,
上午 shang4 wu3, 中午 zhong1 wu3, 下午 xia4 wu3, 晚上 wan3 shang5, 北京 bei3 jing1, 上海 shang4 hai3, 广州 guang3 zhou1,
天气 tian1 qi4, 怎么样 zen3 me5 yang4, 下雨 xia4 yu3, 下雪 xia4 xue3, 刮风 gua1 feng1, 晴天 qing2 tian1, 多云 duo1 yun2,
冷 leng3, 热 re4, 很 hen3, 不 bu4, 会 hui4, 是 shi4, 在 zai4, 的 de5, 了 le5, 吗 ma5, 吧 ba5, 我 wo3, 他 ta1,
妈妈 ma1 ma5, 爸爸 ba4 ba5, 哥哥 ge1 ge5, 姐姐 jie3 jie5, 帮 bang1, 给 gei3, 把 ba3, 想 xiang3, 谢谢 xie4 xie5,
打 da3, 电话 dian4 hua4, 打开 da3 kai1, 关掉 guan1 diao4, 调 tiao2, 高 gao1, 低 di1, 设 she4, 闹钟 nao4 zhong1,
灯 deng1, 门 men2, 窗户 chuang1 hu5, 空调 kong1 tiao2, 电视 dian4 shi4, 音乐 yin1 yue4, 声音 sheng1 yin1, 温度 wen1 du4,
厨房 chu2 fang2, 客厅 ke4 ting1, 房间 fang2 jian1, 买 mai3, 喝 he1, 水 shui3, 茶 cha2, 咖啡 ka1 fei1,
苹果 ping2 guo3, 面包 mian4 bao1, 鸡蛋 ji1 dan4
"""
# Every <name> stands for one of the alternatives behind it, all equally likely.
GRAMMAR = {
    "digits": "<digit4> | <digit4> <digit> | <digit4> <digit> <digit> | <digit4> <digit4>",
    "digit4": "<digit> <digit> <digit> <digit>",
    "digit": "零 | 一 | 二 | 三 | 四 | 五 | 六 | 七 | 八 | 九",
    "1-9": "一 | 二 | 三 | 四 | 五 | 六 | 七 | 八 | 九",
    "clock": "<when> <hour> 点 半 | <when> <hour> 点 一 刻 | <when> <hour> 点 整 | <when> <hour> 点 <minute> 分",
    "when": "现在 | 现在 是 | <day> <part>",
    "day": "今天 | 明天 | 昨天 | 后天",
    "part": "早上 | 上午 | 中午 | 下午 | 晚上",
    "hour": "一 | 两 | 三 | 四 | 五 | 六 | 七 | 八 | 九 | 十 | 十 一 | 十 二",
    "minute": "十 <1-9> | <tens> 十 | <tens> 十 <1-9>",
    "tens": "二 | 三 | 四 | 五",
    "date": "<day> 星期 <weekday> | <day> 是 星期 <weekday> | <day> 是 <month> 月 <monthday> 号 | "
            "<who> 的 生日 是 <month> 月 <monthday> 号",
    "weekday": "一 | 二 | 三 | 四 | 五 | 六 | 日",
    "month": "<1-9> | 十 | 十 一 | 十 二",
    "monthday": "<1-9> | 十 <1-9> | 二 十 <1-9> | 三 十",
    "who": "我 | 他",
    "forecast": "<city> <day> 天气 怎么样 | <city> <day> 会 <fall> 吗 | <city> <fall> 了",
    "weather": "<city> <day> <part> <state> | <city> <day> <degrees> 度",
    "city": "北京 | 上海 | 广州",
    "fall": "下雨 | 下雪 | 刮风",
    "state": "很 冷 | 很 热 | 不 冷 | 不 热 | 晴天 | 多云",
    "degrees": "<1-9> | 十 <1-9> | 二 十 <1-9> | 三 十",
    "device": "<polite> <switch> <thing> | <polite> <switch> <room> 的 <thing> | 把 <level> 调 <way> 一 点",
    "polite": "帮 我 | 给 我 | ",
    "switch": "打开 | 关掉",
    "thing": "灯 | 门 | 窗户 | 空调 | 电视 | 音乐",
    "room": "厨房 | 客厅 | 房间",
    "level": "声音 | 温度 | 空调",
    "way": "高 | 低",
    "house": "给 <family> 打 电话 | 帮 我 设 <hour> 点 的 闹钟 | <family> 在 <room> 吗 | <family> 在 <room> 吧",
    "family": "妈妈 | 爸爸 | 哥哥 | 姐姐",
    "errand": "<who> 想 买 <count> 个 <food> | <who> 不 想 喝 <drink> | 谢谢 <family> 的 <food> | "
              "谢谢 <family> 的 <drink>",
    "count": "一 | 两 | 三 | 四 | 五 | 六 | 七 | 八 | 九 | 十",
    "food": "苹果 | 面包 | 鸡蛋",
    "drink": "水 | 茶 | 咖啡",
}
KINDS = ("digits", "clock", "date", "forecast", "weather", "device", "device", "house", "errand")
CANDIDATES = 6
SHORTEST, LONGEST = 3, 10  # syllables


class Options(Strict):
    """conf/corpora/mini.yaml, `options`."""

    seed: int = 1
    utterances: dict[Name, upto(10**6)] = {"train": 1000, "dev": 100, "test": 100}


class Sentence(NamedTuple):
    """What is said."""

    words: tuple[str, ...]  # hanzi
    syllables: tuple[tuple[str, ...], ...]  # of each word

    @property
    def text(self) -> str:
        """The words in hanzi, separated by spaces."""
        return " ".join(self.words)

    @property
    def pinyin(self) -> str:
        """The syllables, separated by spaces."""
        return " ".join(syllable for word in self.syllables for syllable in word)


class Plan(NamedTuple):
    """All that an utterance's audio depends on, and the file that it goes to."""

    utt: str
    spk: str
    sentence: Sentence
    speech: Speech
    silence: tuple[float, float]  # seconds before and after
    level_db: float
    noise_seed: int
    wav: Path


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """Speak the sets into `data_dir`/wav/<set>/<utt>.wav (16 kHz, mono, 16 bits) and return their utterances.

    The files' bytes depend on `options` alone. Raises UserError for a set without voices or utterances, and if
    espeak-ng is missing or fails.
    """
    sets = {name: plan_set(name, options, Path(data_dir) / "wav" / name) for name in corpus.sets}
    plans = [plan for plans in sets.values() for plan in plans]
    for _ in track(ordered_map(_record, plans), len(plans), "speaking"):
        pass
    for name, plans in sets.items():
        remove_others(Path(data_dir) / "wav" / name, {plan.wav.name for plan in plans})
    return {name: [_utterance(plan) for plan in plans] for name, plans in sets.items()}


def plan_set(name: str, options: Options, wav_dir: Path) -> list[Plan]:
    """The utterances of the set `name`, its voices taking turns. Raises UserError for a set that mini does not have."""
    if name not in VOICES or name not in options.utterances:
        raise UserError(f"corpus mini: set {name!r} has no voices or no number under options.utterances; "
                        f"mini has the sets {', '.join(VOICES)}")
    draw = random.Random(f"mini {options.seed} {name}")
    voices = VOICES[name].split()
    plans = []
    for number, sentence in enumerate(draw_sentences(options.utterances[name], draw)):
        voice = voices[number % len(voices)]
        spk = voice.lower()
        utt = f"{spk}-{number:04d}"
        said = " ".join("".join(syllables) for syllables in sentence.syllables)  # da3kai1 deng1, as espeak-ng reads it
        speech = Speech(said, "cmn+" + voice.replace("_", " "), draw.randint(*RATES), draw.randint(*PITCHES))
        silence = draw.uniform(*SILENCE_S), draw.uniform(*SILENCE_S)
        plans.append(Plan(utt, spk, sentence, speech, silence, draw.uniform(*LEVELS_DB), draw.getrandbits(32),
                          wav_dir / f"{utt}.wav"))
    return plans


def render(plan: Plan) -> np.ndarray:
    """The utterance's samples, int16 of shape (samples,) at OUT_RATE, a function of `plan` alone."""
    voice = soxr.resample(speak(plan.speech) / 32768.0, SAMPLE_RATE, OUT_RATE)
    frames = voice[: len(voice) // 160 * 160].reshape(-1, 160)
    loudest = np.sqrt((frames**2).mean(axis=1).max())
    voice = voice * (10 ** (plan.level_db / 20) / loudest)
    before, after = (round(seconds * OUT_RATE) for seconds in plan.silence)
    samples = np.pad(voice, (before, after))
    samples += 10 ** (NOISE_DB / 20) * np.random.default_rng(plan.noise_seed).standard_normal(len(samples))
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)


def _record(plan: Plan) -> None:
    """Write the file, unless it is there already as it would be: its time says whether features must be made again."""
    audio = io.BytesIO()
    soundfile.write(audio, render(plan), OUT_RATE, subtype="PCM_16", format="WAV")
    if not plan.wav.exists() or plan.wav.read_bytes() != audio.getvalue():
        with atomic_open(plan.wav, "wb") as file:
            file.write(audio.getvalue())


def _utterance(plan: Plan) -> Utterance:
    return Utterance(plan.utt, plan.spk, str(plan.wav), plan.sentence.text, plan.sentence.pinyin)


def lexicon() -> dict[str, tuple[str, ...]]:
    """Word in hanzi -> its syllables."""
    entries = [entry.split() for entry in LEXICON.split(",")]
    return {word: tuple(syllables) for word, *syllables in entries}


def draw_sentences(count: int, draw: random.Random) -> list[Sentence]:
    """`count` sentences of 3 to 10 syllables in random order, the kinds of sentence taking turns.

    Each time the candidate wins whose words were said least so far, so that no syllable is rare.
    """
    pronounce = lexicon()
    said: Counter[str] = Counter()
    sentences = []
    for number in range(count):
        candidates = [_draw_sentence(KINDS[number % len(KINDS)], pronounce, draw) for _ in range(CANDIDATES)]
        best = min(candidates, key=lambda sentence: min(said[word] for word in sentence.words))
        said.update(best.words)
        sentences.append(best)
    draw.shuffle(sentences)
    return sentences


def _draw_sentence(kind: str, pronounce: dict[str, tuple[str, ...]], draw: random.Random) -> Sentence:
    while True:
        words = tuple(_expand(f"<{kind}>", draw))
        sentence = Sentence(words, tuple(pronounce[word] for word in words))
        if SHORTEST <= len(sentence.pinyin.split()) <= LONGEST:
            return sentence


def _expand(phrase: str, draw: random.Random) -> list[str]:
    words = []
    for word in phrase.split():
        if word.startswith("<"):
            words += _expand(draw.choice(GRAMMAR[word.strip("<>")].split("|")), draw)
        else:
            words.append(word)
    return words
