"""Stage 1: a corpus as Kaldi data directories, data/<corpus>/<set>/, checked.

conf/corpora/<corpus>.yaml names the module of local/ that knows the corpus. Every audio file is opened; nothing is
written where one is unusable.
"""

import argparse
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from steps.common.errors import UserError, run
from steps.config.load import CONF, check, load_corpus
from steps.config.schema import Corpus
from steps.datadir.audio import check_audios
from steps.datadir.counts import check_counts
from steps.datadir.table import shorten
from steps.datadir.utterance import Utterance
from steps.datadir.write import write_sets


def main() -> None:
    """Parse the command line, prepare the corpus, say what it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="a name in conf/corpora/")
    parser.add_argument("--deep", action="store_true", help="decode all audio, rather than open it")
    parser.add_argument("--strict", action="store_true", help="fail where the counts differ from those documented")
    parser.add_argument("--nj", type=int, help="processes (default: YINJIE_NJ, else one a processor)")
    args = parser.parse_args()
    corpus = load_corpus(args.corpus)
    sets = prepare(corpus, args.corpus, Path("data") / args.corpus)
    check_counts({name: len(utterances) for name, utterances in sets.items()}, corpus.expected, args.strict)
    write_sets(Path("data") / args.corpus, with_durations(sets, args.deep, args.nj))
    for name in sets:
        print(f"data/{args.corpus}/{name}: {len(sets[name])} utterances")


def prepare(corpus: Corpus, name: str, corpus_dir: Path) -> dict[str, list[Utterance]]:
    """The sets that the config asks for, as the corpus' module finds them. Raises UserError for one that is absent."""
    module = load_module(corpus.module)
    options = check(corpus.options, module.Options, CONF / "corpora" / f"{name}.yaml: options")
    found = module.prepare(corpus, options, corpus_dir)
    for part in corpus.sets:
        if not found.get(part):
            raise UserError(f"conf/corpora/{name}.yaml: sets: {part}: there is no such set, or it is empty; "
                            f"local/{corpus.module}.py finds {', '.join(key for key in found if found[key])}")
    return {part: sorted(found[part]) for part in corpus.sets}


def load_module(name: str) -> ModuleType:
    """local/<name>.py. Raises UserError where there is none."""
    if importlib.util.find_spec(f"local.{name}") is None:
        there = sorted(path.stem for path in Path("local").glob("*.py") if path.stem != "__init__")
        raise UserError(f"module: there is no local/{name}.py; local/ has {', '.join(there)}")
    return importlib.import_module(f"local.{name}")


def with_durations(sets: dict[str, list[Utterance]], deep: bool, jobs: int | None) -> dict:
    """{set: (utterances, their durations in seconds)}. Raises UserError that names every unusable file."""
    utterances = [each for part in sets.values() for each in part]
    durations = list(check_audios([each.wav for each in utterances], deep, jobs))
    bad = [f"{each.utt}: {result}" for each, result in zip(utterances, durations, strict=True)
           if isinstance(result, str)]
    if bad:
        raise UserError(f"{len(bad)} of {len(utterances)} audio files are unusable:\n  " + "\n  ".join(shorten(bad)))
    rest = iter(durations)
    return {name: (part, [next(rest) for _ in part]) for name, part in sets.items()}


if __name__ == "__main__":
    run(main)
