"""What a search makes of an utterance: tokens, and the output frames that emitted them."""

from typing import NamedTuple


class Emission(NamedTuple):
    """One token of a decoded utterance."""

    token: int
    first: int  # output frame where its run begins
    last: int  # output frame where its run ends, inclusive
    posterior: float  # its highest probability within the run
