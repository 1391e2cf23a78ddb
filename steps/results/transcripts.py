"""What scoring reads: reference and decoded syllables by utterance."""

from pathlib import Path

from steps.common.errors import UserError
from steps.datadir.table import read_table


def read_references(path: Path) -> dict[str, list[str]]:
    """The syllables of data/<corpus>/<set>/pinyin.

    Raises UserError where it is missing, unsorted, or an utterance has no syllables.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; run stage 2 (lexicon) first")
    return {utt: syllables.split() for utt, syllables in read_table(path).items()}


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
