"""NIST's ctm format: decoded syllables with their times."""

from pathlib import Path
from typing import NamedTuple

from steps.common.errors import UserError
from steps.search.ctc import Emission


class Timed(NamedTuple):
    """A decoded syllable, where it was heard."""

    begin: float  # seconds
    duration: float  # seconds
    syllable: str
    confidence: float  # its highest probability


def ctm_lines(utt: str, emissions: list[Emission], tokens: list[str], frame_shift_s: float) -> list[str]:
    """The lines `utt 1 begin duration syllable confidence` of an utterance, in the order of time.

    A syllable begins where its first frame begins and lasts for its own run of frames, as in icefall's CTC timestamps
    (icefall/utils.py, parse_fsa_timestamps_and_texts); blanks belong to no syllable. CTC emits in few frames: the
    duration is that of the spike rather than of the syllable.

    Args:
        frame_shift_s: seconds per output frame.
    """
    return [ctm_line(utt, Timed(one.first * frame_shift_s, (one.last - one.first + 1) * frame_shift_s,
                                tokens[one.token], one.posterior)) for one in emissions]


def word_lines(utt: str, emissions: list[Emission], words: list[tuple[str, int]], frame_shift_s: float) -> list[str]:
    """As `ctm_lines`, of words, each given with the number of its syllables; from its first syllable to its last."""
    lines, at = [], 0
    for word, syllables in words:
        own = emissions[at:at + syllables]
        at += syllables
        if own:
            begin, end = own[0].first * frame_shift_s, (own[-1].last + 1) * frame_shift_s
            lines.append(ctm_line(utt, Timed(begin, end - begin, word, min(one.posterior for one in own))))
    return lines


def ctm_line(utt: str, one: Timed) -> str:
    """The line of a syllable of `utt`."""
    return f"{utt} 1 {one.begin:.3f} {one.duration:.3f} {one.syllable} {one.confidence:.3f}"


def read_ctm(path: Path) -> dict[str, list[Timed]]:
    """A ctm file by utterance; utterances without output are not in it.

    Raises UserError where it is missing or damaged.
    """
    by_utt: dict[str, list[Timed]] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            utt, _, begin, duration, syllable, confidence = line.split()
            by_utt.setdefault(utt, []).append(Timed(float(begin), float(duration), syllable, float(confidence)))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run stage 5 (decode) first") from None
    except ValueError:
        raise UserError(f"{path}: a line is not `utt 1 begin duration syllable confidence`; decode again") from None
    return by_utt
