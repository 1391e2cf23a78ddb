"""Check of where a trained network emits its syllables: where they are spoken, or in silence.

CTC asks for the order of syllables alone. A network that sees a whole word at once may recognise it from anywhere, and
emit its first syllable at the utterance's first frame: whichever frame wins early in training is kept. Such a network
learns whole words, and fails on words that it does not know.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from steps.config.schema import Features, Model
from steps.diagnosis.bench import Bench
from steps.diagnosis.context import Finding, few, graded, percent
from steps.diagnosis.features import Feats
from steps.diagnosis.network import UNTRAINED
from steps.model.network import sight, time_reduction
from steps.search.alignment import voice_of
from steps.search.ctc import greedy

NEAR = 1.5  # output frames from the speech to the middle of a spike: half its own, and one as weak consonants are quiet
# Of the spikes: a warning, an error. Of real words (hsk) it was 60 % with 3×3 kernels throughout, 0 % with its own.
MANY = (0.1, 0.3)
FEW = 20  # spikes, of which a share says nothing yet


def check_alignment(bench: Bench) -> Finding:
    """The trained network emits syllables while they are spoken."""
    if bench.trained is None:
        return Finding("alignment", "skipped", UNTRAINED)
    context = bench.context
    log_probs = bench.log_probs(context.feats("dev"), most=64)
    return judge_alignment(log_probs, context.raw_feats("dev"), context.config.experiment.model,
                           context.config.features)


def judge_alignment(log_probs: Mapping[str, np.ndarray], feats: Feats, model: Model, config: Features) -> Finding:
    """`log_probs` (output frames, tokens) by utterance, blank 0; `feats` (frames, bins) as stored."""
    found = find_spikes(log_probs, feats, model, config)
    if len(found) < FEW:
        return Finding("alignment", "skipped", f"{len(found)} syllables heard are too few to tell where they come from")
    first, last = sight(model)
    reach = (last - first) // 2
    silent = [spike for spike in found if spike.away > NEAR * time_reduction(model)]
    share = len(silent) / len(found)
    early, blind = sum(one.early for one in silent), sum(one.away > reach for one in silent)
    evidence = [f"{len(silent)} of {len(found)} syllables are emitted in silence, {early} of them before the speech "
                f"begins, {blind} with no speech in sight",
                f"an output frame sees {(last - first + 1) * config.frame_shift_ms / 1000:.2f} s"]
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
    away: int  # feature frames from the speech; 0 within
    early: bool  # before the speech


def find_spikes(log_probs: Mapping[str, np.ndarray], feats: Feats, model: Model, config: Features) -> list[Spike]:
    """Those of greedy decoding, each where its syllable is likeliest. Utterances with NaN are passed over."""
    middle_of_first = sum(sight(model)) // 2
    found = []
    for utt, matrix in log_probs.items():
        if not np.isfinite(feats[utt]).all():
            continue
        voice = voice_of(feats[utt], config)
        for one in greedy(matrix):
            peak = one.first + int(matrix[one.first:one.last + 1, one.token].argmax())
            middle = middle_of_first + peak * time_reduction(model)
            away = max(0, voice.onset - middle, middle - voice.offset)
            found.append(Spike(utt, away, middle < voice.onset))
    return found
