"""Stage 1: a corpus as Kaldi data directories, data/<corpus>/<set>/, checked.

conf/corpora/<corpus>.yaml names the module of local/ that knows the corpus; `a+b` combines the data directories of
several. Every audio file is opened; nothing is written if one is unusable.
"""

import argparse
from pathlib import Path

from steps.common.errors import UserError, run
from steps.common.parallel import positive
from steps.common.process import output_lock
from steps.config.load import load_corpus
from steps.corpus.audio import check_audios
from steps.corpus.find import find_utterances
from steps.corpus.table import refuse_or_leave_out
from steps.corpus.write import Utterance, check_counts, write_sets

Checked = tuple[list[Utterance], list[float]]  # utterances and their durations in seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.stage1_prepare", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="a name in conf/corpora/, or several joined by +")
    parser.add_argument("--deep", action="store_true", help="decode all audio, rather than open it")
    parser.add_argument("--strict", action="store_true", help="fail if the counts differ from those documented")
    parser.add_argument("--allow-pipes", action="store_true",
                        help="module kaldi: run the commands that wav.scp holds, as `allow_pipes: true` does")
    parser.add_argument("--nj", type=positive, help="processes (default: YINJIE_NJ, else one a processor)")
    args = parser.parse_args()
    corpus, corpus_dir = load_corpus(args.corpus), Path("data") / args.corpus
    if args.allow_pipes:
        if corpus.module != "kaldi":
            raise UserError(f"{args.corpus}: --allow-pipes is for wav.scp of the module kaldi, not of {corpus.module}")
        corpus = corpus.model_copy(update={"options": {**corpus.options, "allow_pipes": True}})
    with output_lock(corpus_dir, "prepare"):
        sets = find_utterances(corpus, args.corpus, corpus_dir)
        check_counts({name: len(utterances) for name, utterances in sets.items()}, corpus.expected, args.strict)
        summaries = write_sets(corpus_dir, with_durations(sets, args.deep, corpus.skip_bad, args.nj))
        for name, summary in summaries.items():
            print(f"{corpus_dir / name}: {summary}")


def with_durations(sets: dict[str, list[Utterance]], deep: bool, skip_bad: bool, jobs: int | None
                   ) -> dict[str, Checked]:
    """{set: (utterances, their durations in seconds)}.

    Raises UserError that names the unusable files, unless `skip_bad`: then they are left out, and each is said why.
    """
    utterances = [each for part in sets.values() for each in part]
    durations = dict(zip((each.wav for each in utterances),
                         check_audios([each.wav for each in utterances], deep, jobs), strict=True))
    bad = [f"{each.utt}: {durations[each.wav]}" for each in utterances if isinstance(durations[each.wav], str)]
    refuse_or_leave_out(bad, skip_bad, len(utterances), "audio files")
    good = {name: [each for each in part if not isinstance(durations[each.wav], str)] for name, part in sets.items()}
    for name, part in good.items():
        if not part:
            raise UserError(f"no recording of the set {name} is usable")
    return {name: (part, [durations[each.wav] for each in part]) for name, part in good.items()}


if __name__ == "__main__":
    run(main)
