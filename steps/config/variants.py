"""Experiments as they are written: one on the base of another, and many from one file.

`base: x` in conf/y.yaml makes y as x, except for the keys that conf/y.yaml has. Mappings are merged key by key. Every
other value, also a list, replaces the base's. Features, in conf/features, have the same key.

`seeds: [1, 2]` in conf/x.yaml makes x@1 and x@2. A sweep's points are called <sweep>@<key>-<value>,<key>-<value>, by
the shortest tails of their keys that tell them apart, with @<seed> behind if the sweep or its base has seeds. (Not
<key>=<value>: doit takes that for a variable.)
"""

import itertools
import json
import math
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field, model_validator

from steps.common.errors import UserError
from steps.common.yaml import check, load, read_yaml, yaml_files
from steps.config.schema import NAME, Experiment, Name, Strict, distinct

LONGEST_VALUE = 40  # characters of a value in a name
MOST_EXPERIMENTS = 1000  # that one file may make
MOST_BASES = 20  # one on the base of another
RESERVED = ("features", "log")  # folders of exp/ that belong to no experiment


Seeds = Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=MOST_EXPERIMENTS), AfterValidator(distinct)]
Values = Annotated[list[Any], Field(min_length=1, max_length=MOST_EXPERIMENTS), AfterValidator(distinct)]
Key = Annotated[str, Field(pattern=r"^[A-Za-z_]+(\.[A-Za-z_]+)*$")]


class Written(Experiment):
    """conf/*.yaml as it is written: one experiment, or with `seeds` one for each of them."""

    seeds: Seeds = []
    base: Name | None = None


class Sweep(Strict):
    """conf/sweeps/*.yaml: an experiment of conf/, and the values that its keys take. Keys are dotted: train.epochs."""

    base: Name
    vary: Annotated[dict[Key, Values], Field(min_length=1)]
    set: dict[Key, Any] = {}  # keys that all points have changed alike
    seeds: Seeds | None = None  # in place of the base's

    @model_validator(mode="after")
    def _says_each_key_once(self) -> "Sweep":
        keys = [*self.vary, *self.set]
        twice = [key for number, key in enumerate(keys) for other in keys[:number] + keys[number + 1:]
                 if f"{key}.".startswith(f"{other}.")]
        if twice:
            raise ValueError(f"{twice[0]} is said twice, in vary, in set, or with what is above it")
        return self


class Parsed(NamedTuple):
    """An experiment's name, taken apart."""

    group: str  # what all seeds have in common
    seed: int | None
    sweep: str | None
    point: dict[str, str]  # of a sweep: value by the end of the varied key


def parse_name(name: str) -> Parsed:
    """`lr@epochs-3@1` → group `lr@epochs-3`, seed 1, sweep `lr`, point {`epochs`: `3`}."""
    seeded = re.fullmatch(r"(.+)@(\d+)", name)
    group, seed = (seeded[1], int(seeded[2])) if seeded else (name, None)
    sweep, _, assignments = group.partition("@")
    if "-" not in assignments:
        return Parsed(group, seed, None, {})
    return Parsed(group, seed, sweep, dict(part.split("-", 1) for part in assignments.split(",")))


def variant_names(conf: Path) -> list[str]:
    """All experiments of conf/*.yaml and conf/sweeps/*.yaml; the file's name, if it cannot be read."""
    names = []
    for path in [*yaml_files(conf), *yaml_files(conf / "sweeps")]:
        if path.name == "cluster.yaml":  # tells where to work
            continue
        try:
            names += _changes(path)
        except (UserError, OSError):
            names.append(path.stem)
    return list(dict.fromkeys(names))


def read_variant(name: str, conf: Path) -> tuple[Path, Experiment]:
    """The file that an experiment is written in, and the experiment.

    Raises UserError if a file is wrong or makes no such experiment.
    """
    stem = name.partition("@")[0]
    own, sweep = conf / f"{stem}.yaml", conf / "sweeps" / f"{stem}.yaml"
    if own.exists() and sweep.exists():
        raise UserError(f"{sweep}: there is a {own}, too; rename one of them")
    where = sweep if sweep.exists() else own
    changes = _changes(where)
    if name not in changes:
        raise UserError(f"{where}: makes no experiment {name}, but {', '.join(changes)}")
    value = read_with_base(_base(where))
    for key, new in changes[name].items():
        value = _put(value, key, new, where)
    own = {key: part for key, part in value.items() if key not in ("seeds", "base")}
    return where, check(own, Experiment, where)


def families(names: Iterable[str]) -> dict[str, list[str]]:
    """The part before an @ of several names, with those names: x for x@1 and x@2, a sweep for its points."""
    found: dict[str, list[str]] = {}
    for name in names:
        parts = name.split("@")
        for count in range(1, len(parts)):
            found.setdefault("@".join(parts[:count]), []).append(name)
    return found


def _base(path: Path) -> Path:
    """The file that holds the whole experiment: for a sweep its base's, else `path` itself."""
    if path.parent.name != "sweeps":
        return path
    conf = path.parent.parent
    base = conf / f"{load(path, Sweep).base}.yaml"
    if not base.exists():
        raise UserError(f"{path}: base: no such file {base}; {conf} has "
                        f"{', '.join(other.stem for other in yaml_files(conf))}")
    return base


def check_name(name: str, folder: Path) -> None:
    """Raise UserError if <folder>/<name>.yaml cannot name folders, tasks and experiments."""
    path = folder / f"{name}.yaml"
    if re.search("[\ud800-\udfff]", name):
        raise UserError(f"{path}: the name is not {sys.getfilesystemencoding()}; use a locale of UTF-8, such as "
                        "LC_ALL=C.UTF-8, and a name of UTF-8")
    if not re.fullmatch(NAME, name):
        raise UserError(f"{path}: rename it: names have letters and digits of any script, with . _ - between them")
    if name in RESERVED and folder.name not in ("corpora", "features"):
        raise UserError(f"{path}: rename the file: exp/{name}/ is not an experiment's folder")


def read_with_base(path: Path, above: tuple[Path, ...] = ()) -> Any:
    """The keys of a file of conf/ or conf/features, with those of its base, a file of the same folder.

    Raises UserError if a base is missing, or a file is a base of its own.
    """
    value = read_yaml(path)
    if not isinstance(value, dict) or not isinstance(value.get("base"), str):
        return value
    if not re.fullmatch(NAME, value["base"]):
        raise UserError(f"{path}: base: {value['base']!r} is not a name; write that of a file of {path.parent}, "
                        "without .yaml")
    base = path.with_name(f"{value['base']}.yaml")
    if len(above) >= MOST_BASES:
        raise UserError(f"{path}: base: more than {MOST_BASES} files, each on the base of the next; write fewer")
    if base in (path, *above):
        raise UserError(f"{path}: base: {value['base']} is made on the base of this file")
    own = {key: part for key, part in value.items() if key != "base"}
    try:
        whole = read_with_base(base, (path, *above))
    except UserError as error:
        raise UserError(f"{path}: base: {error}") from None
    if not isinstance(whole, dict):
        return whole
    if own.keys() & {"corpus", "corpora"}:  # either of them replaces either
        whole = {key: part for key, part in whole.items() if key not in ("corpus", "corpora")}
    return _merge(whole, own)


def _merge(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `own` in place of its own, mappings merged key by key."""
    merged = {key: _merge(base[key], part) if isinstance(part, dict) and isinstance(base.get(key), dict) else part
              for key, part in own.items()}
    return {**base, **merged}


def _changes(path: Path) -> dict[str, dict[str, Any]]:
    """The experiments that a file makes: which dotted keys of the base have which values."""
    check_name(path.stem, path.parent)
    base = check(read_with_base(_base(path)), Written, _base(path))
    if _base(path) == path:
        return _seeded(path.stem, {}, base.seeds)
    sweep = load(path, Sweep)
    tails = _tails(list(sweep.vary))
    count = math.prod(map(len, sweep.vary.values())) * max(1, len(base.seeds if sweep.seeds is None else sweep.seeds))
    if count > MOST_EXPERIMENTS:
        raise UserError(f"{path}: vary: makes {count} experiments, of which {MOST_EXPERIMENTS} are allowed; "
                        "vary fewer keys at once")
    labels = [[f"{tails[key]}-{_slug(value, number)}" for number, value in enumerate(values, 1)]
              for key, values in sweep.vary.items()]
    changes: dict[str, dict[str, Any]] = {}
    for words, values in zip(itertools.product(*labels), itertools.product(*sweep.vary.values()), strict=True):
        point = {**sweep.set, **dict(zip(sweep.vary, values, strict=True))}
        seeds = base.seeds if sweep.seeds is None else sweep.seeds
        name = f"{path.stem}@{','.join(words)}"
        if name in changes:
            raise UserError(f"{path}: vary: two values would both be called {name}")
        changes |= _seeded(name, point, seeds)
    return changes


def _seeded(name: str, changes: dict[str, Any], seeds: list[int]) -> dict[str, dict[str, Any]]:
    return {f"{name}@{seed}": {**changes, "seed": seed} for seed in seeds} or {name: changes}


def _tails(keys: list[str]) -> dict[str, str]:
    """The shortest ends of dotted keys that no two of them share."""
    tails = {}
    for key in keys:
        parts = key.split(".")
        others = [other.split(".") for other in keys if other != key]
        count = next((count for count in range(1, len(parts))
                      if all(other[-count:] != parts[-count:] for other in others)), len(parts))
        tails[key] = ".".join(parts[-count:])
    return tails


def _slug(value: Any, number: int) -> str:
    """A value as part of a file's and a task's name; long ones by their place in the list."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)  # YAML has dates
    slug = re.sub(r"[^A-Za-z0-9.+-]+", "_", text).strip("_")
    return slug if slug and len(slug) <= LONGEST_VALUE else str(number)


def _put(mapping: dict[str, Any], key: str, value: Any, where: Path) -> dict[str, Any]:
    """`mapping` with the value of a dotted key changed."""
    head, _, rest = key.partition(".")
    if rest:
        inner = mapping.get(head, {})
        if not isinstance(inner, dict):
            raise UserError(f"{where}: {key}: {head} is not a mapping in the base, but {inner!r}")
        value = _put(inner, rest, value, where)
    return {**mapping, head: value}
