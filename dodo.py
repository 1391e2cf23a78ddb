"""The stages as doit tasks: `./path.sh doit list` is their table of contents; `./path.sh doit` runs mini to its report.

Every conf/*.yaml is an experiment with tasks of its own, such as train:mini; experiments that name the same corpus and
features share stages 1 to 3. A task reruns where its files, its scripts or the part of conf/ that it reads have
changed. Training alone does not depend on its scripts: a comment must not throw away a week; env.json tells the commit.
"""

import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from steps.common.checksums import SUMS
from steps.config.load import (
    CONF,
    Resolved,
    corpus_names,
    experiment_names,
    load_experiment,
    read_corpus,
    set_file,
    shapes_weights,
)
from steps.config.schema import GENERAL, TRAIN, Corpus, Pinyin
from steps.config.variants import families
from steps.tasks.changes import (
    SameAudio,
    SameConfig,
    SameCorpus,
    SameFiles,
    SameMatches,
    SameOwnFiles,
    SameSources,
)
from steps.tasks.declare import Remove, RemovePinyin, broken_tasks, read_each, warn
from steps.tasks.record import Recorder, check_database
from steps.tasks.step import Step

DOIT_CONFIG = {
    "default_tasks": ["report:mini"],
    "backend": "sqlite3",
    "dep_file": ".doit.db",
    "reporter": Recorder,
    "sort": "definition",
    "verbosity": 2,
}
check_database(Path(DOIT_CONFIG["dep_file"]))
signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that doit ends in order, and its script with it

DATA, EXP = Path("data"), Path("exp")
CORPORA, BROKEN_CORPORA = read_each(read_corpus, corpus_names())
EXPERIMENTS, BROKEN_EXPERIMENTS = read_each(load_experiment, experiment_names())
CORPORA |= {config.experiment.corpus: config.corpus for config in EXPERIMENTS.values()}  # combinations, too
FAMILIES = families([*EXPERIMENTS, *BROKEN_EXPERIMENTS])  # of seeds, of sweeps
warn([*BROKEN_CORPORA.values(), *BROKEN_EXPERIMENTS.values()])

DATA_FILES = ("wav.scp", "utt2spk", "spk2utt", "utt2dur", "utt2audio")  # `text` is optional where a corpus ships pinyin
FEATURE_FILES = ("feats.ark", "feats.scp", "utt2num_frames")
TRAIN_FILES = ("final.ckpt", "train.csv", "config.yaml", "env.json", "tokens.txt", "cmvn")
TRAIN_WRITES = (*TRAIN_FILES, "checkpoints", "summary", "buckets.json", "inputs.json", "left_out", "progress.json",
                SUMS, ".[!.]*", "log/train.*", "log/workers", "log/rank_*")
EXPORT_FILES = ("model.onnx", "model.mindir", "tokens.txt", "features.json", "export.json")
TUNING = "decode/tuning.json"
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
            "file_dep": in_sets(data_dir, corpus.sets, ["utt2spk"]),
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


def task_train():
    """Stage 4: train the network of each experiment, exp/<experiment>/final.ckpt"""
    for name, config in EXPERIMENTS.items():
        own = [EXP / name / file for file in TRAIN_FILES]
        yield {
            "name": name,
            "doc": f"Stage 4: train {name}",
            "actions": [Step("steps.stage4_train", name)],
            "file_dep": [config.feature_dir / "cmvn", config.data_dir / "lang" / "tokens.txt", *config.foreign_files,
                         config.data_dir / "train" / "utt2spk",
                         *in_sets(config.data_dir, ["train", "dev"], ["pinyin"]),
                         *in_sets(config.feature_dir, ["train", "dev", *config.features.copy_sets],
                                  ["feats.scp", "utt2num_frames"])],
            "uptodate": [SameConfig(shapes_weights(config))],
            "targets": own,
            "clean": [Remove(EXP / name / file for file in TRAIN_WRITES)],
        }
    yield from family_groups("train", TRAIN_WRITES, "Stage 4: train all")
    yield from broken_tasks(BROKEN_EXPERIMENTS)


def task_decode():
    """Stage 5: decode into syllables and their times, exp/<experiment>/decode/<set>_<method>/"""
    for name, config in EXPERIMENTS.items():
        exp_dir = EXP / name
        yield group(name, "decode", config, f"Stage 5: decode all sets of {name}")
        for part in config.experiment.decode.sets:
            found = results(config, "decode", part)
            yield {
                "name": f"{name}:{part}",
                "doc": f"Stage 5: decode {part} of {name}",
                "actions": [Step("steps.stage5_decode", str(exp_dir), part, "--method", method)
                            for method in config.experiment.decode.methods],
                "file_dep": [*heard_by_model(config, part), *graph_files(config),
                             *([EXP / name / TUNING] if graph_files(config) else [])],
                "uptodate": [SameSources("steps.stage5_decode")],
                "targets": [folder / file for folder in found for file in ("pinyin", "ctm", "decode.json")],
                "clean": [Remove([*found, EXP / name / "feats" / set_file(part),
                                  EXP / name / f"log/decode.{set_file(part)}.*"])],
            }
    yield from family_groups("decode", ["decode", "log/decode.*"], "Stage 5: decode all sets of all")
    yield from broken_tasks(BROKEN_EXPERIMENTS)


def task_score():
    """Stage 6: count the errors, exp/<experiment>/score/<set>_<method>/"""
    for name, config in EXPERIMENTS.items():
        yield group(name, "score", config, f"Stage 6: score all sets of {name}")
        for part in config.experiment.decode.sets:
            found = results(config, "score", part)
            yield {
                "name": f"{name}:{part}",
                "doc": f"Stage 6: score {part} of {name}",
                "actions": [Step("steps.stage6_score", str(EXP / name), part, "--method", method)
                            for method in config.experiment.decode.methods],
                "file_dep": [EXP / name / "config.yaml",
                             *(config.set_data(part) / file for file in ("pinyin", "utt2spk")),
                             *(folder / file for folder in results(config, "decode", part)
                               for file in ("pinyin", "ctm", "decode.json"))],
                "uptodate": [SameSources("steps.stage6_score")],
                "targets": [folder / file for folder in found for file in SCORE_FILES],
                "clean": [Remove([*found, EXP / name / f"log/score.{set_file(part)}.*"])],
            }
    yield from family_groups("score", ["score", "log/score.*"], "Stage 6: score all sets of all")
    yield from broken_tasks(BROKEN_EXPERIMENTS)


def task_report():
    """After 6: curves, scores, confusions on a page, exp/<experiment>/report.html"""
    for name, config in EXPERIMENTS.items():
        sets = config.experiment.decode.sets
        decoded = [folder / "ctm" for part in sets for folder in results(config, "decode", part)]
        scored = [folder / file for part in sets for folder in results(config, "score", part) for file in SCORE_FILES]
        heard = [*(config.set_data(part) / file for part in sets for file in ("wav.scp", "utt2audio", "utt2dur")),
                 *in_sets(config.feature_dir, [part for part in sets if "/" not in part], FEATURE_FILES)]
        yield {
            "name": name,
            "doc": f"After 6: report of {name}",
            "actions": [Step("steps.make_report", str(EXP / name))],
            "file_dep": [*decoded, *scored, *heard, config.data_dir / "train" / "pinyin",
                         *(EXP / name / file for file in ("train.csv", "env.json", "config.yaml"))],
            "uptodate": [SameSources("steps.make_report"),
                         SameFiles(config.set_data(part) / "text" for part in sets)],
            "targets": [EXP / name / "report.html"],
            "clean": [Remove([EXP / name / "report.html", EXP / name / "log/report.*"])],
        }
    yield from family_groups("report", ["report.html", "log/report.*"], "After 6: report all")
    yield from broken_tasks(BROKEN_EXPERIMENTS)


def task_graph():
    """After 4: language models and decoding graph, exp/<experiment>/graph/"""
    for name, config in EXPERIMENTS.items():
        lm, made = config.experiment.decode.lm, graph_files(config)
        if made:
            yield {
                "name": name,
                "doc": f"After 4: language models and decoding graph of {name}",
                "actions": [Step("steps.make_graph", name)],
                "file_dep": [EXP / name / "tokens.txt", *in_sets(config.data_dir, ["train", "dev"], ["pinyin"])],
                "uptodate": [SameConfig({"lm": lm, "pinyin": config.corpus.pinyin,
                                         "methods": config.experiment.decode.methods}),
                             SameFiles([*in_sets(config.data_dir, ["train", "dev"], ["text"]),
                                        *({*lm.words, *lm.text} - {GENERAL, TRAIN})]),
                             SameSources("steps.make_graph")],
                "targets": made,
                "clean": [Remove([EXP / name / "graph", EXP / name / "log/graph.*"])],
            }
    yield from broken_tasks(BROKEN_EXPERIMENTS)


def task_tune():
    """Before 5: weights of the language models by dev, exp/<experiment>/decode/tuning.json"""
    for name, config in EXPERIMENTS.items():
        methods = [method for method in config.experiment.decode.methods if method != "greedy"]
        if methods:
            yield {
                "name": name,
                "doc": f"Before 5: weights of {', '.join(methods)} of {name}, chosen on dev",
                "actions": [Step("steps.tune", str(EXP / name), *methods)],
                "file_dep": [*heard_by_model(config, "dev"), *graph_files(config),
                             *in_sets(config.data_dir, ["dev"], ["pinyin"])],
                "uptodate": [SameConfig({"methods": methods}), SameSources("steps.tune")],
                "targets": [EXP / name / TUNING],
                "clean": [Remove([EXP / name / TUNING, EXP / name / "log/tune.*"])],
            }
    yield from broken_tasks(BROKEN_EXPERIMENTS)


def task_align():
    """After 4: where each syllable of the training set is, exp/<experiment>/ali/train/ctm"""
    for name, config in EXPERIMENTS.items():
        exp_dir, part = EXP / name, "train"
        yield {
            "name": name,
            "doc": f"After 4: alignment of {name}",
            "actions": [Step("steps.align", str(exp_dir), part)],
            "file_dep": [*heard_by_model(config, part), *in_sets(config.data_dir, [part], ["pinyin"])],
            "uptodate": [SameSources("steps.align")],
            "targets": [exp_dir / "ali" / part / "ctm"],
            "clean": [Remove([exp_dir / "ali", exp_dir / "log/align.*"])],
        }
    yield from family_groups("align", ["ali", "log/align.*"], "After 4: alignment of all")
    yield from broken_tasks(BROKEN_EXPERIMENTS)


def task_export():
    """After 4: the network as files that run without MindSpore, exp/<experiment>/export/"""
    for name, config in EXPERIMENTS.items():
        exp_dir = EXP / name
        yield {
            "name": name,
            "doc": f"After 4: export of {name}",
            "actions": [Step("steps.export", str(exp_dir))],
            "file_dep": [*heard_by_model(config, "dev"), *in_sets(config.data_dir, ["dev"], ["pinyin"])],
            "uptodate": [SameSources("steps.export")],
            "targets": [exp_dir / "export" / file for file in EXPORT_FILES],
            "clean": [Remove([exp_dir / "export", exp_dir / "log/export.*"])],
        }
    yield from family_groups("export", ["export", "log/export.*"], "After 4: export of all")
    yield from broken_tasks(BROKEN_EXPERIMENTS)


def task_diagnose():
    """Before or after 4: what may be wrong with data, loss and rate, exp/<experiment>/diagnosis.html"""
    for name, config in EXPERIMENTS.items():
        found = [EXP / name / "diagnosis.html", EXP / name / "diagnosis.json"]
        yield {
            "name": name,
            "doc": f"Before or after 4: diagnosis of {name}",
            "actions": [Step("steps.diagnose", name)],
            "file_dep": [config.feature_dir / "cmvn", config.data_dir / "lang" / "tokens.txt",
                         *in_sets(config.data_dir, ["train", "dev"], ["pinyin"]),
                         *in_sets(config.feature_dir, ["train", "dev"], ["feats.scp", "utt2num_frames"])],
            "uptodate": [SameSources("steps.diagnose"), SameConfig(shapes_weights(config)),
                         SameFiles([EXP / name / "train.csv", EXP / name / "final.ckpt"])],
            "targets": found,
            "clean": [Remove([*found, EXP / name / "log/diagnose.*"])],
        }
    yield from family_groups("diagnose", ["diagnosis.*", "log/diagnose.*"], "Before or after 4: diagnosis of all")
    yield from broken_tasks(BROKEN_EXPERIMENTS)


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
    sweeps = [name for name in FAMILIES if (CONF / "sweeps" / f"{name}.yaml").exists()]
    return ({"basename": f"sweep:{name}", "actions": None, "task_dep": [f"report:{name}"],
             "doc": f"Stages 4 to 6 and report of all {len(FAMILIES[name])} experiments of conf/sweeps/{name}.yaml"}
            for name in sweeps) if sweeps else None


def combined(corpus: Corpus) -> dict[str, list[str]]:
    """The corpora that a combination, such as mini+audio_cmn, is made of, and the sets that each adds to."""
    return corpus.options["corpora"] if corpus.module == "combine" else {}


def tables(corpus: Corpus) -> list[str]:
    """Files below a corpus' root that are likely to be edited: local/table.py's table, Kaldi's files."""
    return [*(option for option in corpus.options.values() if isinstance(option, str)),
            *(f"{part}/{file}" for part in corpus.sets for file in ("wav.scp", "text", "utt2spk", "pinyin"))]


def group(name: str, stage: str, config: Resolved, doc: str) -> dict:
    """The task that stands for a stage over all sets of an experiment."""
    sets = config.experiment.decode.sets
    return {"name": name, "doc": doc, "actions": None, "task_dep": [f"{stage}:{name}:{part}" for part in sets],
            "clean": [Remove([*(folder for part in sets for folder in results(config, stage, part)),
                              EXP / name / f"log/{stage}.*"])]}


def family_groups(stage: str, writes: Iterable[str], doc: str) -> Iterator[dict]:
    """Tasks that stand for a stage of all that share what is before an @; `writes` is what clean removes of each."""
    for family in sorted(FAMILIES.keys() - BROKEN_EXPERIMENTS.keys()):
        names = FAMILIES[family]
        yield {"name": family, "doc": f"{doc} {len(names)} of {family}", "actions": None,
               "task_dep": [f"{stage}:{name}" for name in names],
               "clean": [Remove(EXP / name / file for name in names for file in writes)]}


def graph_files(config: Resolved) -> list[Path]:
    """What the experiment's methods need of exp/<experiment>/graph/; nothing where it decodes greedily alone."""
    files = {"prefix": ["syllables.arpa"], "wfst": ["graph.fst", "words.txt", "lexicon.txt"]}
    wanted = [file for method in config.experiment.decode.methods for file in files.get(method, [])]
    return [EXP / config.name / "graph" / file for file in (*wanted, "lm.json")] if wanted else []


def heard_by_model(config: Resolved, part: str) -> list[Path]:
    """A trained experiment, and the features of a set for it; of another corpus' set the audio, as stage 1 found it."""
    trained = [EXP / config.name / file for file in ("final.ckpt", "config.yaml", "tokens.txt", "cmvn")]
    if "/" in part:
        return [*trained, *(config.set_data(part) / file for file in ("wav.scp", "utt2audio"))]
    return [*trained, config.feature_dir / "cmvn", *in_sets(config.feature_dir, [part], FEATURE_FILES)]


def results(config: Resolved, stage: str, part: str) -> list[Path]:
    """Where stage 5 or 6 puts a set's results, one directory a method."""
    return [EXP / config.name / stage / f"{set_file(part)}_{method}" for method in config.experiment.decode.methods]


def in_sets(folder: Path, sets: list[str], files: list[str] | tuple[str, ...]) -> list[Path]:
    """<folder>/<set>/<file>, for all sets and files."""
    return [folder / part / file for part in sets for file in files]
