"""Several corpora as one: `corpora: [thchs30, aishell]` in an experiment, the corpus `thchs30+aishell`.

Reads data/<corpus>/<set>/ of each after stage 2, so that every utterance has its pinyin, shipped or derived; those that
stage 2 has left out as unreadable are left out here, too.
"""

import sys
from pathlib import Path

from steps.common.errors import UserError
from steps.config.schema import Corpus, Name, Strict
from steps.corpus.write import Utterance, read_data_dir


class Options(Strict):
    """What `steps.config.load.read_corpus` says of a combination."""

    corpora: dict[Name, list[Name]]  # the sets that each adds to


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """The sets of all corpora put together. Raises UserError where one is not prepared, or ids clash."""
    return {name: [each for part, sets in options.corpora.items() if name in sets
                   for each in _read(data_dir.parent / part, name)]
            for name in corpus.sets}


def _read(corpus_dir: Path, name: str) -> list[Utterance]:
    directory = corpus_dir / name
    if not (directory / "pinyin").exists():
        raise UserError(f"{directory}/pinyin: no such file; run stages 1 and 2 of {corpus_dir.name} first "
                        f"(doit lexicon:{corpus_dir.name})")
    utterances = read_data_dir(directory)
    read = [each for each in utterances if each.pinyin]
    if len(read) < len(utterances):
        print(f"{directory}: {len(utterances) - len(read)} of {len(utterances)} left out: they have no pinyin",
              file=sys.stderr)
    return read
