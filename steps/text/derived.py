"""Which `<set>/pinyin` files stage 2 derived itself, and which came with the corpus.

lang/pinyin.sha256 (`sha256sum -c` reads it in data/<corpus>/) lists what stage 2 wrote. A file that is not, byte for
byte, what it wrote is the corpus' own or has been mended by hand: both win over the dictionaries.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from steps.common.files import write_lines

LIST = "lang/pinyin.sha256"


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


def _listed(data_dir: Path) -> list[str]:
    path = data_dir / LIST
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _line(name: str, content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}  {name}/pinyin"


def _unique(lines: Iterable[str]) -> list[str]:
    return sorted(set(lines), key=lambda line: line.split("  ")[1])
