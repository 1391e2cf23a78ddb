"""N-gram models as ARPA files, the format of SRILM, KenLM and Kaldi."""

import math
from pathlib import Path

import numpy as np

from steps.common.errors import UserError
from steps.common.files import atomic_open, check_is_file
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
    """Read an ARPA file. Raises UserError where it is none, with the line, where it is cut short, and where an n-gram
    is there twice."""
    check_is_file(path)
    tables: list[dict[tuple[str, ...], tuple[float, float]]] = []  # by order: log10 of probability, of backoff weight
    sizes: list[int] = []  # as the head has them
    number, whole = 0, False
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                number += 1
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
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not utf-8, which an ARPA file is; convert it, or name another") from None
    except ValueError:
        raise UserError(f"{path}:{number}: not a line of an ARPA file; name a model in ARPA's format") from None
    if not tables:
        raise UserError(f"{path}: no \\1-grams: in it; name a model in ARPA's format")
    found = [len(table) for table in tables]
    if not whole or (sizes and sizes != found):
        raise UserError(f"{path}: cut short: its head says {sizes} n-grams, and {found} are there before its end; get "
                        f"the file anew")
    while len(tables) > 1 and not tables[-1]:
        tables.pop()
    return _numbered(path, tables)


def _numbered(path: Path, tables: list[dict[tuple[str, ...], tuple[float, float]]]) -> NGram:
    """The model of n-grams that name their words. Raises UserError for a word that is no 1-gram."""
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
