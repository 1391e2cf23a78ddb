"""contexts.txt: readings of characters by the characters beside them, for what no phrase of a dictionary decides."""

import functools
import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from steps.common.errors import UserError

FILE = Path(__file__).parent / "contexts.txt"
ITSELF = "{同}"  # in a pattern, the character that it is about
BEHIND = 10  # characters before and behind that a pattern sees


class Context(NamedTuple):
    """Where a character has a reading."""

    syllable: str
    left: re.Pattern[str]
    right: re.Pattern[str]

    def fits(self, text: str, at: int) -> bool:
        """Whether the character at `at` of `text`, which ^ and $ enclose, stands in this context."""
        return bool(self.right.match(text, at + 1)) and bool(self.left.search(text, max(0, at - BEHIND), at))


class Contexts:
    """The contexts by character; `strong` ones win over phrases of a dictionary, too."""

    def __init__(self, path: Path = FILE):
        self.weak: defaultdict[str, list[Context]] = defaultdict(list)
        self.strong: defaultdict[str, list[Context]] = defaultdict(list)
        classes: dict[str, str] = {}
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if line.startswith("{"):
                name, _, pattern = line.partition(" = ")
                classes[name] = f"(?:{_written_out(pattern, classes)})"
            elif line and not line.startswith("#"):
                table = self.strong if line.startswith("!") else self.weak
                fields = line.removeprefix("!").split()
                patterns = [field for field in fields if "_" in field]
                try:
                    for char, *syllable in fields[: -len(patterns)]:
                        table[char] += [_context("".join(syllable), pattern.replace(ITSELF, char), classes)
                                        for pattern in patterns]
                except (re.error, ValueError) as error:
                    raise UserError(f"{path}:{number}: {error}") from None


def find(contexts: list[Context], text: str, at: int) -> str | None:
    """The reading that the first fitting context gives the character at `at` of `text`, which ^ and $ enclose."""
    return next((context.syllable for context in contexts if context.fits(text, at)), None)


@functools.cache
def contexts() -> Contexts:
    """Those of contexts.txt."""
    return Contexts()


def weak_reading(text: str, at: int) -> str | None:
    """The reading that contexts give the character at `at` of a clause, where it is in no phrase."""
    known = contexts().weak
    return find(known[text[at]], f"^{text}$", at + 1) if text[at] in known else None


def strong_readings(text: str) -> dict[int, str]:
    """The readings, by position, that contexts give characters of a clause in phrases, too."""
    known = contexts().strong
    found = {at: find(known[char], f"^{text}$", at + 1) for at, char in enumerate(text) if char in known}
    return {at: syllable for at, syllable in found.items() if syllable}


def _context(syllable: str, pattern: str, classes: dict[str, str]) -> Context:
    left, right = (_expanded(side, classes) for side in pattern.split("_"))
    return Context(syllable, re.compile(f"(?:{left})\\Z"), re.compile(right))


def _expanded(pattern: str, classes: dict[str, str]) -> str:
    return re.sub(r"(?<!\[)\^", r"\^", _written_out(pattern, classes)).replace("$", r"\$")


def _written_out(pattern: str, classes: dict[str, str]) -> str:
    """A pattern with its classes written out; within brackets a class of single characters loses its own brackets."""
    for name, written in classes.items():
        inner = written.removeprefix("(?:").removesuffix(")")
        if inner.startswith("["):
            pattern = re.sub(rf"(\[[^\]]*){re.escape(name)}", rf"\g<1>{inner[1:-1]}", pattern)
        pattern = pattern.replace(name, written)
    return pattern
