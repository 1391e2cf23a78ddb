"""Values of conf/ that nobody can mean are refused, with the key; those at the ends of what one may mean are not."""

import copy

import pytest
import yaml
from tiny_corpus import EXPERIMENT

from steps.common.errors import UserError
from steps.config.load import load_experiment

FEATURES = {"type": "fbank", "num_bins": 20}
REFUSED = {  # dotted keys to values
    "time_warp reversed": {"train.augment.time_warp": [1.1, 0.9]},
    "freq_warp of nothing": {"train.augment.freq_warp": [0, 1]},
    "no blocks": {"model.blocks": []},
    "a thousand blocks": {"model.blocks": [{"channels": 1}] * 1000},
    "channels": {"model.blocks": [{"channels": 10**9}]},
    "layers": {"model.blocks": [{"channels": 8, "layers": 10**6}]},
    "stride": {"model.blocks": [{"channels": 8, "stride": [10**6, 1]}]},
    "dense": {"model.dense": [10**7]},
    "seed": {"seed": 2**32},
    "seed below 0": {"seed": -1},
    "epochs": {"train.epochs": 10**18},
    "no epochs": {"train.epochs": 0},
    "batch_size": {"train.batch_size": 10**12},
    "workers": {"train.workers": 10**6},
    "level": {"train.augment.level": float("inf")},
    "level that is not a number": {"train.augment.level": float("nan")},
    "learning_rate": {"train.optimizer.learning_rate": float("inf")},
    "a learning rate of 100": {"train.optimizer.learning_rate": 100},
    "clip_norm": {"train.optimizer.clip_norm": float("inf")},
    "weight_decay": {"train.optimizer.weight_decay": -1},
    "freq_shift": {"train.augment.freq_shift": 10000},
    "freq_shift of all bins": {"train.augment.freq_shift": 20},
    "freq_mask_bins of all bins": {"train.augment.freq_masks": 1, "train.augment.freq_mask_bins": 20},
    "time_masks": {"train.augment.time_masks": 10**9},
    "more time_masks than leave a frame for each": {"train.augment.time_masks": 1000},
    "an alignment of no name": {"train.augment.splice": 0.5, "train.ali": ""},
    "weights of no name": {"train.init_from": ""},
    "keep_checkpoints": {"train.keep_checkpoints": 10**18},
    "sample_rate": {"features.sample_rate": 1},
    "sample_rate of a gigahertz": {"features.sample_rate": 10**9},
    "num_bins": {"features.num_bins": 10**7},
    "frame_length_ms": {"features.frame_length_ms": 10**6},
    "frame_shift_ms": {"features.frame_shift_ms": 0},
    "floor_db": {"features.floor_db": float("-inf")},
    "low_freq": {"features.low_freq": float("nan")},
    "a copy's speed": {"features.copies": [{"speed": 1000}]},
    "a copy's noise": {"features.copies": [{"snr_db": float("inf")}]},
}
TAKEN = {
    "seed": {"seed": 2**32 - 1},
    "epochs": {"train.epochs": 1000},
    "wide": {"model.blocks": [{"channels": 2048}]},
    "time_warp of one": {"train.augment.time_warp": [1.0, 1.0]},
    "freq_shift": {"train.augment.freq_shift": 19},
    "telephone": {"features.sample_rate": 8000},
}


def write(project, values: dict) -> None:
    experiment = {**copy.deepcopy(EXPERIMENT), "corpus": "own", "features": "own"}
    config = {"experiment": experiment, "features": dict(FEATURES)}
    for key, value in values.items():
        *above, last = (key if key.startswith("features.") else f"experiment.{key}").split(".")
        holder = config
        for part in above:
            holder = holder.setdefault(part, {})
        holder[last] = value
    project.write("conf/own.yaml", yaml.safe_dump(config["experiment"]))
    project.write("conf/features/own.yaml", yaml.safe_dump(config["features"]))


@pytest.mark.parametrize("case", REFUSED)
def test_refused(project, case):
    write(project, REFUSED[case])
    with pytest.raises(UserError) as error:
        load_experiment("own")
    assert list(REFUSED[case])[-1].removeprefix("features.") in str(error.value)


@pytest.mark.parametrize("case", TAKEN)
def test_taken(project, case):
    write(project, TAKEN[case])
    load_experiment("own")


@pytest.mark.parametrize("module", ["espeak", "polyphones", "os.path", "../steps/align", "none", ""])
def test_modules_that_are_not_of_a_corpus(project, module):
    project.configure(module, {})
    assert "odule" in project.prepare()


def test_a_module_without_options(project, monkeypatch):
    """As a stranger writes it: `prepare` alone."""
    project.write("strangers.py", "def prepare(corpus, options, data_dir):\n    return {'train': [1]}\n")
    monkeypatch.syspath_prepend(str(project.root))
    monkeypatch.setattr("steps.corpus.find.load_module", lambda name: __import__("strangers"))
    project.configure("strangers", {"a": 1})
    assert "options: a: unknown key" in project.prepare()
    project.configure("strangers", {})
    assert "prepare must return" in project.prepare()
