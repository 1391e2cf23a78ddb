"""Checks whether dev is like train: lengths, level, tokens; and unlike it in its sentences."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from scipy.stats import ks_2samp

from steps.diagnosis.context import Context
from steps.diagnosis.features import Feats
from steps.diagnosis.finding import Finding, graded, percent

RESAMPLINGS = 20


def check_set_lengths(context: Context) -> Finding:
    """Utterances of dev are as long as those of train, and are spoken as fast."""
    lengths, rates = [], []
    for part in ("train", "dev"):
        frames, pinyin = context.frames(part), context.pinyin(part)
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
        return Finding("set lengths", "ok", "dev's utterances are as long as train's", evidence)
    return Finding("set lengths", severity, f"dev's utterances are not as long as train's; {percent(beyond)} are "
                   "longer than any of train", evidence,
                   "dev must be drawn like what the recognizer is for; split the corpus "
                   "anew, or cut long recordings; where frames a syllable differ, check that dev's text is its own")


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Kolmogorov and Smirnov's distance; 0 where chance could make it."""
    result = ks_2samp(a, b)
    return float(result.statistic) if result.pvalue < 1e-3 else 0.0


def _quantiles(values: np.ndarray) -> str:
    return ", ".join(f"{value:.0f}" for value in np.quantile(values, (0.05, 0.5, 0.95)))


def check_set_levels(context: Context) -> Finding:
    """Features of dev, normalised as train's, have train's level and spectrum."""
    return judge_set_levels(context.feats("train"), context.feats("dev"))


def judge_set_levels(train: Feats, dev: Feats) -> Finding:
    """Both normalised by train's statistics. Differences are in standard deviations of train."""
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
        return Finding("set levels", "ok", "dev's features have train's level and spectrum", evidence)
    return Finding("set levels", severity, "dev was recorded at another level or over another channel than train",
                   evidence, "bring the recordings to one level; make training robust: augment.level, freq_warp and "
                   "freq_masks; or train on recordings like dev's")


def check_set_tokens(context: Context) -> Finding:
    """Syllables are as frequent in dev as in train."""
    return judge_set_tokens(context.pinyin("train"), context.pinyin("dev"))


def judge_set_tokens(train: Mapping[str, list[str]], dev: Mapping[str, list[str]]) -> Finding:
    """Jensen and Shannon's divergence, against that of random splits of the same utterances."""
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
        return Finding("set tokens", "ok", "syllables are as frequent in dev as in train", evidence)
    return Finding("set tokens", severity, "dev's syllables are not distributed as train's", evidence,
                   "split the corpus at random (by sentence or speaker), or train on text like dev's; "
                   "`output: factored` shares what rare syllables have in common")


def divergence(one: list[list[str]], other: list[list[str]]) -> float:
    """Jensen and Shannon's divergence of two lists of syllable sequences, in bits: 0 to 1."""
    counts = [Counter(syllable for line in lines for syllable in line) for lines in (one, other)]
    names = sorted(set(counts[0]) | set(counts[1]))
    p, q = (np.array([count[name] for name in names]) / max(1, count.total()) for count in counts)
    middle = (p + q) / 2
    entropy = [-np.sum(x[x > 0] * np.log2(x[x > 0])) for x in (middle, p, q)]
    return float(entropy[0] - (entropy[1] + entropy[2]) / 2)


def check_overlap(context: Context) -> Finding:
    """Dev has utterances of its own, and sentences or speakers."""
    heard = context.speakers("train") & context.speakers("dev")
    return judge_overlap(context.pinyin("train"), context.pinyin("dev"), bool(heard))


def judge_overlap(train: Mapping[str, list[str]], dev: Mapping[str, list[str]], same_speakers: bool) -> Finding:
    """Utterances in both sets; sentences (of four syllables or more) that train has, too, in the same voices or not."""
    same = sorted(set(train) & set(dev))
    if same:
        return Finding("overlap", "error", f"{len(same)} utterances are in train and in dev", same[:3],
                       "split the corpus anew: what training has seen says nothing about its errors")
    seen = {tuple(line) for line in train.values()}
    long = [tuple(line) for line in dev.values() if len(line) >= 4]
    share = sum(line in seen for line in long) / max(1, len(long))
    evidence = [f"{percent(share)} of dev's sentences (of four syllables or more) are in train"]
    if share < 0.5:
        return Finding("overlap", "ok", "dev has utterances and sentences of its own", evidence)
    if not same_speakers:
        return Finding("overlap", "ok", "dev has voices of its own, though most of its sentences are in train, too",
                       evidence)
    return Finding("overlap", "warning", "most of dev's sentences are in train, too, and in the same voices: a "
                   "network that remembers them looks better than it is", evidence,
                   "carve a dev set with sentences of its own from train, as local/thchs30.py does")
