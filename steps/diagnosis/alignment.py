"""Check of where a trained network emits its syllables: where they are spoken, or in silence.

CTC asks for the order of syllables alone. A network that sees a whole word at once may recognise it from anywhere, and
emit its first syllable at the utterance's first frame: whichever frame wins early in training is kept. Such a network
learns words by heart, and does badly with those that it does not know.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from steps.config.schema import Model
from steps.diagnosis.context import Context
from steps.diagnosis.features import Feats
from steps.diagnosis.finding import Finding, few, graded, percent
from steps.diagnosis.output import UNTRAINED
from steps.model.geometry import sight, time_reduction
from steps.search.greedy import greedy

LOUD = 0.4  # of the way from an utterance's silence to its speech: above noise, below all but the weakest consonants
NEAR = 1.5  # output frames from the middle of a spike: its own and one to each side, as times are no finer than that
# Of the spikes: a warning, an error. Of real words (hsk) it was 63 % with 3×3 kernels throughout, and 0 % with its own.
MANY = (0.1, 0.3)
FEW = 20  # spikes, of which a share says nothing yet


def check_alignment(context: Context) -> Finding:
    """The trained network emits syllables while they are spoken."""
    if context.bench.trained is None:
        return Finding("alignment", "skipped", UNTRAINED)
    log_probs = context.bench.log_probs(context.feats("dev"), most=64)
    return judge_alignment(log_probs, context.raw_feats("dev"), context.config.experiment.model,
                           context.config.features.frame_shift_ms)


def judge_alignment(log_probs: Mapping[str, np.ndarray], feats: Feats, model: Model, shift_ms: float) -> Finding:
    """`log_probs` (output frames, tokens) by utterance, blank 0; `feats` not normalised, logarithms of energy."""
    found = find_spikes(log_probs, feats, model)
    if len(found) < FEW:
        return Finding("alignment", "skipped", f"{len(found)} syllables heard are too few to tell where they come from")
    first, last = sight(model)
    reach = (last - first) // 2
    silent = [spike for spike in found if spike.away > NEAR * time_reduction(model)]
    share = len(silent) / len(found)
    early, blind = sum(one.early for one in silent), sum(one.away > reach for one in silent)
    evidence = [f"{len(silent)} of {len(found)} syllables are emitted in silence, {early} of them before the speech "
                f"begins, {blind} with no speech in sight",
                f"an output frame sees {(last - first + 1) * shift_ms / 1000:.2f} s"]
    severity = graded(share, *MANY)
    if severity == "ok":
        return Finding("alignment", "ok", "syllables are emitted while they are spoken", evidence)
    return Finding("alignment", severity, f"{percent(share)} of the syllables are emitted where nothing is spoken",
                   [*evidence, few(sorted({one.utt for one in silent}))],
                   "set `train: {sortagrad: 1}`: from short utterances CTC learns where a syllable is; let an output "
                   "frame see less, by `kernel: [1, 3]` in the last of model.blocks; then train anew")


class Spike(NamedTuple):
    """A syllable as emitted."""

    utt: str
    away: int  # feature frames to the nearest loud one
    early: bool  # before the first loud one


def find_spikes(log_probs: Mapping[str, np.ndarray], feats: Feats, model: Model) -> list[Spike]:
    """Those of greedy decoding, each where its syllable is likeliest."""
    middle_of_first = sum(sight(model)) // 2
    found = []
    for utt, matrix in log_probs.items():
        loud = np.flatnonzero(is_loud(feats[utt]))
        for one in greedy(matrix):
            peak = one.first + int(matrix[one.first:one.last + 1, one.token].argmax())
            middle = middle_of_first + peak * time_reduction(model)
            found.append(Spike(utt, int(np.abs(loud - middle).min()), bool(middle < loud[0])))
    return found


def is_loud(feats: np.ndarray) -> np.ndarray:
    """bool (frames,): which of `feats` (frames, bins) are louder than the utterance's silence; its loudest always."""
    level = feats.mean(axis=1)
    silence, speech = np.nanquantile(level, (0.05, 0.95))
    return level >= silence + LOUD * (speech - silence)
