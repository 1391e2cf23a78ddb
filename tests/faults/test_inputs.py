"""Bad inputs to every stage and command: each is refused in one message that names what to mend, or taken rightly.

A case is a command, what is changed before it in a project whose stages are all done, and words of the error; "" where
the input is taken rightly. No exception but UserError, no other file is lost, and none is left half-written.
"""

import contextlib
import io
import os
import re
import shutil
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from conftest import Project
from corpus_trees import speech
from tiny_corpus import EXPERIMENT

from steps.common.checksums import HISTORY, TRAINED, write_sums
from steps.common.errors import DISK, UserError, disk_error
from steps.common.files import LEFTOVER, write_json, write_lines
from steps.common.process import lock_path, take_lock
from steps.config.load import dump, load_experiment
from steps.feats.archive import load_cmvn, save_cmvn

Edit = Callable[[Path], None]
SETS = {"train": ["你好", "早上好", "再见", "谢谢", "中国"], "dev": ["你好", "再见"], "test": ["谢谢"]}
EXP, DECODED, SCORED, FEATS, EXPORT = ("exp/one", "exp/one/decode/dev_greedy", "exp/one/score/dev_greedy",
                                       "exp/features/own_fbank", "exp/one/export")
SPEAKERS = {"train": "s1", "dev": "s2", "test": "s3"}
COMMANDS = {  # by the first word of a case's name
    "prepare": "stage1_prepare own", "lexicon": "stage2_lexicon own", "features": "stage3_features own fbank --nj 1",
    "train": "stage4_train one", "decode": f"stage5_decode {EXP} dev", "score": f"stage6_score {EXP} dev",
    "align": f"align {EXP} dev", "report": f"make_report {EXP}", "compare": "compare one", "prune": "prune one",
    "export": f"export {EXP}", "recognize": f"recognize {EXPORT} a.wav", "serve": f"serve {EXPORT}",
    "pronounce": f"pronounce {EXPORT} --list list.tsv", "graph": "make_graph one", "tune": f"tune {EXP} prefix",
    "hanzi": "hanzi p.txt", "pinyin": "pinyin", "config": "config.__main__ one", "download": "download own",
    "data_dir": "data_dir validate data/own/dev", "fix": "data_dir fix data/own/dev",
    "subset": "data_dir subset data/own/dev data/new --utt-list utts", "verify": "status --verify",
    "diagnose": "diagnose one",
}


def put(path: str, content: str | bytes) -> Edit:
    def edit(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content.encode() if isinstance(content, str) else content)
    return edit


def change(path: str, new: Callable[[bytes], bytes]) -> Edit:
    return lambda root: (root / path).write_bytes(new((root / path).read_bytes())) and None


def sub(path: str, pattern: str, new: str) -> Edit:
    """Replace the first that fits a pattern."""
    def edit(root: Path) -> None:
        text, count = re.subn(pattern, lambda _: new, (root / path).read_text(encoding="utf-8"), count=1)
        assert count, f"{path} has no {pattern}"
        (root / path).write_text(text, encoding="utf-8", newline="")
    return edit


def gone(path: str) -> Edit:
    return lambda root: shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink(missing_ok=True)


def folder(path: str) -> Edit:
    def edit(root: Path) -> None:
        gone(path)(root)
        (root / path).mkdir(parents=True)
    return edit


def link(path: str, target: str) -> Edit:
    def edit(root: Path) -> None:
        gone(path)(root)
        (root / path).symlink_to(target)
    return edit


def copy_of(path: str, source: str) -> Edit:
    return lambda root: shutil.copy(root / source, root / path) and None


def both(*edits: Edit) -> Edit:
    return lambda root: [edit(root) for edit in edits] and None


def half(path: str) -> Edit:
    return change(path, lambda content: content[: len(content) // 2])


def bare(path: str, edit: Callable[..., Edit], *rest) -> Edit:
    """An edit of a file whose folder has no list of checksums, as where a user has removed it."""
    return both(gone(str(Path(path).parent / "SHA256SUMS")), edit(path, *rest))


def with_nan(path: str) -> Edit:
    """A checkpoint whose first array begins with NaN."""
    def edit(root: Path) -> None:
        from steps.model.checkpoints import read_checkpoint, save_weights

        arrays = read_checkpoint(root / path)
        weights = {name: value for name, value in arrays.items() if "." in name}
        first = next(iter(weights.values()))
        values = first.asnumpy().copy()
        values.flat[0] = float("nan")
        first.set_data(type(first.data)(values))
        save_weights(root / path, weights, {name: arrays[name] for name in arrays.keys() - weights.keys()})
    return edit


def nothing(root: Path) -> None:
    """No edit: the command line is wrong, or nothing is."""


CASES: dict[str, tuple[Edit, str]] = {}
WORDS: dict[str, str] = {}  # command lines of cases that have their own


def case(name: str, edit: Edit, said: str, words: str = "") -> None:
    assert name not in CASES, name
    CASES[name] = (edit, said)
    if words:
        WORDS[name] = words


# Text files: of another encoding, of another kind, damaged. Command, file, and whether users write it.
TEXTS = [
    ("prepare", "conf/corpora/own.yaml"), ("prepare", "own/t.csv"), ("lexicon", "data/own/train/text"),
    ("features", "conf/features/fbank.yaml"), ("features", "data/own/dev/wav.scp"), ("train", "conf/one.yaml"),
    ("train", "data/own/lang/tokens.txt"), ("train", "data/own/train/pinyin"), ("decode", f"{EXP}/config.yaml"),
    ("decode", f"{EXP}/tokens.txt"), ("score", f"{DECODED}/pinyin"), ("score", f"{DECODED}/decode.json"),
    ("score", "data/own/dev/utt2spk"), ("report", f"{SCORED}/per_utt"), ("report", f"{EXP}/env.json"),
    ("report", f"{EXP}/train.csv"), ("export", f"{EXP}/config.yaml"), ("recognize", f"{EXPORT}/tokens.txt"),
    ("recognize", f"{EXPORT}/features.json"), ("recognize", f"{EXPORT}/export.json"), ("pronounce", "list.tsv"),
    ("graph", "words.tsv"), ("graph", "data/own/train/pinyin"), ("config", "conf/one.yaml"), ("hanzi", "p.txt"),
    ("data_dir", "data/own/dev/utt2dur"), ("subset", "utts"), ("verify", f"{EXP}/SHA256SUMS"),
]
DAMAGES = {
    "of UTF-16": lambda path: change(path, lambda content: content.decode("utf-8").encode("utf-16")),
    "that is a folder": folder,
    "that is a link to itself": lambda path: link(path, Path(path).name),
    "of bytes": lambda path: put(path, bytes(range(256))),
    "that is a web page": lambda path: put(path, "<!DOCTYPE html>\n<html>404 Not Found</html>\n"),
    "nested deeply": lambda path: put(path, "[" * 50_000),
}
for number, (command, path) in enumerate(TEXTS):  # each file meets three of the six
    for what in [*DAMAGES, *DAMAGES][number % 6:][:3]:
        case(f"{command}: {Path(path).name} {what} ({number})", bare(path, DAMAGES[what]),
             Path(path).name if path != f"{EXP}/SHA256SUMS" else EXP)

# Stage 1
case("prepare: the table is a folder of the same name", both(gone("own/t.csv"), put("own/t.csv/x", "")), "t.csv")
case("prepare: audio outside by ..", sub("own/t.csv", "a0.wav", "../own/a0.wav"), "")
case("prepare: audio by an absolute path that is not there", sub("own/t.csv", "a0.wav", "/nowhere/a0.wav"),
     "/nowhere/a0.wav")
case("prepare: a recording that is a folder", folder("own/a0.wav"), "a0.wav: ")
case("prepare: a recording that is a link to itself", link("own/a0.wav", "a0.wav"), "a0.wav: ")
case("prepare: a label of emoji alone", sub("own/t.csv", "你好", "😀😀"), "")
case("lexicon: a label of emoji alone", sub("data/own/train/text", "你好", "😀😀"), "😀")
case("prepare: a speaker of blanks", sub("own/t.csv", ",s1,", ",  ,"), "t.csv:2")
case("prepare: a speaker with a slash", sub("own/t.csv", ",s1,", ",s/1,"), "")
case("prepare: a name of audio with a zero byte", change("own/t.csv", lambda old: old.replace(b"a0.wav", b"a\0.wav")),
     "t.csv:2: a zero byte")
case("prepare: a lone carriage return within a cell", change("own/t.csv", lambda old: old.replace("你好".encode(),
     "你\r好".encode(), 1)), "t.csv")
case("prepare: another option", sub("conf/corpora/own.yaml", "file:", "flie:"), "did you mean 'file'?")
case("prepare: root is a file", sub("conf/corpora/own.yaml", "root: .*", "root: own/t.csv"), "no such folder")
case("prepare: root is a number", sub("conf/corpora/own.yaml", "root: .*", "root: 7"), "root: ")
case("prepare: root is empty", sub("conf/corpora/own.yaml", "root: .*", "root: ''"), "root: ")
case("prepare: a set thrice", sub("conf/corpora/own.yaml", "module: table", "module: table\nsets: [dev, dev]"), "sets")
case("prepare: a set of two words", sub("conf/corpora/own.yaml", "module: table", "module: table\nsets: ['a b']"),
     "sets")
case("prepare: no set", sub("conf/corpora/own.yaml", "module: table", "module: table\nsets: []"), "sets")
case("prepare: a set that leaves its place", sub("conf/corpora/own.yaml", "module: table",
     "module: table\nsets: [../x]"), "sets")
case("prepare: expected of a set that is not there", sub("conf/corpora/own.yaml", "module: table",
     "module: table\nexpected: {tain: 5}"), "tain")
case("prepare: a YAML tag of Python", put("conf/corpora/own.yaml", "!!python/object/apply:os.getcwd []\n"), "own.yaml")
case("prepare: a YAML anchor that multiplies", put("conf/corpora/own.yaml",
     "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + at)}: &{chr(98 + at)} [{', '.join(['*' + chr(97 + at)] * 10)}]\n" for at in range(8))), "own.yaml")
case("prepare: no corpus of this name", nothing, "conf/corpora/nobody.yaml: no such file", "stage1_prepare nobody")
case("prepare: a name that leaves conf", nothing, "rename it", "stage1_prepare ../own")
case("prepare: an empty name", nothing, "rename it", "stage1_prepare ''")
case("prepare: a name with a zero width blank", nothing, "rename it", "stage1_prepare own\u200b")
case("prepare: a corpus with itself", nothing, "different ones", "stage1_prepare own+own")
case("prepare: a plus at the end", nothing, "rename it", "stage1_prepare own+")
case("prepare: half a job", nothing, "exit 2", "stage1_prepare own --nj 0.5")
case("prepare: jobs in full-width digits", nothing, "exit 2", "stage1_prepare own --nj ２")
case("prepare: data is a link that leads nowhere", link("data", "/nowhere/data"), "data: a link that leads nowhere")
case("prepare: data is a file", both(gone("data"), put("data", "")), "a file stands where a folder should be")

# Stage 2
case("lexicon: no data", gone("data/own/dev"), "data/own/dev")
case("lexicon: a letter of a speaker is another", sub("data/own/dev/utt2spk", "s2-a5", "s2-b5"),
     "dev/utt2spk: is not as it was written")
case("lexicon: text without its newline", change("data/own/dev/text", lambda old: old[:-1]), "cut short")
case("lexicon: text in reverse order", change("data/own/dev/text",
     lambda old: b"\n".join(old.split(b"\n")[-2::-1]) + b"\n"), "not sorted")
case("lexicon: an utterance twice", change("data/own/dev/text", lambda old: old.split(b"\n")[0] + b"\n" + old),
     "twice")
case("lexicon: a label that is empty", sub("data/own/dev/text", "你好", ""), "no value")
case("lexicon: combining marks", sub("data/own/train/text", "你好", "你\u0301好"), "U+0301")
case("lexicon: a character of a private plane", sub("data/own/train/text", "你好", "你\U000f0000好"), "\U000f0000")
case("lexicon: a ligature of radicals", sub("data/own/train/text", "你好", "⺒好"), "⺒")
case("lexicon: tabs between", change("data/own/dev/text", lambda old: old.replace(b" ", b"\t", 1)), "")
case("lexicon: a list of pinyin of another kind", put("data/own/lang/pinyin.sha256", "x\n"),
     "pinyin.sha256: not a list")
case("lexicon: pinyin that a person mended to nonsense", sub("data/own/dev/pinyin", "ni3", "nix3"), "'nix3'")
case("lexicon: tones in full-width digits", sub("data/own/dev/pinyin", "ni3", "ni３"), "")
case("lexicon: tone 9", sub("data/own/dev/pinyin", "ni3", "ni9"), "'ni9'")
case("lexicon: a user_dict that is not there", sub("conf/corpora/own.yaml", "module: table",
     "module: table\npinyin: {user_dict: none.txt}"), "none.txt")
case("lexicon: text of another set", copy_of("data/own/dev/text", "data/own/test/text"),
     "dev/text: 3 utterances in it or in utt2spk alone, such as s2-a5")
case("lexicon: text cut at the end of a line", change("data/own/dev/text", lambda old: old[: old.index(b"\n") + 1]),
     "dev/text: 1 utterance in")
for content in ("", "# none yet\n"):
    case(f"lexicon: a user_dict of {content!r}", both(put("u.txt", content), sub("conf/corpora/own.yaml",
         "module: table", "module: table\npinyin: {user_dict: u.txt}")), "u.txt: no words in it")
case("lexicon: a user_dict that is a folder", sub("conf/corpora/own.yaml", "module: table",
     "module: table\npinyin: {user_dict: own}"), "own")
case("lexicon: a user_dict with a byte order mark and CRLF", both(put("u.txt", "\ufeff你好 ni3 hao3\r\n"),
     sub("conf/corpora/own.yaml", "module: table", "module: table\npinyin: {user_dict: u.txt}")), "")
case("lexicon: a policy that there is not", sub("conf/corpora/own.yaml", "module: table",
     "module: table\npinyin: {sandhi: some}"), "sandhi")

# Stage 3
case("features: no such features", nothing, "conf/features/mel.yaml: no such file", "stage3_features own mel")
case("features: a floor above all speech", put("conf/features/fbank.yaml", "type: fbank\nnum_bins: 8\nfloor_db: 0\n"),
     "all frames have the same features")
case("features: the size of a recording is another", sub("data/own/dev/utt2audio", r" \d", " 7"),
     "utt2audio: is not as it was written")
case("features: a duration that is not a number", bare("data/own/dev/utt2dur", sub, "0.4", "0,4"), "utt2dur: ")
case("features: a duration that is infinite", bare("data/own/dev/utt2dur", sub, "0.4", "inf"), "utt2dur: ")
case("features: a duration of a million years", bare("data/own/dev/utt2dur", sub, "0.4", "3e13"), "are free")
case("features: a command in wav.scp", bare("data/own/dev/wav.scp", sub, " (.*)", " cat x |"), "wav.scp")
case("features: an empty wav.scp", bare("data/own/dev/wav.scp", put, ""), "wav.scp: the file is empty")
case("features: frequencies the wrong way round", put("conf/features/fbank.yaml",
     "type: fbank\nnum_bins: 8\nlow_freq: 4000\nhigh_freq: 100\n"), "fbank.yaml")
case("features: more bins than there are", put("conf/features/fbank.yaml", "type: fbank\nnum_bins: 4000\n"),
     "fbank.yaml")
case("features: bins in words", put("conf/features/fbank.yaml", "type: fbank\nnum_bins: eight\n"), "num_bins")
case("features: a truth value for a number", put("conf/features/fbank.yaml", "type: fbank\nnum_bins: yes\n"),
     "num_bins: True")
case("features: two documents in a YAML file", put("conf/features/fbank.yaml",
     "type: fbank\nnum_bins: 8\n---\ntype: fbank\n"), "fbank.yaml")
case("features: a tab in YAML", put("conf/features/fbank.yaml", "type: fbank\n\tnum_bins: 8\n"), "fbank.yaml")
case("features: a key twice", put("conf/features/fbank.yaml", "type: fbank\nnum_bins: 8\nnum_bins: 9\n"), "num_bins")
case("features: a recording of 8 channels and a header of 1 Hz", change("own/a0.wav",
     lambda old: old[:24] + (1).to_bytes(4, "little") + old[28:]), "a0.wav")
case("features: no channel in the header", change("own/a0.wav", lambda old: old[:22] + bytes(2) + old[24:]), "a0.wav")
case("features: a recording cut in its header", change("own/a0.wav", lambda old: old[:20]), "a0.wav")
case("features: a length of 4 GB in the header", change("own/a0.wav", lambda old: old[:40] + b"\xff" * 4 + old[44:]),
     "")
case("features: recordings gone", both(gone("own"), folder("own")), "is the disk mounted?")

case("features: half of wav.scp", change("data/own/train/wav.scp", lambda old: old[:old.index(b"\n") + 1]),
     "wav.scp: is not as it was")

# Stage 4
case("train: no such experiment", nothing, "conf/two.yaml: no such file", "stage4_train two")
case("train: an experiment's path in place of its name", nothing, "conf/exp/one.yaml: no such file",
     "stage4_train exp/one")
case("train: an added token", change("data/own/lang/tokens.txt", lambda old: old + b"zai4 99\n"), "not as it was")
case("train: tokens of another order", bare("data/own/lang/tokens.txt", change,
     lambda old: b"\n".join(old.split(b"\n")[-2::-1]) + b"\n"), "tokens.txt:1")
case("train: a token twice", bare("data/own/lang/tokens.txt", change, lambda old: re.sub(rb"\n\S+ 2\n", b"\nhao3 2\n",
     re.sub(rb"\n\S+ 1\n", b"\nhao3 1\n", old))), "is there twice")
case("train: numbers of tokens in full-width digits", bare("data/own/lang/tokens.txt", sub, " 1\n", " １\n"),
     "tokens.txt:2")
case("train: a token of two words", bare("data/own/lang/tokens.txt", sub, " 1\n", " x 1\n"), "tokens.txt:2")
case("train: more batches to an update than utterances",
     sub("conf/one.yaml", "  epochs: ", "  accum_grad: 6\n  epochs: "), "lower accum_grad or workers")
case("train: a syllable that is not a token", sub("data/own/train/pinyin", "ni3", "lv4"), "'lv4'")
case("train: numbers of frames in words", bare(f"{FEATS}/train/utt2num_frames", sub, r" \d+", " many"),
     "utt2num_frames: ")
case("train: numbers of frames that are negative", bare(f"{FEATS}/train/utt2num_frames", sub, r" \d+", " -5"),
     "utt2num_frames: ")
case("train: features gone", gone(FEATS), "run")
case("train: offsets of feats.scp", both(gone(f"{EXP}/final.ckpt"), bare(f"{FEATS}/dev/feats.scp", change,
     lambda old: old.replace(b":", b":9"))),
     "run stage 3")
case("train: an ark of text", both(gone(f"{EXP}/final.ckpt"), bare(f"{FEATS}/dev/feats.ark", put,
     "no features\n" * 100)),
     "run stage 3")
case("train: cmvn of text", bare(f"{FEATS}/cmvn", put, "\xff" * 100), "cmvn: ")
case("train: dev's pinyin is that of train", both(gone(f"{EXP}/final.ckpt"),
     copy_of("data/own/dev/pinyin", "data/own/train/pinyin")), "dev/pinyin: none of its utterances has features")
for part in ("dev", "train"):
    case(f"train: half of {part}'s features without a list of checksums", both(gone(f"{EXP}/final.ckpt"),
         bare(f"{FEATS}/{part}/feats.ark", half)), f"{part}/feats.scp: ")
case("train: numbers of frames of fewer utterances", both(gone(f"{EXP}/final.ckpt"), bare(
     f"{FEATS}/train/utt2num_frames", change, lambda old: old[: old.index(b"\n") + 1])), "has other utterances than")
OTHER_BINS = sub("conf/features/fbank.yaml", "num_bins: 8", "num_bins: 9")
OTHER_MADE = bare(f"{FEATS}/features.yaml", sub, "low_freq: 0.0", "low_freq: 100.0")
case("train: features of another config", OTHER_BINS, "features.yaml: num_bins is 8 there, but the experiment has 9")
for command in ("decode", "align", "export", "diagnose"):
    case(f"{command}: features of another config", OTHER_MADE,
         "features.yaml: low_freq is 100.0 there, but the experiment has 0.0")
case("decode: features read otherwise", bare(f"{FEATS}/features.yaml", sub, "compress: false", "compress: true"), "")
case("tune: dev's pinyin of another set", copy_of("data/own/dev/pinyin", "data/own/train/pinyin"),
     "dev/pinyin: none of its utterances has features")
case("diagnose: dev's pinyin of another set", copy_of("data/own/dev/pinyin", "data/own/train/pinyin"), "exit 1",
     "diagnose one --strict")
case("diagnose: numbers of frames in words", bare(f"{FEATS}/dev/utt2num_frames", sub, r" \d+", " many"), "exit 1",
     "diagnose one --strict")
case("align: pinyin of another set", copy_of("data/own/dev/pinyin", "data/own/train/pinyin"),
     "none of the 5 utterances of its pinyin can be aligned: 5: they have no features")
case("align: a set by its folder", nothing, "", f"align {EXP} data/own/dev/")
case("align: a set of another corpus", nothing, "other/dev: not of own", f"align {EXP} data/other/dev")
case("train: an utterance without a speaker", both(gone(f"{EXP}/final.ckpt"),
     sub("data/own/train/utt2spk", "s1-a0 s1\n", "")), "train/utt2spk: utterance s1-a0 has no speaker")
case("train: a sweep's point that is none", nothing, "conf/", "stage4_train one@lr-1")
case("train: init_from itself", sub("conf/one.yaml", "epochs: ", "init_from: one\n  epochs: "),
     "cannot start from itself")
case("train: init_from a text file", both(put("x.ckpt", "weights"), sub("conf/one.yaml", "epochs: ",
     "init_from: x.ckpt\n  epochs: ")),
     "train.init_from")
case("train: inputs.json of another kind", put(f"{EXP}/inputs.json", "[]"), "inputs.json: not a JSON mapping")
case("train: inputs.json that is damaged", put(f"{EXP}/inputs.json", '{"a": "b", "sha256": "c"}'),
     "inputs.json: is not as it was written")
case("train: inputs.json that is gone", gone(f"{EXP}/inputs.json"), "inputs.json: no such file")
case("train: inputs.json as the remedy has it", put(f"{EXP}/inputs.json", "{}"), "")

case("train: an alignment that is damaged", both(put("exp/two/ali/train/ctm", "s1-a0 1 0.00 0.10 ni3 1\n"),
     put("exp/two/ali/train/SHA256SUMS", f"{'0' * 64}  ctm\n"), sub("conf/one.yaml", "epochs: ",
     "ali: two\n  epochs: "), sub("conf/one.yaml", "level: ", "splice: 0.5\n    level: ")), "ctm: is not as it was")

# Stage 5
for name in sorted(TRAINED):
    case(f"decode: a byte of {name} is another", change(f"{EXP}/{name}",
         lambda old: old[:-9] + bytes([old[-9] ^ 1]) + old[-8:]), name)
for name, said in (("final.ckpt", "ckpt: not"), ("cmvn", "cmvn: no"), ("buckets.json", "buckets.json: not")):
    case(f"decode: half of {name} without a list of checksums", bare(f"{EXP}/{name}", half), said)
case("decode: buckets of another kind", bare(f"{EXP}/buckets.json", put, '{"a": 1}'), "buckets.json")
case("decode: buckets below 0", bare(f"{EXP}/buckets.json", put, "[-3]"), "buckets.json")
case("decode: buckets of a year", bare(f"{EXP}/buckets.json", put, "[99999999999]"), "buckets.json")
case("decode: weights of another experiment", bare(f"{EXP}/config.yaml", sub, "channels: 8", "channels: 9"),
     "final.ckpt")
case("decode: a set that there is not", nothing, "has no set 'tset', only", f"stage5_decode {EXP} tset")
case("decode: a set that leaves its corpus", nothing, "no such file", f"stage5_decode {EXP} ../own/dev")
case("decode: a corpus that is not prepared", nothing, "run stages 1 and 2 of other first",
     f"stage5_decode {EXP} other/dev")
case("decode: an experiment that is not there", nothing, "exp/two/config.yaml", "stage5_decode exp/two dev")
case("decode: a name in place of a directory", nothing, "one/config.yaml", "stage5_decode one dev")
case("decode: no tuning", nothing, "prefix has not been tuned", f"stage5_decode {EXP} dev --method prefix")
for text in ("[]", "{", '{"prefix": 1}', '{"prefix": {"best": {"weight": "x", "insertion": 1}}}',
             '{"prefix": {"best": {"weight": NaN, "insertion": 0}}}'):
    case(f"decode: tuning {text}", put(f"{EXP}/decode/tuning.json", text), "tuning.json",
         f"stage5_decode {EXP} dev --method prefix")
TUNED = '{"prefix": {"best": {"weight": 1, "insertion": 0}}, "wfst": {"best": {"scale": 1, "blank_penalty": 0}}}'
for method, name in (("prefix", "syllables.arpa"), ("wfst", "graph.fst"), ("wfst", "words.txt")):
    for what, content in (("empty", ""), ("of text", "no graph\n"), ("of bytes", bytes(range(256)))):
        case(f"decode: {name} {what}", both(put(f"{EXP}/decode/tuning.json", TUNED), put(f"{EXP}/graph/lexicon.txt",
             "你 ni3\n"), put(f"{EXP}/graph/{name}", content)),
             "graph", f"stage5_decode {EXP} dev --method {method}")
case("decode: words that are not there", nothing, "none.txt: no such file",
     f"stage5_decode {EXP} dev --words none.txt")
for line in ("你好 ni3", "WiFi", "你好 ni3 hao3 -5", "你好 ni3 hao3 1e9", "你好 ni9 hao3", "你好 ni3 hao3 ٣",
             "你好 nan"):
    case(f"decode: the word {line}", put("w.txt", f"{line}\n"), "w.txt:1", f"stage5_decode {EXP} dev --words w.txt")
case("decode: words of blank lines and remarks", put("w.txt", "\n# none\n"), "no words in it",
     f"stage5_decode {EXP} dev --words w.txt")

case("decode: a digit of tuning.json is another", both(put(f"{EXP}/decode/tuning.json", TUNED),
     put(f"{EXP}/decode/SHA256SUMS", f"{'0' * 64}  tuning.json\n")), "tuning.json: is not as it was",
     f"stage5_decode {EXP} dev --method prefix")
for method in ("prefix", "wfst"):
    case(f"decode: {method} with a graph of another network", both(put(f"{EXP}/decode/tuning.json", TUNED),
         put(f"{EXP}/graph/lm.json", '{"tokens_sha256": "0"}')), "made for a network with other tokens",
         f"stage5_decode {EXP} dev --method {method}")

# Stage 6
case("score: a speaker's letter is another", sub("data/own/dev/utt2spk", " s2", " s9"), "utt2spk: is not as it was")
case("score: a folder where a score goes", folder(f"{SCORED}/per_spk"), "per_spk: a folder stands where")
case("decode: a folder where syllables go", folder(f"{DECODED}/ctm"), "ctm: a folder stands where")
case("score: nothing decoded", gone(DECODED), "run stage 5 (decode) first")
case("score: a set that is not decoded", nothing, "run stage 5 (decode) first", f"stage6_score {EXP} test")
case("score: a method that there is not", nothing, "run stage 5 (decode) first",
     f"stage6_score {EXP} dev --method beam")
case("score: a byte of pinyin is another", change(f"{DECODED}/pinyin", lambda old: bytes([old[0] ^ 1]) + old[1:]),
     "pinyin: is not as it was")
case("score: an utterance twice", bare(f"{DECODED}/pinyin", change, lambda old: old + old), "is there twice")
case("score: an utterance less", bare(f"{DECODED}/pinyin", change, lambda old: old.split(b"\n", 1)[1]), "dev/pinyin")
case("score: an utterance more", bare(f"{DECODED}/pinyin", change, lambda old: old + b"zz ni3\n"), "zz")
case("score: decode.json without its times", bare(f"{DECODED}/decode.json", sub, '"real_time_factor"', '"rtf"'),
     "real_time_factor")
case("score: decode.json with words for numbers", bare(f"{DECODED}/decode.json", sub, '"real_time_factor": [^,]*',
     '"real_time_factor": "fast"'), "real_time_factor")
case("score: no speakers", gone("data/own/dev/utt2spk"), "utt2spk")
case("score: an utterance without a speaker", bare("data/own/dev/utt2spk", change, lambda old: old.split(b"\n", 1)[1]),
     "has no speaker")

# The report and the comparison
for key, value in (("syllable_error_rate", '"x"'), ("utterances", "-1"), ("ins", "1e400"),
                   ("ci95", "[1]"), ("set", "7"), ("tone_error_rate", "null")):
    case(f"report: {key} is {value}", bare(f"{SCORED}/score.json", sub, f'"{key}": (\\[[^]]*\\]|[^,\n]*)',
         f'"{key}": {value}'), key)
case("report: a byte of score.json is another", change(f"{SCORED}/score.json", lambda old: old.replace(b"1", b"2",
     1)), "score.json: is not as it was")
case("report: a digit of ctm is another", change(f"{DECODED}/ctm", lambda old: old.replace(b"0.", b"1.", 1) + b"\n"),
     "ctm: is not as it was")
case("report: per_utt of fewer utterances", bare(f"{SCORED}/per_utt", half), "per_utt")
case("report: per_spk of numbers without end", bare(f"{SCORED}/per_spk", sub, r" \d+ ", f" {'9' * 400} "), "per_spk")
case("report: a row of train.csv cut", bare(f"{EXP}/train.csv", put, "epoch,dev_ser\n1\n"), "train.csv: dev_ser: not")
case("report: epochs that are not numbers", bare(f"{EXP}/train.csv", put, "epoch,dev_ser\nnan,nan\n"),
     "without its epoch")
case("report: env.json with weights in words", sub(f"{EXP}/env.json", "{", '{"weights": "many",'), "")
case("report: no experiment", nothing, "exp/none/config.yaml", "make_report exp/none")
case("compare: no experiment", nothing, "no experiment of this name", "compare none")
case("compare: a file in place of a directory", nothing, "no experiment of this name", "compare conf/one.yaml")
case("compare: env.json with weights beyond all bounds", sub(f"{EXP}/env.json", "{",
     '{"weights": ' + "9" * 400 + ","), "")
case("compare: a pattern that fits nothing", nothing, "no experiment of this name", "compare x*")
for word in ("''", ".", "data/own/dev", "exp"):
    case(f"compare: {word} is no experiment", nothing, "no experiment of this name", f"compare {word}")
case("compare: a page over a config", nothing, "must end in .html", "compare one --html conf/one.yaml")
case("compare: sorted by what there is not", nothing, "exit 2", "compare one --sort luck")

# Exports, recognition, pronunciation
case("export: a folder of many things", nothing, "config.yaml: no such file", "export .")
case("export: half of the graph", both(put(f"{EXP}/graph/lm.json", "{}"), put(f"{EXP}/decode/tuning.json", "{}"),
     put(f"{EXP}/graph/graph.fst", "half"), put(f"{EXP}/graph/SHA256SUMS", f"{'0' * 64}  graph.fst\n")),
     "graph.fst: is not as it was")
for name in ("model.onnx", "model.mindir", "features.json", "demo.html"):
    case(f"export: a folder in the place of {name}", folder(f"{EXPORT}/{name}"), f"{name}: a folder stands where")
case("export: dev's pinyin of another set", copy_of("data/own/dev/pinyin", "data/own/train/pinyin"), "can be aligned")
case("export: not trained", gone(f"{EXP}/final.ckpt"), "run stage 4")
case("export: a byte of final.ckpt is another", change(f"{EXP}/final.ckpt",
     lambda old: old[:-9] + bytes([old[-9] ^ 1]) + old[-8:]), "final.ckpt")
case("recognize: a byte of model.onnx is another", change(f"{EXPORT}/model.onnx",
     lambda old: old[:-99] + bytes([old[-99] ^ 1]) + old[-98:]), "model.onnx")
case("recognize: half of model.onnx without a list of checksums", bare(f"{EXPORT}/model.onnx", half), "model.onnx")
case("recognize: a network of text", bare(f"{EXPORT}/model.onnx", put, "network"), "model.onnx")
case("recognize: a digit of export.json is another", change(f"{EXPORT}/export.json", lambda old: old.replace(b"0.",
     b"1.", 1) + b"\n"), "export.json: is not as it was")
case("recognize: no context", bare(f"{EXPORT}/export.json", sub, '"left_context": [^,]*', '"left_context": null'),
     "left_context")
case("recognize: no step", bare(f"{EXPORT}/export.json", sub, '"subsampling_factor": [^,]*',
     '"subsampling_factor": 0'), "subsampling_factor")
case("recognize: features with a rate of 1 Hz", bare(f"{EXPORT}/features.json", sub, '"sample_rate": [^,]*',
     '"sample_rate": 1'), "sample_rate")
case("recognize: a key that only another version knows", bare(f"{EXPORT}/features.json", sub, "{", '{"new": 1,'), "")
case("recognize: an empty name", nothing, "exit 2", f"recognize {EXPORT} ''")
case("recognize: no such file", nothing, "exit 1", f"recognize {EXPORT} none.wav")
case("recognize: an empty file", put("a.wav", ""), "exit 1")
case("recognize: a file of text", put("a.wav", "hello"), "exit 1")
for what, place, new in (("no format", 20, bytes(2)), ("a format that there is not", 20, b"\xff\xff"),
                         ("samples of no bits", 34, bytes(2))):
    case(f"recognize: a header of {what}", change("a.wav", lambda old, place=place, new=new: old[:place] + new
         + old[place + 2:]), "a.wav: not readable as audio")
case("recognize: AAC of no rate", put("a.wav", b"\xff\xf1\x50\x80" * 50), "a.wav: not readable as audio")
case("recognize: half a header of WebM", put("a.wav", b"\x1aE\xdf\xa3" + bytes(100)), "a.wav: not readable as audio")
case("pronounce: a recording of one frame", lambda root: speech(root / "a.wav", seconds=0.025) and None,
     "do not fit into")
case("recognize: a folder of none", folder("empty"), "holds no recording", f"recognize {EXPORT} empty")
case("recognize: a folder by a link that leads back", lambda root: (root / "own/again").symlink_to(".."), "",
     f"recognize {EXPORT} own")
case("recognize: a link that leads nowhere", both(link("own/a0.wav", "/nowhere/a.wav")), "/nowhere/a.wav, which is not",
     f"recognize {EXPORT} own")
case("recognize: what macOS leaves beside a recording", put("own/._a0.wav", b"\0\5\x16\7"), "",
     f"recognize {EXPORT} own")
case("recognize: an editor's lock", link("own/.#a0.wav", "me@host.1:2"), "", f"recognize {EXPORT} own")
case("recognize: a stream of two", nothing, "--stream is for one", f"recognize {EXPORT} a.wav b.wav --stream")
case("recognize: subtitles of two", nothing, "a file for one recording",
     f"recognize {EXPORT} a.wav b.wav --format srt")
case("recognize: a rate of 0", nothing, "exit 2", f"recognize {EXPORT} - --rate 0")
case("recognize: a rate below 0", nothing, "exit 2", f"recognize {EXPORT} - --rate -16000")
case("recognize: a rate beyond all rates", nothing, "--rate is 4000 to 768000",
     f"recognize {EXPORT} - --rate {'9' * 30}")
case("recognize: channels beyond all numbers", nothing, "--channels 1 to 64",
     f"recognize {EXPORT} - --channels {'9' * 30}")
case("recognize: overwriting nothing", nothing, "exit 2", f"recognize {EXPORT} a.wav --overwrite")
case("recognize: wfst without a graph", nothing, "tuned", f"recognize {EXPORT} a.wav --method wfst")
case("recognize: a directory that is none", nothing, "holds no trained experiment", "recognize conf a.wav")
case("serve: a directory that is none", nothing, "holds no trained experiment", "serve conf")
for host in ("😀", "*", "a b", "x" * 300, "256.1.1.1", "/dev/null"):
    case(f"serve: at {host[:9]}", nothing, "cannot listen there", f"serve {EXPORT} --host '{host}'")
case("serve: a port beyond all ports", nothing, "exit 2", f"serve {EXPORT} --port 70000")
case("serve: a port below 0", nothing, "exit 2", f"serve {EXPORT} --port -1")
case("pronounce: a list without tabs", put("list.tsv", "a.wav 你好\n"), "list.tsv:1")
case("pronounce: a list of nothing", put("list.tsv", "\n\n"), "holds no recording")
case("pronounce: a text that cannot be read", nothing, "@@", f"pronounce {EXPORT} a.wav --text @@")
case("pronounce: a syllable of no tone 7", nothing, "7 is not a part", f"pronounce {EXPORT} a.wav --text 'ni7 hao3'")
case("pronounce: a text of blanks", nothing, "holds no syllable", f"pronounce {EXPORT} a.wav --text '  '")
case("pronounce: a page over a config", nothing, "must end in .html",
     f"pronounce {EXPORT} a.wav --text 你好 --html conf/one.yaml")
case("pronounce: list and text", nothing, "exit 2", f"pronounce {EXPORT} a.wav --text 你 --list list.tsv")

# Language models, pinyin, hanzi
case("graph: no words", both(gone("words.tsv")), "words.tsv: no such file")
case("graph: not trained", gone(f"{EXP}/tokens.txt"), "tokens.txt")
case("graph: a token is another", change(f"{EXP}/tokens.txt", lambda old: old.replace(b"ni3", b"ni4")),
     "tokens.txt: is not as it was")
case("decode: a weight that is not a number", bare(f"{EXP}/final.ckpt", with_nan), "NaN or infinite")
case("graph: a text that is not there", sub("conf/one.yaml", r"text:\n\s+- train", "text: [none.txt]"), "none.txt")
case("graph: a text of digits alone", both(put("x.txt", "@@@\n"), sub("conf/one.yaml", r"text:\n\s+- train",
     "text: [x.txt]")), "x.txt: no sentences")
case("graph: words that are a folder", sub("conf/one.yaml", r"words:\n\s+- words.tsv", "words: [own]"), "own")
case("tune: no graph", gone(f"{EXP}/graph"), "graph", f"tune {EXP} prefix")
case("tune: a method without weights", nothing, "exit 2", f"tune {EXP} greedy")
case("hanzi: a syllable that there is not", put("p.txt", "ni3 hao3\nxyz1\n"), "p.txt:2")
case("hanzi: no file", gone("p.txt"), "p.txt: no such file")
case("hanzi: tone 8", put("p.txt", "ni8\n"), "p.txt:1")
case("hanzi: a zero byte", put("p.txt", "ni3 hao3\nni3\0hao3\n"), "p.txt:2: a zero byte")
case("pinyin: readings of no syllable, and nothing to read", put("user.txt", "微雨 xyz yu3\n"), "user.txt:1: ",
     "pinyin --user-dict user.txt")
case("config: a path with a zero byte", sub("conf/corpora/own.yaml", "root: .*", 'root: "own\\0"'), "root: a zero byte",
     "config.__main__ one")
case("pinyin: a policy that is not there", nothing, "none.yaml: no such file", "pinyin --policy none.yaml")
case("pinyin: a policy of another kind", nothing, "conf/one.yaml", "pinyin --policy conf/one.yaml")

# The rest
case("prune: no such experiment", nothing, "exp/ holds no experiment", "prune two")
case("prune: train.csv gone", gone(f"{EXP}/train.csv"), "train.csv: does not tell how good")
case("prune: train.csv of another training", put(f"{EXP}/train.csv", "epoch,dev_ser\n9,0.5\n"),
     "train.csv: is not as it was written")
case("prune: train.csv that does not tell", bare(f"{EXP}/train.csv", put, "epoch,dev_ser\n9,0.5\n"),
     "train.csv: does not tell how good")
case("report: a digit of train.csv is another", sub(f"{EXP}/train.csv", "0.5", "0.4"), f"remove {EXP}/SHA256SUMS")
case("prune: keep below 0", nothing, "exit 2", "prune one --keep -1")
case("prune: keep nothing", nothing, "exit 2", "prune one --keep 0")
case("prune: progress.json of another kind", put(f"{EXP}/progress.json", "{}"), "progress.json")
case("config: no such experiment", nothing, "conf/two.yaml: no such file", "config.__main__ two")
case("config: a list", put("conf/one.yaml", "- a\n- b\n"), "one.yaml")
case("config: nothing", put("conf/one.yaml", ""), "one.yaml")
case("config: infinity", sub("conf/one.yaml", "learning_rate: .*", "learning_rate: .inf"), "learning_rate")
case("config: a date for a seed", sub("conf/one.yaml", "corpus: own", "corpus: own\nseed: 2024-01-01"), "seed")
case("config: a seed in octal", sub("conf/one.yaml", "corpus: own", "corpus: own\nseed: 0o7"), "seed")
case("config: a corpus by its path", sub("conf/one.yaml", "corpus: own", "corpus: conf/corpora/own"), "corpus")
case("config: a base that is itself", sub("conf/one.yaml", "corpus: own", "base: one\ncorpus: own"), "base")
case("config: a base that is not there", sub("conf/one.yaml", "corpus: own", "base: none\ncorpus: own"), "none")
case("download: nothing to download", nothing, "there is nothing to download")
case("download: no such corpus", nothing, "conf/corpora/none.yaml", "download none")
case("download: another one at work", both(put("conf/corpora/big.yaml", "module: thchs30\nroot: own\n"),
     lambda root: take_lock(lock_path(root / "data/big", "download"), "steps.download") and None),
     "data/big: `steps.download` writes there", "download big")
case("data_dir: no directory", nothing, "data/none: no such directory", "data_dir validate data/none")
case("data_dir: a file", nothing, "no such directory", "data_dir validate own/t.csv")
case("data_dir: a speaker of two words", sub("data/own/dev/utt2spk", " (.*)", " a b"), "utt2spk")
case("data_dir: a duration in full-width digits", sub("data/own/dev/utt2dur", "0.4", "０.４"), "utt2dur")
case("data_dir: a duration with an underscore", sub("data/own/dev/utt2dur", "0.4", "1_0"), "utt2dur")
case("data_dir: a key of a no-break space", sub("data/own/dev/text", "s2", "s\u00a02"), "white space inside a key")
case("fix: no wav.scp", gone("data/own/dev/wav.scp"), "wav.scp: no such file")
case("fix: nothing would be left", put("data/own/dev/wav.scp", "x /nowhere.wav\n"), "nothing would be left")
case("fix: CRLF and a byte order mark", change("data/own/dev/text", lambda old: b"\xef\xbb\xbf" + old.replace(b"\n",
     b"\r\n")), "")
case("subset: more than there are", nothing, "cannot be taken of", "data_dir subset data/own/dev data/new --utts 99")
case("subset: fewer than none", nothing, "exit 2", "data_dir subset data/own/dev data/new --first -1")
case("subset: none", nothing, "exit 2", "data_dir subset data/own/dev data/new --first 0")
case("subset: the shortest of fewer than none", nothing, "exit 2",
     "data_dir subset data/own/dev data/new --shortest -1")
case("subset: utterances that are not there", put("utts", "nobody\n"), "utts: nobody: no utterance of data/own/dev")
case("subset: a list of nothing", put("utts", "\n"), "utts: no id in it")
case("subset: into itself", nothing, "data/own/dev", "data_dir subset data/own/dev data/own/dev --first 1")
for what, target, said in (("the folder of the corpora", "data", "replace what it is made from"),
                           ("the folder of the experiments", "exp", "not a data directory"),
                           ("a config", "conf/one.yaml", "not a data directory"), ("no name", "''", "replace what"),
                           ("the folder above", "..", "replace what"), ("this folder", ".", "replace what")):
    case(f"subset: into {what}", nothing, said, f"data_dir subset data/own/dev {target} --first 1")
case("combine: into the folder of the experiments", nothing, "not a data directory",
     "data_dir combine exp data/own/dev data/own/test")
case("subset: into a pipe", lambda root: os.mkfifo(root / "pipe"), "not a data directory",
     "data_dir subset data/own/dev pipe --first 1")
case("subset: over an earlier one", nothing, "", "data_dir subset data/own/dev data/own/test --first 1")
case("combine: with itself", nothing, "", "data_dir combine data/new data/own/dev data/own/dev")
case("combine: into one of them", nothing, "data/own/dev", "data_dir combine data/own/dev data/own/dev data/own/test")
case("combine: one that is not there", nothing, "no such directory",
     "data_dir combine data/new data/own/dev data/none")
case("verify: a list of another kind", put(f"{EXP}/SHA256SUMS", "nonsense\n"), "not a list of checksums")
case("decode: a list of checksums cut at the end of a line", change(f"{EXP}/SHA256SUMS", lambda old: old[: old.rindex(
     b"\n", 0, -1) + 1]), "SHA256SUMS: has 6 of the 7 files that it had")
case("verify: an empty list", put(f"{EXP}/SHA256SUMS", ""), f"{EXP}/SHA256SUMS: the list is empty")
case("verify: a folder for a list, and a byte that is another", both(folder(f"{EXPORT}/SHA256SUMS"),
     change(f"{EXP}/cmvn", lambda old: old[:-9] + bytes([old[-9] ^ 1]) + old[-8:])), "cmvn: is not as it was")
for command, path in (("lexicon", "data/own/lang/words.txt"), ("features", f"{FEATS}/SHA256SUMS"),
                      ("align", f"{EXP}/ali/dev/ali.json"), ("graph", f"{EXP}/graph/words.arpa"),
                      ("graph", f"{EXP}/graph/lm.json"), ("verify", f"{EXPORT}/SHA256SUMS"),
                      ("recognize", f"{EXPORT}/SHA256SUMS")):
    case(f"{command}: a folder in the place of {Path(path).name}", folder(path),
         f"{path}: a folder stands where a file should be")
case("verify: a list that leads out", put(f"{EXP}/SHA256SUMS", f"{'0' * 64}  ../../own/t.csv\n"),
     f"{EXP}/SHA256SUMS: not a list")
case("diagnose: no such experiment", nothing, "conf/two.yaml", "diagnose two")
case("diagnose: no time", nothing, "exit 2", "diagnose one --minutes -1")
case("diagnose: time without end", nothing, "exit 2", "diagnose one --minutes inf")
case("diagnose: minutes that are no number", nothing, "exit 2", "diagnose one --minutes nan")


def make_done(root: Path, monkeypatch) -> None:
    """A project whose stages are all done, with a network of random weights."""
    project = Project(root, monkeypatch)
    project.configure(root="own")
    rows = [f"a{at}.wav,{SPEAKERS[part]},{text},{part}" for at, (part, text) in
            enumerate((part, text) for part, texts in SETS.items() for text in texts)]
    for at in range(len(rows)):
        speech(project.own / f"a{at}.wav")
    project.table("audio,speaker,text,set", *rows)
    project.write("conf/features/fbank.yaml", "type: fbank\nnum_bins: 8\n")
    project.write("words.tsv", "你好\n")
    lm = {"words": ["words.tsv"], "text": ["train"]}
    project.write("conf/one.yaml", yaml.safe_dump(EXPERIMENT | {"corpus": "own", "features": "fbank", "decode": {
        "sets": ["dev"], "methods": ["greedy", "prefix"], "lm": lm}}, default_flow_style=False))
    for name, content in (("p.txt", "ni3 hao3\n"), ("list.tsv", "a.wav\t你好\n"), ("utts", "s2-a5\n")):
        project.write(name, content)
    speech(root / "a.wav")
    for words in (COMMANDS["prepare"], COMMANDS["lexicon"], COMMANDS["features"]):
        assert call(words) == ""
    write_training(root / EXP)
    for words in (COMMANDS["decode"], COMMANDS["score"], COMMANDS["export"]):
        assert call(words) == ""


def write_training(exp_dir: Path) -> None:
    """What stage 4 leaves, but that nothing was learnt."""
    from steps.config.exp_dir import inputs
    from steps.model.acoustic import make_network
    from steps.model.checkpoints import named_parameters, save_weights
    from steps.text.syllables import read_tokens, tokens_hash

    config = load_experiment("one")
    tokens = read_tokens(Path("data/own/lang/tokens.txt"))
    weights = named_parameters(make_network(config, tokens))
    save_weights(exp_dir / "final.ckpt", weights, {"tokens_sha256": tokens_hash(tokens), "epoch": 1})
    save_weights(exp_dir / "checkpoints/epoch-0001.ckpt", weights, {})
    write_lines(exp_dir / "config.yaml", [dump(config)])
    write_lines(exp_dir / "tokens.txt", (f"{token} {number}" for number, token in enumerate(tokens)))
    write_lines(exp_dir / "train.csv", ["epoch,train_loss,dev_loss,dev_ser", "1,2,2,0.5"])
    save_cmvn(exp_dir / "cmvn", load_cmvn(config.cmvn))
    for name, value in (("buckets.json", [64]), ("inputs.json", inputs(config)), ("env.json", {"git_commit": "x"})):
        write_json(exp_dir / name, value)
    write_sums(exp_dir, TRAINED + HISTORY)


def call(words: str) -> str:
    """Run a command in this process: what its error says, "exit N" and what it printed, or "" where it ends well."""
    module, *arguments = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", words)]
    before, said = sys.argv, io.StringIO()
    sys.argv = [module, *arguments]
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            import_module(f"steps.{module}").main()
    except UserError as error:
        return str(error)
    except OSError as error:  # as steps.common.errors.run does
        if error.errno not in DISK:
            raise
        return disk_error(error)
    except SystemExit as end:
        return f"exit {end.code}: {said.getvalue()}" if end.code else ""
    finally:
        sys.argv = before
    return ""


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and "log/" not in str(path)}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The project that all cases are copies of."""
    root = tmp_path_factory.mktemp("inputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("YINJIE_NJ", "1")
        make_done(root, patch)
    return root


@pytest.mark.parametrize("name", CASES)
def test_input(done, tmp_path, monkeypatch, name):
    root = tmp_path / "p"
    shutil.copytree(done, root, symlinks=True)
    monkeypatch.chdir(root)
    monkeypatch.setenv("YINJIE_NJ", "1")
    monkeypatch.setattr("uvicorn.run", lambda *arguments, **more: None)
    edit, said = CASES[name]
    edit(root)
    before = files(root)
    found = call(WORDS.get(name) or COMMANDS[name.partition(":")[0]])
    assert (said in found and found) if said else not found, found
    assert not found or before - files(root) <= {f"{EXP}/SHA256SUMS"}  # what is refused removes a training's list alone
    assert not [path for path in files(root) - before if LEFTOVER.fullmatch(Path(path).name)]
