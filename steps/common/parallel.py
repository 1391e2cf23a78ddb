"""Work over utterances, spread over processes."""

import itertools
import os
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

    `function` and its arguments must pickle. The first exception is raised here and ends the work.
    """
    jobs = jobs or default_jobs()
    if jobs == 1:
        yield from map(function, items)
        return
    items = iter(items)
    with ProcessPoolExecutor(jobs) as pool:
        waiting = deque(pool.submit(function, item) for item in itertools.islice(items, 4 * jobs))
        try:
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in itertools.islice(items, 1))
        finally:
            for future in waiting:
                future.cancel()
