"""Finds the audio and the transcripts of a corpus by its layout."""

import importlib
import importlib.util
import os
from pathlib import Path
from types import ModuleType

from steps.common.errors import UserError
from steps.config.load import CONF, check
from steps.config.schema import Corpus, Strict
from steps.corpus.table import PairOptions, half_width, pair, read_transcript
from steps.corpus.write import Utterance

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


def read_sets(root: Path, audio: str, transcript: str, speaker: slice, options: PairOptions
              ) -> dict[str, list[Utterance]]:
    """Utterances by set, the text in half width: `<audio>/<set>/…/<utt>.wav`, and `<utt> <text>` lines in `transcript`.

    Args:
        root: what `audio` and `transcript` lie below.
        speaker: the part of an utterance's id that is its speaker's.
    """
    texts, wavs = read_transcript(root / transcript), find_audio(root / audio)
    sets: dict[str, list[Utterance]] = {}
    for utt in pair(wavs, texts, root, options.skip):
        name = Path(wavs[utt]).relative_to(root / audio).parts[0]
        sets.setdefault(name, []).append(Utterance(utt, utt[speaker], wavs[utt], half_width(texts[utt])))
    return sets


def load_module(name: str) -> ModuleType:
    """local/<name>.py. Raises UserError where there is none."""
    if importlib.util.find_spec(f"local.{name}") is None:
        there = sorted(path.stem for path in Path("local").glob("*.py") if path.stem != "__init__")
        raise UserError(f"module: there is no local/{name}.py; local/ has {', '.join(there)}")
    return importlib.import_module(f"local.{name}")


def module_options(module: ModuleType, corpus: Corpus, name: str) -> Strict:
    """The corpus' `options:`, checked against the module's own schema."""
    return check(corpus.options, module.Options, f"{CONF / 'corpora' / name}.yaml: options")


def find_utterances(corpus: Corpus, name: str, corpus_dir: Path) -> dict[str, list[Utterance]]:
    """The sets that the config asks for, as the corpus' module finds them. Raises UserError for one that is absent."""
    module = load_module(corpus.module)
    found = module.prepare(corpus, module_options(module, corpus, name), corpus_dir)
    for part in corpus.sets:
        if not found.get(part):
            raise UserError(f"conf/corpora/{name}.yaml: sets: {part}: there is no such set, or it is empty; "
                            f"local/{corpus.module}.py finds {', '.join(key for key in found if found[key])}")
    return {part: sorted(found[part]) for part in corpus.sets}
