"""Checks of the labels: blank, ids, and whether their number fits into the frames."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from steps.config.schema import Model
from steps.diagnosis.context import Context
from steps.diagnosis.finding import Finding, few, graded, percent
from steps.model.geometry import frames_needed, out_frames, time_reduction
from steps.text.syllables import BLANK

RARE = 0.02  # of dev's syllables may lie outside the tokens without a warning
MANY = 0.2
TOO_SHORT = 0.1  # of the utterances: training refuses more


def check_blank(context: Context) -> Finding:
    """CTC's blank is token 0 in tokens.txt, and the ids count from 0."""
    return judge_blank(context.token_lines)


def judge_blank(lines: list[str]) -> Finding:
    """`lines` of tokens.txt, as `<blk> 0`."""
    remedy = (f"tokens.txt must begin with `{BLANK} 0` and count on from there, since nn.CTCLoss is told that the "
              f"blank is 0: remove the file and run stage 2 (lexicon) again")
    fields = [line.split() for line in lines]
    unfit = [line for line, words in zip(lines, fields, strict=True) if len(words) != 2 or not words[1].isdigit()]
    if unfit:
        return Finding("blank", "error", "tokens.txt is not a table of tokens and ids", [f"{unfit[0]!r}"], remedy)
    ids = {token: int(number) for token, number in fields}
    if ids.get(BLANK) != 0:
        where = f"{BLANK} has id {ids[BLANK]}" if BLANK in ids else f"there is no {BLANK}"
        return Finding("blank", "error", "the blank is not token 0: CTC would take the token that is for silence",
                       [where, f"id 0: {few([token for token, number in ids.items() if number == 0])}"], remedy)
    strange = [" ".join(words) for place, words in enumerate(fields) if words[1] != str(place)]
    if strange or len(ids) < len(fields):
        return Finding("blank", "error", f"the ids of tokens.txt are not 0 to {len(fields) - 1} in order: the network "
                       f"has {len(fields)} outputs, and ids beyond them are read out of bounds",
                       [few(strange) or "a token is there twice"], remedy)
    return Finding("blank", "ok", f"{BLANK} is token 0 of {len(ids)}")


def check_ids(context: Context) -> Finding:
    """Every syllable of train is a token; dev's syllables nearly all."""
    return judge_ids(context.pinyin("train"), context.pinyin("dev"), context.tokens)


def judge_ids(train: Mapping[str, list[str]], dev: Mapping[str, list[str]], tokens: list[str]) -> Finding:
    """`train`, `dev`: syllables by utterance."""
    known = set(tokens) - {BLANK}
    unknown = _outside(train, known)
    again = "run stage 2 (lexicon) again, which makes tokens.txt from train/pinyin"
    if unknown:
        utt = next(utt for utt, syllables in train.items() if not known.issuperset(syllables))
        return Finding("ids", "error", f"{len(unknown)} different syllables of train have no id in tokens.txt",
                       [_commonest(unknown), f"such as in utterance {utt}"], again)
    empty = [utt for utt, syllables in train.items() if not syllables]
    if empty:
        return Finding("ids", "error", f"{len(empty)} utterances of train have no syllable", [few(empty)], again)
    outside = _outside(dev, known)
    share = outside.total() / max(1, sum(map(len, dev.values())))
    severity = graded(share, RARE, MANY)
    different = len(set().union(*train.values()))
    return Finding("ids", severity, f"all {different} syllables of train have ids; {percent(share)} of dev's syllables "
                   "are no token, and can't be recognised", [_commonest(outside)] if outside else [],
                   "" if severity == "ok" else "set `tokens: all`, so that every syllable of Mandarin is a token, with "
                   "`model: {output: factored}`; or train on more text")


def _outside(pinyin: Mapping[str, list[str]], known: set[str]) -> Counter:
    return Counter(syllable for syllables in pinyin.values() for syllable in syllables if syllable not in known)


def _commonest(counts: Counter) -> str:
    return "commonest: " + ", ".join(f"{syllable} ({times})" for syllable, times in counts.most_common(5))


def check_lengths(context: Context) -> Finding:
    """CTC has a path: no utterance has more labels than the network leaves frames."""
    return judge_lengths(context.frames("train"), context.pinyin("train"), context.config.experiment.model)


def judge_lengths(frames: Mapping[str, int], labels: Mapping[str, list], model: Model) -> Finding:
    """`frames` of the features and `labels` (ids or syllables) by utterance."""
    utts = [utt for utt in labels if utt in frames]
    have = np.array([out_frames(model, frames[utt]) for utt in utts])
    need = np.array([frames_needed(labels[utt]) for utt in utts])
    short = [utt for utt, a, b in zip(utts, have, need, strict=True) if a < b]
    reduction = time_reduction(model)
    ratio = have / np.maximum(1, need)
    evidence = [f"the network leaves one frame in {reduction}", "output frames for each label: median "
                f"{np.median(ratio):.1f}, lowest hundredth {np.quantile(ratio, 0.01):.1f}"]
    if not short:
        return Finding("labels fit", "ok", f"all of {len(utts)} utterances have frames enough for their labels",
                       evidence)
    worst = min(short, key=lambda utt: out_frames(model, frames[utt]) - frames_needed(labels[utt]))
    evidence += [f"{worst}: {len(labels[worst])} labels need {frames_needed(labels[worst])} frames, there are "
                 f"{out_frames(model, frames[worst])}", few(short)]
    severity = "error" if len(short) > TOO_SHORT * len(utts) else "warning"
    return Finding("labels fit", severity, f"{len(short)} of {len(utts)} utterances have more labels than the network "
                   f"leaves frames: CTC's cost would be infinite, so training leaves them out", evidence,
                   "take a pool or stride in frames out of model.blocks; where few utterances are concerned, check "
                   "that their audio and text belong together")
