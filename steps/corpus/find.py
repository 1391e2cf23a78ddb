"""Finds the audio and the transcripts of a corpus by its layout."""

import contextlib
import hashlib
import importlib
import importlib.util
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from steps.common.errors import UserError, counted
from steps.config.load import CONF, check
from steps.config.schema import TRAIN, Corpus, Strict
from steps.corpus.rows import PairOptions, half_width, pair, read_transcript
from steps.corpus.write import Utterance

AUDIO = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".amr", ".wma", ".webm", ".aiff", ".au")
MACOS = "._"
PIECE = 4096  # bytes by which a recording is known, at three places
ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")


def named_root(corpus: Corpus, what: str) -> Path:
    """The folder that the config names. Raises UserError, which says `what` it should be, if it names none."""
    if corpus.root is None:
        raise UserError(f"root: missing; write {what} into conf/corpora/")
    if not os.path.isdir(corpus.root):
        raise UserError(f"root: {corpus.root}: no such folder; write {what} into conf/corpora/")
    return Path(corpus.root)


def corpus_root(corpus: Corpus, name: str, holds: str) -> Path:
    """The folder that has `holds` (a path or pattern) in it: `root` itself or its folder `name`.

    Raises UserError if the config says no root, or neither folder has it.
    """
    root = named_root(corpus, f"the folder of the corpus, such as /data/{name},")
    for folder in (root, root / name):
        if any(folder.glob(holds)):
            return folder
    raise UserError(f"{root}: neither {holds} nor {name}/{holds} is in it; `root` is to be the folder that the corpus "
                    f"was extracted to, and all of it extracted")


def find_audio(folder: Path, suffix: str = ".wav") -> dict[str, str]:
    """{file name without suffix: path} of all audio files below a folder, at any depth, links followed.

    Raises UserError if there are none, if archives are not extracted, if two files have one name, and for a
    folder or link that leads nowhere.
    """
    found, archives = {}, []
    for path in walk(folder):
        name = os.path.basename(path)
        if name.endswith(ARCHIVES):
            archives.append(name)
        if not name.lower().endswith(suffix):
            continue
        stem = name[: -len(suffix)]
        if stem in found:
            raise UserError(f"{path}: {found[stem]} has the same name; which one is it?")
        found[stem] = path
    if archives and not found:
        raise UserError(f"{folder}: {len(archives)} archives in it are not extracted, such as {min(archives)}; "
                        f"extract them: cd {folder} && for a in *.tar.gz; do tar xf $a; done")
    if archives:
        print(f"warning: {folder}: {len(archives)} archives in it are not extracted, such as {min(archives)}",
              file=sys.stderr)
    if not found:
        raise UserError(f"{folder}: no {suffix} file in it or below")
    return found


def walk(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder, folders that are links gone into, each folder once. What macOS leaves beside
    files (._a.wav) is left out.

    Raises UserError for a folder that cannot be read, and for a link that leads nowhere, unless it is hidden, as an
    editor's locks are.
    """
    seen = set()
    for where, folders, names in os.walk(folder, onerror=_unreadable, followlinks=True):
        here = os.stat(where)
        if (here.st_dev, here.st_ino) in seen:
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        for name in sorted(name for name in names if not name.startswith(MACOS)):
            path = os.path.join(where, name)
            if os.path.exists(path):
                yield path
            elif not name.startswith("."):
                raise UserError(f"{path}: a link to {os.readlink(path)}, which is not there; is that disk mounted?")
        folders.sort()


def _unreadable(error: OSError) -> None:
    raise UserError(f"{error.filename}: cannot be read: {error.strerror}") from None


def beside_them(wavs: Iterable[str]) -> None:
    """Say on stderr how many other audio files lie in the folders of `wavs`."""
    used = set(wavs)
    there = [os.path.join(folder, name) for folder in sorted({os.path.dirname(wav) for wav in used})
             if os.path.isdir(folder) for name in os.listdir(folder)
             if name.lower().endswith(AUDIO) and not name.startswith(MACOS)]
    unused = sorted(set(there) - used)
    if unused:
        print(f"{len(unused)} of {len(there)} audio files are in no row, such as {unused[0]}: not used",
              file=sys.stderr)


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
    """local/<name>.py. Raises UserError if there is none, or if it is not the module of a corpus."""
    if not name.isidentifier() or importlib.util.find_spec(f"local.{name}") is None:
        there = sorted(path.stem for path in Path("local").glob("*.py") if path.stem != "__init__")
        raise UserError(f"module: there is no local/{name}.py; local/ has {', '.join(there)}")
    module = importlib.import_module(f"local.{name}")
    if not callable(getattr(module, "prepare", None)):
        raise UserError(f"module: local/{name}.py is not the module of a corpus: it has no function prepare")
    return module


def module_options(module: ModuleType, corpus: Corpus, name: str) -> Strict:
    """The corpus' `options:`, checked against the module's own schema; a module without a schema has no options."""
    return check(corpus.options, getattr(module, "Options", Strict), f"{CONF / 'corpora' / name}.yaml: options")


def find_utterances(corpus: Corpus, name: str, corpus_dir: Path) -> dict[str, list[Utterance]]:
    """The sets that the config asks for, as the corpus' module finds them. Says what it found and is not asked for.

    Raises UserError for a set that is absent, and for a module that does not keep to what `local` modules return.
    """
    module = load_module(corpus.module)
    found = module.prepare(corpus, module_options(module, corpus, name), corpus_dir)
    if not isinstance(found, dict) or not all(isinstance(each, Utterance) for some in found.values() for each in some):
        raise UserError(f"local/{corpus.module}.py: prepare must return {{set: [Utterance, …]}}")
    for set_name in corpus.sets:
        if not found.get(set_name):
            raise UserError(f"conf/corpora/{name}.yaml: sets: {set_name}: there is no such set, or it is empty; "
                            f"local/{corpus.module}.py finds {', '.join(key for key in found if found[key]) or 'none'}")
    for set_name in found.keys() - set(corpus.sets):
        print(f"{counted(len(found[set_name]), 'utterance')} of the set {set_name}: not used, as `sets` does not name "
              "it", file=sys.stderr)
    sets = {set_name: sorted(found[set_name]) for set_name in corpus.sets}
    _warn_of_overlap(sets)
    _warn_of_names(sets)
    _tell_shared_speakers(sets)
    return sets


def _tell_shared_speakers(sets: dict[str, list[Utterance]]) -> None:
    """Say how many speakers of a set are in train, too. If only some are, the set was perhaps meant to have none."""
    trained = {each.spk for each in sets.get(TRAIN, ())}
    for set_name, utterances in sets.items():
        speakers = {each.spk for each in utterances}
        shared = sorted(speakers & trained)
        if shared and set_name != TRAIN:
            kind = "note" if len(shared) == len(speakers) else "warning"
            print(f"{kind}: speakers of {set_name} who are in {TRAIN}, too: {len(shared)} of {len(speakers)}, such as "
                  f"{shared[0]}; results on them are of speakers who are in training", file=sys.stderr)


def _warn_of_names(sets: dict[str, list[Utterance]]) -> None:
    """Say how many recordings are called as another utterance is: where lists that were sorted in different ways are
    put side by side, the texts are those of others."""
    called = [(each.utt, Path(each.wav).stem) for utterances in sets.values() for each in utterances]
    utts = {utt for utt, _ in called}
    wrong = [(utt, stem) for utt, stem in called if stem != utt and stem in utts]
    if wrong:
        print(f"warning: the recordings of {len(wrong)} of {len(called)} utterances are called as others are, such as "
              f"{wrong[0][0]}, whose is {wrong[0][1]}: do they belong together?", file=sys.stderr)


def _warn_of_overlap(sets: dict[str, list[Utterance]]) -> None:
    """Say which recordings are there twice, also by links and copies: results on what was trained on mean nothing."""
    sizes = Counter(_size(each.wav) for utterances in sets.values() for each in utterances)
    first: dict[str | tuple[int, bytes], tuple[str, str]] = {}
    shared: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for set_name, utterances in sets.items():
        for each in utterances:
            known = _identity(each.wav) if sizes[_size(each.wav)] > 1 else each.wav
            before, utt = first.setdefault(known, (set_name, each.utt))
            if (before, utt) != (set_name, each.utt):
                shared.setdefault((before, set_name), []).append((utt, each.utt))
    for (one, other), utts in shared.items():
        where = f"twice in {one}" if one == other else f"both in {one} and in {other}"
        print(f"warning: {where}: {counted(len(utts), 'recording')}, such as {' and '.join(dict.fromkeys(utts[0]))}",
              file=sys.stderr)


def _identity(wav: str) -> str | tuple[int, bytes]:
    """What is equal for two names of one file, and for two copies, by some of their bytes; the name if it is not a file
    or cannot be read."""
    size = _size(wav)
    if size < 0:
        return wav
    try:
        with open(wav, "rb") as file:
            known = hashlib.sha256()
            for share in (1, 2, 3):
                file.seek(size * share // 4)
                known.update(file.read(PIECE))
    except (OSError, ValueError):
        return wav
    return size, known.digest()


def _size(wav: str) -> int:
    """Bytes of a file; -1 for a folder or the like, and if it cannot be looked at."""
    with contextlib.suppress(OSError, ValueError):
        facts = os.stat(wav)
        return facts.st_size if stat.S_ISREG(facts.st_mode) else -1
    return -1
