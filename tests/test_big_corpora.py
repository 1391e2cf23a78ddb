"""The experiments for the big corpora as conf/ has them, through stages 1 to 5 on small trees in the corpora's layout.

The convolutions are whole. There are fewer utterances, one epoch, one padded length and narrow dense layers, whose
hundreds of megabytes would be written and read several times.
"""

import shutil
from pathlib import Path

import corpus_trees
import pandas as pd
import pytest
import yaml
from small_experiment import run_script

import steps.stage1_prepare
import steps.stage2_lexicon
import steps.stage3_features
import steps.stage4_train
import steps.stage5_decode
from steps.config.load import load_experiment
from steps.corpus.table import read_table

CONF = Path(__file__).parent.parent / "conf"
SECONDS = 0.8  # long enough for six syllables


@pytest.fixture
def project(tmp_path, monkeypatch):
    """conf/ and small corpora where it looks for them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YINJIE_NJ", "1")
    monkeypatch.setattr(corpus_trees, "SENTENCES", dict(list(corpus_trees.SENTENCES.items())[:4]))
    shutil.copytree(CONF, tmp_path / "conf")
    for corpus in ("thchs30", "aishell"):
        root = tmp_path / corpus
        root.mkdir()
        corpus_trees.BUILDERS[corpus](root)
        for path in root.glob("*/wav/**/*.wav" if corpus == "aishell" else "*/data/*.wav"):
            corpus_trees.speech(path, seconds=SECONDS)
        monkeypatch.setenv(corpus.upper(), str(root))
        change(tmp_path / f"conf/corpora/{corpus}.yaml", expected={}, **corpus_trees.OPTIONS[corpus])
    return tmp_path


def change(path, **keys):
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **keys}))


@pytest.mark.parametrize("name", ["thchs30_dfcnn_1a", "thchs30_dfcnn_1b", "aishell_dfcnn_1a"])
def test_stages_1_to_5(name, project, monkeypatch):
    path = project / f"conf/{name}.yaml"
    written = yaml.safe_load(path.read_text())
    change(path, train={**written["train"], "epochs": 1, "batch_size": 4, "buckets": 1},
           model={**written.get("model", {}), "dense": [64, 64]})
    config = load_experiment(name)
    corpus, features = config.experiment.corpus, config.experiment.features
    run_script(monkeypatch, steps.stage1_prepare, corpus)
    run_script(monkeypatch, steps.stage2_lexicon, corpus)
    run_script(monkeypatch, steps.stage3_features, corpus, features)
    run_script(monkeypatch, steps.stage4_train, name)
    row = pd.read_csv(f"exp/{name}/train.csv").iloc[-1]
    assert row.steps >= 1 and 0 < row.train_loss < 1000
    part = config.experiment.decode.sets[-1]
    run_script(monkeypatch, steps.stage5_decode, f"exp/{name}", part)
    heard = read_table(f"exp/{name}/decode/{part}_greedy/pinyin")
    assert list(heard) == list(read_table(f"data/{corpus}/{part}/pinyin"))
