"""The project's own code that a script's result depends on: the meaning of its modules, not their comments."""

import ast
import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

from steps.common.files import sha256

# What these hold shows in results only through configs, which tasks depend on by themselves.
PASSED_OVER = ("steps.common", "steps.config", "steps.tasks")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Source(NamedTuple):
    """A module."""

    digest: str  # of its syntax tree without comments and docstrings
    imported: list[str]  # the project's modules that it imports, also within functions; some may be names in a module
    beside: list[Path]  # files of its folder that it names in a string, such as a word list


def fingerprints(*modules: str) -> dict[str, str]:
    """Digests by path of `modules` and of all that they import, directly or not, from steps/ and local/.

    PASSED_OVER is left out. With a module go the files beside it that it names. Modules that are not there are passed
    over: the script that imports them will say so.
    """
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = Path(*name.split(".")).with_suffix(".py")
        if name.startswith(PASSED_OVER) or str(path) in found or not path.is_file():
            continue
        source = _read(path)
        found[str(path)] = source.digest
        found |= {str(other): _digest(other) for other in source.beside}
        waiting += source.imported
    return dict(sorted(found.items()))


_digest = functools.cache(sha256)  # of word lists: some are read by many scripts


@functools.cache
def _read(path: Path) -> Source:
    content = path.read_bytes()
    try:
        tree = ast.parse(content)
    except SyntaxError:  # running it will say where
        return Source(hashlib.sha256(content).hexdigest(), [], [])
    names, strings = [], set()
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings.add(node.value)
    return Source(hashlib.sha256(ast.dump(tree).encode()).hexdigest(),
                  [name for name in names if name.startswith(("steps.", "local."))],
                  _named(path.parent, strings))


def _named(folder: Path, strings: set[str]) -> list[Path]:
    """The files of a folder that `strings` name, and those of the folders of data in it, such as templates."""
    named = [other for other in sorted(folder.iterdir()) if other.name in strings]
    for other in named:
        if other.is_dir() and not (other / "__init__.py").exists():
            named += sorted(other.iterdir())
    return [other for other in named if other.is_file()]
