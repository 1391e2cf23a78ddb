"""Long work: spread over processes, and shown with its progress."""

import argparse
import contextlib
import itertools
import multiprocessing
import os
import re
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
from steps.common.process import cores, die_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")
CLUSTER = Path("conf/cluster.yaml")
LOG_EVERY_S = 15.0
MOST_JOBS = 4096


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
    said = first = 0.0
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if done == 1:  # it took longer than the others will: processes had to start, or a network to be compiled
            said = first = now
        elif now - said >= LOG_EVERY_S:
            said = now
            eta = (now - first) / (done - 1) * (total - done)
            print(f"{what}: {done} of {total}, ETA {eta:.0f} s", file=sys.stderr, flush=True)


def default_jobs() -> int:
    """Processes to use: YINJIE_NJ, else one a processor. Raises UserError if YINJIE_NJ is not a number above 0."""
    wanted = os.environ.get("YINJIE_NJ", "").strip()
    if not wanted:
        return cores()
    try:
        return positive(wanted)
    except argparse.ArgumentTypeError as error:
        raise UserError(f"YINJIE_NJ: {error}; unset it, or export YINJIE_NJ={cores()}") from None


def positive(text: str) -> int:
    """A number of processes as an option of argparse: from 1 to MOST_JOBS."""
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= MOST_JOBS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes from 1 to {MOST_JOBS}")
    return int(text)


def count(text: str) -> int:
    """A number above 0 as an option of argparse."""
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], jobs: int | None = None) -> Iterator[Result]:
    """`map(function, items)` over `jobs` processes, or over the cluster of conf/cluster.yaml if there is that file.

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
            if on_cluster():  # this machine's pool is gone with its work
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
        pool = ProcessPoolExecutor(jobs, initializer=_attach_to_parent, initargs=(os.getpid(),))
        try:
            yield pool, lambda: jobs
        except BaseException:
            for process in multiprocessing.active_children():  # their results are not needed any more
                process.kill()
            # Without a writer the pool sees the end of a result that a process was killed within. It would wait for
            # the rest of it for ever, since it keeps a writing end of that pipe itself.
            pool._result_queue._writer.close()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _attach_to_parent(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end with it: if it is killed (-9), its pool would wait forever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
