"""Checks of labels and of the sets: ids, lengths, overlap of dev and train."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from steps.config.schema import Model
from steps.diagnosis.context import Context, Finding, few, graded, percent
from steps.diagnosis.features import Feats
from steps.model.network import frames_needed, out_frames, time_reduction
from steps.text.syllables import BLANK

RARE = 0.02  # of dev's syllables may lie outside the tokens without a warning
MANY = 0.2
TOO_SHORT = 0.1  # of the utterances: training refuses more


def judge_blank(lines: list[str]) -> Finding:
    """CTC's blank is token 0 in tokens.txt, and the ids count from 0. `lines` of tokens.txt, as `<blk> 0`."""
    remedy = (f"tokens.txt must begin with `{BLANK} 0` and count on from there, since nn.CTCLoss is told that the "
              f"blank is 0: remove the file and run stage 2 (lexicon) again")
    fields = [line.split() for line in lines]
    unfit = [line for line, words in zip(lines, fields, strict=True) if len(words) != 2 or not words[1].isdigit()]
    if unfit:
        return Finding("error", "tokens.txt is not a table of tokens and ids", [f"{unfit[0]!r}"], remedy)
    ids = {token: int(number) for token, number in fields}
    if ids.get(BLANK) != 0:
        where = f"{BLANK} has id {ids[BLANK]}" if BLANK in ids else f"there is no {BLANK}"
        return Finding("error", "the blank is not token 0: CTC would take the token that is for silence",
                       [where, f"id 0: {few([token for token, number in ids.items() if number == 0])}"], remedy)
    strange = [" ".join(words) for place, words in enumerate(fields) if words[1] != str(place)]
    if strange or len(ids) < len(fields):
        return Finding("error", f"the ids of tokens.txt are not 0 to {len(fields) - 1} in order: the network "
                       f"has {len(fields)} outputs, and ids beyond them are read out of bounds",
                       [few(strange) or "a token is there twice"], remedy)
    return Finding("ok", f"{BLANK} is token 0 of {len(ids)}")


def judge_ids(train: Mapping[str, list[str]], dev: Mapping[str, list[str]], tokens: list[str]) -> Finding:
    """Every syllable of train is a token; dev's syllables nearly all. `train`, `dev`: syllables by utterance."""
    known = set(tokens) - {BLANK}
    unknown = _outside(train, known)
    again = "run stage 2 (lexicon) again, which makes tokens.txt from train/pinyin"
    if unknown:
        utt = next(utt for utt, syllables in train.items() if not known.issuperset(syllables))
        return Finding("error", f"{len(unknown)} different syllables of train have no id in tokens.txt",
                       [_commonest(unknown), f"such as in utterance {utt}"], again)
    empty = [utt for utt, syllables in train.items() if not syllables]
    if empty:
        return Finding("error", f"{len(empty)} utterances of train have no syllable", [few(empty)], again)
    outside = _outside(dev, known)
    share = outside.total() / max(1, sum(map(len, dev.values())))
    severity, different = graded(share, RARE, MANY), len(set().union(*train.values()))
    return Finding(severity, f"all {different} syllables of train have ids; {percent(share)} of dev's syllables "
                   "are not tokens, and cannot be recognised", [_commonest(outside)] if outside else [],
                   "" if severity == "ok" else "set `tokens: all`, so that every syllable of Mandarin is a token, with "
                   "`model: {output: factored}`; or train on more text")


def _outside(pinyin: Mapping[str, list[str]], known: set[str]) -> Counter:
    return Counter(syllable for syllables in pinyin.values() for syllable in syllables if syllable not in known)


def _commonest(counts: Counter) -> str:
    return "commonest: " + ", ".join(f"{syllable} ({times})" for syllable, times in counts.most_common(5))


def judge_lengths(frames: Mapping[str, int], labels: Mapping[str, list], model: Model) -> Finding:
    """CTC has a path: no utterance has more labels than the network leaves frames. `frames` of the features and
    `labels` (ids or syllables) by utterance."""
    utts = [utt for utt in labels if utt in frames]
    have = np.array([out_frames(model, frames[utt]) for utt in utts])
    need = np.array([frames_needed(labels[utt]) for utt in utts])
    short = [utt for utt, a, b in zip(utts, have, need, strict=True) if a < b]
    reduction = time_reduction(model)
    ratio = have / np.maximum(1, need)
    evidence = [f"the network leaves one frame in {reduction}", "output frames for each label: median "
                f"{np.median(ratio):.1f}, lowest hundredth {np.quantile(ratio, 0.01):.1f}"]
    if not short:
        return Finding("ok", f"all of {len(utts)} utterances have frames enough for their labels", evidence)
    worst = min(short, key=lambda utt: out_frames(model, frames[utt]) - frames_needed(labels[utt]))
    evidence += [f"{worst}: {len(labels[worst])} labels need {frames_needed(labels[worst])} frames, there are "
                 f"{out_frames(model, frames[worst])}", few(short)]
    severity = "error" if len(short) > TOO_SHORT * len(utts) else "warning"
    return Finding(severity, f"{len(short)} of {len(utts)} utterances have more labels than the network "
                   f"leaves frames: CTC's cost would be infinite, so training leaves them out", evidence,
                   "take a pool or stride in frames out of model.blocks; if few utterances are concerned, check "
                   "that their audio and text belong together")


FEWEST = 50  # utterances of which a correlation tells something
CHANCE = 3.0  # standard deviations that the correlation of unrelated numbers may reach


def judge_match(frames: Mapping[str, int], labels: Mapping[str, list]) -> Finding:
    """Audio and text are of the same utterances: who says more syllables needs more time. `frames` of the features and
    `labels` (ids or syllables) by utterance."""
    utts = [utt for utt in labels if utt in frames]
    lengths, counts = np.array([frames[utt] for utt in utts]), np.array([len(labels[utt]) for utt in utts])
    if len(utts) < FEWEST or not np.ptp(counts) or not np.ptp(lengths):
        return Finding("ok", "too few utterances, or too much alike, to tell by their lengths")
    correlation = float(np.corrcoef(lengths, counts)[0, 1])
    evidence = [f"of {len(utts)} utterances; chance alone reaches {CHANCE / len(utts) ** 0.5:.2f}"]
    told = f"frames and syllables of an utterance correlate by {correlation:.2f}"
    if correlation > CHANCE / len(utts) ** 0.5:
        return Finding("ok", told, evidence)
    return Finding("error", f"{told}: long recordings have no more syllables than short ones", evidence,
                   "the text probably belongs to other recordings: compare some of wav.scp with text by listening")


RESAMPLINGS = 20


def check_set_lengths(context: Context) -> Finding:
    """Utterances of dev are as long as those of train, and are spoken as fast."""
    lengths, rates = [], []
    for set_name in ("train", "dev"):
        frames, pinyin = context.frames(set_name), context.pinyin(set_name)
        lengths.append(np.array([frames[utt] for utt in pinyin]))
        rates.append(np.array([frames[utt] / max(1, len(pinyin[utt])) for utt in pinyin]))
    return judge_set_lengths(*lengths, *rates)


def judge_set_lengths(train: np.ndarray, dev: np.ndarray, train_rate: np.ndarray, dev_rate: np.ndarray) -> Finding:
    """Frames an utterance, and frames a syllable, of both sets. Kolmogorov and Smirnov's distance judges."""
    distance = max(_distance(train, dev), _distance(train_rate, dev_rate))
    beyond = float(np.mean(dev > train.max()))
    evidence = [f"frames an utterance: train {_quantiles(train)}; dev {_quantiles(dev)} (5 %, median, 95 %)",
                f"frames a syllable: train {_quantiles(train_rate)}; dev {_quantiles(dev_rate)}",
                f"the distributions' distance is {distance:.2f} (0: the same, 1: disjoint)"]
    severity = graded(max(distance, 10 * beyond), 0.35, 0.85)
    if severity == "ok":
        return Finding("ok", "dev's utterances are as long as train's", evidence)
    return Finding(severity, f"dev's utterances are not as long as train's; {percent(beyond)} are "
                   "longer than any of train", evidence,
                   "dev must be drawn like what the recognizer is for; split the corpus "
                   "again, or cut long recordings; if frames a syllable differ, check that dev's text is its own")


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Kolmogorov and Smirnov's distance; 0 if chance could make it."""
    result = ks_2samp(a, b)
    return float(result.statistic) if result.pvalue < 1e-3 else 0.0


def _quantiles(values: np.ndarray) -> str:
    return ", ".join(f"{value:.0f}" for value in np.quantile(values, (0.05, 0.5, 0.95)))


def judge_set_levels(train: Feats, dev: Feats) -> Finding:
    """Features of dev, normalised as train's, have train's level and spectrum. Both normalised by train's statistics.
    Differences are in standard deviations of train."""
    spectra = [np.stack([matrix.mean(axis=0) for matrix in feats.values()]) for feats in (train, dev)]
    tilt = np.median(spectra[1], axis=0) - np.median(spectra[0], axis=0)
    level = float(np.median(spectra[1].mean(axis=1)) - np.median(spectra[0].mean(axis=1)))
    dynamics = [np.median([matrix.std() for matrix in feats.values()]) for feats in (train, dev)]
    evidence = [f"dev is {level:+.2f} standard deviations from train's level, its bins {tilt.min():+.2f} to "
                f"{tilt.max():+.2f}",
                f"deviation within an utterance: train {dynamics[0]:.2f}, dev {dynamics[1]:.2f}"]
    worst = max(abs(level), 0.6 * float(np.abs(tilt).max()), 2 * abs(float(np.log(dynamics[1] / dynamics[0]))))
    severity = graded(worst, 0.75, 1.5)
    if severity == "ok":
        return Finding("ok", "dev's features have train's level and spectrum", evidence)
    return Finding(severity, "dev was recorded at another level or over another channel than train",
                   evidence, "bring the recordings to one level; make training robust: augment.level, freq_warp and "
                   "freq_masks; or train on recordings like dev's")


def judge_set_tokens(train: Mapping[str, list[str]], dev: Mapping[str, list[str]]) -> Finding:
    """Syllables are as frequent in dev as in train. Jensen and Shannon's divergence, against that of random splits of
    the same utterances."""
    utts = [*train.values(), *dev.values()]
    found = divergence(utts[:len(train)], utts[len(train):])
    rng = np.random.default_rng(0)
    chance = []
    for _ in range(RESAMPLINGS):
        order = rng.permutation(len(utts))
        chance.append(divergence([utts[i] for i in order[:len(train)]], [utts[i] for i in order[len(train):]]))
    excess = found - float(np.mean(chance))
    more = Counter(syllable for line in dev.values() for syllable in line)
    usual = Counter(syllable for line in train.values() for syllable in line)
    ratio = usual.total() / max(1, more.total())
    odd = sorted(more, key=lambda syllable: more[syllable] * ratio - usual[syllable], reverse=True)[:5]
    shares = [f"{one} ({percent(more[one] / more.total())}, train {percent(usual[one] / usual.total())})"
              for one in odd]
    evidence = [f"divergence of the syllables' frequencies: {found:.3f} bit; in random splits {np.mean(chance):.3f}, "
                f"at most {max(chance):.3f}", "more frequent in dev: " + ", ".join(shares)]
    severity = graded(excess, 0.1, 0.4)
    if severity == "ok":
        return Finding("ok", "syllables are as frequent in dev as in train", evidence)
    return Finding(severity, "dev's syllables are not distributed as train's", evidence,
                   "split the corpus at random (by sentence or speaker), or train on text like dev's; "
                   "`output: factored` shares what rare syllables have in common")


def divergence(one: list[list[str]], other: list[list[str]]) -> float:
    """Jensen and Shannon's divergence of two lists of syllable sequences, in bits: 0 to 1."""
    counts = [Counter(syllable for line in lines for syllable in line) for lines in (one, other)]
    names = counts[0] | counts[1]
    return float(jensenshannon(*([count[name] for name in names] for count in counts), base=2) ** 2)


def check_overlap(context: Context) -> Finding:
    """Dev has utterances of its own, and sentences or speakers."""
    heard = context.speakers("train") & context.speakers("dev")
    return judge_overlap(context.pinyin("train"), context.pinyin("dev"), bool(heard))


def judge_overlap(train: Mapping[str, list[str]], dev: Mapping[str, list[str]], same_speakers: bool) -> Finding:
    """Utterances in both sets; sentences (of four syllables or more) that train has, too, in the same voices or not."""
    same = sorted(set(train) & set(dev))
    if same:
        return Finding("error", f"{len(same)} utterances are in train and in dev", same[:3],
                       "split the corpus again: what training has seen says nothing about its errors")
    seen = {tuple(line) for line in train.values()}
    long = [tuple(line) for line in dev.values() if len(line) >= 4]
    share = sum(line in seen for line in long) / max(1, len(long))
    evidence = [f"{percent(share)} of dev's sentences (of four syllables or more) are in train"]
    if share < 0.5:
        return Finding("ok", "dev has utterances and sentences of its own", evidence)
    if not same_speakers:
        return Finding("ok", "dev has voices of its own, though most of its sentences are in train, too", evidence)
    return Finding("warning", "most of dev's sentences are in train, too, and in the same voices: a "
                   "network that remembers them looks better than it is", evidence,
                   "take a dev set with sentences of its own from train, as local/thchs30.py does")
