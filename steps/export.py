"""After 4: the trained network as files that run without MindSpore, exp/<experiment>/export/."""

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

from steps.common.checksums import AGAIN, SUMS, TRAINED, check_sums, write_sums
from steps.common.errors import run
from steps.common.files import check_no_folders, remove_files, sha256, write_json, write_lines
from steps.common.process import git_commit, output_lock
from steps.config.exp_dir import finished_training
from steps.config.load import Resolved
from steps.corpus.write import folder_beside, read_pinyin
from steps.feats.archive import FeatureReader, load_cmvn, mean_std
from steps.search.decode import TUNE_AGAIN, TUNING
from steps.search.graph import GRAPH_AGAIN
from steps.text.syllables import read_tokens

OF_GRAPH = "graph", TUNING.parts[0]  # folders
FILES = ("export.json", "features.json", "model.mindir", "model.onnx", "tokens.txt")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.export", description=__doc__)
    parser.add_argument("exp_dir", type=Path, help="an experiment's directory, such as exp/mini")
    args = parser.parse_args()
    finished_training(args.exp_dir, "train")  # before anything is written there
    with output_lock(args.exp_dir, "export"):
        out_dir = export(args.exp_dir)
    print(f"{out_dir}: {', '.join(FILES)}")
    if (out_dir / "demo.html").exists():
        print(f"{out_dir}/demo.html: a page to try it in a browser, without a server")


def export(exp_dir: Path) -> Path:
    """Write the directory `export` of a trained experiment and return it; its export.json goes first and comes last.

    Raises UserError if the training has not ended.
    """
    config = finished_training(exp_dir, "train")
    check_sums(exp_dir, AGAIN.format("4 (train)"), TRAINED)
    tokens = read_tokens(exp_dir / "tokens.txt")
    mean, std = mean_std(load_cmvn(exp_dir / "cmvn"))
    out_dir, dev, with_graph = exp_dir / "export", dev_data(config), has_graph(exp_dir)
    check_no_folders(out_dir, (SUMS, "demo.html", *FILES))

    from steps.deploy.demo import has_demo, write_demo
    from steps.deploy.model import OnnxModel, measure, table_lines
    from steps.deploy.onnx_model import onnx_model, read_network, write_mindir  # MindSpore takes seconds to import

    network = read_network(exp_dir, config, tokens)
    model = onnx_model(config, tokens, network, mean, std)
    with folder_beside(exp_dir) as beside:
        (beside / "model.onnx").write_bytes(model.SerializeToString())
        write_mindir(beside / "model.mindir", network, config, mean, std)
        write_lines(beside / "tokens.txt", (f"{token} {number}" for number, token in enumerate(tokens)))
        write_json(beside / "features.json", config.features.model_dump(mode="json"))
        if with_graph:
            copy_graph(exp_dir, beside)
        told = facts(config, exp_dir)
        if dev:  # by which confidences are calibrated
            measured = measure(OnnxModel(beside, told), config.features, *dev)
            print("\n".join(table_lines(measured)))
            told |= measured
        if has_demo(config):
            write_demo(beside / "demo.html", model, config, tokens, (mean, std), told)
        write_json(beside / "export.json", told)
        write_sums(beside, FILES)
        put_in_place(beside, out_dir)
    return out_dir


def put_in_place(beside: Path, out_dir: Path) -> None:
    """Move what is exported to its place. export.json, without which nobody takes it for whole, goes first and comes
    last."""
    out_dir.mkdir(exist_ok=True)
    remove_files(out_dir, ("export.json", SUMS, "demo.html"))
    for folder in OF_GRAPH:
        shutil.rmtree(out_dir / folder, ignore_errors=True)
    for path in sorted(beside.iterdir(), key=lambda path: path.name == "export.json"):
        os.replace(path, out_dir / path.name)


def dev_data(config: Resolved) -> tuple[FeatureReader, dict[str, list[str]]] | None:
    """Features and pinyin of dev, by which confidences are calibrated; None if dev is not there."""
    feats, pinyin = config.feature_dir / "dev" / "feats.scp", config.data_dir / "dev" / "pinyin"
    if feats.exists() and pinyin.exists():
        return FeatureReader(feats, config.features), read_pinyin(pinyin)
    print(f"no {feats if pinyin.exists() else pinyin}: confidences stay as the network has them, uncalibrated")
    return None


def has_graph(exp_dir: Path) -> bool:
    """Whether there is what decoding with words takes: graph/ and the weights that dev chose.

    Raises UserError if one of the files is damaged.
    """
    if not ((exp_dir / "graph" / "lm.json").exists() and (exp_dir / TUNING).exists()):
        return False
    check_sums(exp_dir / "graph", GRAPH_AGAIN)
    check_sums((exp_dir / TUNING).parent, TUNE_AGAIN.format(exp_dir.name), [TUNING.name])
    return True


def copy_graph(exp_dir: Path, out_dir: Path) -> None:
    shutil.copytree(exp_dir / "graph", out_dir / "graph")
    (out_dir / TUNING).parent.mkdir(exist_ok=True)
    shutil.copyfile(exp_dir / TUNING, out_dir / TUNING)
    write_sums((out_dir / TUNING).parent, [TUNING.name])


def facts(config: Resolved, exp_dir: Path) -> dict[str, Any]:
    """What the exported directory says of itself."""
    from steps.model.network import contexts

    return {"experiment": config.name, **contexts(config.experiment.model),
            "checkpoint_hash": sha256(exp_dir / "final.ckpt"), "git_commit": git_commit()}


if __name__ == "__main__":
    run(main)
