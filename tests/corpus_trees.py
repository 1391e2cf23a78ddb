"""Small trees in the layouts of the public corpora. Each builder's docstring says where the layout is described."""

import csv
import functools
import io
import json
import os
from pathlib import Path

import numpy as np
import soundfile

SENTENCES = {
    "今天 天气 很 好": "jin1 tian1 tian1 qi4 hen3 hao3",
    "我们 去 北京": "wo3 men qu4 bei3 jing1",
    "他 喜欢 喝 绿茶": "ta1 xi3 huan he1 lv4 cha2",
    "请 打开 电视": "qing3 da3 kai1 dian4 shi4",
    "明天 下午 开会": "ming2 tian1 xia4 wu3 kai1 hui4",
    "音乐 声音 大 一点": "yin1 yue4 sheng1 yin1 da4 yi4 dian3",
    "她 的 女儿 三 岁": "ta1 de nv3 er2 san1 sui4",
    "学校 门口 见": "xue2 xiao4 men2 kou3 jian4",
}
TEXTS = list(SENTENCES)
WORDS = ("爱", "八", "爸爸", "杯子", "北京", "本", "不", "菜", "茶", "吃", "出租车", "打电话", "大", "的", "点", "电脑",
         "电视", "电影", "东西", "都", "读", "多", "儿子", "水果")


def speech(path: Path, rate: int = 16000, seconds: float = 0.4) -> Path:
    """An audio file of noise, in the format that its suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_noise(path.suffix[1:], rate, seconds, sum(path.name.encode()) % 3))
    return path


@functools.cache
def _noise(kind: str, rate: int, seconds: float, seed: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(seed).normal(0, 0.1, int(rate * seconds)), rate, format=kind)
    return file.getvalue()


def lines(path: Path, *content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in content), encoding="utf-8")
    return path


def thchs30(root: Path) -> Path:
    """README.TXT of openslr.org/18; lhotse/recipes/thchs_30.py; dataset/thchs30/thchs30.py of PaddleSpeech."""
    top = root / "data_thchs30"
    for name, speakers in (("train", ("A2", "A11")), ("dev", ("A2",)), ("test", ("D4",))):
        for speaker in speakers:
            for number, (text, pinyin) in enumerate(SENTENCES.items()):
                stem = f"{speaker}_{number + (100 if name == 'dev' else 0)}"
                speech(top / "data" / f"{stem}.wav")
                lines(top / "data" / f"{stem}.wav.trn", text, pinyin, "j in1 t ian1")
                (top / name).mkdir(exist_ok=True)
                (top / name / f"{stem}.wav").symlink_to(f"../data/{stem}.wav")
                (top / name / f"{stem}.wav.trn").write_text(f"../data/{stem}.wav.trn")
    return root


def aishell(root: Path) -> Path:
    """egs/aishell/s5/local/aishell_data_prep.sh of Kaldi; lhotse/recipes/aishell.py."""
    top, transcript = root / "data_aishell", []
    for name, speaker in (("train", "S0002"), ("train", "S0003"), ("dev", "S0724"), ("test", "S0764")):
        for number, text in enumerate(TEXTS[:3], 121):
            utt = f"BAC009{speaker}W{number:04d}"
            speech(top / "wav" / name / speaker / f"{utt}.wav")
            transcript.append(f"{utt} {text}")
    speech(top / "wav/train/S0002/BAC009S0002W0999.wav")  # one of those without a transcript
    lines(top / "transcript/aishell_transcript_v0.8.txt", *transcript)
    return root


def aidatatang(root: Path) -> Path:
    """egs/multi_cn/s5/local/aidatatang_data_prep.sh of Kaldi; lhotse/recipes/aidatatang_200zh.py."""
    top, transcript = root / "aidatatang_200zh", []
    for name, speaker in (("train", "G0013"), ("dev", "G0012"), ("test", "G0002")):
        for number, text in enumerate(TEXTS[:3], 1):
            utt = f"T0055{speaker}S{number:04d}"
            speech(top / "corpus" / name / speaker / f"{utt}.wav")
            lines(top / "corpus" / name / speaker / f"{utt}.txt", text.replace(" ", ""))
            transcript.append(f"{utt} {text}")
    lines(top / "transcript/aidatatang_200_zh_transcript.txt", *transcript)
    return root


def magicdata(root: Path) -> Path:
    """egs/multi_cn/s5/local/magicdata_data_{prep.sh,filter.py} of Kaldi; lhotse/recipes/magicdata.py."""
    for name, speaker in (("train", "38_5837"), ("dev", "5_541"), ("test", "38_5721")):
        rows = ["UtteranceID\tSpeakerID\tTranscription"]
        for number, text in enumerate(TEXTS[:3]):
            utt = f"{speaker}_2017082617115{number}.wav"
            speech(root / name / speaker / utt)
            rows.append(f"{utt}\t{speaker}\t{text.replace(' ', '')}{'[FIL]' if number == 1 else '。'}")
        lines(root / name / "TRANS.txt", *rows)
    return root


def stcmds(root: Path) -> Path:
    """egs/multi_cn/s5/local/stcmds_data_prep.sh of Kaldi; lhotse/recipes/stcmds.py."""
    for speaker in range(1, 5):
        for number, text in enumerate(TEXTS[:3], 1):
            wav = speech(root / f"ST-CMDS-20170001_1-OS/20170001P{speaker:05d}A{number:04d}.wav")
            wav.with_suffix(".txt").write_text(text.replace(" ", ""), encoding="utf-8")
            wav.with_suffix(".metadata").write_text("")
    return root


def primewords(root: Path) -> Path:
    """egs/multi_cn/s5/local/primewords_{data_prep.sh,parse_transcript.py} of Kaldi; lhotse/recipes/primewords.py."""
    top, entries = root / "primewords_md_2018_set1", []
    for speaker in range(8, 12):
        for number, text in enumerate(TEXTS[:3]):
            name = f"{speaker:02x}{number:02d}-5a3b.wav"
            speech(top / "audio_files" / name[0] / name[:2] / name)
            entries.append({"id": str(len(entries)), "file": name, "user_id": str(speaker), "length": "0.4",
                            "text": text})
    lines(top / "set1_transcript.json", json.dumps(entries, ensure_ascii=False))
    return root


def common_voice(root: Path) -> Path:
    """lhotse/recipes/commonvoice.py; the header is that of cv-corpus-17.0."""
    header = ("client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes", "down_votes", "age",
              "gender", "accents", "variant", "locale", "segment")
    for number, name in enumerate(("train", "dev", "test")):
        rows = ["\t".join(header)]
        for count, text in enumerate(TEXTS[:3]):
            clip = f"common_voice_zh-CN_{18524189 + 10 * number + count}.mp3"
            speech(root / "zh-CN/clips" / clip, 32000)
            sentence = text.replace(" ", "") + "。"
            rows.append("\t".join((f"{number}" * 128, clip, "5a", sentence, "", "2", "0", "", "", "", "", "zh-CN", "")))
        lines(root / f"zh-CN/{name}.tsv", *rows)
    return root


def audio_cmn(root: Path) -> Path:
    """README.md of github.com/hugolpz/audio-cmn."""
    for word in (*WORDS, "一_也_"):
        speech(root / "24k-abr/hsk" / f"cmn-{word}.mp3", 22050, 0.6)
    for base in ("a", "ba", "zhong", "nv", "jv", "_hm"):
        for tone in range(1, 5):
            speech(root / "24k-abr/syllabs" / f"cmn-{base}{tone}.mp3", 22050, 0.6)
    return root


def aishell_sample(root: Path) -> Path:
    """github.com/QianZ423/kaldi-asr-aishell-sample; speaker S0252 also says some of what S0150 says."""
    for speaker, texts in (("S0150", TEXTS + list(WORDS)), ("S0252", TEXTS[:3])):
        for number, text in enumerate(texts, 1):
            wav = speech(root / f"AISHELL_Sample_data/BAC009{speaker}W{number:04d}.wav")
            lines(wav.with_suffix(".txt"), text.replace(" ", "" if speaker == "S0252" else " "))
    return root


def seedlingo(root: Path) -> Path:
    """github.com/nodepa/seedlingo at ab269c3: content/WordSpec.json, content/Unit12.json."""
    words = {"1": {"word": "数字", "audio": "audio/数字.mp3", "picture": "pics/数字.jpg"},
             "2": {"word": "她", "audio": "audio/他她它.mp3"}, "3": {"word": "他", "audio": "audio/他她它.mp3"},
             "4": {"word": "教", "audio": "audio/教1.mp3"}, "5": {"word": "，"}}
    questions = [{"questionText": "“我”有几个姐妹？", "questionAudio": "audio/短文12-1-q3.mp3", "options": []}]
    lines(root / "content/WordSpec.json", json.dumps({"formatVersion": "1.3.0", "words": words}, ensure_ascii=False))
    exercises = [{"type": "Matching", "matchingSpec": {}},
                 {"type": "Comprehension", "comprehensionSpec": {"comprehensionQuestions": questions}}]
    lines(root / "content/Unit12.json", json.dumps({"exercises": exercises}, ensure_ascii=False))
    for name in ("数字", "他她它", "教1", "短文12-1-q3", "短文介绍1"):
        speech(root / f"content/audio/{name}.mp3", 44100, 0.5)
    return root


def kaldi(root: Path) -> Path:
    """kaldi-asr.org/doc/data_prep.html."""
    for name in ("train", "dev", "test"):
        rows = {f"s{name}-{number}": text for number, text in enumerate(TEXTS[:3])}
        wavs = [f"{utt} {speech(root / 'wav' / f'{utt}.flac')}" for utt in rows]
        lines(root / name / "wav.scp", *wavs)
        lines(root / name / "text", *(f"{utt} {text}" for utt, text in rows.items()))
        lines(root / name / "utt2spk", *(f"{utt} s{name}" for utt in rows))
        lines(root / name / "spk2utt", f"s{name} {' '.join(rows)}")
    return root


def table(root: Path) -> Path:
    """A user's own: a CSV with columns audio, speaker, text, in the manner of Excel (BOM, CRLF)."""
    with open(root / "speech.csv", "w", encoding="utf-8-sig", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("audio", "speaker", "text"))
        for speaker in ("anna", "bert", "carl", "dora"):
            for number, text in enumerate(TEXTS[:3]):
                path = speech(root / f"{speaker} {number}.ogg", 48000)
                rows.writerow((os.path.basename(path), speaker, text.replace(" ", "") + "，好"))
    return root


OPTIONS = {
    "thchs30": {"sets": ["train", "dev", "test", "dev_official"], "options": {"dev_share": 0.4}},
    "aishell": {"options": {"skip": ["untranscribed"]}},
    "table": {"options": {"file": "speech.csv"}},
}
BUILDERS = {build.__name__: build for build in (thchs30, aishell, aidatatang, magicdata, stcmds, primewords,
                                                common_voice, audio_cmn, aishell_sample, kaldi, table)}
TEST_ONLY = {"seedlingo": seedlingo}
