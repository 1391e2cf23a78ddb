"""Bad inputs to every stage and command: each is refused in one message that names what to mend, or taken rightly.

A case is a command, what is changed before it in a project whose stages are all done, and words of the error; "" where
the input is taken rightly. No exception but UserError, no other file is lost, and none is left half-written.
"""

import contextlib
import io
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
TUNING, TOKENS, TRAIN, DEV = f"{EXP}/decode/tuning.json", "data/own/lang/tokens.txt", "data/own/train", "data/own/dev"
CORPUS, FBANK, ONE = "conf/corpora/own.yaml", "conf/features/fbank.yaml", "conf/one.yaml"
SPEAKERS = {"train": "s1", "dev": "s2", "test": "s3"}
COMMANDS = {  # by what stands before the colon of a case's name; other names are command lines themselves
    "prepare": "stage1_prepare own", "lexicon": "stage2_lexicon own", "features": "stage3_features own fbank --nj 1",
    "train": "stage4_train one", "decode": f"stage5_decode {EXP} dev", "score": f"stage6_score {EXP} dev",
    "align": f"align {EXP} dev", "report": f"make_report {EXP}", "compare": "compare one", "prune": "prune one",
    "export": f"export {EXP}", "recognize": f"recognize {EXPORT} a.wav",
    "pronounce": f"pronounce {EXPORT} --list list.tsv", "graph": "make_graph one", "tune": f"tune {EXP} prefix",
    "hanzi": "hanzi p.txt", "config": "config.__main__ one",
    "data_dir": "data_dir validate data/own/dev", "fix": "data_dir fix data/own/dev",
    "subset": "data_dir subset data/own/dev data/new --utt-list utts", "verify": "status --verify",
    "diagnose": "diagnose one", "strict": "diagnose one --strict", "words": f"stage5_decode {EXP} dev --words w.txt",
    "folder": f"recognize {EXPORT} own", "user_dict": "pinyin --user-dict user.txt", "big": "download big",
    **{method: f"stage5_decode {EXP} dev --method {method}" for method in ("prefix", "wfst")},
}


def put(path: str, content: str | bytes) -> Edit:
    def edit(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content.encode() if isinstance(content, str) else content)
    return edit


def change(path: str, new: Callable[[bytes], bytes]) -> Edit:
    return lambda root: (root / path).write_bytes(new((root / path).read_bytes())) and None


def add(path: str, line: str) -> Edit:
    return change(path, lambda old: old + f"{line}\n".encode())


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
    return both(gone(path), lambda root: (root / path).mkdir(parents=True))


def link(path: str, target: str) -> Edit:
    return both(gone(path), lambda root: (root / path).symlink_to(target))


def copy_of(path: str, source: str) -> Edit:
    return lambda root: shutil.copy(root / source, root / path) and None


def both(*edits: Edit) -> Edit:
    return lambda root: [edit(root) for edit in edits] and None


def half(path: str) -> Edit:
    return change(path, lambda content: content[: len(content) // 2])


def unlike_its_sum(path: str, content: str) -> Edit:
    """A file with a list of checksums beside it that has another one."""
    return both(put(path, content), put(f"{Path(path).parent}/SHA256SUMS", f"{'0' * 64}  {Path(path).name}\n"))


def bare(path: str, edit: Callable[..., Edit], *rest) -> Edit:
    """An edit of a file whose folder has no list of checksums, as where a user has removed it."""
    return both(gone(str(Path(path).parent / "SHA256SUMS")), edit(path, *rest))


def untrained(edit: Edit) -> Edit:
    return both(gone(f"{EXP}/final.ckpt"), edit)


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


def case(name: str, edit: Edit, said: str) -> None:
    assert name not in CASES, name
    CASES[name] = (edit, said)


# Text files: of another encoding, of another kind, damaged. Command, and file.
TEXTS = [
    ("prepare", CORPUS), ("prepare", "own/t.csv"), ("lexicon", f"{TRAIN}/text"), ("features", FBANK),
    ("features", f"{DEV}/wav.scp"), ("train", ONE), ("train", TOKENS), ("train", f"{TRAIN}/pinyin"),
    ("decode", f"{EXP}/config.yaml"), ("decode", f"{EXP}/tokens.txt"), ("score", f"{DECODED}/pinyin"),
    ("score", f"{DECODED}/decode.json"), ("score", f"{DEV}/utt2spk"), ("report", f"{SCORED}/per_utt"),
    ("report", f"{EXP}/env.json"), ("report", f"{EXP}/train.csv"), ("export", f"{EXP}/config.yaml"),
    ("recognize", f"{EXPORT}/tokens.txt"), ("recognize", f"{EXPORT}/features.json"),
    ("recognize", f"{EXPORT}/export.json"), ("pronounce", "list.tsv"), ("graph", "words.tsv"),
    ("graph", f"{TRAIN}/pinyin"), ("config", ONE), ("hanzi", "p.txt"), ("data_dir", f"{DEV}/utt2dur"),
    ("subset", "utts"), ("verify", f"{EXP}/SHA256SUMS"),
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

for command, path in [
    ("lexicon", f"{DEV}/utt2spk"), ("features", f"{DEV}/utt2audio"),
    ("train", TOKENS), ("graph", f"{EXP}/tokens.txt"), ("score", f"{DEV}/utt2spk"), ("score", f"{DECODED}/pinyin"),
    ("report", f"{SCORED}/score.json"), ("report", f"{DECODED}/ctm"), ("prune", f"{EXP}/train.csv"),
    ("export", f"{EXP}/final.ckpt"), ("recognize", f"{EXPORT}/model.onnx"), ("recognize", f"{EXPORT}/export.json"),
    ("verify", f"{EXP}/cmvn"),
    *(("decode", f"{EXP}/{name}") for name in sorted(TRAINED)),
]:
    case(f"{command}: a byte more in {path}", add(path, ""), f"{Path(path).name}: is not as it was")

for command, path in [
    ("prepare", "own/a0.wav"), ("lexicon", "data/own/lang/words.txt"), ("features", f"{FEATS}/SHA256SUMS"),
    ("align", f"{EXP}/ali/dev/ali.json"), ("graph", f"{EXP}/graph/words.arpa"), ("graph", f"{EXP}/graph/lm.json"),
    ("decode", f"{DECODED}/ctm"), ("score", f"{SCORED}/per_spk"), ("verify", f"{EXPORT}/SHA256SUMS"),
    ("recognize", f"{EXPORT}/SHA256SUMS"),
    *(("export", f"{EXPORT}/{name}") for name in ("model.onnx", "model.mindir", "features.json", "demo.html")),
]:
    case(f"{command}: a folder in the place of {path}", folder(path),
         f"{path}: " if command == "prepare" else f"{path}: a folder stands where a file should be")

LINES = {  # command lines with nothing changed, and words of what they say
    "stage1_prepare nobody": "conf/corpora/nobody.yaml: no such file",
    "stage1_prepare ../own": "rename it",
    "stage1_prepare ''": "rename it",
    "stage1_prepare own\u200b": "rename it",
    "stage1_prepare own+": "rename it",
    "stage1_prepare own+own": "different ones",
    "stage1_prepare own --nj 0.5": "exit 2",
    "stage1_prepare own --nj ２": "exit 2",
    "stage3_features own mel": "conf/features/mel.yaml: no such file",
    "stage4_train two": "conf/two.yaml: no such file",
    "stage4_train exp/one": "conf/exp/one.yaml: no such file",
    "stage4_train one@lr-1": "conf/",
    f"align {EXP} data/own/dev/": "",
    f"align {EXP} tset": "no set 'tset', only train, dev, test",
    f"align {EXP} data/other/dev": "other/dev: not of own",
    f"stage5_decode {EXP} tset": "has no set 'tset', only",
    f"stage5_decode {EXP} ../own/dev": "no such file",
    f"stage5_decode {EXP} other/dev": "run stages 1 and 2 of other first",
    "stage5_decode exp/two dev": "exp/two/config.yaml",
    "stage5_decode one dev": "one/config.yaml",
    f"stage5_decode {EXP} dev --method prefix": "prefix has not been tuned",
    f"stage5_decode {EXP} dev --words none.txt": "none.txt: no such file",
    f"stage6_score {EXP} test": "run stage 5 (decode) first",
    f"stage6_score {EXP} dev --method beam": "run stage 5 (decode) first",
    f"tune {EXP} greedy": "exit 2",
    "make_report exp/none": "exp/none/config.yaml",
    "compare conf/one.yaml": "no experiment of this name",
    "compare ''": "no experiment of this name",
    "compare .": "no experiment of this name",
    "compare data/own/dev": "no experiment of this name",
    "compare exp": "no experiment of this name",
    "compare one --html conf/one.yaml": "must end in .html",
    "compare one --sort luck": "exit 2",
    "export .": "config.yaml: no such file",
    f"recognize {EXPORT} ''": "exit 2",
    f"recognize {EXPORT} none.wav": "exit 1",
    f"recognize {EXPORT} a.wav b.wav --stream": "--stream is for one",
    f"recognize {EXPORT} a.wav b.wav --format srt": "a file for one recording",
    f"recognize {EXPORT} - --rate 0": "exit 2",
    f"recognize {EXPORT} - --rate -16000": "exit 2",
    f"recognize {EXPORT} - --rate {'9' * 30}": "--rate is 4000 to 768000",
    f"recognize {EXPORT} - --channels {'9' * 30}": "--channels 1 to 64",
    f"recognize {EXPORT} a.wav --overwrite": "exit 2",
    f"recognize {EXPORT} a.wav --method wfst": "tuned",
    "recognize conf a.wav": "holds no trained experiment",
    "serve conf": "holds no trained experiment",
    f"serve {EXPORT} --port 70000": "exit 2",
    f"serve {EXPORT} --port -1": "exit 2",
    **{f"serve {EXPORT} --host '{host}'": "cannot listen there"
       for host in ("😀", "*", "a b", "x" * 300, "256.1.1.1", "/dev/null")},
    f"pronounce {EXPORT} a.wav --text @@": "@@",
    f"pronounce {EXPORT} a.wav --text 'ni7 hao3'": "7 is not a part",
    f"pronounce {EXPORT} a.wav --text '  '": "holds no syllable",
    f"pronounce {EXPORT} a.wav --text 你好 --html conf/one.yaml": "must end in .html",
    f"pronounce {EXPORT} a.wav --text 你 --list list.tsv": "exit 2",
    "pinyin --policy none.yaml": "none.yaml: no such file",
    "pinyin --policy conf/one.yaml": ONE,
    "prune two": "exp/ holds no experiment",
    "prune one --keep -1": "exit 2",
    "prune one --keep 0": "exit 2",
    "config.__main__ two": "conf/two.yaml: no such file",
    "download own": "there is nothing to download",
    "download none": "conf/corpora/none.yaml",
    "data_dir validate data/none": "data/none: no such directory",
    "data_dir validate own/t.csv": "no such directory",
    f"data_dir subset {DEV} data/new --utts 99": "cannot be taken of",
    f"data_dir subset {DEV} data/new --first -1": "exit 2",
    f"data_dir subset {DEV} data/new --first 0": "exit 2",
    f"data_dir subset {DEV} data/new --shortest -1": "exit 2",
    f"data_dir subset {DEV} {DEV} --first 1": DEV,
    f"data_dir subset {DEV} data --first 1": "replace what it is made from",
    f"data_dir subset {DEV} '' --first 1": "replace what",
    f"data_dir subset {DEV} .. --first 1": "replace what",
    f"data_dir subset {DEV} . --first 1": "replace what",
    f"data_dir subset {DEV} exp --first 1": "not a data directory",
    f"data_dir subset {DEV} data/own/test --first 1": "",
    f"data_dir combine exp {DEV} data/own/test": "not a data directory",
    f"data_dir combine data/new {DEV} {DEV}": "",
    f"data_dir combine {DEV} {DEV} data/own/test": DEV,
    f"data_dir combine data/new {DEV} data/none": "no such directory",
    "diagnose two": "conf/two.yaml",
    "diagnose one --minutes -1": "exit 2",
    "diagnose one --minutes inf": "exit 2",
    "diagnose one --minutes nan": "exit 2",
}
for line, said in LINES.items():
    case(line, nothing, said)

# Stage 1
case("prepare: audio by an absolute path that is not there", sub("own/t.csv", "a0.wav", "/nowhere/a0.wav"),
     "/nowhere/a0.wav")
case("prepare: a recording that is a link to itself", link("own/a0.wav", "a0.wav"), "a0.wav: ")
case("prepare: a label of emoji alone", sub("own/t.csv", "你好", "😀😀"), "")
case("prepare: a speaker of blanks", sub("own/t.csv", ",s1,", ",  ,"), "t.csv:2")
case("prepare: a speaker with a slash", sub("own/t.csv", ",s1,", ",s/1,"), "")
case("prepare: another option", sub(CORPUS, "file:", "flie:"), "did you mean 'file'?")
case("prepare: another module", sub(CORPUS, "module: table", "module: tabel"), "there is no local/tabel.py")
for module in ("espeak", "polyphones", "os.path", "../steps/align", "''"):  # none is of a corpus
    case(f"prepare: the module {module}", sub(CORPUS, "module: table", f"module: {module}"), "odule")
case("prepare: root is a file", sub(CORPUS, "root: .*", "root: own/t.csv"), "no such folder")
case("prepare: root is a number", sub(CORPUS, "root: .*", "root: 7"), "root: ")
case("prepare: root is empty", sub(CORPUS, "root: .*", "root: ''"), "root: ")
for sets in ("[dev, dev]", "['a b']", "[]", "[../x]"):
    case(f"prepare: the sets {sets}", add(CORPUS, f"sets: {sets}"), "sets")
case("prepare: a set that is not there", add(CORPUS, "sets: [train, eval]"), "eval")
case("prepare: expected of a set that is not there", add(CORPUS, "expected: {tain: 5}"), "tain")
case("prepare: data is a link that leads nowhere", link("data", "/nowhere/data"), "data: a link that leads nowhere")
case("prepare: data is a file", both(gone("data"), put("data", "")), "a file stands where a folder should be")

# Stage 2
case("lexicon: no data", gone(DEV), DEV)
case("lexicon: a label of emoji alone", sub(f"{TRAIN}/text", "你好", "😀😀"), "😀")
case("lexicon: text without its newline", change(f"{DEV}/text", lambda old: old[:-1]), "cut short")
case("lexicon: combining marks", sub(f"{TRAIN}/text", "你好", "你\u0301好"), "U+0301")
case("lexicon: a character of a private plane", sub(f"{TRAIN}/text", "你好", "你\U000f0000好"), "\U000f0000")
case("lexicon: a ligature of radicals", sub(f"{TRAIN}/text", "你好", "⺒好"), "⺒")
case("lexicon: tabs between", sub(f"{DEV}/text", " ", "\t"), "")
case("lexicon: a list of pinyin of another kind", put("data/own/lang/pinyin.sha256", "x\n"),
     "pinyin.sha256: not a list")
case("lexicon: pinyin that a person mended to nonsense", sub(f"{DEV}/pinyin", "ni3", "nix3"), "'nix3'")
case("lexicon: tones in full-width digits", sub(f"{DEV}/pinyin", "ni3", "ni３"), "")
case("lexicon: text of another set", copy_of(f"{DEV}/text", "data/own/test/text"),
     "dev/text: 3 utterances in it or in utt2spk alone, such as s2-a5")
for content in ("", "# none yet\n"):
    case(f"lexicon: a user_dict of {content!r}", both(put("u.txt", content), add(CORPUS, "pinyin: {user_dict: u.txt}")),
         "u.txt: no words in it")
case("lexicon: a user_dict that is not there", add(CORPUS, "pinyin: {user_dict: none.txt}"), "none.txt")
case("lexicon: a user_dict that is a folder", add(CORPUS, "pinyin: {user_dict: own}"), "own")
case("lexicon: a user_dict with a byte order mark and CRLF", both(put("u.txt", "\ufeff你好 ni3 hao3\r\n"),
     add(CORPUS, "pinyin: {user_dict: u.txt}")), "")
case("lexicon: a policy that there is not", add(CORPUS, "pinyin: {sandhi: some}"), "sandhi")

# Stage 3
case("features: a floor above all speech", add(FBANK, "floor_db: 0"), "all frames have the same features")
case("features: frequencies the wrong way round", add(FBANK, "low_freq: 4000\nhigh_freq: 100"), "fbank.yaml")
case("features: more bins than there are", sub(FBANK, "8", "4000"), "fbank.yaml")
case("features: a truth value for a number", sub(FBANK, "8", "yes"), "num_bins: True")
case("features: a duration of a million years", bare(f"{DEV}/utt2dur", sub, "0.4", "3e13"), "are free")
case("features: a line less in wav.scp", sub(f"{DEV}/wav.scp", ".*\n", ""), "wav.scp: is not as it was")
case("features: a command in wav.scp", bare(f"{DEV}/wav.scp", sub, " (.*)", " cat x |"), "wav.scp")
case("features: an empty wav.scp", bare(f"{DEV}/wav.scp", put, ""), "wav.scp: the file is empty")
case("features: no channel in the header", change("own/a0.wav", lambda old: old[:22] + bytes(2) + old[24:]), "a0.wav")
case("features: a recording cut in its header", change("own/a0.wav", lambda old: old[:20]), "a0.wav")

# Stage 4
case("train: tokens of another order", bare(TOKENS, change, lambda old: b"\n".join(old.split(b"\n")[-2::-1]) + b"\n"),
     "tokens.txt:1")
case("train: no blank", bare(TOKENS, sub, "<blk>", "blank"), "token 0 must be <blk>")
case("train: a token twice", bare(TOKENS, change, lambda old: re.sub(rb"\n\S+ ([12])\n\S+", rb"\nhao3 \1\nhao3", old)),
     "is there twice")
case("train: numbers of tokens in full-width digits", bare(TOKENS, sub, " 1\n", " １\n"), "tokens.txt:2")
case("train: a token of two words", bare(TOKENS, sub, " 1\n", " x 1\n"), "tokens.txt:2")
case("train: more batches to an update than utterances", sub(ONE, "  epochs: ", "  accum_grad: 6\n  epochs: "),
     "lower accum_grad or workers")
case("train: a syllable that is not a token", sub(f"{TRAIN}/pinyin", "ni3", "lv4"), "'lv4'")
for wrong in ("many", "-5"):
    case(f"train: {wrong} frames", bare(f"{FEATS}/train/utt2num_frames", sub, r" \d+", f" {wrong}"), "utt2num_frames: ")
case("train: features gone", gone(FEATS), "run")
case("train: offsets of feats.scp", untrained(bare(f"{FEATS}/dev/feats.scp", sub, ":", ":9")), "run stage 3")
case("train: an ark of text", untrained(bare(f"{FEATS}/dev/feats.ark", put, "no features\n" * 100)), "run stage 3")
case("train: cmvn of text", bare(f"{FEATS}/cmvn", put, "\xff" * 100), "cmvn: ")
case("train: dev's pinyin is that of train", untrained(copy_of(f"{DEV}/pinyin", f"{TRAIN}/pinyin")),
     "dev/pinyin: none of its utterances has features")
for part in ("dev", "train"):
    case(f"train: half of {part}'s features", untrained(bare(f"{FEATS}/{part}/feats.ark", half)), f"{part}/feats.scp: ")
case("train: numbers of frames of fewer utterances", untrained(bare(f"{FEATS}/train/utt2num_frames", sub, ".*\n", "")),
     "has other utterances than")
case("train: an utterance without a speaker", untrained(sub(f"{TRAIN}/utt2spk", "s1-a0 s1\n", "")),
     "train/utt2spk: utterance s1-a0 has no speaker")
case("train: features of another config", sub(FBANK, "num_bins: 8", "num_bins: 9"),
     "features.yaml: num_bins is 8 there, but the experiment has 9")
for command in ("decode", "align", "export", "diagnose"):
    case(f"{command}: features of another config", bare(f"{FEATS}/features.yaml", sub, "low_freq: 0.0", "low_freq: 9"),
         "features.yaml: low_freq is 9.0 there, but the experiment has 0.0")
case("decode: features read otherwise", bare(f"{FEATS}/features.yaml", sub, "compress: false", "compress: true"), "")
for command, said in (("tune", "dev/pinyin: none of its utterances has features"), ("export", "can be aligned"),
                      ("align", "none of the 5 utterances of its pinyin can be aligned: 5: they have no features")):
    case(f"{command}: dev's pinyin of another set", copy_of(f"{DEV}/pinyin", f"{TRAIN}/pinyin"), said)
case("strict: dev's pinyin of another set", copy_of(f"{DEV}/pinyin", f"{TRAIN}/pinyin"), "exit 1")
case("strict: numbers of frames in words", bare(f"{FEATS}/dev/utt2num_frames", sub, r" \d+", " many"), "exit 1")
case("train: init_from itself", sub(ONE, "epochs: ", "init_from: one\n  epochs: "), "cannot start from itself")
case("train: init_from a text file", both(put("x.ckpt", "weights"),
     sub(ONE, "epochs: ", "init_from: x.ckpt\n  epochs: ")), "train.init_from")
case("train: inputs.json of another kind", put(f"{EXP}/inputs.json", "[]"), "inputs.json: not a JSON mapping")
case("train: inputs.json that is damaged", put(f"{EXP}/inputs.json", '{"a": "b", "sha256": "c"}'),
     "inputs.json: is not as it was written")
case("train: inputs.json that is gone", gone(f"{EXP}/inputs.json"), "inputs.json: no such file")
case("train: inputs.json as the remedy has it", put(f"{EXP}/inputs.json", "{}"), "")
case("train: an alignment that is damaged", both(
     unlike_its_sum("exp/two/ali/train/ctm", "s1-a0 1 0.00 0.10 ni3 1\n"), sub(ONE, "epochs: ", "ali: two\n  epochs: "),
     sub(ONE, "level: ", "splice: 0.5\n    level: ")), "ctm: is not as it was")

# Stage 5, with its language models
for name, said in (("final.ckpt", "ckpt: not"), ("cmvn", "cmvn: no"), ("buckets.json", "buckets.json: not")):
    case(f"decode: half of {name} without a list of checksums", bare(f"{EXP}/{name}", half), said)
for content in ('{"a": 1}', "[-3]", "[99999999999]"):
    case(f"decode: buckets {content}", bare(f"{EXP}/buckets.json", put, content), "buckets.json")
case("decode: weights of another experiment", bare(f"{EXP}/config.yaml", sub, "channels: 8", "channels: 9"),
     "final.ckpt")
case("decode: a weight that is not a number", bare(f"{EXP}/final.ckpt", with_nan), "NaN or infinite")
for text in ("[]", "{", '{"prefix": 1}', '{"prefix": {"best": {"weight": "x", "insertion": 1}}}',
             '{"prefix": {"best": {"weight": NaN, "insertion": 0}}}'):
    case(f"prefix: tuning {text}", put(TUNING, text), "tuning.json")
TUNED = '{"prefix": {"best": {"weight": 1, "insertion": 0}}, "wfst": {"best": {"scale": 1, "blank_penalty": 0}}}'
for method, name in (("prefix", "syllables.arpa"), ("wfst", "graph.fst"), ("wfst", "words.txt")):
    for what, content in (("empty", ""), ("of text", "no graph\n"), ("of bytes", bytes(range(256)))):
        case(f"{method}: {name} {what}", both(put(TUNING, TUNED), put(f"{EXP}/graph/lexicon.txt", "你 ni3\n"),
             put(f"{EXP}/graph/{name}", content)), "graph")
for method in ("prefix", "wfst"):
    case(f"{method}: a graph of another network", both(put(TUNING, TUNED), put(f"{EXP}/graph/lm.json",
         '{"tokens_sha256": "0"}')), "made for a network with other tokens")
case("prefix: another tuning.json", unlike_its_sum(TUNING, TUNED), "tuning.json: is not as it was")
for line in ("你好 ni3", "WiFi", "你好 ni3 hao3 -5", "你好 ni3 hao3 1e9", "你好 ni9 hao3", "你好 ni3 hao3 ٣",
             "你好 nan"):
    case(f"words: {line}", put("w.txt", f"{line}\n"), "w.txt:1")
case("words: blank lines and remarks", put("w.txt", "\n# none\n"), "no words in it")
case("graph: no words", gone("words.tsv"), "words.tsv: no such file")
case("graph: words that are a folder", sub(ONE, r"words:\n\s+- words.tsv", "words: [own]"), "own")
case("graph: not trained", gone(f"{EXP}/tokens.txt"), "tokens.txt")
case("graph: a text that is not there", sub(ONE, r"text:\n\s+- train", "text: [none.txt]"), "none.txt")
case("graph: a text of digits alone", both(put("x.txt", "@@@\n"), sub(ONE, r"text:\n\s+- train", "text: [x.txt]")),
     "x.txt: no sentences")
case("tune: no graph", gone(f"{EXP}/graph"), "graph")

# Stage 6, the report and the comparison
case("score: nothing decoded", gone(DECODED), "run stage 5 (decode) first")
case("score: an utterance twice", bare(f"{DECODED}/pinyin", change, lambda old: old + old), "is there twice")
case("score: an utterance less", bare(f"{DECODED}/pinyin", sub, ".*\n", ""), "dev/pinyin")
case("score: an utterance more", bare(f"{DECODED}/pinyin", add, "zz ni3"), "zz")
case("score: decode.json without its times", bare(f"{DECODED}/decode.json", sub, '"real_time_factor"', '"rtf"'),
     "real_time_factor")
case("score: decode.json with words for numbers", bare(f"{DECODED}/decode.json", sub, '"real_time_factor": [^,]*',
     '"real_time_factor": "fast"'), "real_time_factor")
case("score: no speakers", gone(f"{DEV}/utt2spk"), "utt2spk")
case("score: an utterance without a speaker", bare(f"{DEV}/utt2spk", sub, ".*\n", ""), "has no speaker")
for key, value in (("syllable_error_rate", '"x"'), ("utterances", "-1"), ("ins", "1e400"),
                   ("ci95", "[1]"), ("set", "7"), ("tone_error_rate", "null")):
    case(f"report: {key} is {value}", bare(f"{SCORED}/score.json", sub, f'"{key}": (\\[[^]]*\\]|[^,\n]*)',
         f'"{key}": {value}'), key)
case("report: per_utt of fewer utterances", bare(f"{SCORED}/per_utt", half), "per_utt")
case("report: per_spk of numbers without end", bare(f"{SCORED}/per_spk", sub, r" \d+ ", f" {'9' * 400} "), "per_spk")
case("report: a row of train.csv cut", bare(f"{EXP}/train.csv", put, "epoch,dev_ser\n1\n"), "train.csv: dev_ser: not")
case("report: epochs that are not numbers", bare(f"{EXP}/train.csv", put, "epoch,dev_ser\nnan,nan\n"),
     "without its epoch")
case("report: env.json with weights in words", sub(f"{EXP}/env.json", "{", '{"weights": "many",'), "")
case("report: a digit of train.csv is another", sub(f"{EXP}/train.csv", "0.5", "0.4"), f"remove {EXP}/SHA256SUMS")
case("compare: env.json with weights beyond all bounds", sub(f"{EXP}/env.json", "{", f'{{"weights": {"9" * 400},'), "")

# Exports, recognition, pronunciation
case("export: half of the graph", both(put(f"{EXP}/graph/lm.json", "{}"), put(TUNING, "{}"),
     unlike_its_sum(f"{EXP}/graph/graph.fst", "half")), "graph.fst: is not as it was")
case("export: not trained", gone(f"{EXP}/final.ckpt"), "run stage 4")
case("recognize: half of model.onnx without a list of checksums", bare(f"{EXPORT}/model.onnx", half), "model.onnx")
case("recognize: a network of text", bare(f"{EXPORT}/model.onnx", put, "network"), "model.onnx")
for key, value, name in (("left_context", "null", "export"), ("subsampling_factor", "0", "export"),
                         ("sample_rate", "1", "features")):
    case(f"recognize: {key} is {value}", bare(f"{EXPORT}/{name}.json", sub, f'"{key}": [^,]*', f'"{key}": {value}'),
         key)
case("recognize: a key that only another version knows", bare(f"{EXPORT}/features.json", sub, "{", '{"new": 1,'), "")
case("recognize: an empty file", put("a.wav", ""), "exit 1")
case("recognize: a file of text", put("a.wav", "hello"), "exit 1")
for what, place, new in (("no format", 20, bytes(2)), ("a format that there is not", 20, b"\xff\xff"),
                         ("samples of no bits", 34, bytes(2))):
    case(f"recognize: a header of {what}", change("a.wav", lambda old, place=place, new=new: old[:place] + new
         + old[place + 2:]), "a.wav: not readable as audio")
case("recognize: AAC of no rate", put("a.wav", b"\xff\xf1\x50\x80" * 50), "a.wav: not readable as audio")
case("recognize: half a header of WebM", put("a.wav", b"\x1aE\xdf\xa3" + bytes(100)), "a.wav: not readable as audio")
case("folder: of no recording", folder("own"), "holds no recording")
case("folder: a link that leads back", link("own/again", ".."), "")
case("folder: a link that leads nowhere", link("own/a0.wav", "/nowhere/a.wav"), "/nowhere/a.wav, which is not")
case("folder: what macOS leaves beside a recording", put("own/._a0.wav", b"\0\5\x16\7"), "")
case("folder: an editor's lock", link("own/.#a0.wav", "me@host.1:2"), "")
case("pronounce: a recording of one frame", lambda root: speech(root / "a.wav", seconds=0.025) and None,
     "do not fit into")
case("pronounce: a list without tabs", put("list.tsv", "a.wav 你好\n"), "list.tsv:1")
case("pronounce: a list of nothing", put("list.tsv", "\n\n"), "holds no recording")

# The rest
case("hanzi: a syllable that there is not", put("p.txt", "ni3 hao3\nxyz1\n"), "p.txt:2")
case("hanzi: no file", gone("p.txt"), "p.txt: no such file")
case("hanzi: tone 8", put("p.txt", "ni8\n"), "p.txt:1")
case("hanzi: a zero byte", put("p.txt", "ni3 hao3\nni3\0hao3\n"), "p.txt:2: a zero byte")
case("user_dict: readings of no syllable, and nothing to read", put("user.txt", "微雨 xyz yu3\n"), "user.txt:1: ")
case("prune: train.csv gone", gone(f"{EXP}/train.csv"), "train.csv: does not tell how good")
case("prune: train.csv that does not tell", bare(f"{EXP}/train.csv", put, "epoch,dev_ser\n9,0.5\n"),
     "train.csv: does not tell how good")
case("prune: progress.json of another kind", put(f"{EXP}/progress.json", "{}"), "progress.json")
case("config: a path with a zero byte", sub(CORPUS, "root: .*", 'root: "own\\0"'), "root: a zero byte")
case("config: a corpus by its path", sub(ONE, "corpus: own", "corpus: conf/corpora/own"), "corpus")
case("big: another one at work", both(put("conf/corpora/big.yaml", "module: thchs30\nroot: own\n"),
     lambda root: take_lock(lock_path(root / "data/big", "download"), "steps.download") and None),
     "data/big: `steps.download` writes there")
case("data_dir: a speaker of two words", sub(f"{DEV}/utt2spk", " (.*)", " a b"), "utt2spk")
for wrong in ("0,4", "inf", "０.４", "1_0"):
    case(f"data_dir: a duration of {wrong}", sub(f"{DEV}/utt2dur", "0.4", wrong), "utt2dur: ")
case("data_dir: a key of a no-break space", sub(f"{DEV}/text", "s2", "s\u00a02"), "white space inside a key")
case("fix: no wav.scp", gone(f"{DEV}/wav.scp"), "wav.scp: no such file")
case("subset: utterances that are not there", put("utts", "nobody\n"), f"utts: nobody: no utterance of {DEV}")
case("subset: a list of nothing", put("utts", "\n"), "utts: no id in it")
case("verify: a list of another kind", put(f"{EXP}/SHA256SUMS", "nonsense\n"), "not a list of checksums")
case("verify: an empty list", put(f"{EXP}/SHA256SUMS", ""), f"{EXP}/SHA256SUMS: the list is empty")
case("verify: a list that leads out", put(f"{EXP}/SHA256SUMS", f"{'0' * 64}  ../../own/t.csv\n"),
     f"{EXP}/SHA256SUMS: not a list")
case("verify: a folder for a list, and a byte more", both(folder(f"{EXPORT}/SHA256SUMS"), add(f"{EXP}/cmvn", "")),
     "cmvn: is not as it was")
case("decode: a list of checksums cut at the end of a line", change(f"{EXP}/SHA256SUMS", lambda old: old[: old.rindex(
     b"\n", 0, -1) + 1]), "SHA256SUMS: has 6 of the 7 files that it had")



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
    found = call(COMMANDS.get(name.partition(":")[0], name))
    assert (said in found and found) if said else not found, found
    assert not found or before - files(root) <= {f"{EXP}/SHA256SUMS"}  # what is refused removes a training's list alone
    assert not [path for path in files(root) - before if LEFTOVER.fullmatch(Path(path).name)]
