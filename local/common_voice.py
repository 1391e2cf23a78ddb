"""Common Voice, Chinese (China) (commonvoice.mozilla.org, CC0): a release's `<root>/{train,dev,test}.tsv` and `clips/`.

The .tsv files have the columns client_id, path and sentence among others, and path names an mp3 in clips
(lhotse/recipes/commonvoice.py reads it so). The project's own sets are kept. An utterance is the client's first 16
digits, which are the speaker, and the clip's name.
"""

from pathlib import Path

from steps.common.errors import UserError
from steps.config.schema import Corpus, Strict
from steps.corpus.find import corpus_root
from steps.corpus.table import half_width, read_lines, refuse
from steps.corpus.write import Utterance

SPEAKER = slice(16)  # of client_id's 128 digits
COLUMNS = ("client_id", "path", "sentence")


class Options(Strict):
    """`options:` of conf/corpora/common_voice.yaml: there are none."""


def download(corpus: Corpus, options: Options) -> None:
    """Mozilla hands a link out to those who agree to its terms: there is nothing that a program may fetch."""
    raise UserError("Common Voice is downloaded by hand: choose Chinese (China) at "
                    "https://commonvoice.mozilla.org/datasets, extract it, and let `root` be the folder zh-CN in it")


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """The sets that the config names: each a .tsv file of the release (train, dev, test, validated, other)."""
    root = corpus_root(corpus, "zh-CN", "clips")
    return {name: read_set(root, name) for name in corpus.sets}


def read_set(root: Path, name: str) -> list[Utterance]:
    """The rows of one .tsv file. Raises UserError naming the columns or lines that are not what they should be."""
    path = root / f"{name}.tsv"
    lines = read_lines(path)
    header = lines[0].split("\t") if lines else []
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise UserError(f"{path}: no column {', '.join(missing)}; a release's .tsv has {', '.join(COLUMNS)}")
    client, clip, sentence = map(header.index, COLUMNS)
    utterances, faults = [], []
    for number, line in enumerate(lines[1:], 2):
        fields = line.split("\t")
        if len(fields) != len(header) or not fields[sentence].strip():
            faults.append(f"{path}:{number}: {len(header)} columns and a sentence are wanted, not {line!r}")
            continue
        spk = fields[client][SPEAKER]
        wav = str(root / "clips" / fields[clip])
        utterances.append(Utterance(f"{spk}-{Path(wav).stem}", spk, wav, half_width(fields[sentence])))
    refuse(faults)
    return utterances
