"""Character errors: hanzi decoded against the transcripts, also where homophones count as right."""

import re
from collections.abc import Mapping, Sequence

from steps.report.errors import EPS, edit_alignment, rate
from steps.text.normalize import is_hanzi, normalize

CHARACTER = re.compile(r"[a-zA-Z]+\d?|\S")  # a Latin word, or a syllable that no word was found for, is one character


def character_rates(texts: Mapping[str, str], refs: Mapping[str, Sequence[str]], written: Mapping[str, str],
                    hyps: Mapping[str, Sequence[str]]) -> dict[str, float | int]:
    """The keys that score.json has of hanzi; empty where no transcript has any.

    character_error_rate is over ref_characters. homophone_error_rate forgives a wrong character that is read as the
    right one, by the reference's syllables and those decoded: what is left is what was heard wrongly.

    Args:
        texts: transcripts by utterance, as written. Those without hanzi have no part in it.
        refs, hyps: syllables by utterance, of the reference and as decoded.
        written: decoded words by utterance.
    """
    errors = forgiven = total = 0
    for utt, raw in texts.items():
        if utt not in refs or not any(map(is_hanzi, raw)):
            continue
        ref = characters("".join(normalize(raw).clauses))
        hyp = characters(written.get(utt, ""))
        wrong, alike = _errors(ref, hyp, refs[utt], hyps[utt])
        errors, forgiven, total = errors + wrong, forgiven + alike, total + len(ref)
    if not total:
        return {}
    return {"ref_characters": total, "character_error_rate": rate(errors, total),
            "homophone_error_rate": rate(errors - forgiven, total)}


def characters(text: str) -> list[str]:
    """The characters of a text, blanks left out, letters as capitals unless they spell a syllable."""
    return [part if part[-1].isdigit() else part.upper() for part in CHARACTER.findall(text)]


def _errors(ref: list[str], hyp: list[str], ref_read: Sequence[str], hyp_read: Sequence[str]) -> tuple[int, int]:
    """Errors, and those of them that are homophones; none are where characters and syllables do not go together."""
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
