"""Long work: spread over processes, and shown with its progress."""

import contextlib
import itertools
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from steps.common.errors import UserError
from steps.common.process import cores

Item = TypeVar("Item")
Result = TypeVar("Result")
CLUSTER = Path("conf/cluster.yaml")
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


def default_jobs() -> int:
    """Processes to use: YINJIE_NJ, else one a processor."""
    return int(os.environ.get("YINJIE_NJ", 0)) or cores()


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], jobs: int | None = None) -> Iterator[Result]:
    """`map(function, items)` over `jobs` processes, or over the cluster of conf/cluster.yaml where there is that file.

    Results come in order, and never more than 4 a process are in memory. `jobs=1` means here, in this process.
    `function` and its arguments must pickle. The first exception is raised here and ends the work. The processes end
    with this one, however it ends. Raises UserError for a cluster that is not to be had.
    """
    jobs = jobs or (None if on_cluster() else default_jobs())
    if jobs == 1:
        yield from map(function, items)
        return
    items = iter(items)
    with _executor(jobs) as (executor, width):
        waiting = deque(executor.submit(function, item) for item in itertools.islice(items, 4 * width()))
        try:
            while waiting:
                yield waiting.popleft().result()
                more = max(0, 4 * width() - len(waiting))  # a cluster may grow
                waiting.extend(executor.submit(function, item) for item in itertools.islice(items, more))
        finally:
            for future in waiting:
                future.cancel()


def on_cluster() -> bool:
    """Whether work over utterances goes to a cluster."""
    return CLUSTER.exists()


@contextlib.contextmanager
def _executor(jobs: int | None) -> Iterator[tuple[Any, Callable[[], int]]]:
    """What has `submit(function, item)`, and the number of its processes at a time."""
    if on_cluster():
        try:
            from steps.common.cluster import cluster_executor
        except ImportError as error:
            raise UserError(f"{CLUSTER}: a cluster needs Dask ({error}): pip install distributed dask-jobqueue, "
                            "or remove the file to work on this machine alone") from None
        with cluster_executor(CLUSTER) as executor:
            yield executor, executor.width
    else:
        with ProcessPoolExecutor(jobs, initializer=_attach_to_parent, initargs=(os.getpid(),)) as pool:
            yield pool, lambda: jobs


def _attach_to_parent(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end soon after it: where it is killed (-9), its pool would wait forever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
