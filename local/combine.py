"""Several corpora as one: `corpora: [thchs30, aishell]` in an experiment, the corpus `thchs30+aishell`.

Reads data/<corpus>/<set>/ of each after stage 2, so that every utterance has its pinyin, shipped or derived; those that
stage 2 has left out as unreadable are left out here, too. A conf/corpora/*.yaml may be such a combination with a policy
of its own, such as `pinyin: {sandhi: spoken}`: what stage 2 derived for the parts is then derived again.
"""

import sys
from pathlib import Path

from steps.common.errors import UserError
from steps.config.load import read_corpus
from steps.config.schema import Corpus, Name, Pinyin, Strict
from steps.corpus.table import is_derived
from steps.corpus.write import Utterance, read_data_dir
from steps.text.transcripts import transcribe


class Options(Strict):
    """What `steps.config.load.read_corpus`, or a file of conf/corpora, says of a combination."""

    corpora: dict[Name, list[Name]]  # the sets that each adds to


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """The sets of all corpora put together. Raises UserError if one is not prepared, or ids clash."""
    return {name: [each for part, sets in options.corpora.items() if name in sets
                   for each in _read(data_dir.parent / part, name, corpus.pinyin)]
            for name in corpus.sets}


def _read(corpus_dir: Path, name: str, policy: Pinyin) -> list[Utterance]:
    directory = corpus_dir / name
    if not (directory / "pinyin").exists():
        raise UserError(f"{directory}/pinyin: no such file; run stages 1 and 2 of {corpus_dir.name} first "
                        f"(doit lexicon:{corpus_dir.name})")
    utterances = read_data_dir(directory)
    if read_corpus(corpus_dir.name).pinyin != policy and is_derived(corpus_dir, name):
        readings = transcribe({each.utt: each.text for each in utterances}, policy)
        utterances = [each._replace(pinyin=" ".join(reading.syllables))
                      for each, reading in zip(utterances, readings, strict=True)]
    read = [each for each in utterances if each.pinyin]
    if len(read) < len(utterances):
        print(f"{directory}: {len(utterances) - len(read)} of {len(utterances)} left out: they have no pinyin",
              file=sys.stderr)
    return read
