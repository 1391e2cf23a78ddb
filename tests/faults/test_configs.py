"""Files of conf/ as people and editors damage them, and values that nobody can mean: refused in one message that names
the file and the key, or taken rightly.

A case is what a file of conf/ is or gets, and words of the error; "" where it is taken rightly.
"""

import os
import shutil
from pathlib import Path

import pytest
import yaml
from tiny_corpus import EXPERIMENT

from steps.common.errors import UserError
from steps.config.load import experiment_names, load_corpus, load_experiment

ONE = yaml.safe_dump({**EXPERIMENT, "corpus": "own", "features": "fbank"})
LINES = ONE.count("\n")
BEHIND = {  # lines behind those of conf/one.yaml
    "a list that is not closed": ("seed: [", "one.yaml: not readable as YAML: "),
    "a key twice": ("corpus: c", f"the key 'corpus' is there twice (line {LINES + 1})"),
    "a key twice in a key": ("decode: {sets: [dev], sets: [test]}", "the key 'sets' is there twice"),
    "3,000 brackets": ("x: " + "[" * 3000, f"line {LINES + 1}: more than 50 mappings and lists within each other"),
    "100,000 brackets, closed": ("x: " + "[" * 100_000 + "]" * 100_000, "more than 50 mappings and lists"),
    "a number in base 8": ("seed: 010", "010: write the number without 0"),
    "a number in base 60": ("seed: 1:30", "1:30: write the number"),
    "a fraction in base 60": ("decode: {lm: {order: 1:30.5}}", "1:30.5: write the number"),
    "a number of 5,000 digits": ("seed: " + "1" * 5000, "write the number"),
    "seeds in base 8": ("seeds: [010, 8]", "010: write the number"),
    "a number in base 16": ("seed: 0x1F", ""),
    "a number with underscores": ("seed: 1_000", ""),
    "a number in quotation marks": ("seed: '010'", ""),
    "an exponent for a whole number": ("seed: 1e3", "seed: "),
    "a full-width number": ("seed: ３", "seed: "),
    "month 13": ("seed: 2001-13-99", "month must be in 1..12"),
    "hour 25": ("seed: 2001-09-09 25:61:61", "hour must be in 0..23"),
    "a tag of a number on a word": ("seed: !!int abc", "holds a value that is not what it seems"),
    "a tag of a fraction on a word": ("seed: !!float x", "holds a value that is not what it seems"),
    "a tag of a truth value on a word": ("seed: !!bool maybe", "holds a value that is not what it seems"),
    "a tag of a date on a word": ("seed: !!timestamp x", "holds a value that is not what it seems"),
    "a tag of bytes": ("seed: !!binary é", "not readable as YAML"),
    "a tag of a set": ("seed: !!set {a, b}", "seed: "),
    "a tag of pairs": ("seed: !!pairs [a: 1]", "seed: "),
    "a tag of nothing": ("seed: !!null x", "seed: "),
    "a tag of the user": ("seed: !mine 3", "could not determine a constructor"),
    "a tag of Python": ("seed: !!python/name:os.system", "could not determine a constructor"),
    "an equals sign": ("seed: =", "not readable as YAML"),
    "a list for a key": ("? [a]\n: 3", "unhashable key"),
    "a mapping for a key": ("? {a: b}\n: 3", "unhashable key"),
    "nothing for a key": ("null: 3", "None: Keys should be strings"),
    "a truth value for a key": ("yes: 3", "Keys should be strings"),
    "a date for a key": ("2001-01-01: 3", "Keys should be strings"),
    "an alias of what it stands in": ("x: &a [*a]", f"line {LINES + 1}: *a stands within what it names"),
    "an alias of a mapping that it stands in": ("decode: &a {sets: *a}", "*a stands within what it names"),
    "an alias of nothing": ("seed: *nope", "undefined alias"),
    "aliases of aliases": ("\n".join([f"a{at}: &a{at} [{', '.join([f'*a{at - 1}' if at else 'x'] * 10)}]"
                                      for at in range(8)] + ["seed: *a7"]), "more than 100000 values"),
    "aliases that are few": ("decode: {sets: [&d dev, test], lm: {text: [*d]}}", ""),
    "a merged key that is not a mapping": ("decode:\n  <<: 3", "for merging"),
    "merged keys": ("decode:\n  <<: {sets: [dev]}", ""),
    "two merged keys": ("decode:\n  <<: {sets: [dev]}\n  <<: {sets: [test]}", "'<<' is there twice"),
    "a bell": ("# \a", "control characters"),
    "a tab before a key": ("\tseed: 3", "found a tab"),
    "a wrong value of three million letters": ("seed: " + "y" * 3_000_000, "…"),
    "a second document": ("---\nseed: 3", "expected a single document"),
    "the end of the document": ("...", ""),
    "a base above the folder": ("base: ../conf/one", "'../conf/one' is not a name"),
    "a base by its whole path": ("base: /etc/passwd", "'/etc/passwd' is not a name"),
    "a base of no name": ("base: ''", "'' is not a name"),
    "a base that is a number": ("base: 3", "base: "),
    "a base that is nothing": ("base:", ""),
    "a base with a seed": ("base: one@1", "'one@1' is not a name"),
    "a base that is reserved": ("base: features", "conf/features.yaml: no such file"),
    "20,000 seeds": (f"seeds: {list(range(20000))}", "at most 1000 items"),
    "seeds that are one": ("seeds: 3", "seeds: "),
    "a seed twice": ("seeds: [1, 1.0]", "the same value twice"),
    "a seed below 0": ("seeds: [-1]", "seeds.0: "),
    "sets that are one word": ("decode: {sets: dev}", "decode.sets: "),
    "a set with a slash before it": ("decode: {sets: [/dev]}", "decode.sets.0: "),
    "a set that the corpus lacks": (
        "decode: {sets: [tset]}", "decode.sets: corpus own has no set 'tset', only train, dev, test"),
    "a set of no corpus": ("decode: {sets: [none/dev]}", "conf/corpora/none.yaml: no such file"),
    "a truth value for a set": ("decode: {sets: [yes]}", "decode.sets.0: "),
    "no words and no text": ("decode: {lm: {words: [], text: []}}", "neither words nor text"),
    "corpus and corpora": ("corpora: [own]", "in place of corpus"),
}
SWEEPS = {  # conf/sweeps/s.yaml
    "a list": ("- a", "valid dictionary"),
    "nothing": ("", "valid dictionary"),
    "vary of one value": ("base: one\nvary: {seed: 3}", "vary.seed: "),
    "vary of no value": ("base: one\nvary: {seed: []}", "vary.seed: "),
    "vary of no key": ("base: one\nvary: {}", "vary: "),
    "vary of a mapping": ("base: one\nvary: {seed: {a: 1}}", "vary.seed: "),
    "the same number written twice": ("base: one\nvary: {seed: [1, 1.0]}", "the same value twice"),
    "vary of 2,000 values": (f"base: one\nvary: {{seed: {list(range(2000))}}}", "at most 1000 items"),
    "vary and set of a key": ("base: one\nvary: {seed: [1]}\nset: {seed: 3}", "seed is said twice"),
    "vary of a key and of what is above it": ("base: one\nvary: {seed: [1], train: [{epochs: 2}]}\n"
                                              "set: {train.epochs: 3}", "train.epochs is said twice"),
    "a key that is a number": ("base: one\nvary: {3: [1]}", "vary.3"),
    "a base that is a sweep": ("base: s\nvary: {seed: [1]}", "no such file conf/s.yaml"),
    "an alias of what it stands in": ("base: one\nvary: &a {seed: [*a]}", "*a stands within what it names"),
    "a key that there is not": ("base: one\nvary: {seed: [1]}\nset: {train.epoch: 3}", "did you mean 'epochs'?"),
    "a corpus that there is not": ("base: one\nvary: {seed: [1]}\nset: {corpus: none}", "conf/corpora/none.yaml"),
    "a key within a number": ("base: one\nvary: {seed: [1]}\nset: {corpus.x: 1}", "corpus is not a mapping"),
    "a date beside another value": ("base: one\nvary: {seed: [1, 2000-01-01]}", ""),
    "one point": ("base: one\nvary: {seed: [1]}", ""),
}
WHOLE = {  # conf/one.yaml
    "of nothing": (b"", "one.yaml: (the whole file): "),
    "of a list": (b"- corpus\n", "one.yaml: (the whole file): "),
    "with a byte order mark": (b"\xef\xbb\xbf" + ONE.encode(), ""),
    "with CRLF": (ONE.replace("\n", "\r\n").encode(), ""),
    "of GBK": ("# 中文\n".encode("gbk") + ONE.encode(), "one.yaml: not readable as YAML"),
    "of a byte order mark alone": (b"\xef\xbb\xbf", "one.yaml: (the whole file)"),
    "of a comment alone": (b"# x\n", "one.yaml: (the whole file)"),
    "of a word": (b"hello\n", "one.yaml: (the whole file)"),
    "of another version of YAML": (b"%YAML 9.9\n---\n" + ONE.encode(), "found incompatible YAML document"),
    "with a zero byte": (ONE.encode() + b"# \0\n", "one.yaml: not readable as YAML"),
}
BOUNDS = [  # what an experiment on the base of conf/one.yaml says; the key that is refused, "" where it is taken
    ("train: {augment: {time_warp: [1.1, 0.9]}}", "time_warp"),
    ("train: {augment: {freq_warp: [0, 1]}}", "freq_warp"),
    ("train: {augment: {level: .inf}}", "level"),
    ("train: {augment: {level: .nan}}", "level"),
    ("train: {augment: {freq_shift: 10000}}", "freq_shift"),
    ("train: {augment: {freq_shift: 8}}", "freq_shift"),  # all bins
    ("train: {augment: {freq_masks: 1, freq_mask_bins: 8}}", "freq_mask_bins"),
    ("train: {augment: {time_masks: 1000000000}}", "time_masks"),
    ("train: {augment: {time_masks: 1000}}", "time_masks"),  # which leave no frame for each
    ("train: {augment: {splice: 0.5}, ali: ''}", "ali"),
    ("train: {epochs: 1000000000000000000}", "epochs"),
    ("train: {epochs: 0}", "epochs"),
    ("train: {batch_size: 1000000000000}", "batch_size"),
    ("train: {workers: 1000000}", "workers"),
    ("train: {init_from: ''}", "init_from"),
    ("train: {keep_checkpoints: 1000000000000000000}", "keep_checkpoints"),
    ("train: {optimizer: {learning_rate: .inf}}", "learning_rate"),
    ("train: {optimizer: {learning_rate: 100}}", "learning_rate"),
    ("train: {optimizer: {clip_norm: .inf}}", "clip_norm"),
    ("train: {optimizer: {weight_decay: -1}}", "weight_decay"),
    ("model: {blocks: []}", "blocks"),
    (f"model: {{blocks: {1000 * ['{channels: 1}']}}}".replace("'", ""), "blocks"),
    ("model: {blocks: [{channels: 1000000000}]}", "channels"),
    ("model: {blocks: [{channels: 8, layers: 1000000}]}", "layers"),
    ("model: {blocks: [{channels: 8, stride: [1000000, 1]}]}", "stride"),
    ("model: {dense: [10000000]}", "dense"),
    ("seed: 4294967296", "seed"),
    ("seed: -1", "seed"),
    ("seed: 4294967295", ""),
    ("train: {epochs: 1000}", ""),
    ("train: {augment: {time_warp: [1.0, 1.0]}}", ""),
    ("train: {augment: {freq_shift: 7}}", ""),
    ("model: {blocks: [{channels: 2048}]}", ""),
]
FEATURES = [  # lines of conf/features/fbank.yaml
    ("num_bins: 10000000", "num_bins"),
    ("sample_rate: 1", "sample_rate"),
    ("sample_rate: 1000000000", "sample_rate"),
    ("sample_rate: 8000", ""),
    ("frame_length_ms: 1000000", "frame_length_ms"),
    ("frame_shift_ms: 0", "frame_shift_ms"),
    ("floor_db: -.inf", "floor_db"),
    ("low_freq: .nan", "low_freq"),
    ("copies: [{speed: 1000}]", "speed"),
    ("copies: [{snr_db: .inf}]", "snr_db"),
]
CASES = {
    **{case: ("one.yaml", f"{ONE}{lines}\n".encode(), said) for case, (lines, said) in BEHIND.items()},
    **{f"a sweep: {case}": ("sweeps/s.yaml", text.encode(), said) for case, (text, said) in SWEEPS.items()},
    **{f"a file {case}": ("one.yaml", content, said) for case, (content, said) in WHOLE.items()},
    **{f"bounds: {line[:60]}": ("two.yaml", f"base: one\n{line}\n".encode(), key) for line, key in BOUNDS},
    **{f"features: {line}": ("features/fbank.yaml", f"type: fbank\n{line}\n".encode(), key)
       for line, key in FEATURES},
}


@pytest.fixture
def conf(tmp_path, monkeypatch) -> Path:
    """conf/ with a corpus, features and an experiment."""
    monkeypatch.chdir(tmp_path)
    files = {"corpora/own": "module: table", "features/fbank": "type: fbank\nnum_bins: 8\n", "one": ONE}
    for name, content in files.items():
        path = tmp_path / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "conf/sweeps").mkdir()
    return tmp_path / "conf"


def said(name: str) -> str:
    """What loading an experiment says; whatever that is, the list of all goes on."""
    assert name in experiment_names() or name.partition("@")[0] in experiment_names() or name == "one"
    try:
        load_experiment(name)
    except UserError as error:
        assert len(str(error)) < 2000
        return str(error)
    return ""


@pytest.mark.parametrize("case", CASES)
def test_files(conf, case):
    path, content, wanted = CASES[case]
    (conf / path).write_bytes(content)
    found = said({"sweeps/s.yaml": "s@seed-1", "two.yaml": "two"}.get(path, "one"))
    assert (wanted in found and found) if wanted else not found


def test_bases_without_end(conf):
    for at in range(30):
        (conf / f"c{at}.yaml").write_text(f"base: c{at + 1}\n")
    (conf / "one.yaml").write_text("base: c0\n")
    assert "more than 20 files" in said("one")
    (conf / "c3.yaml").write_text("base: one\n")
    assert "base: one is made on the base of this file" in said("one")


@pytest.mark.parametrize("what", ["pipe", "device", "folder", "loop", "link to nothing"])
def test_what_is_no_file(conf, what):
    (conf / "corpora/own.yaml").unlink()
    path = conf / "corpora/own.yaml"
    {"pipe": os.mkfifo, "device": lambda at: at.symlink_to("/dev/zero"), "folder": Path.mkdir,
     "loop": lambda at: at.symlink_to("own.yaml"), "link to nothing": lambda at: at.symlink_to("none")}[what](path)
    with pytest.raises((UserError, IsADirectoryError, OSError)) as error:  # of the others steps.common.errors says it
        load_corpus("own")
    assert "own.yaml" in str(error.value)


def test_without_conf(conf):
    shutil.rmtree(conf)
    assert "conf/one.yaml: no such file" in said("one")
