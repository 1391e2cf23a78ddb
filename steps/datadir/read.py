"""Reading a data directory back."""

from pathlib import Path

from steps.common.errors import UserError
from steps.datadir.table import read_table
from steps.datadir.utterance import Utterance
from steps.datadir.validate import read_valid


def read_data_dir(data_dir: Path) -> list[Utterance]:
    """The utterances of a Kaldi data directory, with the pinyin where it has some; audio is not opened.

    Raises UserError where it breaks Kaldi's rules, as `steps.datadir.validate.validate` does.
    """
    tables = read_valid(data_dir)
    texts, pinyin = tables.get("text", {}), tables.get("pinyin", {})
    return [Utterance(utt, spk, tables["wav.scp"][utt], texts.get(utt, ""), pinyin.get(utt))
            for utt, spk in tables["utt2spk"].items()]


def read_pinyin(path: Path) -> dict[str, list[str]]:
    """The syllables of data/<corpus>/<set>/pinyin by utterance, as stage 2 writes them.

    Raises UserError where it is missing, unsorted, or an utterance has no syllables.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; run stage 2 (lexicon) first")
    return {utt: syllables.split() for utt, syllables in read_table(path).items()}
