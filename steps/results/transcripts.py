"""What stage 5 decoded, by utterance."""

from pathlib import Path

from steps.common.errors import UserError


def read_hypotheses(path: Path) -> dict[str, list[str]]:
    """The syllables of decode/<set>_<method>/pinyin; an utterance may have none.

    Raises UserError where it is missing or an utterance is there twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run stage 5 (decode) first") from None
    hyps: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        utt, *syllables = line.split() or [""]
        if not utt or utt in hyps:
            raise UserError(f"{path}:{number}: {f'{utt} is there twice' if utt else 'an empty line'}; decode again")
        hyps[utt] = syllables
    return hyps
