"""Checks of what a trained network says of dev: blanks alone, or always the same."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from steps.diagnosis.context import Context
from steps.diagnosis.finding import Finding, percent
from steps.search.greedy import greedy

UNTRAINED = "there is no checkpoint yet, or none of this very network"
EARLY = 3  # epochs in which saying nothing is what CTC always begins with


def check_output(context: Context) -> Finding:
    """The trained network hears different syllables, about as many as there are."""
    if context.bench.trained is None:
        return Finding("output", "skipped", UNTRAINED)
    log_probs = context.bench.log_probs(context.feats("dev"), most=64)
    return judge_output(log_probs, context.pinyin("dev"), len(context.history))


def judge_output(log_probs: Mapping[str, np.ndarray], pinyin: Mapping[str, list[str]], epochs: int) -> Finding:
    """`log_probs` (frames, tokens) by utterance, blank 0; `pinyin` the reference; `epochs` of training so far."""
    heard = {utt: [label.token for label in greedy(matrix)] for utt, matrix in log_probs.items()}
    blanks = float(np.mean(np.concatenate([matrix.argmax(axis=1) == 0 for matrix in log_probs.values()])))
    empty = float(np.mean([not labels for labels in heard.values()]))
    counts = Counter(token for labels in heard.values() for token in labels)
    spoken = sum(len(pinyin[utt]) for utt in log_probs)
    evidence = [f"{percent(blanks)} of frames are blank, {percent(empty)} of {len(heard)} utterances came out empty",
                f"{counts.total()} syllables heard, {len(counts)} different ones; {spoken} were spoken"]
    early = "; in the first epochs CTC always begins so: wait" if epochs <= EARLY else ""
    severity = "warning" if early else "error"
    if empty > 0.5 or counts.total() < 0.2 * spoken:
        return Finding("output", severity, "the network answers with blanks alone" + early, evidence,
                       "if it stays so: see the checks of loss and overfit; then lower the rate (sweep), lengthen "
                       "warmup_steps, and leave more frames a label (fewer pools or strides in frames)")
    top = counts.most_common(1)[0][1] / counts.total()
    if top > 0.5 and len({tuple(pinyin[utt]) for utt in log_probs}) > 1 and len(counts) < 10:
        return Finding("output", severity, f"one syllable makes up {percent(top)} of the network's answers" + early,
                       evidence, "features that say nothing (see their checks), or a rate far too high (see the sweep)")
    if counts.total() > 2 * spoken:
        return Finding("output", "warning", "the network hears more than twice the syllables that were spoken",
                       evidence, "does the text hold all that is spoken? do lengths of dev and train differ?")
    return Finding("output", "ok", "the network hears different syllables, about as many as were spoken", evidence)
