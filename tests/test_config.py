"""steps.config: what conf/ may hold, how mistakes are told, how an experiment's config travels with it."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from steps.common.errors import UserError
from steps.config.load import (
    check,
    corpus_names,
    dump,
    expand_variables,
    experiment_names,
    load_corpus,
    load_experiment,
    load_features,
    load_resolved,
    read_corpus,
)
from steps.config.schema import Experiment, Train
from steps.tasks.changes import SameConfig

ROOT = Path(__file__).parent.parent
MINIMAL = {"corpus": "mini", "features": "fbank", "model": {"blocks": [{"channels": 8}]}}
FIRST = "corpus: mini\nfeatures: fbank\nmodel: {blocks: [{channels: 8}]}\n"


@pytest.fixture
def conf(tmp_path):
    """A small conf/."""
    for name, text in {
        "first.yaml": FIRST,
        "corpora/mini.yaml": "module: mini\n",
        "corpora/real.yaml": "module: table\nroot: ${YINJIE_TEST_ROOT}/audio\nsets: [train, test]\n",
        "features/fbank.yaml": "type: fbank\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def with_key(path: str, value) -> dict:
    """MINIMAL with a value at a dotted path."""
    config = yaml.safe_load(yaml.safe_dump(MINIMAL))
    *folders, last = path.split(".")
    place = config
    for folder in folders:
        place = place[int(folder)] if isinstance(place, list) else place.setdefault(folder, {})
    place[last] = value
    return config


@pytest.mark.parametrize(("path", "value", "message"), [
    ("trian", {}, "conf/x.yaml: trian: unknown key; did you mean 'train'?"),
    ("train.epoch", 3, "conf/x.yaml: train.epoch: unknown key; did you mean 'epochs'?"),
    ("train.optimizer.lerning_rate", 3, "train.optimizer.lerning_rate: unknown key; did you mean 'learning_rate'?"),
    ("model.blocks.0.chanels", 3, "model.blocks.0.chanels: unknown key; did you mean 'channels'?"),
    ("decode.zzz", 3, "decode.zzz: unknown key; known keys: "),
    ("train.epochs", "many", "train.epochs: Input should be a valid integer"),
    ("train.epochs", 0, "train.epochs: Input should be greater than or equal to 1, not 0"),
    ("train.optimizer.name", "sgd", "train.optimizer.name: Input should be 'adamw', 'muon' or 'rmsprop', not 'sgd'"),
    ("corpus", "../mini", "corpus: String should match pattern"),
    ("corpus", "a*", "corpus: String should match pattern"),
    ("corpus", "-a", "corpus: String should match pattern"),
    ("corpus", "a+", "corpus: String should match pattern"),
    ("features", "a b", "features: String should match pattern"),
    ("decode.sets", ["dev", "dev"], "decode.sets: "),
    ("decode.sets", [], "decode.sets: "),
    ("features", None, "features: Input should be a valid string"),
])
def test_a_mistake_names_file_key_and_remedy(path, value, message):
    with pytest.raises(UserError) as error:
        check(with_key(path, value), Experiment, "conf/x.yaml")
    assert message in str(error.value)
    assert str(error.value).startswith("conf/x.yaml: ")


def test_names_are_of_any_script():
    for name in ("录音", "录音+a.b-c_d", "ñ1", "é"):
        assert check(with_key("corpus", name), Experiment, "x").corpus == name


def test_all_mistakes_of_a_file_are_told_at_once():
    config = with_key("train.epoch", 3)
    del config["corpus"]
    with pytest.raises(UserError, match=r"corpus: missing\n  train\.epoch: unknown key"):
        check(config, Experiment, "conf/x.yaml")


@given(st.data())
def test_a_key_with_a_letter_lost_is_recognised(data):
    key = data.draw(st.sampled_from([name for name in Train.model_fields if len(name) > 6]))
    at = data.draw(st.integers(0, len(key) - 1))
    with pytest.raises(UserError, match=f"did you mean '{key}'"):
        check({key[:at] + key[at + 1:]: 1}, Train, "x")


def test_a_missing_file_names_those_that_are_there(conf):
    with pytest.raises(UserError, match=r"features/fbnk\.yaml: no such file; .*features has fbank"):
        load_features("fbnk", conf)
    (conf / "first.yaml").write_text(FIRST.replace("mini", "minni"))
    with pytest.raises(UserError, match=r"corpora/minni\.yaml: no such file; .*corpora has mini, real"):
        load_experiment("first", conf)


def test_a_set_of_another_corpus_can_be_decoded(conf):
    text = FIRST + "decode: {sets: [test, real/test]}\n"
    (conf / "first.yaml").write_text(text)
    config = load_experiment("first", conf)
    assert config.set_data("real/test") == Path("data/real/test") and config.set_data("test") == Path("data/mini/test")
    assert config.set_feats("real/test", Path("exp/first")) == Path("exp/first/feats/real.test")
    assert config.set_feats("test", Path("exp/first")) == Path("exp/features/mini_fbank/test")
    (conf / "first.yaml").write_text(text.replace("real/test", "real/tset"))
    with pytest.raises(UserError, match="corpus real has no set 'tset', only train, test"):
        load_experiment("first", conf)


def test_splicing_needs_the_alignment_of_another_experiment(conf):
    spliced = FIRST + "train: "
    (conf / "second.yaml").write_text(spliced + "{ali: first, augment: {splice: 0.5}}\n")
    assert load_experiment("second", conf).foreign_files == [Path("exp/first/ali/train/ctm")]
    assert load_experiment("first", conf).foreign_files == []
    for train in ("{ali: first}", "{augment: {splice: 0.5}}"):
        (conf / "second.yaml").write_text(spliced + train + "\n")
        with pytest.raises(UserError, match=r"second\.yaml: train: augment\.splice and ali.* go together$"):
            load_experiment("second", conf)
    (conf / "second.yaml").write_text(spliced + "{ali: second, augment: {splice: 0.5}}\n")
    with pytest.raises(UserError, match=r"train\.ali: second cannot be trained by its own alignment"):
        load_experiment("second", conf)


def test_experiments_are_the_files(conf):
    (conf / "._first.yaml").write_bytes(b"\0")  # as macOS leaves it
    assert experiment_names(conf) == ["first"]


def test_root_is_expanded_for_stage_1_and_kept_as_written_for_experiments(conf, monkeypatch):
    monkeypatch.setenv("YINJIE_TEST_ROOT", "/corpora/real")
    assert load_corpus("real", conf).root == "/corpora/real/audio"
    assert read_corpus("real", conf).root == "${YINJIE_TEST_ROOT}/audio"
    assert load_corpus("mini", conf).root is None
    monkeypatch.delenv("YINJIE_TEST_ROOT")
    with pytest.raises(UserError, match=r"real\.yaml: root: the environment variable YINJIE_TEST_ROOT is not set"):
        load_corpus("real", conf)


@pytest.mark.parametrize(("text", "expected"), [("$YINJIE_A/x", "/a/x"), ("${YINJIE_A}${YINJIE_A}", "/a/a"),
                                                ("~/x", "/home/me/x"), ("/plain", "/plain"), ("data/x", "data/x")])
def test_variables(monkeypatch, text, expected):
    monkeypatch.setenv("YINJIE_A", "/a")
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_variables(text, "x") == expected


def test_an_experiment_of_another_version_is_read_with_a_warning(conf, tmp_path, capsys):
    config = load_experiment("first", conf)
    old = yaml.safe_load(dump(config))
    old["experiment"]["train"]["consistency"] = 0.3  # a key that was removed
    old["experiment"]["model"]["blocks"][0]["inter_ctc"] = True
    old["experiment"]["model"]["pad_mode"] = "pad"  # as all networks are by now
    old["experiment"]["model"]["has_bias"] = True
    old["experiment"]["train"]["has_bias"] = False  # was never a key of it
    old["experiment"]["train"]["summary"] = None  # null where today's schema has no null
    old["experiment"]["model"]["blocks"][0]["pool"] = None
    del old["experiment"]["train"]["balance"]  # a key that has come since
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(old))
    for _ in range(2):
        assert load_resolved(tmp_path) == config
    assert capsys.readouterr().err == (
        f"warning: {tmp_path}/config.yaml: another version of the recipe wrote it; passed over: "
        "experiment.model.blocks.0.inter_ctc, experiment.model.has_bias, "
        "experiment.train.consistency, experiment.train.has_bias\n")
    old["experiment"]["train"]["epochs"] = "many"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(old))
    with pytest.raises(UserError, match=r"config\.yaml: experiment\.train\.epochs: "):
        load_resolved(tmp_path)


def test_what_was_recorded_is_compared_as_todays_schema_reads_it():
    """A key that came later counts as its default, one that is no more does not count: neither reruns a stage."""
    train = Train(epochs=7)
    recorded = train.model_dump(mode="json")
    del recorded["balance"]
    recorded["consistency"] = 0.0
    check_now = SameConfig({"train": train, "sets": ["dev"]})
    assert check_now(Task, {"config": {"train": recorded, "sets": ["dev"]}})
    assert not check_now(Task, {"config": {"train": {**recorded, "epochs": 8}, "sets": ["dev"]}})
    assert not check_now(Task, {"config": {"train": {**recorded, "epochs": "many"}, "sets": ["dev"]}})
    assert check_now.differences({"config": {"train": {**recorded, "epochs": 8}}}) == [
        "train.epochs: 8, now 7", "sets: not there, now ['dev']"]


class Task:
    """What SameConfig needs of a doit task."""

    value_savers = []


def test_one_number_stands_for_both_dimensions():
    config = check(with_key("model.blocks.0.pool", 2), Experiment, "x")
    assert config.model.blocks[0].pool == (2, 2)
    config = check(with_key("model.blocks.0.pool", [2, 1]), Experiment, "x")
    assert config.model.blocks[0].pool == (2, 1)


def test_exponents_are_numbers_also_without_a_dot():
    """YAML 1.1 takes 1e-3 for a string."""
    assert yaml.safe_load("1e-3") == "1e-3"
    config = check(with_key("train.optimizer.learning_rate", "1e-3"), Experiment, "x")
    assert config.train.optimizer.learning_rate == 1e-3


@pytest.mark.parametrize("path", sorted({*(ROOT / "conf").glob("*.yaml")} - {ROOT / "conf/cluster.yaml"}),
                         ids=lambda path: path.stem)
def test_own_experiments_are_right_and_begin_with_what_they_are(path):
    load_experiment(path.stem, ROOT / "conf")
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    for word in first.replace(",", " ").split():  # another experiment, as which it is
        assert "_" not in word or (ROOT / f"conf/{word}.yaml").exists(), word


def test_own_corpora_and_features_are_right():
    for name in corpus_names(ROOT / "conf"):
        assert (ROOT / "local" / f"{read_corpus(name, ROOT / 'conf').module}.py").exists(), name
    for path in (ROOT / "conf/features").glob("*.yaml"):
        load_features(path.stem, ROOT / "conf")
