"""What dodo.py declares tasks with, beside stages: what `doit clean` removes, and configs that are broken."""

import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from doit.exceptions import TaskFailed

from steps.common.errors import UserError
from steps.common.lock import busy
from steps.corpus.derived import is_derived
from steps.tasks.record import directory

Config = TypeVar("Config")


class Remove:
    """A clean action: removes files, directories with all that is in them, and directories left empty above them.

    A path's last parts may hold wildcards (`log/train.*`). Where a process writes to one of the folders, it ends doit
    with a message and removes nothing.
    """

    def __init__(self, paths: Iterable[Path | str]):
        self._paths = [str(path) for path in paths]

    def __call__(self, dryrun: bool) -> None:
        if not dryrun:
            for folder in sorted({directory(path) for path in self._paths}):
                for lock in sorted((folder / "log").glob("*.lock")):
                    other = busy(lock)
                    if other:
                        sys.exit(f"error: nothing is removed: {other}")
        for pattern in self._paths:
            for path in sorted(Path().glob(pattern)):
                print(f"{'would remove' if dryrun else 'removing'} {path}")
                if not dryrun:
                    _remove(path)


class RemovePinyin(Remove):
    """Removes the `pinyin` files that stage 2 derived, not those that came with the corpus or were mended by hand."""

    def __init__(self, data_dir: Path, sets: Iterable[str]):
        super().__init__(data_dir / name / "pinyin" for name in sets)
        self._data_dir = data_dir

    def __call__(self, dryrun: bool) -> None:
        self._paths = [path for path in self._paths if is_derived(self._data_dir, Path(path).parent.name)]
        super().__call__(dryrun)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    for parent in path.parents[:-2]:  # data/ and exp/ themselves stay
        if any(parent.iterdir()):
            break
        parent.rmdir()


def read_each(load: Callable[[str], Config], names: Iterable[str]) -> tuple[dict[str, Config], dict[str, str]]:
    """`load(name)` by name, and the messages of those that raised a UserError, by name.

    doit takes `a=b` for a variable and `-x` for an option: such a broken name has _ in place of what is wrong in it.
    """
    configs, broken = {}, {}
    for name in names:
        try:
            configs[name] = load(name)
        except UserError as error:
            broken[name] = str(error)
    for name in [name for name in broken if not re.fullmatch(r"\w[\w.@,+-]*", name)]:
        harmless = re.sub(r"[^\w.@,+]", "_", name)
        while harmless in {*configs, *broken}:
            harmless += "_"
        broken[harmless] = broken.pop(name)
    return configs, broken


def warn(messages: Iterable[str]) -> None:
    """Say on stderr what is broken, each once."""
    for message in dict.fromkeys(messages):
        print(f"warning: {message}", file=sys.stderr)


def broken_tasks(broken: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Tasks of broken configs: asking for one gives the message."""
    for name, message in broken.items():
        yield {"name": name, "actions": [(_fail, [message])], "doc": f"broken: {message.splitlines()[0]}"}


def _fail(message: str) -> TaskFailed:
    return TaskFailed(message)
