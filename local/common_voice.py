"""Common Voice, Chinese (China) (commonvoice.mozilla.org, CC0): a release's `<root>/{train,dev,test}.tsv` and `clips/`.

The .tsv files have the columns client_id, path and sentence among others, and path names an mp3 in clips
(lhotse/recipes/commonvoice.py reads it so). The project's own sets are kept. An utterance is the client's first 16
digits, which are the speaker, and the clip's name.
"""

from pathlib import Path

from steps.common.errors import UserError
from steps.config.schema import Corpus, Strict
from steps.corpus.find import corpus_root
from steps.corpus.rows import half_width, read_columns
from steps.corpus.table import refuse_or_leave_out
from steps.corpus.validate import text_fault
from steps.corpus.write import Utterance

SPEAKER = slice(16)  # of client_id's 128 digits
COLUMNS = ("client_id", "path", "sentence")


def download(corpus: Corpus, options: Strict) -> None:
    """Mozilla hands a link out to those who agree to its terms: there is nothing that a program may fetch."""
    raise UserError("Common Voice is downloaded by hand: choose Chinese (China) at "
                    "https://commonvoice.mozilla.org/datasets, extract it, and let `root` be the folder zh-CN in it")


def prepare(corpus: Corpus, options: Strict, data_dir: Path) -> dict[str, list[Utterance]]:
    """The sets that the config names: each a .tsv file of the release (train, dev, test, validated, other)."""
    root = corpus_root(corpus, "zh-CN", "clips")
    return {name: read_set(root, name, corpus.skip_bad) for name in corpus.sets}


def read_set(root: Path, name: str, skip_bad: bool) -> list[Utterance]:
    """The rows of one .tsv file. Raises UserError naming the columns or lines that are not what they should be."""
    path = root / f"{name}.tsv"
    rows = read_columns(path, COLUMNS)
    utterances, faults = [], []
    for row in rows:
        client, clip, sentence = (row.cells[column] for column in COLUMNS)
        text = half_width(sentence)
        fault = text_fault(text) if text and client and clip else "client, path and sentence are wanted"
        if fault:
            faults.append(f"{path}:{row.line}: {fault}")
            continue
        spk, wav = client[SPEAKER], str(root / "clips" / clip)
        utterances.append(Utterance(f"{spk}-{Path(wav).stem}", spk, wav, text))
    refuse_or_leave_out(faults, skip_bad, len(rows), f"rows of {path}")
    return utterances
