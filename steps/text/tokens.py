"""tokens.txt: what the network's outputs stand for, `<blk> 0` first."""

from pathlib import Path

from steps.common.errors import UserError
from steps.text.syllables import BLANK


def read_tokens(path: Path) -> list[str]:
    """The tokens in the order of their ids. Raises UserError where the ids are not 0, 1, 2 … or 0 is not <blk>."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run stage 2 (lexicon) first") from None
    tokens = []
    for number, line in enumerate(lines):
        fields = line.split()
        if len(fields) != 2 or fields[1] != str(number):
            raise UserError(f"{path}:{number + 1}: expected `token {number}`, found {line!r}; "
                            f"run stage 2 (lexicon) again")
        tokens.append(fields[0])
    if tokens[:1] != [BLANK]:
        raise UserError(f"{path}: token 0 must be {BLANK}, CTC's blank; run stage 2 (lexicon) again")
    return tokens
