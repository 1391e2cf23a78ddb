"""Processor seconds and memory that the decoding graph of 71,000 words and a million n-grams takes.

    ./path.sh python -m tests.benchmarks.graph

The words are the most frequent ones of the general list and of the newspaper, whose trigrams are the language model.
Memory is the most that the process had up to the end of each part.
"""

import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

from steps.search.arpa import write_arpa
from steps.search.graph import build_graph
from steps.search.lm import word_lm
from steps.search.words import general_words, newspaper_clauses, readings_of
from steps.text.syllables import BLANK, all_syllables

WORDS = 71_000
IN_A_MILLION = 100  # words of the general list for one of the newspaper's 1.1 million


def main() -> None:
    """Make the graph in a folder that goes away."""
    clauses, general = newspaper_clauses(), general_words()
    newspaper = Counter(word for clause in clauses for word in clause)
    ranks = Counter(general) + Counter({word: times * IN_A_MILLION for word, times in newspaper.items()})
    counts = {word: general.get(word, 1) for word, _ in ranks.most_common(WORDS)}
    _tell("word lists")
    lexicon = readings_of(counts)
    _tell(f"readings of {len(lexicon)} words")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mixed = word_lm(lexicon, counts, {"newspaper": clauses}, [], 3)
        write_arpa(folder / "words.arpa", mixed.model)
        _tell(f"{sum(mixed.model.sizes())} n-grams")
        del clauses, newspaper, mixed
        build_graph(folder, folder / "words.arpa", lexicon, [BLANK, *all_syllables()])
        _tell(f"graph of {(folder / 'graph.fst').stat().st_size / 1e6:.0f} MB")


def _tell(what: str) -> None:
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = time.process_time() + children.ru_utime + children.ru_stime
    print(f"{what}: {spent:.1f} s since the start, {most / 1e6:.2f} GB", flush=True)


if __name__ == "__main__":
    main()
