"""How often stage 2 reads text otherwise than the labels of THCHS-30, beside pypinyin as it comes.

    python tests/benchmarks/pinyin_accuracy.py <table> [--show even|odd]

`<table>` has lines `hanzi<TAB>pinyin`, one tone digit a syllable and none for the neutral tone. conf/pinyin/thchs30.txt
and the rules were tuned on the even lines (counted from 1) alone; the odd ones are for the figure that counts.

The labels agree with early pypinyin's dictionary and segmentation, slips included (氧化还原 hai2 yuan2, 电子 zi5, 时候
hou4), so a policy of its own follows them. The default reads as 现代汉语词典 does, and departs from them where they
depart from it.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from pypinyin import Style, lazy_pinyin

from steps.common.errors import UserError, run
from steps.config.schema import Pinyin
from steps.text.reading import Reader
from steps.text.syllables import normalize

LIKE_THCHS30 = Pinyin(sandhi="lexical", neutral_tone="citation", dictionary="early",
                      user_dict="conf/pinyin/thchs30.txt")
POLICIES = {
    "like THCHS-30's labels": LIKE_THCHS30,
    "the default": Pinyin(),
    "default, citation tones": Pinyin(neutral_tone="citation"),
    "default, all sandhi": Pinyin(sandhi="spoken"),
}
CONTEXT = 3  # characters shown on either side of a disagreement

Sentence = tuple[str, list[str]]
Read = Callable[[str], list[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--show", choices=("even", "odd"), default="even", help="whose disagreements to list")
    args = parser.parse_args()
    sentences = read_sentences(args.table)
    halves = {"even": sentences[1::2], "odd": sentences[0::2]}
    readers = {"pypinyin": by_pypinyin} | {name: by_us(policy) for name, policy in POLICIES.items()}
    print(f"{'':26}" + "".join(f"{half + ' lines':>24}" for half in halves))
    for name, read in readers.items():
        print(f"{name:26}" + "".join(f"{rate(read, part):>24}" for part in halves.values()))
    print(f"\nlike THCHS-30's labels, {args.show} lines:")
    for (char, ours, theirs), where in disagreements(by_us(LIKE_THCHS30), halves[args.show]):
        print(f"{len(where):3} × {char} read {ours}, labelled {theirs}: {' '.join(where[:4])}")


def read_sentences(table: Path) -> list[Sentence]:
    """The hanzi and normalised syllables of each line. Raises UserError where their numbers differ."""
    sentences = []
    for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), 1):
        text, _, pinyin = line.partition("\t")
        syllables = [normalize(written) for written in pinyin.split()]
        if len(syllables) != len(text):
            raise UserError(f"{table}:{number}: {len(text)} characters, {len(syllables)} syllables")
        sentences.append((text, syllables))
    return sentences


def by_pypinyin(text: str) -> list[str]:
    """As pypinyin reads, untouched."""
    return lazy_pinyin(text, style=Style.TONE3, v_to_u=False, neutral_tone_with_five=True)


def by_us(policy: Pinyin) -> Read:
    """As stage 2 reads under a policy."""
    reader = Reader(policy)
    return lambda text: [syllable for word in reader.read(text) for syllable in word.syllables]


def differences(read: Read, sentences: list[Sentence]) -> Iterator[tuple[tuple[str, str, str], str]]:
    """Yield ((character, ours, theirs), where it stands) for each syllable read otherwise."""
    for text, theirs in sentences:
        for at, (ours, label) in enumerate(zip(read(text), theirs, strict=True)):
            if ours != label:
                before, behind = text[max(0, at - CONTEXT) : at], text[at + 1 : at + 1 + CONTEXT]
                yield (text[at], ours, label), f"{before}[{text[at]}]{behind}"


def rate(read: Read, sentences: list[Sentence]) -> str:
    """`errors / syllables = percentage`."""
    wrong = sum(1 for _ in differences(read, sentences))
    total = sum(len(syllables) for _, syllables in sentences)
    return f"{wrong} / {total} = {100 * wrong / total:.3f} %"


def disagreements(read: Read, sentences: list[Sentence]) -> list[tuple[tuple[str, str, str], list[str]]]:
    """The kinds of disagreement with all their places, commonest first."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for kind, where in differences(read, sentences):
        places.setdefault(kind, []).append(where)
    counts = Counter({kind: len(where) for kind, where in places.items()})
    return [(kind, places[kind]) for kind, _ in counts.most_common()]


if __name__ == "__main__":
    run(main)
