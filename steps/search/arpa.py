"""N-gram models as ARPA files, the format of SRILM, KenLM and Kaldi."""

from pathlib import Path

import numpy as np

from steps.common.errors import UserError
from steps.common.files import atomic_open
from steps.search.ngram import NEVER, Level, NGram, vocabulary


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
    """Read an ARPA file. Raises UserError where it is none, with the line."""
    tables: list[list[tuple[float, tuple[str, ...], float]]] = []
    number = 0
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                number += 1
                if line.startswith("\\") and line.rstrip().endswith("-grams:"):
                    tables.append([])
                elif tables and line.strip() and not line.startswith("\\end\\"):
                    tables[-1].append(_arpa_entry(line.split(), len(tables)))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (ValueError, UnicodeDecodeError):
        raise UserError(f"{path}:{number}: not a line of an ARPA file; name a model in ARPA's format") from None
    if not tables:
        raise UserError(f"{path}: no \\1-grams: in it; name a model in ARPA's format")
    return _from_entries(tables)


def _arpa_entry(fields: list[str], n: int) -> tuple[float, tuple[str, ...], float]:
    if not n + 1 <= len(fields) <= n + 2:
        raise ValueError
    return float(fields[0]), tuple(fields[1:n + 1]), float(fields[n + 1]) if len(fields) > n + 1 else 0.0


def _from_entries(tables: list[list[tuple[float, tuple[str, ...], float]]]) -> NGram:
    words = vocabulary(entry[1][0] for entry in tables[0])
    ids = {word: number for number, word in enumerate(words)}
    unigrams = Level(np.zeros(len(words), np.int64), np.arange(len(words)), np.full(len(words), NEVER),
                     np.zeros(len(words)))
    for prob, (word,), backoff in tables[0]:
        unigrams.log_prob[ids[word]], unigrams.backoff[ids[word]] = prob, backoff
    model = NGram(words, [unigrams])
    for table in tables[1:]:
        windows = np.array([[ids[word] for word in entry[1]] for entry in table], np.int64)
        order = np.lexsort(windows.T[::-1])
        probs, backoffs = (np.array([entry[at] for entry in table])[order] for at in (0, 2))
        windows = windows[order]
        model.levels.append(Level(model.rows(windows[:, :-1]), windows[:, -1].copy(), probs, backoffs))
    return model
