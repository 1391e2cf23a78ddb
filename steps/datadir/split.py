"""Splits where a corpus has none: by a hash, hence the same on every machine and in any order."""

import hashlib
from collections.abc import Iterable

from steps.common.errors import UserError
from steps.datadir.utterance import Utterance

SHARE = 0.1  # of dev, and of test


def place(key: str) -> float:
    """A number in [0, 1) that depends on `key` alone, uniform over keys."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def set_of(key: str) -> str:
    """train, dev or test. A key stays in its set however many others there are."""
    where = place(key)
    return "test" if where < SHARE else "dev" if where < 2 * SHARE else "train"


def split_speakers(speakers: Iterable[str]) -> dict[str, str]:
    """{speaker: set}: a tenth of the speakers, at least one, to test and to dev each, those of the lowest hashes.

    Raises UserError for fewer than three speakers.
    """
    ranked = sorted(set(speakers), key=lambda speaker: (place(speaker), speaker))
    if len(ranked) < 3:
        raise UserError(f"{len(ranked)} speakers can't be split into train, dev and test by speaker; "
                        "three are needed, or say the set of every utterance")
    held = max(1, round(SHARE * len(ranked)))
    return {speaker: "test" if rank < held else "dev" if rank < 2 * held else "train"
            for rank, speaker in enumerate(ranked)}


def by_speaker(utterances: Iterable[Utterance]) -> dict[str, list[Utterance]]:
    """Train, dev and test of a corpus without sets, no speaker in two of them. Raises as `split_speakers` does."""
    utterances = list(utterances)
    of_speaker = split_speakers(each.spk for each in utterances)
    sets = {"train": [], "dev": [], "test": []}
    for each in utterances:
        sets[of_speaker[each.spk]].append(each)
    return sets
