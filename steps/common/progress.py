"""Progress with an ETA: a bar on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")
LOG_EVERY_S = 15.0


def track(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Yield `items`, telling how many of `total` are done and how long the rest will take."""
    if sys.stderr.isatty():
        yield from _bar(items, total, what)
    else:
        yield from _log(items, total, what)


def _bar(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    from rich.console import Console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("ETA"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(items, total=total, description=what)


def _log(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    begin = said = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - said >= LOG_EVERY_S:
            said = now
            eta = (now - begin) / done * (total - done)
            print(f"{what}: {done} of {total}, ETA {eta:.0f} s", file=sys.stderr, flush=True)
