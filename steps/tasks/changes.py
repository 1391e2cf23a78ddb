"""Checks for a task's `uptodate`, beside doit's own."""

import contextlib
import copy
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from steps.common.errors import UserError
from steps.common.files import sha256
from steps.config.load import check_known


class SameConfig:
    """False where a part of conf/ differs from what it was when the task last ended.

    What was recorded is compared as today's schema reads it: a key that came later has had its default since ever, and
    one that is no more does not count.
    """

    def __init__(self, config: dict[str, Any]):
        self._config = config  # models of steps.config.schema, or plain values

    def __call__(self, task, values: dict[str, Any]) -> bool:
        task.value_savers.append(lambda: {"config": _plain(self._config)})
        return self._before(values) == _plain(self._config)

    def differences(self, values: dict[str, Any]) -> list[str]:
        """The dotted keys that differ, with what they were and are."""
        before, now = _flat(self._before(values)), _flat(_plain(self._config))
        return [f"{key}: {before.get(key, 'not there')}, now {now.get(key, 'gone')}"
                for key in {**now, **before} if before.get(key) != now.get(key)]

    def _before(self, values: dict[str, Any]) -> dict[str, Any]:
        """What was recorded, as today's schema reads it."""
        recorded = copy.deepcopy(values.get("config", {}))
        for name, part in self._config.items():
            if isinstance(part, BaseModel) and name in recorded:
                with contextlib.suppress(UserError):  # recorded by a schema that was another: it differs
                    recorded[name] = check_known(recorded[name], type(part), name)[0]
        return _plain(recorded)


class SameFiles:
    """False where files differ from what they were when the task last ended. Unlike `file_dep`s they may be absent."""

    def __init__(self, paths: Iterable[Path | str]):
        self._paths = [Path(path) for path in paths]

    def __call__(self, task, values: dict[str, Any]) -> bool:
        task.value_savers.append(lambda: {"files": self._now()})
        return values.get("files") == self._now()

    def differences(self, values: dict[str, Any]) -> list[str]:
        """The files that differ, and how."""
        return _changed(values.get("files", {}), self._now())

    def _now(self) -> dict[str, str]:
        return _digests(self._paths)


class SameMatches(SameFiles):
    """As SameFiles, of the files that wildcards find at the time of the check; those may be of tasks not to be run.

    Size and time stand for what a file holds: there may be gigabytes of them.
    """

    def __init__(self, patterns: Iterable[str]):
        self._patterns = list(patterns)

    def _now(self) -> dict[str, str]:
        stats = {str(path): path.stat() for pattern in self._patterns for path in sorted(Path().glob(pattern))}
        return {path: f"{stat.st_size} {stat.st_mtime_ns}" for path, stat in stats.items()}


class SameCorpus:
    """False where a corpus' root, environment variables filled in, or one of the files `names` below it is another.

    Where a variable is not set, as in a shell of another day, what was made before stands.
    """

    def __init__(self, root: str, names: Iterable[str]):
        self._root, self._names = root, list(names)

    def __call__(self, task, values: dict[str, Any]) -> bool:
        now = self._now(values)
        task.value_savers.append(lambda: {"corpus": now})
        return values.get("corpus") == now

    def differences(self, values: dict[str, Any]) -> list[str]:
        """The files that differ, or the root."""
        before, now = values.get("corpus", {}), self._now(values)
        if before.get("root") != now["root"]:
            return [f"root: {before.get('root')}, now {now['root']}"]
        return _changed(before, now)

    def _now(self, values: dict[str, Any]) -> dict[str, str]:
        root = os.path.expanduser(os.path.expandvars(self._root))
        if "$" in root and "corpus" in values:
            return values["corpus"]
        return {"root": root, **_digests(Path(root) / name for name in self._names)}


def _changed(before: dict[str, str], now: dict[str, str]) -> list[str]:
    return [f"{path}: {'new' if path not in before else 'changed' if path in now else 'gone'}"
            for path in {**now, **before} if before.get(path) != now.get(path)]


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """A config as JSON can hold it."""
    return {name: part.model_dump(mode="json") if isinstance(part, BaseModel) else part
            for name, part in config.items()}


def _flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """The values of nested mappings and lists by dotted keys."""
    if isinstance(config, dict):
        items = config.items()
    elif isinstance(config, list):
        items = enumerate(config)
    else:
        return {prefix[:-1]: config}
    return {key: value for name, part in items for key, value in _flat(part, f"{prefix}{name}.").items()}


def _digests(paths: Iterable[Path]) -> dict[str, str]:
    return {str(path): sha256(path) for path in paths if path.is_file()}
