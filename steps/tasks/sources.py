"""The source files that a script's result depends on."""

import ast
import functools
from pathlib import Path

# What these hold shows in results only through configs, which tasks depend on by themselves.
PASSED_OVER = ("steps.common", "steps.config", "steps.tasks")


def sources(*modules: str) -> list[str]:
    """Files of `modules` and of all that they import, directly or not, from steps/ and local/; PASSED_OVER is left out.

    With a module go the files beside it that it names in a string, such as a word list. Modules that are not there are
    passed over: the script that imports them will say so.
    """
    found, data, waiting = set(), set(), list(modules)
    while waiting:
        name = waiting.pop()
        path = Path(*name.split(".")).with_suffix(".py")
        if name.startswith(PASSED_OVER) or path in found or not path.is_file():
            continue
        found.add(path)
        imported, beside = _read(path)
        waiting += imported
        data |= beside
    return sorted(map(str, found | data))


@functools.cache
def _read(path: Path) -> tuple[list[str], set[Path]]:
    """The project's modules that a file imports, also within functions (some may be names in a module), and the files
    beside it that it names."""
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:  # running it will say where
        return [], set()
    names, strings = [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings.add(node.value)
    beside = {other for other in path.parent.iterdir() if other.name in strings and other.is_file()}
    return [name for name in names if name.startswith(("steps.", "local."))], beside
