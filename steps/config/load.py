"""Reading conf/ and the resolved config of an experiment directory, with errors that say where and what."""

import difflib
import os
import re
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from steps.common.errors import UserError
from steps.config.schema import Corpus, Experiment, Features, Strict

Schema = TypeVar("Schema", bound=BaseModel)
CONF = Path("conf")


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


def experiment_names(conf: Path = CONF) -> list[str]:
    """The experiments: the stems of conf/*.yaml, sorted."""
    return sorted(path.stem for path in conf.glob("*.yaml"))


def load_corpus(name: str, conf: Path = CONF) -> Corpus:
    """conf/corpora/<name>.yaml, its root's environment variables filled in; or the combination a+b of several."""
    corpus = read_corpus(name, conf)
    if corpus.root is None:
        return corpus
    return corpus.model_copy(update={"root": expand_variables(corpus.root, conf / "corpora" / f"{name}.yaml")})


def read_corpus(name: str, conf: Path = CONF) -> Corpus:
    """conf/corpora/<name>.yaml as written; or the combination a+b of several, of the sets that all of them have."""
    if "+" not in name:
        return load(conf / "corpora" / f"{name}.yaml", Corpus)
    names = name.split("+")
    parts = [read_corpus(part, conf) for part in names]
    sets = [part for part in parts[0].sets if all(part in other.sets for other in parts)]
    for other, corpus in zip(names, parts, strict=True):
        if corpus.pinyin != parts[0].pinyin:
            raise UserError(f"{name}: {names[0]} and {other} differ in `pinyin`; combined, they must be read alike")
    if not sets or len(set(names)) < len(names):
        raise UserError(f"{name}: the corpora must be different ones that have a set in common")
    return Corpus(module="combine", sets=sets, pinyin=parts[0].pinyin, options={"corpora": names})


def load_features(name: str, conf: Path = CONF) -> Features:
    """conf/features/<name>.yaml."""
    return load(conf / "features" / f"{name}.yaml", Features)


def load_experiment(name: str, conf: Path = CONF) -> Resolved:
    """conf/<name>.yaml with the corpus and features that it names. The corpus' root stays as written."""
    experiment = load(conf / f"{name}.yaml", Experiment)
    corpus = read_corpus(experiment.corpus, conf)
    unknown = [part for part in experiment.decode.sets if part not in corpus.sets]
    if unknown:
        raise UserError(f"{conf / name}.yaml: decode.sets: corpus {experiment.corpus} has no set {unknown[0]!r}, "
                        f"only {', '.join(corpus.sets)}")
    return Resolved(name=name, experiment=experiment, corpus=corpus, features=load_features(experiment.features, conf))


def load_resolved(exp_dir: Path | str) -> Resolved:
    """The config that an experiment directory was trained with."""
    return load(Path(exp_dir) / "config.yaml", Resolved)


def dump(config: BaseModel) -> str:
    """A config as YAML, all keys written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load(path: Path, schema: type[Schema]) -> Schema:
    """Read a YAML file and check it against `schema`.

    Raises UserError naming the file and key, what was expected, and the nearest known key.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        there = sorted(other.stem for other in path.parent.glob("*.yaml"))
        raise UserError(f"{path}: no such file; {path.parent} has {', '.join(there) or 'no .yaml file'}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    return check(value, schema, path)


def check(value: Any, schema: type[Schema], where: Path | str) -> Schema:
    """`value` as `schema`; `where` is the file that errors name. Raises UserError as `load` does."""
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        lines = [_explain(schema, detail) for detail in error.errors()]
        raise UserError(f"{where}: " + "\n  ".join(lines)) from None


def expand_variables(text: str, where: Path | str) -> str:
    """`text` with ${NAME}, $NAME and ~ filled in. Raises UserError for a variable that is not set."""
    for name in re.findall(r"\$\{?(\w+)\}?", text):
        if name not in os.environ:
            raise UserError(f"{where}: root: the environment variable {name} is not set; "
                            f"export {name}=<folder of the corpus>, or write the folder into the file")
    return os.path.expanduser(os.path.expandvars(text))


def _explain(schema: type[BaseModel], detail: dict[str, Any]) -> str:
    location = [str(part) for part in detail["loc"]]
    key = ".".join(location) or "(the whole file)"
    if detail["type"] == "extra_forbidden":
        known = list(_fields_at(schema, location[:-1]))
        near = difflib.get_close_matches(location[-1], known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"{key}: unknown key; {hint}"
    if detail["type"] == "missing":
        return f"{key}: missing"
    return f"{key}: {detail['msg']}, not {detail['input']!r}"


def _fields_at(schema: type[BaseModel], location: list[str]) -> dict[str, Any]:
    """The fields of the model that `location` leads to; list positions and dictionary keys are passed over."""
    for part in location:
        field = schema.model_fields.get(part)
        if field is not None:
            schema = _model_in(field.annotation) or schema
    return schema.model_fields


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, dict, tuple, Union, UnionType):
        return next(filter(None, map(_model_in, get_args(annotation))), None)
    return None
