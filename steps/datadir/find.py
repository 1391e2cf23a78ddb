"""Finding a corpus' files below the folder that the user named."""

import os
from pathlib import Path

from steps.common.errors import UserError
from steps.config.schema import Corpus

ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")


def named_root(corpus: Corpus, what: str) -> Path:
    """The folder that the config names. Raises UserError, which says `what` it should be, where it names none."""
    if corpus.root is None:
        raise UserError(f"root: missing; write {what} into conf/corpora/")
    return Path(corpus.root)


def corpus_root(corpus: Corpus, name: str, holds: str) -> Path:
    """The folder that has `holds` (a path or pattern) in it: `root` itself or its folder `name`.

    Raises UserError where the config says no root, or neither folder has it.
    """
    root = named_root(corpus, f"the folder of the corpus, such as /data/{name},")
    for folder in (root, root / name):
        if any(folder.glob(holds)):
            return folder
    raise UserError(f"{root}: neither {holds} nor {name}/{holds} is in it; `root` is to be the folder that the corpus "
                    f"was extracted to, and all of it extracted")


def find_audio(folder: Path, suffix: str = ".wav") -> dict[str, str]:
    """{file name without suffix: path} of all audio files below a folder, at any depth.

    Raises UserError where there are none, where archives wait to be extracted, or where two files have one name.
    """
    found, archives = {}, []
    for where, _, names in os.walk(folder):
        for name in names:
            if name.endswith(ARCHIVES):
                archives.append(name)
            if not name.lower().endswith(suffix):
                continue
            stem = name[: -len(suffix)]
            if stem in found:
                raise UserError(f"{os.path.join(where, name)}: {found[stem]} has the same name; which one is it?")
            found[stem] = os.path.join(where, name)
    if archives and not found:
        raise UserError(f"{folder}: {len(archives)} archives in it are not extracted, such as {min(archives)}; "
                        f"extract them: cd {folder} && for a in *.tar.gz; do tar xf $a; done")
    if not found:
        raise UserError(f"{folder}: no {suffix} file in it or below")
    return found
