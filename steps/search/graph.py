"""Decoding graphs: T ∘ L ∘ G of CTC's topology, the lexicon and a language model over words, and decoding with them.

OpenFst (kaldifst), Kaldi's arpa2fst (kaldilm) and Kaldi's FasterDecoder (kaldi-decoder) do the work. Words that the
lexicon lacks come out as syllables, each an `<unk>` of the language model.
"""

import contextlib
import math
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import kaldi_decoder
import kaldifst
import kaldilm
import numpy as np

from steps.common.checksums import check_sums, forget_sums, write_sums
from steps.common.errors import UserError
from steps.common.files import atomic_path, utf8_lines, write_lines
from steps.search.ctc import BLANK, Emission, without_sure_blanks
from steps.search.words import Readings, Syllables

GRAPH = "graph.fst", "words.txt", "lexicon.txt"
GRAPH_FILES = *GRAPH, "words.arpa", "syllables.arpa"
LM = "lm.json"  # what it was made of; it is written last
GRAPH_AGAIN = "make the graph again (doit graph:<experiment>)"
UNK = "<unk>"
FIRST, LAST = ("<eps>", UNK), ("#0", "<s>", "</s>")  # of the output labels, around the words
WORD = 1.0  # nats that each word costs beside its probability: lists of words do not know which words stand together
UNKNOWN = 4.0  # nats that an unknown syllable costs beside the language model's <unk> and the choice of a syllable
BEAM = 16.0  # as Kaldi's
MAX_ACTIVE = 3000
MIN_ACTIVE = 1  # of Kaldi's 20 the last may be far behind, and the next frame's beam would be as wide
IMPOSSIBLE = -1e4  # ln of a probability


class Graph(NamedTuple):
    """A graph in memory. Input labels are ids of tokens plus 1, output labels ids of words."""

    fst: kaldifst.StdVectorFst
    words: list[str]  # by output label
    readings: dict[str, set[Syllables]]

    @classmethod
    def read(cls, folder: Path) -> "Graph":
        """What `build_graph` wrote. Raises UserError if it is missing or damaged."""
        check_sums(folder, GRAPH_AGAIN, GRAPH)
        if_missing = f"; {GRAPH_AGAIN}"
        readings: dict[str, set[Syllables]] = {}
        try:
            words = [line.split()[0] for line in utf8_lines(folder / "words.txt", if_missing, if_not_utf8=if_missing)]
            for line in utf8_lines(folder / "lexicon.txt", if_missing, if_not_utf8=if_missing):
                word, *syllables = line.split()
                readings.setdefault(word, set()).add(tuple(syllables))
            fst = kaldifst.StdVectorFst.read(str(folder / "graph.fst"))
        except (IndexError, ValueError, RuntimeError):
            fst = None
        if fst is None or fst.start < 0 or set(words).difference(FIRST, LAST) != set(readings):
            raise UserError(f"{folder}: not a whole graph{if_missing}")
        return cls(fst, words, readings)


def build_graph(folder: Path, arpa: Path, lexicon: Sequence[Readings], tokens: list[str], ctc: bool = True,
                unknown: bool = True) -> None:
    """Write graph.fst, words.txt and lexicon.txt into `folder`.

    Args:
        arpa: a language model over the words of `lexicon`, with <unk>.
        lexicon: readings with a syllable that is not a token are left out.
        tokens: the network's, the blank first.
        ctc: whether T is CTC's topology, for a network's output; else the graph reads one syllable a frame.
        unknown: whether any syllable may stand for a word that the lexicon lacks. It makes the search of short lists
            slow: after each word all tokens may follow.
    """
    forget_sums(folder, GRAPH_FILES)
    ids = {token: number for number, token in enumerate(tokens) if number != BLANK}
    kept = [(one.word, syllables, cost) for one in lexicon for syllables, cost in one.readings.items()
            if all(syllable in ids for syllable in syllables)]
    known = {word for word, _, _ in kept}
    left_out = [one.word for one in lexicon if one.word not in known]
    if left_out:
        print(f"{folder}: {len(left_out)} of {len(lexicon)} words are left out, such as {left_out[0]}: each of their "
              "readings has a syllable that is not among the network's tokens", file=sys.stderr)
    words = [*FIRST, *sorted(known), *LAST]
    write_lines(folder / "words.txt", (f"{word} {number}" for number, word in enumerate(words)))
    write_lines(folder / "lexicon.txt", (" ".join([word, *syllables]) for word, syllables, _ in kept))
    labels = {word: number for number, word in enumerate(words)}
    lexicon_fst, marks = _lexicon_fst(kept, labels, ids, unknown)
    grammar = _grammar_fst(arpa, folder / "words.txt")
    graph = kaldifst.compose(lexicon_fst, grammar)
    del lexicon_fst, grammar
    kaldifst.determinize_star(graph, use_log=True)
    if ctc:  # without T the graph is small, and this takes longer than all the rest
        kaldifst.minimize_encoded(graph)
    kaldifst.arcsort(graph, "ilabel")
    topology = _ctc_fst(list(ids.values()), marks) if ctc else _plain_fst(list(ids.values()), marks)
    graph = kaldifst.compose(topology, graph)
    with atomic_path(folder / "graph.fst") as path:
        graph.write(str(path))
    write_sums(folder, GRAPH_FILES)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what C++ writes to stderr, such as Kaldi's line for each section of a file, unless there is an error."""
    with tempfile.TemporaryFile() as kept:
        stderr = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(stderr, kept.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _grammar_fst(arpa: Path, words: Path) -> kaldifst.StdVectorFst:
    with atomic_path(words.parent / "G.fst") as path, quiet():
        kaldilm.arpa2fst(str(arpa), str(path), disambig_symbol="#0", read_symbol_table=str(words), max_arpa_warnings=0)
        grammar = kaldifst.StdVectorFst.read(str(path))
    (words.parent / "G.fst").unlink()
    return grammar


def _lexicon_fst(entries: Sequence[tuple[str, Syllables, float]], words: Mapping[str, int],
                 ids: Mapping[str, int], unknown: bool) -> tuple[kaldifst.StdVectorFst, list[int]]:
    """L, sorted by output labels, and the labels of its disambiguation symbols (as Kaldi's add_lex_disambig.pl)."""
    begins = {syllables[:end] for _, syllables, _ in entries for end in range(1, len(syllables))}
    alone = {(syllable,) for syllable in ids if unknown}  # of unknown words, which are the last homophone each
    number_of: Counter[Syllables] = Counter()
    first = len(ids) + 3  # label of #0 after the blank's and all tokens', which start from 1; those of #1, #2 … follow
    arcs = [f"0 0 {first} {words['#0']}"]
    state = 0
    spellings = [*entries, *((UNK, syllables, -UNKNOWN - math.log(len(ids))) for syllables in sorted(alone))]
    homophones = Counter(syllables for _, syllables, _ in spellings)
    for word, syllables, log_prob in spellings:
        chain = [ids[syllable] + 1 for syllable in syllables]
        if homophones[syllables] > 1 or syllables in begins:
            number_of[syllables] += 1
            chain.append(first + number_of[syllables])
        before = 0
        for at, label in enumerate(chain):
            after = 0 if at == len(chain) - 1 else (state := state + 1)
            output = f"{words[word]} {WORD - log_prob:.6g}" if at == 0 else "0"
            arcs.append(f"{before} {after} {label} {output}")
            before = after
    fst = _compile(arcs)
    kaldifst.arcsort(fst, "olabel")
    return fst, list(range(first, first + max(number_of.values(), default=0) + 1))


def _ctc_fst(tokens: Sequence[int], marks: Sequence[int]) -> kaldifst.StdVectorFst:
    """T: state 0 after blanks, one state after each token. A token's repetition needs a blank between.

    T has millions of arcs: one string holds all arcs of a state.
    """
    blank = BLANK + 1
    to_token = [f"{state} {token + 1} {token + 1}\n" for state, token in enumerate(tokens, 1)]
    parts = [_arcs_from(0, [f"0 {blank} 0\n", *to_token, *(f"0 0 {mark}\n" for mark in marks)])]
    for state, token in enumerate(tokens, 1):
        parts.append(_arcs_from(state, [f"{state} {token + 1} 0\n", f"0 {blank} 0\n", *to_token[:state - 1],
                                        *to_token[state:], *(f"{state} 0 {mark}\n" for mark in marks)]))
    return kaldifst.compile("".join([*parts, *(f"{state}\n" for state in range(len(tokens) + 1))]))


def _arcs_from(state: int, arcs: Sequence[str]) -> str:
    return "".join(f"{state} {arc}" for arc in arcs)


def _plain_fst(tokens: Sequence[int], marks: Sequence[int]) -> kaldifst.StdVectorFst:
    return _compile([*(f"0 0 {token + 1} {token + 1}" for token in tokens), *(f"0 0 0 {mark}" for mark in marks)])


def _compile(arcs: Iterable[str]) -> kaldifst.StdVectorFst:
    """An FST of arcs in OpenFst's text, `from to input output cost`, costs in nats, with 0 as the only final state."""
    return kaldifst.compile("\n".join([*arcs, "0", ""]))


class Best(NamedTuple):
    """What a graph makes of an utterance."""

    emissions: list[Emission]
    words: list[tuple[str, int]]  # each with the number of its syllables; an unknown one's syllable stands for it


class GraphSearch:
    """Decodes utterances with a graph.

    Args:
        scale: factor of the network's ln probabilities beside the graph's costs.
        blank_penalty: nats that a blank costs beside, so that no syllables are left out for the words' costs.
    """

    def __init__(self, graph: Graph, tokens: list[str], scale: float, blank_penalty: float = 0.0, beam: float = BEAM):
        self._graph = graph
        self._tokens = tokens
        self._scale = scale
        self._blank_penalty = blank_penalty
        options = kaldi_decoder.FasterDecoderOptions(beam=beam, max_active=MAX_ACTIVE, min_active=MIN_ACTIVE)
        self._decoder = kaldi_decoder.FasterDecoder(graph.fst, options)

    def __call__(self, log_probs: np.ndarray) -> Best:
        """The best path of one utterance, float (frames, tokens), natural logarithms; no words if it has no path.

        Raises UserError for a graph with other words than words.txt.
        """
        frames = without_sure_blanks(log_probs)
        labels, words = self._path(log_probs[frames])
        emissions = []
        for at, label in enumerate(labels):
            token = label - 1
            if token == BLANK:
                continue
            posterior = float(np.exp(log_probs[frames[at], token]))
            if at and labels[at - 1] == label:
                before = emissions.pop()
                emissions.append(Emission(token, before.first, int(frames[at]), max(before.posterior, posterior)))
            else:
                emissions.append(Emission(token, int(frames[at]), int(frames[at]), posterior))
        spelled = [self._tokens[one.token] for one in emissions]
        try:
            found = spread(spelled, [self._graph.words[word] for word in words], self._graph.readings)
        except (IndexError, KeyError):
            raise UserError(f"graph.fst has other words than words.txt beside it; {GRAPH_AGAIN}") from None
        return Best(emissions, found)

    def _path(self, log_probs: np.ndarray) -> tuple[list[int], list[int]]:
        if len(log_probs) == 0:
            return [], []
        scaled = np.array(np.maximum(log_probs * self._scale, IMPOSSIBLE), np.float32, order="C")
        scaled[:, BLANK] -= self._blank_penalty * self._scale
        self._decoder.decode(kaldi_decoder.DecodableCtc(scaled))
        found, path = self._decoder.get_best_path(use_final_probs=self._decoder.reached_final())
        if not found:
            return [], []
        _, labels, words, _ = kaldifst.get_linear_symbol_sequence(path)
        return labels, words


def spread(syllables: Sequence[str], words: Sequence[str],
           readings: Mapping[str, set[Syllables]]) -> list[tuple[str, int]]:
    """The words with the numbers of their syllables, in order; each <unk> is the one syllable that stands there."""
    found, at = [], 0
    for word in words:
        if word == UNK:
            if at < len(syllables):
                found.append((syllables[at], 1))
            at += 1
            continue
        lengths = [len(one) for one in readings[word] if tuple(syllables[at:at + len(one)]) == one]
        length = max(lengths, default=min(map(len, readings[word])))
        found.append((word, length))
        at += length
    return found
