"""score.json: what an experiment reached on a set, in numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import kaldialign

from steps.results.bootstrap import REPLICATIONS, SEED, rate_intervals
from steps.results.errors import Counts, count, rate, total
from steps.results.kaldi_files import Alignments
from steps.results.tones import ToneCounts, add_tones, count_tones

SCORING = 1  # to be raised where the same syllables get another score: such scores are not compared


def error_rates(refs: Mapping[str, Sequence[str]], hyps: Mapping[str, Sequence[str]],
                alignments: Alignments) -> dict[str, Any]:
    """The counts and rates (fractions) of score.json.

    - syllable_error_rate: (ins + del + sub) / ref_tokens of `alignments`.
    - toneless_error_rate: the same with the tone digits taken off, aligned anew, per reference syllable.
    - tone_error_rate: among the pairs of that second alignment whose bases are equal (tone_tokens of them), those whose
      tones differ. Where the bases can be aligned in several ways, the one with the fewest wrong tones counts.
    - sentence_error_rate: utterances with any error, per utterance.
    - tone_confusion: the pairs of tone_error_rate, rows reference tones 1 to 5, columns hypothesis tones 1 to 5.
    - ci95, and intervals by rate: [low, high], see `confidence_interval`.
    """
    by_utt = [count(pairs) for pairs in alignments.values()]
    counts = total(by_utt)
    tones_by_utt = [count_tones([(refs[utt], hyps[utt])]) for utt in alignments]
    tones = add_tones(tones_by_utt)
    return {
        "scoring": SCORING,
        "utterances": len(by_utt),
        "ref_tokens": counts.ref_tokens,
        "ins": counts.insertions,
        "del": counts.deletions,
        "sub": counts.substitutions,
        "syllable_error_rate": rate(counts.errors, counts.ref_tokens),
        "ci95": confidence_interval(refs, hyps),
        "toneless_error_rate": rate(tones.base_errors, tones.ref_tokens),
        "tone_error_rate": rate(tones.wrong_tones, tones.right_bases),
        "tone_tokens": tones.right_bases,
        "sentence_error_rate": rate(sum(one.errors > 0 for one in by_utt), len(by_utt)),
        "intervals": _intervals(by_utt, tones_by_utt),
        "tone_confusion": tones.matrix,
    }


def _intervals(by_utt: Sequence[Counts], tones: Sequence[ToneCounts]) -> dict[str, list[float]]:
    errors = [(one.base_errors, one.wrong_tones, counts.errors > 0) for one, counts in zip(tones, by_utt, strict=True)]
    of = [(one.ref_tokens, one.right_bases, 1) for one in tones]
    names = ("toneless_error_rate", "tone_error_rate", "sentence_error_rate")
    return dict(zip(names, rate_intervals(errors, of), strict=True))


def confidence_interval(refs: Mapping[str, Sequence[str]], hyps: Mapping[str, Sequence[str]]) -> list[float]:
    """[low, high] of the syllable error rate, 95 %: bootstrap over utterances (Bisani and Ney 2004), seed fixed.

    As Kaldi's compute-wer-bootci: 1.96 standard deviations of 10,000 replications either side of their mean, cut at 0.
    """
    utts = sorted(refs)
    found = kaldialign.bootstrap_wer_ci([refs[utt] for utt in utts], [hyps[utt] for utt in utts],
                                        replications=REPLICATIONS, seed=SEED)
    return [max(0.0, found["ci95min"]), found["ci95max"]]
