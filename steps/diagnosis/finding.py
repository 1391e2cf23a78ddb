"""What a check found."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

Severity = Literal["ok", "warning", "error", "skipped"]


class Finding(NamedTuple):
    """A check's result, in words for whoever runs the recipe.

    A `warning` is likely to cost accuracy, an `error` makes training fail or its result worthless; `skipped` says why
    a check could not be made.
    """

    check: str
    severity: Severity
    finding: str  # what is the case, in a sentence
    evidence: Sequence[str] = ()  # what that is judged from, in figures
    remedy: str = ""  # what to do; empty where nothing need be done
    figures: Sequence[str] = ()  # SVG

    def as_dict(self) -> dict[str, Any]:
        """For diagnosis.json: all but the pictures."""
        return {"check": self.check, "severity": self.severity, "finding": self.finding,
                "evidence": list(self.evidence), "remedy": self.remedy}


def graded(value: float, warning: float, error: float) -> Severity:
    """`ok` below `warning`, `error` from `error` on."""
    return "error" if value >= error else "warning" if value >= warning else "ok"


def percent(fraction: float) -> str:
    """`12.3 %`."""
    return f"{100 * fraction:.1f} %"


def few(names: Sequence[str], most: int = 3) -> str:
    """The first few of many names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
