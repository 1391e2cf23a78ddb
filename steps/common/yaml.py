"""YAML files, read strictly and checked against a schema."""

import copy
import difflib
import functools
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from steps.common.errors import UserError

Schema = TypeVar("Schema", bound=BaseModel)
DEEPEST = 50  # mappings and lists within each other: more is no config, and ends Python's own stack


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # libyaml's is some ten times as fast
    """YAML of plain values, without a key twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As YAML's own. Raises ConstructorError for a key that is there twice: of two, one would be lost."""
        seen = set()
        for key, _ in node.value:
            if (key.tag, key.value) in seen and isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} is there twice",
                                                        key.start_mark)
            seen.add((key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


def load(path: Path, schema: type[Schema]) -> Schema:
    """Read a YAML file and check it against `schema`.

    Raises UserError naming the file and key, what was expected, and the nearest known key.
    """
    return check(read_yaml(path), schema, path)


def read_yaml(path: Path) -> Any:
    """What a YAML file holds. Raises UserError where it is missing or no YAML."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        there = sorted(other.stem for other in path.parent.glob("*.yaml"))
        raise UserError(f"{path}: no such file; {path.parent} has {', '.join(there) or 'no .yaml file'}") from None
    return copy.deepcopy(_parse(path.absolute(), path, facts.st_mtime_ns, facts.st_size))


@functools.lru_cache(maxsize=1000)  # a sweep's base is read for each of its points
def _parse(absolute: Path, path: Path, mtime_ns: int, size: int) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        depth = 0
        for event in yaml.parse(text, Loader):  # needs no recursion, unlike load
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise UserError(f"{path}: line {event.start_mark.line + 1}: more than {DEEPEST} mappings and lists "
                                "within each other; is a bracket not closed?")
        return yaml.load(text, Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None


def check(value: Any, schema: type[Schema], where: Path | str) -> Schema:
    """`value` as `schema`; `where` is the file that errors name. Raises UserError as `load` does."""
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        lines = [_explain(schema, detail) for detail in error.errors()]
        raise UserError(f"{where}: " + "\n  ".join(lines)) from None


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
