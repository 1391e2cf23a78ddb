"""Your own recordings: a CSV or TSV with a line an utterance, read by pandas.

Columns: the audio's path (from `root`), the speaker, and hanzi or pinyin or both. A set column is optional: without it
a tenth of the speakers go to test and a tenth to dev, by a hash of their names.
"""

import functools
import re
from collections.abc import Callable
from pathlib import Path

import pandas

from steps.common.errors import UserError
from steps.config.schema import Corpus, Strict
from steps.corpus.find import named_root
from steps.corpus.table import refuse
from steps.corpus.write import Utterance, split_speakers
from steps.text.syllables import normalize


class Options(Strict):
    """`options:` of a corpus of this kind: the file below `root`, and what its columns are called."""

    file: str
    audio: str = "audio"
    speaker: str = "speaker"
    text: str = "text"
    pinyin: str = "pinyin"
    set: str = "set"


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """The sets that the table's set column names, or train, dev and test by speaker. Raises UserError naming lines."""
    root = named_root(corpus, "the folder that the table's paths start from")
    path = root / options.file
    table = read(path, options)
    utterances = _rows(path, table, functools.partial(_utterance, options=options, root=root))
    if options.set in table:
        sets = list(table[options.set])
    else:
        of_speaker = split_speakers(table[options.speaker])
        sets = [of_speaker[speaker] for speaker in table[options.speaker]]
    prepared = {name: [] for name in sorted(set(sets))}
    for utterance, name in zip(utterances, sets, strict=True):
        prepared[name].append(utterance)
    return prepared


def read(path: Path, options: Options) -> pandas.DataFrame:
    """The table, all cells str. Raises UserError for a column that is missing, or a file that is no table in UTF-8."""
    try:
        table = pandas.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",", dtype=str, keep_default_na=False,
                                encoding="utf-8-sig", skip_blank_lines=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start}); if it is GBK, as Excel writes it: "
                        f"iconv -f GB18030 -t UTF-8 {path} > new && mv new {path}") from None
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError) as error:
        raise UserError(f"{path}: not a table: {error}") from None
    missing = [name for name in (options.audio, options.speaker) if name not in table]
    if options.text not in table and options.pinyin not in table:
        missing.append(f"{options.text} or {options.pinyin}")
    if missing:
        raise UserError(f"{path}: no column {', '.join(missing)}; it has {', '.join(table.columns)}. "
                        f"`options` in conf/corpora/ can name them otherwise, such as {{speaker: client_id}}")
    return table.apply(lambda column: column.str.strip())


def _rows(path: Path, table: pandas.DataFrame, utterance_of: Callable[[dict[str, str]], Utterance]) -> list[Utterance]:
    utterances, faults = [], []
    for line, row in enumerate(table.to_dict("records"), 2):
        try:
            utterances.append(utterance_of(row))
        except UserError as error:
            faults.append(f"{path}:{line}: {error}")
    refuse(faults)
    return utterances


def _utterance(row: dict[str, str], options: Options, root: Path) -> Utterance:
    audio, speaker = row[options.audio], row[options.speaker]
    text, pinyin = row.get(options.text, ""), row.get(options.pinyin, "")
    empty = [name for name, value in ((options.audio, audio), (options.speaker, speaker)) if not value]
    if empty or not (text or pinyin):
        raise UserError(f"nothing in column {empty[0] if empty else f'{options.text} or {options.pinyin}'}")
    if options.set in row and not row[options.set]:
        raise UserError(f"nothing in column {options.set}")
    spk, stem = _id(speaker), _id(Path(audio).stem)
    syllables = " ".join(normalize(written) for written in pinyin.split())
    return Utterance(f"{spk}-{stem}", spk, str(root / audio), " ".join(text.split()), syllables or None)


def _id(name: str) -> str:
    return re.sub(r"\s+", "_", name)
