"""The points of a sweep: experiments that differ in the keys that it varies."""

from collections.abc import Sequence
from typing import NamedTuple

from steps.comparison.differences import differing, row_config
from steps.comparison.rows import Row


class Point(NamedTuple):
    """A row with the values of the varied keys."""

    values: dict[str, str]  # by key, as short as the names of the points have it
    row: Row


def sweep_points(rows: Sequence[Row]) -> list[Point]:
    """The points in the order of their values: as their configs have them, where that is clear, else their names."""
    keys = dict.fromkeys(key for row in rows for key in row.runs[0].name.point)
    values = [dict(row.runs[0].name.point) for row in rows]
    varied = differing([row_config(row) for row in rows])
    for key in keys:
        found = [name for name in varied if name == key or name.endswith(f".{key}")]
        if len(found) == 1:
            for point, value in zip(values, varied[found[0]], strict=True):
                point[key] = value
    points = [Point(point, row) for point, row in zip(values, rows, strict=True)]
    return sorted(points, key=lambda point: [sort_value(value) for value in point.values.values()])


def sort_value(value: str) -> tuple[int, float, str]:
    """Numbers by size, before words by letter."""
    try:
        return (0, float(value), value)
    except ValueError:
        return (1, 0.0, value)
