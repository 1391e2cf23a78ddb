"""Several corpora as one: `corpora: [thchs30, aishell]` in an experiment, the corpus `thchs30+aishell`.

Reads data/<corpus>/<set>/ of each after stage 2, so that every utterance has its pinyin, shipped or derived; those that
stage 2 has left out as unreadable are left out here, too. A conf/corpora/*.yaml may be such a combination with a policy
of its own, such as `pinyin: {sandhi: spoken}`: what stage 2 derived for the parts is then derived again.

A corpus that adds to train alone gives way: what dev or test says, it does not say in train.
"""

import sys
from pathlib import Path

from steps.common.errors import UserError
from steps.config.load import read_corpus
from steps.config.schema import TRAIN, Corpus, Name, Pinyin, Strict
from steps.corpus.table import is_derived
from steps.corpus.write import Utterance, read_data_dir
from steps.text.transcripts import transcribe


class Options(Strict):
    """What `steps.config.load.read_corpus`, or a file of conf/corpora, says of a combination."""

    corpora: dict[Name, list[Name]]  # the sets that each adds to


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """The sets of all corpora put together. Raises UserError if one is not prepared, or ids clash."""
    sets: dict[str, list[Utterance]] = {name: [] for name in corpus.sets}
    for part, names in sorted(options.corpora.items(), key=lambda item: item[1] == [TRAIN]):
        for name in [each for each in corpus.sets if each in names]:
            utterances = _read(data_dir.parent / part, name, corpus.pinyin)
            sets[name] += _unseen(part, utterances, sets) if names == [TRAIN] else utterances
    return sets


def _unseen(part: str, utterances: list[Utterance], sets: dict[str, list[Utterance]]) -> list[Utterance]:
    """The utterances of train whose text is none of another set; the others are counted on stderr."""
    tested = {_hanzi(each) for name, others in sets.items() if name != TRAIN for each in others}
    unseen = [each for each in utterances if not each.text or _hanzi(each) not in tested]
    if len(unseen) < len(utterances):
        print(f"{part}: {len(utterances) - len(unseen)} of {len(utterances)} left out of {TRAIN}: another set has a "
              "recording of the same text", file=sys.stderr)
    return unseen


def _hanzi(utterance: Utterance) -> str:
    return "".join(utterance.text.split())


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
