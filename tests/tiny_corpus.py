"""Features and syllables that a very small network learns in seconds: for tests that train."""

import shutil
from pathlib import Path

import numpy as np
import yaml

from steps.common.files import write_lines
from steps.config.load import dump, load_experiment
from steps.corpus.table import write_table
from steps.feats.archive import accumulate, empty_stats, feature_writer, save_cmvn
from steps.text.syllables import tokens_hash

BINS = 8
SYLLABLES = ["ba1", "guo2", "hao3", "ma4"]
EXPERIMENT = {
    "corpus": "tiny",
    "features": "tiny",
    "model": {"blocks": [{"channels": 8, "layers": 1, "pool": [2, 1]}, {"channels": 8, "layers": 1, "pool": [2, 2]}],
              "dense": [16]},
    "train": {"epochs": 3, "freeze_norm": 1, "batch_size": 8, "buckets": 2,
              "optimizer": {"learning_rate": 0.01, "warmup_steps": 5},
              "augment": {"time_warp": [0.9, 1.1], "level": 0.1}},
}


def write_tiny(root: Path, experiment: dict | None = None, utts: int = 48) -> None:
    """Write conf/tiny.yaml and what stages 1 to 3 would make of a corpus `tiny`, all below `root`."""
    for path, config in (("tiny.yaml", experiment or EXPERIMENT), ("corpora/tiny.yaml", {"module": "table"}),
                         ("features/tiny.yaml", {"type": "fbank", "num_bins": BINS})):
        write_lines(root / "conf" / path, [yaml.safe_dump(config)])
    write_lines(root / "data/tiny/lang/tokens.txt",
                [f"{token} {number}" for number, token in enumerate(["<blk>", *SYLLABLES])])
    rng = np.random.default_rng(5)
    stats = empty_stats(BINS)
    for name, count in (("train", utts), ("dev", 10), ("test", 10)):
        pinyin = {f"spk-{name}-{i:03d}": list(rng.choice(SYLLABLES, size=rng.integers(1, 5))) for i in range(count)}
        write_table(root / "data/tiny" / name / "pinyin", {utt: " ".join(ids) for utt, ids in pinyin.items()})
        write_table(root / "data/tiny" / name / "utt2spk", dict.fromkeys(pinyin, "spk"))
        with feature_writer(root / "exp/features/tiny_tiny" / name) as write:
            for utt, syllables in pinyin.items():
                feats = speak(syllables, rng)
                write(utt, feats)
                accumulate(stats, feats)
    save_cmvn(root / "exp/features/tiny_tiny/cmvn", stats)


def speak(syllables: list[str], rng: np.random.Generator) -> np.ndarray:
    """A syllable is 12 frames with energy in two bins of its own; between syllables there is noise."""
    parts = [rng.normal(size=(4, BINS))]
    for syllable in syllables:
        image = rng.normal(size=(12, BINS))
        first = 2 * SYLLABLES.index(syllable)
        image[:, first:first + 2] += 5
        parts += [image, rng.normal(size=(6, BINS))]
    return np.concatenate(parts).astype(np.float32)


def write_untrained(root: Path) -> None:
    """Write what stage 4 leaves of exp/tiny below `root`, but that nothing was learnt."""
    from steps.model.checkpoints import named_parameters, save_weights
    from steps.model.training import network_at_start

    config, tokens = load_experiment("tiny", root / "conf"), ["<blk>", *SYLLABLES]
    write_lines(root / "exp/tiny/config.yaml", [dump(config)])
    shutil.copy(root / "data/tiny/lang/tokens.txt", root / "exp/tiny/tokens.txt")
    shutil.copy(root / "exp/features/tiny_tiny/cmvn", root / "exp/tiny/cmvn")
    write_lines(root / "exp/tiny/buckets.json", ["[160]"])
    save_weights(root / "exp/tiny/final.ckpt", named_parameters(network_at_start(config, tokens)),
                 {"tokens_sha256": tokens_hash(tokens)})
