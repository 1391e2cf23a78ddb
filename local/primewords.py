"""Primewords set 1, 100 h by 296 speakers (openslr.org/47, CC BY-NC-ND 4.0): `<root>/primewords_md_2018_set1`.

`audio_files/0/00/000….wav` and `set1_transcript.json`, a list of {"id", "file", "user_id", "text", "length"}
(egs/multi_cn of Kaldi and lhotse/recipes/primewords.py read it so). The corpus has no sets: a tenth of the speakers is
test, a tenth dev. As in Kaldi, utterances are P<user_id>-<id>.
"""

import json
from pathlib import Path

from steps.common.errors import UserError
from steps.config.schema import Corpus
from steps.corpus.find import corpus_root, find_audio
from steps.corpus.rows import PairOptions as Options
from steps.corpus.rows import half_width, pair, read_lines
from steps.corpus.write import Utterance, by_speaker
from steps.download import Archive

FOLDER = "primewords_md_2018_set1"
# size: ESPnet's recipe; no checksum is published
ARCHIVES = [Archive(f"https://www.openslr.org/resources/47/{FOLDER}.tar.gz", 9057625192, None, FOLDER)]
TRANSCRIPT = "set1_transcript.json"
KEYS = ("id", "file", "user_id", "text")


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """Train, dev and test by a hash of the speaker."""
    root = corpus_root(corpus, FOLDER, TRANSCRIPT)
    wavs = find_audio(root / "audio_files")
    entries = read_entries(root / TRANSCRIPT)
    utterances = []
    for stem in pair(wavs, entries, root, options.skip):
        entry = entries[stem]
        spk = f"P{entry['user_id']}"
        utterances.append(Utterance(f"{spk}-{entry['id']}", spk, wavs[stem], half_width(entry["text"])))
    return by_speaker(utterances)


def read_entries(path: Path) -> dict[str, dict[str, str]]:
    """{file name without .wav: entry} of the transcript. Raises UserError if it is not what it should be."""
    try:
        listed = json.loads("\n".join(read_lines(path)))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: broken JSON ({error}); get the corpus again") from None
    entries = {}
    for entry in listed:
        missing = [key for key in KEYS if not entry.get(key)]
        if missing:
            raise UserError(f"{path}: {entry.get('file')}: no {', '.join(missing)}")
        stem = entry["file"].removesuffix(".wav")
        if stem in entries:
            raise UserError(f"{path}: {entry['file']}: the recording is there twice")
        entries[stem] = entry
    return entries
