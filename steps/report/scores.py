"""Stage 6: the score files that Kaldi's users know (wer, per_utt, per_spk, ops, confusion), and score.json.

After compute-wer and egs/wsj/s5/utils/scoring/wer_{per_utt,per_spk,ops}_details.pl of kaldi-asr/kaldi.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import kaldialign

from steps.common.checksums import SUMS, write_sums
from steps.common.errors import UserError
from steps.common.files import remove_files, utf8_lines, write_json, write_lines
from steps.report.errors import (
    EPS,
    REPLICATIONS,
    SEED,
    Counts,
    Pair,
    ToneCounts,
    add_tones,
    confusion_kind,
    count,
    count_tones,
    edit_alignment,
    operation,
    rate,
    rate_intervals,
    total,
)
from steps.text.normalize import is_hanzi, normalize
from steps.text.tones import sandhi_blind


def read_hypotheses(path: Path) -> dict[str, list[str]]:
    """The syllables of decode/<set>_<method>/pinyin; an utterance may have none.

    Raises UserError if it is missing or an utterance is there twice.
    """
    lines = utf8_lines(path, "; run stage 5 (decode) first", if_not_utf8="; decode again")
    hyps: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        utt, *syllables = line.split() or [""]
        if not utt or utt in hyps:
            raise UserError(f"{path}:{number}: {f'{utt} is there twice' if utt else 'an empty line'}; decode again")
        hyps[utt] = syllables
    return hyps


Alignments = Mapping[str, list[Pair]]  # by utterance, in C order

_OPERATIONS = {"C": "correct", "S": "substitution", "I": "insertion", "D": "deletion"}


def wer_lines(counts: Counts, wrong_utts: int, utts: int, missing: int) -> list[str]:
    """`%WER 12.34 [ 95 / 770, 3 ins, 10 del, 82 sub ]`, `%SER 45.00 [ 45 / 100 ]` (of sentences), and
    `Scored 100 sentences, 0 not present in hyp.`, as Kaldi's compute-wer writes them."""
    return [f"%WER {100 * rate(counts.errors, counts.ref_tokens):.2f} [ {counts.errors} / {counts.ref_tokens}, "
            f"{counts.insertions} ins, {counts.deletions} del, {counts.substitutions} sub ]",
            f"%SER {100 * rate(wrong_utts, utts):.2f} [ {wrong_utts} / {utts} ]",
            f"Scored {utts} sentences, {missing} not present in hyp."]


def per_utt_lines(alignments: Alignments) -> Iterable[str]:
    """Four lines an utterance: `utt ref …`, `utt hyp …`, `utt op …`, in columns, and `utt #csid C S I D`."""
    for utt, pairs in alignments.items():
        rows = list(zip(*((*pair, operation(pair)) for pair in pairs), strict=True)) or [(), (), ()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for name, row in zip(("ref ", "hyp ", "op  "), rows, strict=True):
            words = [f"{word:^{width}}" for word, width in zip(row, widths, strict=True)]
            yield f"{utt} {name} {'  '.join(words)}"
        yield f"{utt} #csid {' '.join(map(str, count(pairs)))}"


def read_per_utt(path: Path) -> dict[str, list[Pair]]:
    """The alignments that a per_utt file holds. Raises UserError if it is missing or damaged."""
    rows: dict[str, dict[str, list[str]]] = {}
    try:
        for line in utf8_lines(path, "; run stage 6 (score) first", if_not_utf8="; score again"):
            utt, name, *words = line.split()
            rows.setdefault(utt, {})[name] = words
        return {utt: list(zip(row["ref"], row["hyp"], strict=True)) for utt, row in rows.items()}
    except (KeyError, ValueError):
        raise UserError(f"{path}: an utterance lacks its ref or hyp, or they differ in length; score again") from None


def per_spk_counts(alignments: Alignments, utt2spk: Mapping[str, str]) -> dict[str, tuple[int, int, Counts]]:
    """(utterances, wrong ones, counts) by speaker, in C order. Raises UserError for an utterance without speaker."""
    by_spk: dict[str, list[Counts]] = {}
    for utt, pairs in alignments.items():
        if utt not in utt2spk:
            raise UserError(f"utt2spk: utterance {utt} has no speaker; run stage 1 (prepare) again")
        by_spk.setdefault(utt2spk[utt], []).append(count(pairs))
    return {spk: (len(counts), sum(one.errors > 0 for one in counts), total(counts))
            for spk, counts in sorted(by_spk.items())}


def per_spk_lines(by_spk: Mapping[str, tuple[int, int, Counts]]) -> list[str]:
    """A `raw` line of counts and a `sys` line of percentages a speaker, and both for the SUM."""
    utts, wrong, counts = zip(*by_spk.values(), strict=True)
    width = max(15, *map(len, by_spk))
    columns = ("#SENT", "#WORD", "Corr", "Sub", "Ins", "Del", "Err", "S.Err")
    lines = [f"{'SPEAKER':<{width}} id " + "".join(f" {name:>10}" for name in columns)]
    for spk, (spk_utts, spk_wrong, one) in [*by_spk.items(), ("SUM", (sum(utts), sum(wrong), total(counts)))]:
        raw = [*one, one.errors]
        percent = [100 * rate(number, one.ref_tokens) for number in raw] + [100 * rate(spk_wrong, spk_utts)]
        sizes = f" {spk_utts:>10} {one.ref_tokens:>10}"
        lines.append(f"{spk:<{width}} raw{sizes}" + "".join(f" {number:>10}" for number in [*raw, spk_wrong]))
        lines.append(f"{spk:<{width}} sys{sizes}" + "".join(f" {number:>10.2f}" for number in percent))
    return lines


def ops_lines(alignments: Alignments) -> list[str]:
    """`correct|substitution|insertion|deletion ref hyp count`, sorted by ref and hyp."""
    pairs = _pair_counts(alignments)
    width = max((len(word) for pair in pairs for word in pair), default=0)
    digits = len(str(max(pairs.values(), default=0)))
    return [f"{_OPERATIONS[operation((ref, hyp))]:<12}  {ref:>{width}}    {hyp:>{width}}    {number:>{digits}}"
            for (ref, hyp), number in sorted(pairs.items())]


def confusion_lines(alignments: Alignments) -> list[str]:
    """The substitutions, commonest first: `ref hyp count kind`, kind being what is wrong: `tone`, `base` or `both`."""
    return [f"{ref} {hyp} {number} {confusion_kind(ref, hyp)}" for ref, hyp, number in confusions(alignments)]


def confusions(alignments: Alignments) -> list[tuple[str, str, int]]:
    """(ref, hyp, count) of the substitutions, commonest first."""
    pairs = [(ref, hyp, number) for (ref, hyp), number in _pair_counts(alignments).items()
             if ref != hyp and EPS not in (ref, hyp)]
    return sorted(pairs, key=lambda entry: (-entry[2], entry[0], entry[1]))


def _pair_counts(alignments: Alignments) -> Counter[Pair]:
    return Counter(pair for pairs in alignments.values() for pair in pairs)


FILES = ("score.json", "wer", "per_utt", "per_spk", "ops", "confusion")  # score.json is written last and removed first


def write_scores(score_dir: Path, alignments: Alignments, utt2spk: dict[str, str], scores: dict[str, Any]) -> None:
    """Write all files of the score directory, and show the two lines of `wer`."""
    counts = [count(pairs) for pairs in alignments.values()]
    wer = wer_lines(total(counts), sum(one.errors > 0 for one in counts), len(counts), scores["skipped"])
    by_spk = per_spk_counts(alignments, utt2spk)
    remove_files(score_dir, (SUMS, *FILES))  # what can be checked has been
    write_lines(score_dir / "wer", wer)
    write_lines(score_dir / "per_utt", per_utt_lines(alignments))
    write_lines(score_dir / "per_spk", per_spk_lines(by_spk))
    write_lines(score_dir / "ops", ops_lines(alignments))
    write_lines(score_dir / "confusion", confusion_lines(alignments))
    write_json(score_dir / "score.json", scores)
    write_sums(score_dir, FILES)
    low, high = scores["ci95"]
    print(f"{score_dir}: {wer[0]}, 95 % between {100 * low:.2f} and {100 * high:.2f}; without tones "
          f"{100 * scores['toneless_error_rate']:.2f}, blind to sandhi {100 * scores['sandhi_blind_error_rate']:.2f}"
          + (f"; characters {100 * scores['character_error_rate']:.2f}, homophones forgiven "
             f"{100 * scores['homophone_error_rate']:.2f}" if "character_error_rate" in scores else ""))


SCORING = 1  # raise it if the same syllables get another score: such scores are not compared


def error_rates(refs: Mapping[str, Sequence[str]], hyps: Mapping[str, Sequence[str]],
                alignments: Alignments) -> dict[str, Any]:
    """The counts and rates (fractions) of score.json.

    - syllable_error_rate: (ins + del + sub) / ref_tokens of `alignments`.
    - toneless_error_rate: the same with the tone digits taken off, aligned again, per reference syllable.
    - tone_error_rate: among the pairs of that second alignment whose bases are equal (tone_tokens of them), those whose
      tones differ. If the bases can be aligned in several ways, the one with the fewest wrong tones counts.
    - sandhi_blind_error_rate: as syllable_error_rate, but see `sandhi_blind_errors`.
    - sentence_error_rate: utterances with any error, per utterance.
    - tone_confusion: the pairs of tone_error_rate, rows reference tones 1 to 5, columns hypothesis tones 1 to 5.
    - ci95, and intervals by rate: [low, high], see `confidence_interval`.
    """
    by_utt = [count(pairs) for pairs in alignments.values()]
    blind = [sandhi_blind_errors(pairs) for pairs in alignments.values()]
    counts = total(by_utt)
    tones_by_utt = [count_tones(refs[utt], hyps[utt]) for utt in alignments]
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
        "sandhi_blind_error_rate": rate(sum(blind), counts.ref_tokens),
        "sentence_error_rate": rate(sum(one.errors > 0 for one in by_utt), len(by_utt)),
        "intervals": _intervals(by_utt, tones_by_utt, blind),
        "tone_confusion": tones.matrix,
    }


def sandhi_blind_errors(pairs: Sequence[Pair]) -> int:
    """The errors of an alignment, without those of tones that differ by sandhi alone.

    Trainings on spoken tones and on citation tones can be compared by it: in the references of either, the place of a
    syllable allows the same tones (`steps.text.tones.sandhi_blind`).
    """
    ref = [one for one, _ in pairs if one != EPS]
    errors = at = 0
    for one, other in pairs:
        said = [*ref[:at], other, *ref[at + 1:]]
        errors += one != other and (one == EPS or other == EPS or sandhi_blind(said) != sandhi_blind(ref))
        at += one != EPS
    return errors


def _intervals(by_utt: Sequence[Counts], tones: Sequence[ToneCounts], blind: Sequence[int]) -> dict[str, list[float]]:
    errors = [(one.base_errors, one.wrong_tones, counts.errors > 0, wrong)
              for one, counts, wrong in zip(tones, by_utt, blind, strict=True)]
    of = [(one.ref_tokens, one.right_bases, 1, one.ref_tokens) for one in tones]
    names = ("toneless_error_rate", "tone_error_rate", "sentence_error_rate", "sandhi_blind_error_rate")
    return dict(zip(names, rate_intervals(errors, of), strict=True))


def confidence_interval(refs: Mapping[str, Sequence[str]], hyps: Mapping[str, Sequence[str]]) -> list[float]:
    """[low, high] of the syllable error rate, 95 %: bootstrap over utterances (Bisani and Ney 2004), seed fixed.

    As Kaldi's compute-wer-bootci: 1.96 standard deviations of 10,000 replications either side of their mean, cut at 0.
    """
    utts = sorted(refs)
    found = kaldialign.bootstrap_wer_ci([refs[utt] for utt in utts], [hyps[utt] for utt in utts],
                                        replications=REPLICATIONS, seed=SEED)
    return [max(0.0, found["ci95min"]), found["ci95max"]]


CHARACTER = re.compile(r"[a-zA-Z]+\d?|\S")  # a Latin word, or a syllable that no word was found for, is one character


def character_rates(texts: Mapping[str, str], refs: Mapping[str, Sequence[str]], written: Mapping[str, str],
                    hyps: Mapping[str, Sequence[str]]) -> dict[str, float | int]:
    """The keys that score.json has of hanzi; empty if no transcript has any.

    character_error_rate is over ref_characters. homophone_error_rate forgives a wrong character that is read as the
    right one, by the reference's syllables and those decoded: what is left is what was heard wrongly.

    Args:
        texts: transcripts by utterance, as written. Those without hanzi have no part in it.
        refs, hyps: syllables by utterance, of the reference and as decoded.
        written: decoded words by utterance.
    """
    errors = forgiven = length = 0
    for utt, raw in texts.items():
        if utt not in refs or not any(map(is_hanzi, raw)):
            continue
        ref = characters("".join(normalize(raw).clauses))
        hyp = characters(written.get(utt, ""))
        wrong, alike = _character_errors(ref, hyp, refs[utt], hyps[utt])
        errors, forgiven, length = errors + wrong, forgiven + alike, length + len(ref)
    if not length:
        return {}
    return {"ref_characters": length, "character_error_rate": rate(errors, length),
            "homophone_error_rate": rate(errors - forgiven, length)}


def characters(text: str) -> list[str]:
    """The characters of a text, blanks left out, letters as capitals unless they spell a syllable."""
    return [part if part[-1].isdigit() else part.upper() for part in CHARACTER.findall(text)]


def _character_errors(ref: list[str], hyp: list[str], ref_read: Sequence[str], hyp_read: Sequence[str]
                      ) -> tuple[int, int]:
    """Errors, and those of them that are homophones; none are if characters and syllables do not match one to one."""
    pairs = edit_alignment(ref, hyp)
    together = len(ref) == len(ref_read) and len(hyp) == len(hyp_read)
    wrong = alike = at_ref = at_hyp = 0
    for one, other in pairs:
        if one != other:
            wrong += 1
            alike += together and EPS not in (one, other) and ref_read[at_ref] == hyp_read[at_hyp]
        at_ref += one != EPS
        at_hyp += other != EPS
    return wrong, alike
