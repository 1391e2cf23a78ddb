"""Helpers of dodo.py's declarations: a task of each experiment, files by set, `doit clean`, broken configs."""

import functools
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from doit.exceptions import TaskFailed

from steps.common.errors import UserError, disk_error
from steps.common.process import busy
from steps.config.load import Resolved, set_file
from steps.config.schema import Corpus
from steps.config.variants import families
from steps.corpus.table import is_derived
from steps.tasks.record import directory

Config = TypeVar("Config")
Task = dict[str, Any]  # as doit takes it

DATA, EXP = Path("data"), Path("exp")
FEATURE_FILES = ("feats.ark", "feats.scp", "utt2num_frames")
TUNING = "decode/tuning.json"


class Experiments:
    """All experiments. Its decorators make a task of each of one function that declares what is its own.

    Beside them stand tasks for families, which are all that share what is before an @, and for broken configs.
    """

    def __init__(self, configs: dict[str, Resolved], broken: dict[str, str]):
        self._configs, self._broken = configs, broken
        self.families = families([*configs, *broken])  # of seeds, of sweeps

    def each(self, doc: str, writes: Iterable[str]):
        """A task an experiment, `<stage>:<experiment>`, called `<doc> <experiment>` in lists.

        The function gets name and config, and returns nothing if the experiment has no such task. `writes` are what
        `clean` removes of exp/<experiment>/.
        """
        def decorate(declare: Callable[[str, Resolved], Task | None]) -> Callable[[], Iterator[Task]]:
            @functools.wraps(declare)
            def tasks() -> Iterator[Task]:
                made = {name: task for name, config in self._configs.items() if (task := declare(name, config))}
                for name, task in made.items():
                    yield {"name": name, "doc": f"{doc} {name}", **task,
                           "clean": [Remove(EXP / name / file for file in writes)]}
                yield from self._others(declare.__name__.removeprefix("task_"), doc, made, writes)
            return tasks
        return decorate

    def each_set(self, doc: str, stage: str):
        """A task a set that an experiment decodes, `<stage>:<experiment>:<set>`, and one for all its sets.

        The function gets name, config and set. `clean` removes the set's folders in exp/<experiment>/<stage>/, too.
        """
        def decorate(declare: Callable[[str, Resolved, str], Task]) -> Callable[[], Iterator[Task]]:
            @functools.wraps(declare)
            def tasks() -> Iterator[Task]:
                for name, config in self._configs.items():
                    folders = {part: results(config, stage, part) for part in config.experiment.decode.sets}
                    yield {"name": name, "doc": f"{doc} all sets of {name}", "actions": None,
                           "task_dep": [f"{stage}:{name}:{part}" for part in folders],
                           "clean": [Remove([*(folder for found in folders.values() for folder in found),
                                             EXP / name / f"log/{stage}.*"])]}
                    for part, found in folders.items():
                        task = declare(name, config, part)
                        own = Remove([*found, EXP / name / f"log/{stage}.{set_file(part)}.*"])
                        yield {"name": f"{name}:{part}", "doc": f"{doc} {part} of {name}", **task,
                               "clean": [own, *task.get("clean", [])]}
                yield from self._others(stage, f"{doc} all sets of", self._configs, [stage, f"log/{stage}.*"])
            return tasks
        return decorate

    def _others(self, stage: str, doc: str, made: Iterable[str], writes: Iterable[str]) -> Iterator[Task]:
        for family in sorted(self.families.keys() - self._broken.keys()):
            names = [name for name in self.families[family] if name in made or name in self._broken]
            if names:
                yield {"name": family, "doc": f"{doc} all {len(names)} of {family}", "actions": None,
                       "task_dep": [f"{stage}:{name}" for name in names],
                       "clean": [Remove(EXP / name / file for name in names for file in writes)]}
        yield from broken_tasks(self._broken)


def combined(corpus: Corpus) -> dict[str, list[str]]:
    """The corpora that a combination, such as mini+audio_cmn, is made of, and the sets that each adds to."""
    return corpus.options["corpora"] if corpus.module == "combine" else {}


def tables(corpus: Corpus) -> list[str]:
    """Files below a corpus' root that are likely to be edited: local/table.py's table, Kaldi's files."""
    return [*(option for option in corpus.options.values() if isinstance(option, str)),
            *(f"{part}/{file}" for part in corpus.sets for file in ("wav.scp", "text", "utt2spk", "pinyin"))]


def graph_files(config: Resolved) -> list[Path]:
    """The files of exp/<experiment>/graph/ that the experiment's methods need; none if it decodes greedily alone."""
    files = {"prefix": ["syllables.arpa"], "wfst": ["graph.fst", "words.txt", "lexicon.txt"]}
    wanted = [file for method in config.experiment.decode.methods for file in files.get(method, [])]
    return [EXP / config.name / "graph" / file for file in (*wanted, "lm.json")] if wanted else []


def heard_by_model(config: Resolved, part: str) -> list[Path]:
    """A trained experiment, and a set's features for it, or the audio of another corpus' set, as stage 1 found it."""
    trained = [EXP / config.name / file for file in ("final.ckpt", "config.yaml", "tokens.txt", "cmvn")]
    if "/" in part:
        return [*trained, *(config.set_data(part) / file for file in ("wav.scp", "utt2audio"))]
    return [*trained, config.feature_dir / "cmvn", *in_sets(config.feature_dir, [part], FEATURE_FILES)]


def results(config: Resolved, stage: str, part: str) -> list[Path]:
    """Where stage 5 or 6 puts a set's results, one directory a method."""
    return [EXP / config.name / stage / f"{set_file(part)}_{method}" for method in config.experiment.decode.methods]


def in_sets(folder: Path, sets: list[str], files: Iterable[str]) -> list[Path]:
    """<folder>/<set>/<file>, for all sets and files."""
    return [folder / part / file for part in sets for file in files]


class Remove:
    """A clean action: removes files, directories with all that is in them, and directories left empty above them.

    A path's last parts may hold wildcards (`log/train.*`). If a process writes to one of the folders, it ends doit
    with a message and removes nothing.
    """

    def __init__(self, paths: Iterable[Path | str]):
        self._paths = [str(path) for path in paths]

    def __call__(self, dryrun: bool) -> None:
        if not dryrun:
            for folder in sorted({directory(path) for path in self._paths}):
                for lock in sorted((folder / "log").glob("*.lock")):
                    other = busy(lock)
                    if other:
                        sys.exit(f"error: nothing is removed: {other}")
        for pattern in self._paths:
            for path in sorted(Path().glob(pattern)):
                print(f"{'would remove' if dryrun else 'removing'} {path}")
                try:
                    if not dryrun:
                        _remove(path)
                except OSError as error:
                    sys.exit(f"error: {disk_error(error)}")


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


def read_each(load: Callable[[str], Config], names: Iterable[str]) -> tuple[dict[str, Config], dict[str, str]]:
    """`load(name)` by name, and the messages of those that raised an error of the user or of the disk, by name.

    doit takes `a=b` for a variable and `-x` for an option: such a broken name has _ in place of what is wrong in it.
    """
    configs, broken = {}, {}
    for name in names:
        try:
            configs[name] = load(name)
        except UserError as error:
            broken[name] = str(error)
        except OSError as error:
            broken[name] = disk_error(error)
    for name in [name for name in broken if not re.fullmatch(r"\w[\w.@,+-]*", name)]:
        harmless = re.sub(r"[^\w.@,+]", "_", name)
        while harmless in {*configs, *broken}:
            harmless += "_"
        broken[harmless] = broken.pop(name)
    return configs, broken


def warn(messages: Iterable[str]) -> None:
    """Say on stderr what is broken, each once."""
    for message in dict.fromkeys(messages):
        print(f"warning: {message}", file=sys.stderr)


def broken_tasks(broken: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Tasks of broken configs: asking for one gives the message."""
    for name, message in broken.items():
        yield {"name": name, "actions": [(_fail, [message])], "doc": f"broken: {message.splitlines()[0]}"}


def _fail(message: str) -> TaskFailed:
    return TaskFailed(message)
