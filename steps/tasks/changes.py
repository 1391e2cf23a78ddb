"""Checks for a task's `uptodate`, beside doit's own."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from steps.common.files import sha256


class SameFiles:
    """False where files differ from what they were when the task last ended. Unlike `file_dep`s they may be absent."""

    def __init__(self, paths: Iterable[Path | str]):
        self._paths = [Path(path) for path in paths]

    def __call__(self, task, values: dict[str, Any]) -> bool:
        task.value_savers.append(lambda: {"files": _digests(self._paths)})
        return values.get("files") == _digests(self._paths)


class SameCorpus:
    """False where a corpus' root, environment variables filled in, or one of the files `names` below it is another.

    Where a variable is not set, as in a shell of another day, what was made before stands.
    """

    def __init__(self, root: str, names: Iterable[str]):
        self._root, self._names = root, list(names)

    def __call__(self, task, values: dict[str, Any]) -> bool:
        root = os.path.expanduser(os.path.expandvars(self._root))
        if "$" in root and "corpus" in values:
            now = values["corpus"]
        else:
            now = {"root": root, **_digests(Path(root) / name for name in self._names)}
        task.value_savers.append(lambda: {"corpus": now})
        return values.get("corpus") == now


def _digests(paths: Iterable[Path]) -> dict[str, str]:
    return {str(path): sha256(path) for path in paths if path.is_file()}
