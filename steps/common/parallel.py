"""Work over utterances, spread over processes."""

import itertools
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_jobs() -> int:
    """Processes to use: YINJIE_NJ, else one a processor."""
    return int(os.environ.get("YINJIE_NJ", 0)) or cores()


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], jobs: int | None = None) -> Iterator[Result]:
    """`map(function, items)` over `jobs` processes: results in order, and never more than 4 × jobs of them in memory.

    `function` and its arguments must pickle. The first exception is raised here and ends the work. The processes end
    with this one, however it ends.
    """
    jobs = jobs or default_jobs()
    if jobs == 1:
        yield from map(function, items)
        return
    items = iter(items)
    with ProcessPoolExecutor(jobs, initializer=_attach_to_parent, initargs=(os.getpid(),)) as pool:
        waiting = deque(pool.submit(function, item) for item in itertools.islice(items, 4 * jobs))
        try:
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in itertools.islice(items, 1))
        finally:
            for future in waiting:
                future.cancel()


def _attach_to_parent(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end soon after it: where it is killed (-9), its pool would wait forever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
