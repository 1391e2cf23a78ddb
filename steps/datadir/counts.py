"""Is the corpus whole? What was found, held against what its documentation says."""

import sys
from collections.abc import Mapping

from steps.common.errors import UserError


def check_counts(found: Mapping[str, int], expected: Mapping[str, int], strict: bool = False) -> None:
    """Say on stderr where a set has other than the expected number of utterances; with `strict` raise UserError."""
    differences = []
    for names, documented in expected.items():
        there = sum(found[name] for name in names.split("+"))
        if there != documented:
            differences.append(f"{names}: {there} utterances where the documentation says {documented} "
                               f"({there - documented:+d})")
    if not differences:
        return
    message = "the corpus is not what its documentation says:\n  " + "\n  ".join(differences)
    if strict:
        raise UserError(message)
    print(f"warning: {message}", file=sys.stderr)
