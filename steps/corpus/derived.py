"""Which `<set>/pinyin` files stage 2 derived itself, which came with the corpus, and which were mended by hand.

lang/pinyin.sha256 (`sha256sum -c` reads it in data/<corpus>/) lists what stage 2 derived. <set>/.pinyin.sha256 holds
the hash of a corpus' own pinyin as the stages wrote it. A file that neither of them knows has been mended by hand. The
corpus' own pinyin wins over the dictionaries, and what was mended by hand wins over both.
"""

import hashlib
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from steps.common.errors import UserError
from steps.common.files import sha256, utf8_lines, write_lines
from steps.corpus.table import read_table, write_table

LIST = "lang/pinyin.sha256"
OWN = ".pinyin.sha256"
DAMAGED = "; remove it, and each <set>/pinyin that you have not mended by hand; then run stages 1 and 2 again"


def is_derived(data_dir: Path, name: str) -> bool:
    """Whether data/<corpus>/<set>/pinyin is what an earlier run of stage 2 wrote, or not there."""
    path = data_dir / name / "pinyin"
    return not path.exists() or _line(name, path.read_bytes()) in _listed(data_dir)


def write_derived(data_dir: Path, pinyin: dict[str, list[str]]) -> None:
    """Write the derived `pinyin` files (lines by set) and list them."""
    lines = {name: _line(name, "".join(f"{line}\n" for line in table).encode()) for name, table in pinyin.items()}
    # Killed between two of these files, both what was there and what will be there are known as ours.
    write_lines(data_dir / LIST, _unique([*_listed(data_dir), *lines.values()]))
    for name, table in pinyin.items():
        write_lines(data_dir / name / "pinyin", table)
    write_lines(data_dir / LIST, _unique(lines.values()))


def is_own(set_dir: Path) -> bool:
    """Whether <set>/pinyin is the corpus' own, as the stages wrote it."""
    note = set_dir / OWN
    return note.exists() and utf8_lines(note, if_not_utf8=DAMAGED)[:1] == [sha256(set_dir / "pinyin")]


def note_own(set_dir: Path) -> None:
    """Note that <set>/pinyin is the corpus' own, as the stages wrote it."""
    write_lines(set_dir / OWN, [sha256(set_dir / "pinyin")])


def is_mended(data_dir: Path, name: str, ships_pinyin: bool) -> bool:
    """Whether data/<corpus>/<set>/pinyin was mended by hand.

    Of a corpus that ships pinyin, a file without a note is taken for the corpus' own.
    """
    set_dir = data_dir / name
    return not (is_derived(data_dir, name) or is_own(set_dir) or (ships_pinyin and not (set_dir / OWN).exists()))


def doubtful(data_dir: Path, name: str) -> str:
    """What to say of data/<corpus>/<set>/pinyin where it is not as the stages wrote it; empty where it is, and where
    nothing tells."""
    noted = (data_dir / LIST).exists() or (data_dir / name / OWN).exists()
    if not noted or not is_mended(data_dir, name, ships_pinyin=False):
        return ""
    return f"{data_dir / name / 'pinyin'}: is not as it was written: it was mended by hand, or is damaged"


def keep_mended(data_dir: Path, name: str, new_dir: Path) -> None:
    """Bring a `pinyin` that was mended by hand from data/<corpus>/<set> to the directory that will replace it.

    Utterances that are no longer there are dropped, and counted on stderr; of those that are new, `new_dir` has the
    pinyin where the corpus ships it. Raises UserError where the file is no table of utterances and syllables.
    """
    pinyin = new_dir / "pinyin"
    ships_pinyin = pinyin.exists()
    if ships_pinyin:
        note_own(new_dir)
    if not is_mended(data_dir, name, ships_pinyin):
        return
    mended, utts = read_table(data_dir / name / "pinyin"), read_table(new_dir / "utt2spk")
    kept = {utt: syllables for utt, syllables in mended.items() if utt in utts}
    write_table(pinyin, {**(read_table(pinyin) if ships_pinyin else {}), **kept})
    print(f"{data_dir / name / 'pinyin'}: mended by hand, stays: {len(kept)} of its {len(mended)} utterances",
          file=sys.stderr)


def _listed(data_dir: Path) -> list[str]:
    path = data_dir / LIST
    lines = utf8_lines(path, if_not_utf8=DAMAGED) if path.exists() else []
    if not all(re.fullmatch(r"[0-9a-f]{64}  \S+/pinyin", line) for line in lines):
        raise UserError(f"{path}: not a list of checksums{DAMAGED}")
    return lines


def _line(name: str, content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}  {name}/pinyin"


def _unique(lines: Iterable[str]) -> list[str]:
    return sorted(set(lines), key=lambda line: line.split("  ")[1])
