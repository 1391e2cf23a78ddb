"""What a name says: `base`, `base@2` (its seed 2), `sweep@key-value,key-value` (a point of a sweep), or both."""

import re
from typing import NamedTuple

_SEED = re.compile(r"(?P<rest>.+)@(?P<seed>\d+)")


class Name(NamedTuple):
    """An experiment's name, taken apart."""

    group: str  # what all seeds have in common
    seed: int | None
    sweep: str | None
    point: dict[str, str]  # of a sweep: value by the end of the varied key, both as steps.config.variants writes them


def parse_name(name: str) -> Name:
    """`lr@epochs-3@1` → group `lr@epochs-3`, seed 1, sweep `lr`, point {`epochs`: `3`}."""
    seeded = _SEED.fullmatch(name)
    group, seed = (seeded["rest"], int(seeded["seed"])) if seeded else (name, None)
    sweep, _, assignments = group.partition("@")
    if "-" not in assignments:
        return Name(group, seed, None, {})
    return Name(group, seed, sweep, dict(part.split("-", 1) for part in assignments.split(",")))
