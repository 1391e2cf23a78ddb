"""`doit clean`: remove what a stage wrote."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from steps.text.derived import is_derived


class Remove:
    """A clean action: removes files, directories with all that is in them, and directories left empty above them.

    `paths` may hold wildcards.
    """

    def __init__(self, paths: Iterable[Path | str]):
        self._paths = [str(path) for path in paths]

    def __call__(self, dryrun: bool) -> None:
        for pattern in self._paths:
            for path in sorted(Path().glob(pattern)):
                print(f"{'would remove' if dryrun else 'removing'} {path}")
                if not dryrun:
                    _remove(path)


class RemovePinyin(Remove):
    """Removes the `pinyin` files that stage 2 derived, not those that came with the corpus or were mended by hand."""

    def __init__(self, data_dir: Path, sets: Iterable[str]):
        super().__init__(data_dir / name / "pinyin" for name in sets)
        self._data_dir = data_dir

    def __call__(self, dryrun: bool) -> None:
        self._paths = [path for path in self._paths if is_derived(self._data_dir, Path(path).parent.name)]
        super().__call__(dryrun)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    for parent in path.parents[:-2]:  # data/ and exp/ themselves stay
        if any(parent.iterdir()):
            break
        parent.rmdir()
