"""All of conf/, where one broken file must not stop the others."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from doit.exceptions import TaskFailed

from steps.common.errors import UserError

Config = TypeVar("Config")


def read_each(load: Callable[[str], Config], names: Iterable[str]) -> tuple[dict[str, Config], dict[str, str]]:
    """`load(name)` by name, and the messages of those that raised a UserError, by name."""
    configs, broken = {}, {}
    for name in names:
        try:
            configs[name] = load(name)
        except UserError as error:
            broken[name] = str(error)
    return configs, broken


def warn(messages: Iterable[str]) -> None:
    """Say on stderr what is broken, each once."""
    for message in dict.fromkeys(messages):
        print(f"warning: {message}", file=sys.stderr)


def broken_tasks(broken: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Tasks of broken configs: whoever asks for one gets the message."""
    for name, message in broken.items():
        yield {"name": name, "actions": [(_fail, [message])], "doc": f"broken: {message.splitlines()[0]}"}


def _fail(message: str) -> TaskFailed:
    return TaskFailed(message)
