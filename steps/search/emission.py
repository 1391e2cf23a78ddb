"""What a search makes of an utterance: tokens, and the output frames that emitted them."""

from typing import NamedTuple


class Emission(NamedTuple):
    """One token of a decoded utterance."""

    token: int
    first: int  # output frame where its run begins
    last: int  # output frame where its run ends, inclusive
    posterior: float  # its highest probability within the run


def ctm_lines(utt: str, emissions: list[Emission], tokens: list[str], frame_shift_s: float) -> list[str]:
    """The lines `utt 1 begin duration syllable confidence` of NIST's ctm format, in the order of time.

    A syllable begins where its first frame begins and lasts for its own run of frames, as in icefall's CTC timestamps
    (icefall/utils.py, parse_fsa_timestamps_and_texts); blanks belong to nobody. CTC emits in few frames, so that the
    duration is that of the spike rather than of the syllable.

    Args:
        frame_shift_s: seconds per output frame.
    """
    return [f"{utt} 1 {one.first * frame_shift_s:.3f} {(one.last - one.first + 1) * frame_shift_s:.3f} "
            f"{tokens[one.token]} {one.posterior:.3f}" for one in emissions]
