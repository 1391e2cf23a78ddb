"""Checks for a task's `uptodate`, beside doit's own: of configs, files, audio, and the code that a script imports.

What a check records is what it saw before the task began, so that a file that changes while the task runs counts as
changed afterwards. Each check has `differences(values)`: sentences for `steps.status` that say what has changed.
"""

import ast
import contextlib
import copy
import functools
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from steps.common.errors import UserError
from steps.common.files import GONE, sha256, size_and_time
from steps.config.load import check_known, flatten


class SameConfig:
    """False if a part of conf/ differs from what it was when the task last ran.

    What was recorded is compared as today's schema reads it: a key that came later counts as if it had always had its
    default, and a key that no longer exists does not count.
    """

    def __init__(self, config: dict[str, Any]):
        self._config = config  # models of steps.config.schema, or plain values

    def __call__(self, task, values: dict[str, Any]) -> bool:
        task.value_savers.append(lambda: {"config": _plain(self._config)})
        return self._before(values) == _plain(self._config)

    def differences(self, values: dict[str, Any]) -> list[str]:
        """The dotted keys that differ, with what they were and are."""
        before, now = flatten(self._before(values)), flatten(_plain(self._config))
        return [f"{key}: {before.get(key, 'not there')}, now {now.get(key, 'gone')}"
                for key in {**now, **before} if before.get(key) != now.get(key)]

    def _before(self, values: dict[str, Any]) -> dict[str, Any]:
        """The recorded values, as today's schema reads them."""
        recorded = copy.deepcopy(values.get("config", {}))
        for name, part in self._config.items():
            if isinstance(part, BaseModel) and name in recorded:
                with contextlib.suppress(UserError):  # today's schema refuses it: it differs
                    recorded[name] = check_known(recorded[name], type(part), name)[0]
        return _plain(recorded)


class _Same:
    """False if digests by path are others than when the task last ran."""

    key = ""  # of the values that doit keeps

    def __call__(self, task, values: dict[str, Any]) -> bool:
        now = self.now(values)
        task.value_savers.append(lambda: {self.key: now})
        return values.get(self.key) == now

    def differences(self, values: dict[str, Any]) -> list[str]:
        """The files that differ, and how."""
        return _changed(values.get(self.key, {}), self.now(values))

    def now(self, values: dict[str, Any]) -> dict[str, str]:
        """The values that the files hold now; `values` are the recorded ones."""
        raise NotImplementedError


class SameSources(_Same):
    """False if scripts, or what they import, do something else. Comments and docstrings do not count."""

    key = "sources"

    def __init__(self, *modules: str):
        self.modules = modules

    def now(self, values: dict[str, Any]) -> dict[str, str]:
        return fingerprints(*self.modules)


class SameFiles(_Same):
    """False if files differ from what they were when the task last ran. Unlike `file_dep`s they may be absent."""

    key = "files"

    def __init__(self, paths: Iterable[Path | str]):
        self.paths = [Path(path) for path in paths]

    def now(self, values: dict[str, Any]) -> dict[str, str]:
        return _digests(self.paths)


class SameOwnFiles(SameFiles):
    """As SameFiles, for files that the task reads and perhaps writes: recorded as they are when it has ended."""

    key = "own files"

    def __call__(self, task, values: dict[str, Any]) -> bool:
        task.value_savers.append(lambda: {self.key: self.now(values)})
        return values.get(self.key) == self.now(values)


class SameMatches(_Same):
    """As SameFiles, of the files that wildcards find at the time of the check; those may be of tasks not to be run.

    Size and time stand for what a file holds: there may be gigabytes of them.
    """

    key = "files"

    def __init__(self, patterns: Iterable[str]):
        self.patterns = list(patterns)

    def now(self, values: dict[str, Any]) -> dict[str, str]:
        return {str(path): size_and_time(path) for pattern in self.patterns for path in sorted(Path().glob(pattern))}


class SameCorpus(_Same):
    """False if a corpus' root, environment variables filled in, or one of the files `names` below it is another.

    If a variable is not set, as in a shell of another day, what was made before stands.
    """

    key = "corpus"

    def __init__(self, root: str, names: Iterable[str]):
        self.root, self._names = root, list(names)

    def differences(self, values: dict[str, Any]) -> list[str]:
        before, now = values.get("corpus", {}), self.now(values)
        if before.get("root") != now["root"]:
            return [f"root: {before.get('root')}, now {now['root']}"]
        return _changed(before, now)

    def now(self, values: dict[str, Any]) -> dict[str, str]:
        root = os.path.expanduser(os.path.expandvars(self.root))
        if "$" in root and "corpus" in values:
            return values["corpus"]
        return {"root": root, **_digests(Path(root) / name for name in self._names)}


class SameAudio:
    """False if audio has another size or time than stage 1 noted in <set>/utt2audio.

    If none of the files is there, as on a disk that is not mounted, what was made before stands if the corpus has a
    `root`. A look at 100,000 files takes about a second.
    """

    def __init__(self, set_dirs: Iterable[Path], has_root: bool):
        self.set_dirs, self._has_root = list(set_dirs), has_root

    def __call__(self) -> bool:
        return not self.differences({})

    def differences(self, values: dict[str, Any]) -> list[str]:
        found, total = [], 0
        for set_dir in self.set_dirs:
            wavs, noted = _table(set_dir / "wav.scp"), _table(set_dir / "utt2audio")
            total += len(wavs)
            found += [(wavs[utt], now) for utt in wavs if (now := size_and_time(wavs[utt])) != noted.get(utt)]
        gone = [wav for wav, now in found if now == GONE]
        if self._has_root and total and len(gone) == total:
            return []
        return [f"{wav}: {'gone' if now == GONE else 'changed'}" for wav, now in found]


def _table(path: Path) -> dict[str, str]:
    """A table of `key value`, read without checks: stage 1 wrote it. None is as an empty one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    return dict(line.split(" ", 1) for line in lines if " " in line)


def _changed(before: dict[str, str], now: dict[str, str]) -> list[str]:
    return [f"{path}: {'new' if path not in before else 'changed' if path in now else 'gone'}"
            for path in {**now, **before} if before.get(path) != now.get(path)]


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """A config as JSON can hold it."""
    return {name: part.model_dump(mode="json") if isinstance(part, BaseModel) else part
            for name, part in config.items()}


def _digests(paths: Iterable[Path]) -> dict[str, str]:
    return {str(path): sha256(path) for path in paths if path.is_file()}


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
        source = _source(path)
        found[str(path)] = source.digest
        found |= {str(other): _digest_once(other) for other in source.beside}
        waiting += source.imported
    return dict(sorted(found.items()))


_digest_once = functools.cache(sha256)  # of word lists: some are read by many scripts


@functools.cache
def _source(path: Path) -> Source:
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
        if other.is_dir() and not any(other.glob("*.py")):
            named += sorted(other.iterdir())
    return [other for other in named if other.is_file()]
