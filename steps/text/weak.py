"""The neutral tones of speech, which pypinyin's dictionary marks for few words."""

from collections.abc import Iterator
from pathlib import Path

from pypinyin.constants import PHRASES_DICT

from steps.text.phrases import Entries, Phrases
from steps.text.syllables import NEUTRAL

WORDS = Path(__file__).parent / "neutral.txt"
FULL_IN_COMPOUNDS = ("学生",)  # 大学生, 中学生


def weak_entries(entries: Entries) -> dict[str, tuple[str, ...]]:
    """The words of neutral.txt, and the dictionary's phrases of three characters that end in one (没关系), read with
    `entries` and a neutral tone on their last character."""
    phrases, found = Phrases(entries), {}
    listed = set(_listed())
    ends = listed.difference(FULL_IN_COMPOUNDS)
    compounds = {phrase for phrase in PHRASES_DICT if len(phrase) == 3 and phrase[1:] in ends and phrase not in entries}
    for word in listed | compounds:
        *full, weak = [syllable for span in phrases.spans(word) for syllable in span.syllables]
        found[word] = (*full, weak[:-1] + NEUTRAL)
    return found


def _listed() -> Iterator[str]:
    for line in WORDS.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            yield from line.split()
