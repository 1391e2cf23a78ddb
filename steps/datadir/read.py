"""Reading a data directory back."""

from pathlib import Path

from steps.common.errors import UserError
from steps.datadir.utterance import Utterance
from steps.datadir.validate import read_all, table_faults


def read_data_dir(data_dir: Path) -> list[Utterance]:
    """The utterances of a Kaldi data directory, with the pinyin where it has some; audio is not opened.

    Raises UserError where it breaks Kaldi's rules, as `steps.datadir.validate.validate` does.
    """
    tables, faults = read_all(data_dir)
    faults = faults or table_faults(data_dir, tables)
    if faults:
        raise UserError(f"{data_dir} is not a valid data directory:\n  " + "\n  ".join(faults))
    texts, pinyin = tables.get("text", {}), tables.get("pinyin", {})
    return [Utterance(utt, spk, tables["wav.scp"][utt], texts.get(utt, ""), pinyin.get(utt))
            for utt, spk in tables["utt2spk"].items()]
