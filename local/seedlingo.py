"""Seedlingo: about 200 words, numbers and short questions of a course in reading, one speaker (test alone).

Of github.com/nodepa/seedlingo at a commit that still had Mandarin (recordings: CC BY-SA 4.0, Li Ai Education). Two
layouts are read: the clone's, where `<root>/content/WordSpec.json` and `Unit*.json` say which recording says what, and
a packed one, `<root>/transcripts.tsv` with the columns file (from `root`) and text.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from steps.common.errors import UserError
from steps.config.schema import Corpus, Strict
from steps.corpus.find import corpus_root, named_root
from steps.corpus.rows import read_columns
from steps.corpus.write import Utterance
from steps.download import Archive

COMMIT = "ab269c331f60bc4029f416b635d911822774b341"
REPOSITORY = f"seedlingo-{COMMIT}"
ARCHIVES = [Archive(f"https://github.com/nodepa/seedlingo/archive/{COMMIT}.tar.gz", None, None, REPOSITORY)]
WORDS = "content/WordSpec.json"
PACKED = "transcripts.tsv"
COLUMNS = "file", "text"
SPEAKER = "seedlingo"
TONED = re.compile(r".*[1-4]")  # 教1.mp3 and 教4.mp3: the text of both is 教, read in two ways


def prepare(corpus: Corpus, options: Strict, data_dir: Path) -> dict[str, list[Utterance]]:
    """The set test. If several words share a recording, such as 他 and 她, the first word is its text."""
    root = named_root(corpus, f"the folder that {WORDS} or {PACKED} lies in")
    if (root / PACKED).exists():
        rows = [row.cells for row in read_columns(root / PACKED, COLUMNS)]
        texts = {str(root / row["file"]): row["text"] for row in reversed(rows)}
    else:
        root = corpus_root(corpus, REPOSITORY, WORDS)
        found = list(read_words(root / WORDS))
        for path in sorted(root.glob("content/Unit*.json")):
            found += read_questions(path)
        texts = {str(root / "content" / audio): text for audio, text in reversed(found)}
    stems = {audio: Path(audio).stem for audio in texts}
    toned = sorted(stem for audio, stem in stems.items() if len(texts[audio]) == 1 and TONED.fullmatch(stem))
    if toned:
        print(f"{root}: {len(toned)} of {len(texts)} left out: one character that is read in several ways: "
              f"{', '.join(toned)}", file=sys.stderr)
    return {"test": [Utterance(f"{SPEAKER}-{stems[audio]}", SPEAKER, audio, text)
                     for audio, text in texts.items() if stems[audio] not in toned]}


def read_words(path: Path) -> Iterator[tuple[str, str]]:
    """(audio, text) of the words in WordSpec.json that have both."""
    for word in _read(path).get("words", {}).values():
        if word.get("word") and word.get("audio"):
            yield word["audio"], word["word"]


def read_questions(path: Path) -> Iterator[tuple[str, str]]:
    """(audio, text) of the questions about a text, in a Unit*.json."""
    for exercise in _read(path).get("exercises", []):
        for question in exercise.get("comprehensionSpec", {}).get("comprehensionQuestions", []):
            if question.get("questionText") and question.get("questionAudio"):
                yield question["questionAudio"], question["questionText"]


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: broken JSON: {error}; get the file again") from None
