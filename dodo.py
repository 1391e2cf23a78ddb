"""The stages as doit tasks: `./path.sh doit list` is their table of contents; `./path.sh doit` runs mini to its report.

Every conf/*.yaml is an experiment with tasks of its own, such as train:mini; experiments that name the same corpus and
features share stages 1 to 3. A task runs again if its files, its scripts or the part of conf/ that it reads have
changed. Training alone does not depend on its scripts: a comment must not throw away a week; env.json tells the commit.
"""

from pathlib import Path

from steps.common.checksums import SUMS
from steps.config.load import (
    CONF,
    corpus_names,
    experiment_names,
    load_experiment,
    read_corpus,
    set_file,
    shapes_weights,
)
from steps.config.schema import GENERAL, TRAIN, Pinyin
from steps.tasks.changes import SameAudio, SameConfig, SameCorpus, SameFiles, SameMatches, SameOwnFiles, SameSources
from steps.tasks.declare import (
    DATA,
    EXP,
    FEATURE_FILES,
    TUNING,
    Experiments,
    Remove,
    RemovePinyin,
    broken_tasks,
    combined,
    graph_files,
    heard_by_model,
    in_sets,
    read_each,
    results,
    tables,
    warn,
)
from steps.tasks.record import Recorder, prepare
from steps.tasks.step import Step

DOIT_CONFIG = {
    "default_tasks": ["report:mini"],
    "backend": "sqlite3",
    "dep_file": ".doit.db",
    "reporter": Recorder,
    "sort": "definition",
    "verbosity": 2,
}
prepare(Path(DOIT_CONFIG["dep_file"]))

CORPORA, BROKEN_CORPORA = read_each(read_corpus, corpus_names())
EXPERIMENTS, BROKEN_EXPERIMENTS = read_each(load_experiment, experiment_names())
CORPORA |= {config.experiment.corpus: config.corpus for config in EXPERIMENTS.values()}  # combinations, too
experiments = Experiments(EXPERIMENTS, BROKEN_EXPERIMENTS)
warn([*BROKEN_CORPORA.values(), *BROKEN_EXPERIMENTS.values()])

DATA_FILES = ("wav.scp", "utt2spk", "spk2utt", "utt2dur", "utt2audio")  # `text` is optional if a corpus ships pinyin
TRAIN_FILES = ("final.ckpt", "train.csv", "config.yaml", "env.json", "tokens.txt", "cmvn")
TRAIN_WRITES = (*TRAIN_FILES, "checkpoints", "summary", "buckets.json", "inputs.json", "left_out", "progress.json",
                SUMS, ".[!.]*", "log/train.*", "log/workers", "log/rank_*")
EXPORT_FILES = ("model.onnx", "model.mindir", "tokens.txt", "features.json", "export.json")
SCORE_FILES = ("score.json", "wer", "per_utt", "per_spk", "ops", "confusion")
COMPARED = ("exp/*/score/*/score.json", "exp/*/config.yaml", "exp/*/env.json", "exp/*/train.csv", "exp/*/final.ckpt",
            "conf/*.yaml", "conf/sweeps/*.yaml")


def task_prepare():
    """Stage 1: corpora as Kaldi data directories, data/<corpus>/<set>/"""
    for name, corpus in CORPORA.items():
        data_dir = DATA / name
        parts = combined(corpus)
        texts = [file for part, sets in parts.items() for file in in_sets(DATA / part, sets, ["text"])]
        joined = [file for part, sets in parts.items() for file in in_sets(DATA / part, sets, ["pinyin", *DATA_FILES])]
        yield {
            "name": name,
            "doc": f"Stage 1: data directories of {name}: {', '.join(corpus.sets)}",
            "actions": [Step("steps.stage1_prepare", name)],
            "file_dep": [*joined],
            "uptodate": [SameSources("steps.stage1_prepare", f"local.{corpus.module}"),
                         SameConfig({"corpus": corpus if parts else corpus.model_copy(update={"pinyin": Pinyin()})}),
                         SameCorpus(corpus.root or "", tables(corpus)),
                         SameFiles(texts),
                         SameAudio([data_dir / part for part in corpus.sets], corpus.root is not None)],
            "targets": in_sets(data_dir, corpus.sets, DATA_FILES),
            "clean": [Remove([*(data_dir / part for part in corpus.sets), data_dir / ".[!.]*",
                              data_dir / "log/prepare.*", data_dir / ("cut" if corpus.root else "wav")])],
        }
    yield from broken_tasks(BROKEN_CORPORA)


def task_lexicon():
    """Stage 2: their texts as pinyin, lexicon and tokens, data/<corpus>/lang/"""
    for name, corpus in CORPORA.items():
        data_dir = DATA / name
        user_dict = [corpus.pinyin.user_dict] if corpus.pinyin.user_dict else []
        yield {
            "name": name,
            "doc": f"Stage 2: pinyin, lexicon and tokens of {name}",
            "actions": [Step("steps.stage2_lexicon", name)],
            "file_dep": in_sets(data_dir, corpus.sets, ["utt2spk", "utt2dur"]),
            "uptodate": [SameSources("steps.stage2_lexicon"),
                         SameConfig({"pinyin": corpus.pinyin, "sets": corpus.sets}),
                         SameFiles([*in_sets(data_dir, corpus.sets, ["text"]), *user_dict]),
                         SameOwnFiles(in_sets(data_dir, corpus.sets, ["pinyin"]))],
            "targets": [*in_sets(data_dir, ["lang"], ["lexicon.txt", "tokens.txt", "words.txt"]),
                        *in_sets(data_dir, corpus.sets, ["pinyin"])],
            "clean": [RemovePinyin(data_dir, corpus.sets), Remove([data_dir / "lang", data_dir / "log/lexicon.*"])],
        }
    yield from broken_tasks(BROKEN_CORPORA)


def task_features():
    """Stage 3: their audio as features, exp/features/<corpus>_<features>/"""
    for name, config in {config.feature_dir.name: config for config in EXPERIMENTS.values()}.items():
        corpus, sets = config.experiment.corpus, config.corpus.sets
        yield {
            "name": name,
            "doc": f"Stage 3: {config.experiment.features} features of {corpus}",
            "actions": [Step("steps.stage3_features", corpus, config.experiment.features)],
            "file_dep": in_sets(DATA / corpus, sets, ["wav.scp", "utt2audio", "utt2dur"]),
            "uptodate": [SameSources("steps.stage3_features"),
                         SameConfig({"features": config.features, "sets": sets})],
            "targets": [config.feature_dir / "cmvn",
                        *in_sets(config.feature_dir, [*sets, *config.features.copy_sets], FEATURE_FILES)],
            "clean": [Remove([config.feature_dir])],
        }


@experiments.each("Stage 4: train", TRAIN_WRITES)
def task_train(name, config):
    """Stage 4: train the network of each experiment, exp/<experiment>/final.ckpt"""
    return {
        "actions": [Step("steps.stage4_train", name)],
        # CMVN stands for train's gigabytes of features. dev decides which epoch is best.
        "file_dep": [config.feature_dir / "cmvn", config.data_dir / "lang" / "tokens.txt", *config.foreign_files,
                     config.data_dir / "train" / "utt2spk", *in_sets(config.data_dir, ["train", "dev"], ["pinyin"]),
                     *in_sets(config.feature_dir, ["train", *config.features.copy_sets],
                              ["feats.scp", "utt2num_frames"]),
                     *in_sets(config.feature_dir, ["dev"], FEATURE_FILES)],
        "uptodate": [SameConfig(shapes_weights(config))],
        "targets": [EXP / name / file for file in TRAIN_FILES],
    }


@experiments.each_set("Stage 5: decode", "decode")
def task_decode(name, config, part):
    """Stage 5: decode into syllables and their times, exp/<experiment>/decode/<set>_<method>/"""
    return {
        "actions": [Step("steps.stage5_decode", str(EXP / name), part, "--method", method)
                    for method in config.experiment.decode.methods],
        "file_dep": [*heard_by_model(config, part), *graph_files(config),
                     *([EXP / name / TUNING] if graph_files(config) else [])],
        "uptodate": [SameSources("steps.stage5_decode")],
        "targets": [folder / file for folder in results(config, "decode", part)
                    for file in ("pinyin", "ctm", "decode.json")],
        "clean": [Remove([EXP / name / "feats" / set_file(part)])],
    }


@experiments.each_set("Stage 6: score", "score")
def task_score(name, config, part):
    """Stage 6: count the errors, exp/<experiment>/score/<set>_<method>/"""
    return {
        "actions": [Step("steps.stage6_score", str(EXP / name), part, "--method", method)
                    for method in config.experiment.decode.methods],
        "file_dep": [EXP / name / "config.yaml", *(config.set_data(part) / file for file in ("pinyin", "utt2spk")),
                     *(folder / file for folder in results(config, "decode", part)
                       for file in ("pinyin", "ctm", "decode.json"))],
        "uptodate": [SameSources("steps.stage6_score")],
        "targets": [folder / file for folder in results(config, "score", part) for file in SCORE_FILES],
    }


@experiments.each("After 6: report of", ["report.html", "log/report.*"])
def task_report(name, config):
    """After 6: curves, scores, confusions on a page, exp/<experiment>/report.html"""
    sets = config.experiment.decode.sets
    decoded = [folder / "ctm" for part in sets for folder in results(config, "decode", part)]
    scored = [folder / file for part in sets for folder in results(config, "score", part) for file in SCORE_FILES]
    heard = [*(config.set_data(part) / file for part in sets for file in ("wav.scp", "utt2audio", "utt2dur")),
             *in_sets(config.feature_dir, [part for part in sets if "/" not in part], FEATURE_FILES)]
    return {
        "actions": [Step("steps.make_report", str(EXP / name))],
        "file_dep": [*decoded, *scored, *heard, config.data_dir / "train" / "pinyin",
                     *([EXP / name / TUNING] if graph_files(config) else []),
                     *(EXP / name / file for file in ("train.csv", "env.json", "config.yaml"))],
        "uptodate": [SameSources("steps.make_report"), SameFiles(config.set_data(part) / "text" for part in sets)],
        "targets": [EXP / name / "report.html"],
    }


@experiments.each("After 4: language models and decoding graph of", ["graph", "log/graph.*"])
def task_graph(name, config):
    """After 4: language models and decoding graph, exp/<experiment>/graph/"""
    lm, made = config.experiment.decode.lm, graph_files(config)
    return made and {
        "actions": [Step("steps.make_graph", name)],
        "file_dep": [EXP / name / "tokens.txt", *in_sets(config.data_dir, ["train", "dev"], ["pinyin"])],
        "uptodate": [SameConfig({"lm": lm, "pinyin": config.corpus.pinyin,
                                 "methods": config.experiment.decode.methods}),
                     SameFiles([*in_sets(config.data_dir, ["train", "dev"], ["text"]),
                                *({*lm.words, *lm.text, *lm.arpa} - {GENERAL, TRAIN})]),
                     SameSources("steps.make_graph")],
        "targets": made,
    }


@experiments.each("Before 5: weights of the language models of", [TUNING, f"decode/{SUMS}", "log/tune.*"])
def task_tune(name, config):
    """Before 5: weights of the language models by dev, exp/<experiment>/decode/tuning.json"""
    methods = [method for method in config.experiment.decode.methods if method != "greedy"]
    return methods and {
        "actions": [Step("steps.tune", str(EXP / name), *methods)],
        "file_dep": [*heard_by_model(config, "dev"), *graph_files(config),
                     *in_sets(config.data_dir, ["dev"], ["pinyin"])],
        "uptodate": [SameConfig({"methods": methods}), SameSources("steps.tune")],
        "targets": [EXP / name / TUNING],
    }


@experiments.each("After 4: alignment of", ["ali", "log/align.*"])
def task_align(name, config):
    """After 4: where each syllable of the training set is, exp/<experiment>/ali/train/ctm"""
    return {
        "actions": [Step("steps.align", str(EXP / name), "train")],
        "file_dep": [*heard_by_model(config, "train"), *in_sets(config.data_dir, ["train"], ["pinyin"])],
        "uptodate": [SameSources("steps.align")],
        "targets": [EXP / name / "ali/train/ctm"],
    }


@experiments.each("After 4: export of", ["export", "log/export.*"])
def task_export(name, config):
    """After 4: the network as files that run without MindSpore, exp/<experiment>/export/"""
    return {
        "actions": [Step("steps.export", str(EXP / name))],
        "file_dep": [*heard_by_model(config, "dev"), *in_sets(config.data_dir, ["dev"], ["pinyin"])],
        "uptodate": [SameSources("steps.export")],
        "targets": [EXP / name / "export" / file for file in EXPORT_FILES],
    }


@experiments.each("Before or after 4: diagnosis of", ["diagnosis.html", "diagnosis.json", "log/diagnose.*"])
def task_diagnose(name, config):
    """Before or after 4: what may be wrong with data, loss and rate, exp/<experiment>/diagnosis.html"""
    return {
        "actions": [Step("steps.diagnose", name)],
        "file_dep": [config.feature_dir / "cmvn", config.data_dir / "lang" / "tokens.txt",
                     *in_sets(config.data_dir, ["train", "dev"], ["pinyin"]),
                     *in_sets(config.feature_dir, ["train", "dev"], ["feats.scp", "utt2num_frames"])],
        "uptodate": [SameSources("steps.diagnose"), SameConfig(shapes_weights(config)),
                     SameFiles([EXP / name / "train.csv", EXP / name / "final.ckpt"])],
        "targets": [EXP / name / "diagnosis.html", EXP / name / "diagnosis.json"],
    }


def task_compare():
    """After 6: what is finished side by side, exp/compare.html"""
    # No file_dep on the experiments' files: those would train whatever has not been.
    return {
        "actions": [Step("steps.compare")],
        "uptodate": [SameSources("steps.compare"), SameMatches(COMPARED)],
        "targets": [EXP / "compare.html"],
        "clean": [Remove([*(EXP / f"compare.{kind}" for kind in ("html", "md", "json")), EXP / "log/compare.*"])],
    }


def task_sweep():
    """All points of a conf/sweeps/*.yaml, through to their reports"""
    sweeps = [name for name in experiments.families if (CONF / "sweeps" / f"{name}.yaml").exists()]
    return ({"basename": f"sweep:{name}", "actions": None, "task_dep": [f"report:{name}"],
             "doc": f"Stages 4 to 6 and report of all {len(experiments.families[name])} of conf/sweeps/{name}.yaml"}
            for name in sweeps) if sweeps else None
