"""Reading conf/ and the resolved config of an experiment directory, with errors that say where and what."""

import functools
import operator
import os
import re
import sys
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from steps.common.errors import UserError
from steps.common.yaml import check, load, read_yaml, yaml_files
from steps.config.schema import Corpus, Decode, Experiment, Features, Strict, Train
from steps.config.variants import check_name, read_variant, read_with_base, variant_names

CONF = Path("conf")
Model = TypeVar("Model", bound=BaseModel)
PAST = {("model", "pad_mode"): "pad", ("model", "padding"): 1, ("model", "has_bias"): False,  # removed keys
        ("model", "use_dropout"): False, ("model", "conv_dropout"): 0.2, ("model", "dense_dropout"): 0.5}


class Resolved(Strict):
    """`exp/<experiment>/config.yaml`: an experiment with the corpus and features that it names, whole."""

    name: str
    experiment: Experiment
    corpus: Corpus
    features: Features

    @property
    def data_dir(self) -> Path:
        """Where stages 1 and 2 wrote."""
        return Path("data") / self.experiment.corpus

    @property
    def feature_dir(self) -> Path:
        """Where stage 3 wrote."""
        return Path("exp/features") / f"{self.experiment.corpus}_{self.experiment.features}"

    def set_data(self, part: str) -> Path:
        """Where stages 1 and 2 wrote a set: `test` of the experiment's corpus, or `seedlingo/test` of another."""
        return Path("data") / part if "/" in part else self.data_dir / part

    def set_feats(self, part: str, exp_dir: Path) -> Path:
        """Where the features of a set are. Stage 5 makes those of another corpus in `exp_dir`, as for training."""
        return exp_dir / "feats" / set_file(part) if "/" in part else self.feature_dir / part

    @property
    def source(self) -> Path | None:
        """The checkpoint that training starts from (`train.init_from`); None if from random weights."""
        if self.experiment.train.init_from is None:
            return None
        path = Path(self.experiment.train.init_from)
        if path.suffix == ".ckpt":
            return path
        return (Path("exp") / path if len(path.parts) == 1 else path) / "final.ckpt"

    @property
    def source_dir(self) -> Path | None:
        """The experiment's directory that `source` lies in."""
        if self.source is None:
            return None
        return self.source.parent.parent if self.source.parent.name == "checkpoints" else self.source.parent

    @property
    def source_files(self) -> list[Path]:
        """`source` and what tells how to read it; none if there is no source."""
        if self.source is None:
            return []
        return [self.source, *(self.source_dir / name for name in ("config.yaml", "tokens.txt", "cmvn"))]

    @property
    def ali_ctm(self) -> Path | None:
        """The alignment of the training set that splicing cuts by (`train.ali`); None if there is none."""
        ali = self.experiment.train.ali
        return Path("exp") / ali / "ali" / "train" / "ctm" if ali else None

    @property
    def foreign_files(self) -> list[Path]:
        """The files of other experiments that training reads."""
        return [*self.source_files, *([self.ali_ctm] if self.ali_ctm else [])]

    @property
    def cmvn(self) -> Path:
        """The statistics that training normalises features with."""
        return (self.source_dir or self.feature_dir) / "cmvn"


def set_file(part: str) -> str:
    """A set's name as part of a file's: seedlingo.test of `seedlingo/test`."""
    return part.replace("/", ".")


def set_argument(text: str) -> str:
    """A set as named on a command line: data/seedlingo/test is `seedlingo/test`."""
    return text.removeprefix("data/").rstrip("/")


def experiment_names(conf: Path = CONF) -> list[str]:
    """The experiments of conf/*.yaml, also x@1, x@2 if x has seeds, and the points of conf/sweeps/*.yaml."""
    return variant_names(conf)


def corpus_names(conf: Path = CONF) -> list[str]:
    return [path.stem for path in yaml_files(conf / "corpora")]


def load_corpus(name: str, conf: Path = CONF) -> Corpus:
    """conf/corpora/<name>.yaml, its root's environment variables filled in; or the combination a+b of several."""
    corpus = read_corpus(name, conf)
    if corpus.root is None:
        return corpus
    return corpus.model_copy(update={"root": expand_variables(corpus.root, conf / "corpora" / f"{name}.yaml")})


def read_corpus(name: str, conf: Path = CONF) -> Corpus:
    """conf/corpora/<name>.yaml as written; or the combination a+b of several.

    A combination has the sets of its first corpus; the others add to those that they have.
    """
    if "+" not in name:
        check_name(name, conf / "corpora")
        return load(conf / "corpora" / f"{name}.yaml", Corpus)
    names = name.split("+")
    parts = [read_corpus(part, conf) for part in names]
    sets = parts[0].sets
    shared = {other: [part for part in sets if part in corpus.sets] for other, corpus in zip(names, parts, strict=True)}
    for other, corpus in zip(names, parts, strict=True):
        if corpus.pinyin != parts[0].pinyin:
            raise UserError(f"{name}: {names[0]} and {other} differ in `pinyin`; write the same in both")
    if not all(shared.values()) or len(shared) < len(names):
        raise UserError(f"{name}: the corpora must be different ones that each have a set in common with {names[0]}")
    return Corpus(module="combine", sets=sets, pinyin=parts[0].pinyin, options={"corpora": shared})


# Keys of train: that say how a training runs, not what it learns.
HARMLESS = ("summary", "keep_checkpoints", "patience", "kernels", "hosts")


def shapes_weights(config: Resolved) -> dict[str, BaseModel]:
    """The parts of a config that decide a training's weights, with all other keys at their defaults.

    Two configs with equal parts describe the same training, if its data are the same, too. The data themselves are
    compared by what they hold (`steps.config.exp_dir.inputs`), so that a corpus' `root` or `expected` may change.
    """
    defaults = {key: Train.model_fields[key].default for key in HARMLESS}
    train = config.experiment.train.model_copy(update=defaults)
    return {"experiment": config.experiment.model_copy(update={"train": train, "decode": Decode()}),
            "features": config.features}


def load_features(name: str, conf: Path = CONF) -> Features:
    """conf/features/<name>.yaml, with what its `base` says."""
    check_name(name, conf / "features")
    path = conf / "features" / f"{name}.yaml"
    return check(read_with_base(path), Features, path)


def load_experiment(name: str, conf: Path = CONF) -> Resolved:
    """An experiment with the corpus and features that it names. The corpus' root stays as written."""
    where, experiment = read_variant(name, conf)
    corpus = read_corpus(experiment.corpus, conf)
    for part in experiment.decode.sets:
        other, _, wanted = part.rpartition("/")
        has = read_corpus(other, conf).sets if other else corpus.sets
        if wanted not in has:
            raise UserError(f"{where}: decode.sets: corpus {other or experiment.corpus} has no set {wanted!r}, only "
                            f"{', '.join(has)}; name some of these" + ("" if other or wanted != "dev" else ", and give "
                            "the corpus a set dev: training needs it to choose the best epoch"))
    features = load_features(experiment.features, conf)
    config = Resolved(name=name, experiment=experiment, corpus=corpus, features=features)
    augment = experiment.train.augment
    for key in ("freq_shift", "freq_mask_bins"):
        if getattr(augment, key) >= features.num_bins and (key == "freq_shift" or augment.freq_masks):
            raise UserError(f"{where}: train.augment.{key}: {getattr(augment, key)} of {features.num_bins} bins would "
                            f"leave nothing; lower it")
    if config.source_dir == Path("exp") / name:
        raise UserError(f"{where}: train.init_from: {name} cannot start from itself")
    if experiment.train.ali == name:
        raise UserError(f"{where}: train.ali: {name} cannot be trained by its own alignment")
    return config


def load_resolved(exp_dir: Path | str) -> Resolved:
    """The config that an experiment directory was trained with.

    Keys that this version of the recipe does not know are passed over, with a warning.
    """
    config, unknown = load_known(exp_dir)
    if unknown:
        _warn_of(f"{exp_dir}/config.yaml", tuple(unknown))
    return config


@functools.cache  # once is enough
def _warn_of(path: str, keys: tuple[str, ...]) -> None:
    print(f"warning: {path}: another version of the recipe wrote it; passed over: {', '.join(keys)}", file=sys.stderr)


def load_known(exp_dir: Path | str) -> tuple[Resolved, dict[str, Any]]:
    """As `load_resolved`, of an experiment that perhaps another version of the recipe has trained.

    Returns the config without the keys that this version does not know, and those by dotted key. Raises UserError as
    `load` does where that is not all that is wrong.
    """
    path = Path(exp_dir) / "config.yaml"
    return check_known(read_yaml(path), Resolved, path)


def check_known(value: Any, schema: type[Model], where: Path | str) -> tuple[Model, dict[str, Any]]:
    """`value`, which perhaps another version of the recipe wrote, as `schema`, and by dotted key what the schema lacks
    and means something else than today's recipe, as PAST has it.

    Keys get their defaults if `value` lacks them, or if they are null and the schema has no null any more.
    Raises UserError as `load` does if anything else is wrong.
    """
    unknown: dict[str, Any] = {}
    while True:
        try:
            return schema.model_validate(value), unknown
        except ValidationError as error:
            found = dict.fromkeys(detail["loc"] for detail in error.errors() if _is_left_out(detail))
        if not found:
            return check(value, schema, where), unknown  # which raises
        for *above, key in found:
            holder = functools.reduce(operator.getitem, above, value)
            if (value_there := holder.pop(key)) is not None and value_there != PAST.get((*above[-1:], key)):
                unknown[".".join(map(str, (*above, key)))] = value_there


def _is_left_out(detail: ErrorDetails) -> bool:
    """Whether pydantic's error is of a key that is unknown, or null without need."""
    is_key = bool(detail["loc"]) and isinstance(detail["loc"][-1], str)
    return is_key and (detail["type"] == "extra_forbidden" or (detail["type"] != "missing" and detail["input"] is None))


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """The values of nested mappings by dotted key: `train.optimizer.learning_rate`; `model.blocks.2.channels`, too, as
    lists are taken apart that hold mappings.
    """
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        parts = enumerate(value)
    else:
        return {prefix[:-1]: value}
    return {key: leaf for name, part in parts for key, leaf in flatten(part, f"{prefix}{name}.").items()}


def dump(config: BaseModel) -> str:
    """A config as YAML, all keys written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def expand_variables(text: str, where: Path | str) -> str:
    """`text` with ${NAME}, $NAME and ~ filled in. Raises UserError for a variable that is not set."""
    for name in re.findall(r"\$\{?(\w+)\}?", text):
        if name not in os.environ:
            raise UserError(f"{where}: root: the environment variable {name} is not set; "
                            f"export {name}=<folder of the corpus>, or write the folder into the file")
    return os.path.expanduser(os.path.expandvars(text))
