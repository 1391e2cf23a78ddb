"""YAML files, read strictly and checked against a schema."""

import copy
import difflib
import errno
import functools
import os
import re
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from steps.common.errors import UserError
from steps.common.files import check_is_file

Schema = TypeVar("Schema", bound=BaseModel)
DEEPEST = 50  # mappings and lists within each other: more is not a config, and ends Python's own stack
LARGEST = 10**5  # values, those counted again that an alias repeats: aliases of aliases would fill the memory
MOST_DIGITS = 100  # of a number
SHOWN = 200  # characters of a wrong value
OTHER_BASE = re.compile(r"[-+]?0[0-9_]+|.*:.*")  # 010 is 8 in YAML 1.1, and 1:30 is 90


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # libyaml's is about ten times as fast
    """YAML of plain values, without a key twice in one mapping, and without numbers in base 8 or 60."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As YAML's own. Raises ConstructorError for a key that is there twice: of two, one would be lost."""
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} is there twice",
                                                        key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """As YAML's own. Raises ConstructorError for a number that YAML takes for another one than people do."""
        if OTHER_BASE.fullmatch(node.value) or len(node.value) > MOST_DIGITS:
            raise yaml.constructor.ConstructorError(
                None, None, f"{node.value[:SHOWN]}: write the number without 0 before it and without colons, or in "
                "quotation marks if it is text", node.start_mark)
        return (self.construct_yaml_int if node.tag.endswith(":int") else self.construct_yaml_float)(node)


for kind in ("int", "float"):
    Loader.add_constructor(f"tag:yaml.org,2002:{kind}", Loader.construct_number)


def load(path: Path, schema: type[Schema]) -> Schema:
    """Read a YAML file and check it against `schema`.

    Raises UserError naming the file and key, what was expected, and the nearest known key.
    """
    return check(read_yaml(path), schema, path)


def yaml_files(folder: Path) -> list[Path]:
    """The *.yaml files of a folder that are not hidden, sorted; none if there is no such folder.

    Raises OSError for a folder that cannot be read: that is not an empty one.
    """
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in names if name.endswith(".yaml") and not name.startswith(".")]


def read_yaml(path: Path) -> Any:
    """What a YAML file holds. Raises UserError if it is missing or no YAML."""
    try:
        facts = path.stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENAMETOOLONG):  # of a name that is too long there is no file
            raise
        there = [other.stem for other in yaml_files(path.parent)]
        raise UserError(f"{path}: no such file; {path.parent} has {', '.join(there) or 'no .yaml file'}") from None
    return copy.deepcopy(_parse(path.absolute(), path, facts.st_mtime_ns, facts.st_size))


@functools.lru_cache(maxsize=1000)  # a sweep's base is read for each of its points
def _parse(absolute: Path, path: Path, mtime_ns: int, size: int) -> Any:
    try:
        check_is_file(path)
        text = path.read_text(encoding="utf-8")
        _check_shape(text, path)
        return yaml.load(text, Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        what = re.sub(r',? *in "<.*?>", line (\d+), column \d+:?', r" (line \1)", " ".join(str(error).split()))
        raise UserError(f"{path}: not readable as YAML: {what}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # of a date in month 13, of tags that do not fit
        raise UserError(f"{path}: holds a value that is not what it seems ({error}); put text in quotation marks, and "
                        "leave out tags (!!…)") from None


def _check_shape(text: str, path: Path) -> None:
    """Raise UserError for YAML that is nested without end, or large by its aliases. Needs no recursion, unlike load."""
    sizes: dict[str, int] = {}  # by anchor
    above: list[list] = [["", 0]]  # anchor and size of the mappings and lists that are open
    for event in yaml.parse(text, Loader):
        where = f"{path}: line {event.start_mark.line + 1}"
        size = 0
        if isinstance(event, yaml.CollectionStartEvent):
            above.append([event.anchor, 1])
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, size = above.pop()
            sizes[anchor] = size
        elif isinstance(event, yaml.ScalarEvent):
            size = sizes[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in above):
                raise UserError(f"{where}: *{event.anchor} stands within what it names")
            size = sizes.get(event.anchor, 1)
        above[-1][1] += size
        if len(above) > DEEPEST:
            raise UserError(f"{where}: more than {DEEPEST} mappings and lists within each other; is a bracket not "
                            "closed?")
        if above[-1][1] > LARGEST:
            raise UserError(f"{where}: more than {LARGEST} values, those counted again that * repeats; write fewer")


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
    said = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error" and isinstance(detail["input"], dict):  # the error names its keys that are wrong
        return f"{key}: {said}"
    shown = repr(detail["input"])
    return f"{key}: {said}, not {shown if len(shown) <= SHOWN else shown[:SHOWN] + '…'}"


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
