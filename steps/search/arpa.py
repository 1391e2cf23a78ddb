"""Files of n-gram models: ARPA, the format of SRILM, KenLM and Kaldi, and KenLM's binary models (github.com/kpu/kenlm).

Binary models must be tries, which name all their n-grams. A trie goes from the last word of an n-gram backwards. An
order is a row of entries of a few bits each: a word, the backoff weight and the probability, or their numbers in
tables, and where its entries of the next order begin.
"""

import itertools
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from steps.common.errors import UserError
from steps.common.files import atomic_open, check_is_file, utf8_lines
from steps.search.ngram import NGram, from_tables

ROUNDING = 1e-3  # by which the logarithm of a probability may be above 0


def write_arpa(path: Path, model: NGram) -> None:
    """Write the model as an ARPA file, whole or not at all."""
    names = np.array(model.words, object)
    texts = names
    with atomic_open(path) as file:
        file.write("\\data\\\n" + "".join(f"ngram {n}={size}\n" for n, size in enumerate(model.sizes(), 1)))
        for n, level in enumerate(model.levels, 1):
            texts = names if n == 1 else texts[level.history] + " " + names[level.word]
            file.write(f"\n\\{n}-grams:\n")
            rows = zip(level.log_prob.tolist(), texts.tolist(), level.backoff.tolist(), strict=True)
            if n < model.order:
                file.writelines(f"{prob:.7g}\t{text}\t{backoff:.7g}\n" for prob, text, backoff in rows)
            else:
                file.writelines(f"{prob:.7g}\t{text}\n" for prob, text, _ in rows)
        file.write("\n\\end\\\n")


def read_arpa(path: Path) -> NGram:
    """Read an ARPA file. Raises UserError, with the line, for another format, a file that is cut short, and an n-gram
    that is there twice."""
    tables: list[dict[tuple[str, ...], tuple[float, float]]] = []  # by order: log10 of probability, of backoff weight
    sizes: list[int] = []  # as the head has them
    whole = False
    lines = utf8_lines(path, if_not_utf8=", which an ARPA file is; convert it, or name another")
    for number, line in enumerate(lines, 1):
        try:
            if not tables and line.startswith("ngram "):
                sizes.append(int(line.partition("=")[2]))
            elif line.startswith("\\end\\"):
                whole = True
                break
            elif line.strip() == f"\\{len(tables) + 1}-grams:":
                tables.append({})
            elif line.startswith("\\") and not line.startswith("\\data\\"):
                raise ValueError
            elif tables and line.strip():
                words, numbers = _arpa_entry(line.split(), len(tables))
                if tables[-1].setdefault(words, numbers) is not numbers:
                    raise UserError(f"{path}:{number}: {' '.join(words)} is there twice; keep one of the lines")
        except ValueError:
            raise UserError(f"{path}:{number}: not a line of an ARPA file; name a model in ARPA's format") from None
    if not tables:
        raise UserError(f"{path}: no \\1-grams: in it; name a model in ARPA's format")
    found = [len(table) for table in tables]
    if not whole or (sizes and sizes != found):
        raise UserError(f"{path}: cut short: its head says {sizes} n-grams, and {found} are there before its end; get "
                        f"the file again")
    while len(tables) > 1 and not tables[-1]:
        tables.pop()
    return _numbered(path, tables)


def _numbered(path: Path, tables: list[dict[tuple[str, ...], tuple[float, float]]]) -> NGram:
    """The model of n-grams that name their words. Raises UserError for a word that is not a 1-gram."""
    ids = {word: number for number, (word,) in enumerate(tables[0])}
    try:
        return from_tables(list(ids), [(np.array([[ids[word] for word in words] for words in table],
                                                 np.int64).reshape(-1, n),
                                        *np.array(list(table.values()), np.float64).reshape(-1, 2).T)
                                       for n, table in enumerate(tables, 1)])
    except KeyError as error:
        raise UserError(f"{path}: {error.args[0]} is in an n-gram, but not in \\1-grams:") from None


def _arpa_entry(fields: list[str], n: int) -> tuple[tuple[str, ...], tuple[float, float]]:
    if not n + 1 <= len(fields) <= n + 2:
        raise ValueError
    log_prob, backoff = float(fields[0]), float(fields[n + 1]) if len(fields) > n + 1 else 0.0
    if not (-math.inf < log_prob < ROUNDING and -math.inf < backoff < math.inf):
        raise ValueError
    return tuple(fields[1:n + 1]), (log_prob, backoff)


MAGIC = b"mmap lm http://kheafield.com/code format version 5\n\0"
PARAMETERS = 88  # byte where they begin: order, a factor, kind, whether words are there, version; then sizes
TRIE, QUANTIZED, COMPRESSED, BOTH = 2, 3, 4, 5  # kinds; 0 and 1 are hash tables, which do not name their n-grams


def is_binary(path: Path) -> bool:
    """Whether a file is one of KenLM's binary models. Raises UserError if it is missing."""
    check_is_file(path)
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def read_trie(path: Path) -> NGram:
    """The n-grams of a binary model. Raises UserError if it is a hash table, has no words in it, or is cut short."""
    file = _File(path.read_bytes())
    try:
        order = file.data[PARAMETERS]
        kind, has_words = (int(file.take("<u4", 1, PARAMETERS + at)[0]) for at in (8, 12))
        if kind < TRIE or not has_words & 255:
            raise UserError(f"{path}: a hash table, or without its words; make it again: build_binary trie, or name "
                            "the ARPA file that it was made from")
        return _Trie(file, kind, order).model()
    except (ValueError, IndexError, OverflowError, MemoryError):
        raise UserError(f"{path}: damaged, or cut short") from None


class _File:
    """A file in memory, and how far it has been read."""

    def __init__(self, data: bytes):
        self.data = data
        self.at = 0
        self._words = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))  # that begin at every byte

    def take(self, dtype: str, count: int, at: int | None = None) -> np.ndarray:
        """`count` numbers, from byte `at` or from where the last ones ended."""
        begin = self.at if at is None else at
        found = np.frombuffer(self.data, dtype, count, begin)
        self.at = begin + found.nbytes
        return found

    def bits(self, at: np.ndarray, width: int) -> np.ndarray:
        """Whole numbers of `width` bits, at most 57, that begin at the bits `at`."""
        found = self._words[at >> 3] >> (at & 7).astype(np.uint64)
        return (found & np.uint64((1 << width) - 1)).astype(np.int64)


class _Entries(NamedTuple):
    """The n-grams of an order."""

    word: np.ndarray  # int64, the first word of each
    prob: np.ndarray  # float, log10; positive if it is in the model for longer ones alone
    backoff: np.ndarray  # float, log10
    next: np.ndarray  # int64 (entries + 1,), where those of the next order begin


class _Trie:
    def __init__(self, file: _File, kind: int, order: int):
        self._file = file
        self._sizes = [int(size) for size in file.take("<u8", order, PARAMETERS + 20)]
        if max(self._sizes) > 8 * len(file.data):  # each n-gram takes a bit at least
            raise ValueError
        self._compressed = kind in (COMPRESSED, BOTH)
        file.at = -(-file.at // 8) * 8 + 8 * (self._sizes[0] + 1)  # after the hashes of the words
        self._tables = self._read_tables(order) if kind in (QUANTIZED, BOTH) else None
        self._chopped_at_most = 0

    def _read_tables(self, order: int) -> list[list[np.ndarray]]:
        """What the numbers of backoff weights and of probabilities stand for, for each order from 2."""
        _, prob, backoff = self._file.take("u1", 8)[:3].tolist()
        middles = [[self._file.take("<f4", 1 << bits) for bits in (prob, backoff)][::-1] for _ in range(order - 2)]
        return [*middles, [np.zeros(1, np.float32), self._file.take("<f4", 1 << prob)]]

    def model(self) -> NGram:
        """The n-grams in the order of their words."""
        orders = [self._unigrams(), *(self._entries(n) for n in range(2, len(self._sizes) + 1))]
        words = self._file.data[self._file.at:].decode().split("\0")[:len(orders[0].word)]
        finite = all(np.isfinite([one.prob, one.backoff]).all() for one in orders)
        if not finite or len(set(words)) != len(orders[0].word):
            raise ValueError
        windows = orders[0].word[:, None]
        tables = [(windows, orders[0].prob, orders[0].backoff)]
        for above, entries in itertools.pairwise(orders):
            parents = np.repeat(np.arange(len(above.word)), np.diff(above.next))
            windows = np.column_stack([entries.word, windows[parents]])
            tables.append((windows, entries.prob, entries.backoff))
        return from_tables(words, tables)

    def _unigrams(self) -> _Entries:
        size = self._sizes[0]
        rows = self._file.take([("prob", "<f4"), ("backoff", "<f4"), ("next", "<u8")], size + 2)
        return _Entries(np.arange(size), rows["prob"][:size], rows["backoff"][:size],
                        rows["next"][:size + 1].astype(np.int64))

    def _entries(self, n: int) -> _Entries:
        """The order n, from 2."""
        size, last = self._sizes[n - 1], n == len(self._sizes)
        word_bits = self._sizes[0].bit_length()
        backoff_bits, prob_bits = [len(table).bit_length() - 1 for table in self._tables[n - 2]] if self._tables else \
                                  [0 if last else 32, 31]
        offsets, inline_bits = np.zeros(1, np.int64), 0
        if not last:
            offsets, inline_bits = self._pointers(size + 1, self._sizes[n])
        width = word_bits + backoff_bits + prob_bits + inline_bits
        at = 8 * self._file.at + width * np.arange(size + 1, dtype=np.int64)
        self._file.at += ((size + 1) * width + 7) // 8 + 8
        weights = at[:-1] + word_bits
        if self._tables:
            backoff, prob = (table[self._file.bits(place, bits)] for table, place, bits in zip(
                self._tables[n - 2], (weights, weights + backoff_bits), (backoff_bits, prob_bits), strict=True))
        else:  # the probability comes first, without its sign
            prob = -self._file.bits(weights, 31).astype("<u4").view("<f4")
            backoff = self._file.bits(weights + 31, backoff_bits).astype("<u4").view("<f4")
        high = np.searchsorted(offsets, np.arange(size + 1), side="right") - 1
        following = (high << inline_bits) | self._file.bits(at + width - inline_bits, inline_bits)
        return _Entries(self._file.bits(at[:-1], word_bits), prob, backoff, following)

    def _pointers(self, entries: int, most: int) -> tuple[np.ndarray, int]:
        """Where pointers' upper bits change, by those bits, and the number of lower bits, which the entries hold."""
        required = most.bit_length()
        if not self._compressed:
            return np.zeros(1, np.int64), required
        at = -(-self._file.at // 8) * 8
        self._chopped_at_most = self._chopped_at_most or int(self._file.data[at + 1])
        costs = [(most >> (required - chopped)) * 64 - entries * chopped
                 for chopped in range(min(required, self._chopped_at_most) + 1)]
        inline_bits = required - costs.index(min(costs))
        begin = self._file.at
        offsets = self._file.take("<u8", (most >> inline_bits) + 1, at + 8).astype(np.int64)
        self._file.at = begin + 8 * (len(offsets) + 1) + 7
        return offsets, inline_bits
