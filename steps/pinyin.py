"""Read text aloud: lines of hanzi from standard input, lines of tonal syllables to standard output.

A line that cannot be read gives an empty line, and a message on standard error; the exit status is then 1.
"""

import argparse
import itertools
import sys
from pathlib import Path

from steps.common.errors import run
from steps.common.files import stdin_lines
from steps.common.yaml import load
from steps.config.schema import Corpus, Pinyin
from steps.text.phrases import read_entries
from steps.text.syllables import accented
from steps.text.transcripts import Reading, transcribe

AT_ONCE = 1000  # lines read before any is written; one by one if a user types


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.pinyin", description=__doc__)
    parser.add_argument("--policy", type=Path, help="a corpus' yaml, whose `pinyin:` says how, such as "
                                                    "conf/corpora/thchs30.yaml; without it, standard Mandarin")
    parser.add_argument("--user-dict", help="readings of your own, which win: lines of a word and its syllables")
    parser.add_argument("--marks", action="store_true", help="nǐ hǎo in place of ni3 hao3")
    parser.add_argument("--doubtful", action="store_true",
                        help="list on standard error the readings that were guessed, with their probabilities")
    args = parser.parse_args()
    policy = load(args.policy, Corpus).pinyin if args.policy else Pinyin()
    if args.user_dict:
        policy = policy.model_copy(update={"user_dict": args.user_dict})
    if policy.user_dict:
        read_entries(Path(policy.user_dict))  # for its mistakes, before a line is waited for
    lines = enumerate(stdin_lines(), 1)
    failed = False
    while chunk := list(itertools.islice(lines, 1 if sys.stdin.isatty() else AT_ONCE)):
        texts = dict(chunk)
        for reading in transcribe(texts, policy):
            print(*(map(accented, reading.syllables) if args.marks else reading.syllables), flush=sys.stdin.isatty())
            failed |= not tell(reading, texts[reading.utt])
            if args.doubtful:
                for doubt in reading.doubts:
                    print(f"line {reading.utt}: {doubt}", file=sys.stderr)
    sys.exit(failed)


def tell(reading: Reading, text: str) -> bool:
    """Whether the line has a reading, or nothing to read; if not, say why."""
    if any("\udc80" <= char <= "\udcff" for char in text):
        print(f"line {reading.utt}: not {sys.stdin.encoding}; convert the text, such as: iconv -f GB18030 -t UTF-8; "
              "or say what it is, such as: export PYTHONIOENCODING=utf-8", file=sys.stderr)
    elif reading.unread:
        parts = ", ".join(dict.fromkeys(reading.unread))
        print(f"line {reading.utt}: cannot be read: {parts} in {text}; write it in hanzi, or give its reading in a "
              "file that --user-dict names, a line such as WiFi wai1 fei1", file=sys.stderr)
    return not reading.unread


if __name__ == "__main__":
    run(main, errors="strict")
