"""Seeds and sweeps: which experiments a file makes, what they hold, what is said of mistakes."""

import re
import sys

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import steps.config.__main__
from steps.common.errors import UserError
from steps.config.load import experiment_names, load_experiment, load_features
from steps.config.variants import families

BASE = {"corpus": "mini", "features": "fbank", "model": {"blocks": [{"channels": 8}]}, "train": {"epochs": 3}}


@pytest.fixture
def conf(tmp_path):
    for folder in ("corpora", "features", "sweeps"):
        (tmp_path / "conf" / folder).mkdir(parents=True)
    write(tmp_path / "conf", "corpora/mini", {"module": "mini"})
    write(tmp_path / "conf", "features/fbank", {"type": "fbank"})
    write(tmp_path / "conf", "features/spectrogram", {"type": "spectrogram"})
    write(tmp_path / "conf", "base", BASE)
    return tmp_path / "conf"


def write(conf, name, value):
    (conf / f"{name}.yaml").write_text(yaml.safe_dump(value, sort_keys=False))


def test_without_seeds_a_file_is_one_experiment(conf):
    assert experiment_names(conf) == ["base"]
    assert load_experiment("base", conf).name == "base"


def test_seeds_make_an_experiment_each(conf):
    write(conf, "x", {**BASE, "seeds": [3, 1]})
    assert experiment_names(conf) == ["base", "x@3", "x@1"]
    base = load_experiment("base", conf).experiment
    for seed in (3, 1):
        resolved = load_experiment(f"x@{seed}", conf)
        assert resolved.name == f"x@{seed}"
        assert resolved.experiment == base.model_copy(update={"seed": seed})
        assert "seeds" not in resolved.experiment.model_dump()


def test_points_of_a_sweep(conf):
    write(conf, "sweeps/lr", {"base": "base", "vary": {"train.optimizer.learning_rate": [0.01, 0.001],
                                                       "train.epochs": [1, 2, 4]}, "set": {"train.batch_size": 4}})
    names = [f"lr@learning_rate-{rate},epochs-{epochs}" for rate in (0.01, 0.001) for epochs in (1, 2, 4)]
    assert experiment_names(conf) == ["base", *names]
    base = load_experiment("base", conf).experiment
    for name, (rate, epochs) in zip(names, [(r, e) for r in (0.01, 0.001) for e in (1, 2, 4)], strict=True):
        experiment = load_experiment(name, conf).experiment
        assert (experiment.train.optimizer.learning_rate, experiment.train.epochs) == (rate, epochs)
        assert experiment.train.batch_size == 4
        assert experiment.model == base.model


def test_sweeps_with_seeds(conf):
    sweep = {"base": "x", "vary": {"train.epochs": [1, 2]}}
    write(conf, "x", {**BASE, "seeds": [5, 6]})
    write(conf, "sweeps/inherits", sweep)
    write(conf, "sweeps/own", {**sweep, "seeds": [7]})
    write(conf, "sweeps/none", {**sweep, "seeds": []})
    assert experiment_names(conf)[3:] == [
        "inherits@epochs-1@5", "inherits@epochs-1@6", "inherits@epochs-2@5", "inherits@epochs-2@6",
        "none@epochs-1", "none@epochs-2", "own@epochs-1@7", "own@epochs-2@7"]
    experiment = load_experiment("inherits@epochs-2@6", conf).experiment
    assert (experiment.seed, experiment.train.epochs) == (6, 2)


def test_keys_are_named_by_tails_that_tell_them_apart(conf):
    write(conf, "sweeps/s", {"base": "base", "vary": {"train.optimizer.name": ["muon"], "features": ["spectrogram"],
                                                      "train.augment.level": [0.5]}})
    assert experiment_names(conf)[1:] == ["s@name-muon,features-spectrogram,level-0.5"]
    write(conf, "sweeps/s", {"base": "base", "vary": {"train.a.b": [1], "train.c.b": [1], "b": [1]}})
    assert experiment_names(conf)[1:] == ["s@a.b-1,c.b-1,b-1"]


values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=60),
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(values, min_size=1, max_size=5))
def test_names_are_fit_for_files_and_doit(tmp_path_factory, found):
    conf = tmp_path_factory.mktemp("conf")
    (conf / "sweeps").mkdir()
    write(conf, "base", BASE)
    write(conf, "sweeps/s", {"base": "base", "vary": {"train.augment": found}})
    names = experiment_names(conf)[1:]
    assert len(set(names)) == len(names)
    if names != ["s"]:  # a mistake, such as values of one name
        assert len(names) == len(found)
        assert all(re.fullmatch(r"s@augment-[A-Za-z0-9_.+-]+", name) and len(name) < 60 for name in names)


MISTAKES = [
    ("base", {**BASE, "seed": 1, "sedes": [1]}, "conf/base.yaml: sedes: unknown key; did you mean 'seeds'?"),
    ("sweeps/s", {"bas": "base", "vary": {"seed": [1]}}, "unknown key; did you mean 'base'?"),
    ("sweeps/s", {"base": "base", "vary": {"train.epoch": [2]}},
     "conf/sweeps/s.yaml: train.epoch: unknown key; did you mean 'epochs'?"),
    ("sweeps/s", {"base": "base", "vary": {"train.epochs": [2, -2]}}, "conf/sweeps/s.yaml: train.epochs: "),
    ("sweeps/s", {"base": "base", "vary": {"train.ali": ["a b", "a_b"]}}, "would both be called s@ali-a_b"),
    ("sweeps/s", {"base": "base", "vary": {"train.epochs": list(range(1, 102)), "seed": list(range(10))}},
     "conf/sweeps/s.yaml: vary: makes 1010 experiments, of which 1000 are allowed"),
    ("y", {"base": "base", "train": {"epoch": 3}}, "conf/y.yaml: train.epoch: unknown key; did you mean 'epochs'?"),
    ("t?ny", BASE, "conf/t?ny.yaml: rename it: names have letters and digits"),
    ("x.", BASE, "conf/x..yaml: rename it"),
    ("features", BASE, "conf/features.yaml: rename the file: exp/features/ is not an experiment's folder"),
    ("log", BASE, "exp/log/ is not an experiment's folder"),
    ("sweeps/[s]", {"base": "base", "vary": {"seed": [1]}}, "sweeps/[s].yaml: rename it"),
    ("sweeps/base", {"base": "base", "vary": {"seed": [1]}}, "there is a "),
]


@pytest.mark.parametrize(("name", "value", "message"), MISTAKES)
def test_mistakes_name_file_and_key(conf, name, value, message):
    write(conf, name, value)
    with pytest.raises(UserError) as caught:
        for experiment in experiment_names(conf):
            load_experiment(experiment, conf)
    assert message in str(caught.value)


def test_a_name_that_no_file_makes(conf):
    write(conf, "x", {**BASE, "seeds": [1, 2]})
    with pytest.raises(UserError, match=r"x\.yaml: makes no experiment x, but x@1, x@2"):
        load_experiment("x", conf)
    with pytest.raises(UserError, match=r"base\.yaml: makes no experiment base@1, but base"):
        load_experiment("base@1", conf)


def test_families():
    assert families(["a", "x@1", "x@2", "s@e-1@1", "s@e-1@2", "s@e-2@1"]) == {
        "x": ["x@1", "x@2"], "s": ["s@e-1@1", "s@e-1@2", "s@e-2@1"], "s@e-1": ["s@e-1@1", "s@e-1@2"],
        "s@e-2": ["s@e-2@1"]}


def test_a_base_and_only_what_differs(conf):
    optimizer = {"name": "muon", "warmup_steps": 3}
    write(conf, "x", {**BASE, "train": {"epochs": 7, "optimizer": optimizer}, "seeds": [1, 2]})
    write(conf, "y", {"base": "x", "train": {"epochs": 8, "optimizer": {"warmup_steps": 4}}, "seeds": []})
    write(conf, "z", {"base": "y", "corpora": ["mini"], "model": {"blocks": [{"channels": 9}]}})
    assert experiment_names(conf)[1:] == ["x@1", "x@2", "y", "z"]
    y, z = (load_experiment(name, conf).experiment for name in "yz")
    assert (y.train.epochs, y.train.optimizer.name, y.train.optimizer.warmup_steps) == (8, "muon", 4)
    assert z.train == y.train and [block.channels for block in z.model.blocks] == [9]
    write(conf, "sweeps/s", {"base": "z", "vary": {"train.epochs": [1]}})
    swept = load_experiment("s@epochs-1", conf).experiment
    assert (swept.train.epochs, swept.train.optimizer.warmup_steps) == (1, 4)


def test_features_on_the_base_of_others(conf):
    write(conf, "features/low", {"base": "fbank", "high_freq": 6400, "copies": [{"speed": 0.9}, {"speed": 1.1}]})
    write(conf, "features/lower", {"base": "low", "high_freq": 4000, "copies": [{"speed": 0.8}]})
    lower = load_features("lower", conf)
    assert (lower.type, lower.high_freq, [copy.speed for copy in lower.copies]) == ("fbank", 4000, [0.8])
    write(conf, "y", {**BASE, "features": "lower"})
    assert load_experiment("y", conf).features == lower
    for value, message in (({"base": "lo"}, r"features/x\.yaml: base: .*features has fbank, low, lower"),
                           ({"base": "x"}, r"features/x\.yaml: base: x is made on the base of this file"),
                           ({"base": "low", "hi_freq": 1}, r"features/x\.yaml: hi_freq: unknown key")):
        write(conf, "features/x", value)
        with pytest.raises(UserError, match=message):
            load_features("x", conf)


def test_the_resolved_config_can_be_printed(conf, monkeypatch, capsys):
    write(conf, "y", {"base": "base", "train": {"epochs": 8}})
    monkeypatch.chdir(conf.parent)
    monkeypatch.setattr(sys, "argv", ["config", "y"])
    steps.config.__main__.main()
    assert yaml.safe_load(capsys.readouterr().out) == load_experiment("y", conf).model_dump(mode="json")
