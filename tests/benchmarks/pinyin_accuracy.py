"""How often stage 2 reads text otherwise than gold, beside pypinyin as it comes.

    python -m tests.benchmarks.pinyin_accuracy [--thchs30 TABLE] [--polyphones TABLE] [--show SET]

Everyday: tests/everyday.tsv, the default policy, whole sentences; 一 and 不 may have any tone.
THCHS-30: `hanzi<TAB>pinyin`, one tone digit a syllable and none for the neutral tone; single syllables, with the policy
for its labels. conf/pinyin/thchs30.txt and the rules were tuned on the even lines (counted from 1) alone.
Polyphones: `sentence<TAB>syllable` with one character between ▁ marks, as CPP has it (kakaobrain/g2pM); that
character, the default policy. "Tuned on" is the half that rules and models were fitted to, "held out" the figure that
counts.

THCHS-30's labels agree with early pypinyin's dictionary and segmentation, slips included (氧化还原 hai2 yuan2, 电子
zi5, 时候 hou4), so a policy of its own follows them. The default reads as 现代汉语词典 does, and departs from them
where they depart from it.
"""

import argparse
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from pypinyin import Style, lazy_pinyin

from steps.common.errors import UserError, run
from steps.config.schema import Pinyin
from steps.text.normalize import is_hanzi, normalize
from steps.text.reading import Reader
from steps.text.syllables import normalize as normalize_syllable
from tests.everyday_sentences import Sentence, everyday_sentences

LIKE_THCHS30 = Pinyin(sandhi="lexical", neutral_tone="citation", dictionary="early",
                      user_dict="conf/pinyin/thchs30.txt")
MARK = "▁"
CONTEXT = 4  # characters shown on either side of an error

Read = Callable[[str], list[tuple[str, str]]]  # raw text to (hanzi or Latin word, syllables)
Mistake = tuple[str, str]  # what kind, where


class Score:
    """How many of a set were read right, and the mistakes."""

    def __init__(self, mistakes: list[Mistake], total: int):
        self.mistakes = mistakes
        self.total = total

    def __str__(self) -> str:
        return f"{len(self.mistakes)} / {self.total} = {100 * len(self.mistakes) / self.total:.2f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--thchs30", type=Path, help="a table of THCHS-30's sentences")
    parser.add_argument("--polyphones", type=Path, help="a table of CPP's sentences")
    parser.add_argument("--show", help="the set whose mistakes to list, by the name in the table")
    args = parser.parse_args()
    print(f"{'wrong':32}{'pypinyin':>24}{'stage 2':>24}")
    for name, (score, policy) in _sets(args).items():
        ours = score(_by_us(policy))
        print(f"{name:32}{score(_by_pypinyin)!s:>24}{ours!s:>24}")
        if name == args.show:
            _show(ours)


def _sets(args: argparse.Namespace) -> dict[str, tuple[Callable[[Read], Score], Pinyin]]:
    everyday, spoken = ([one for one in everyday_sentences() if one.policy.sandhi == sandhi]
                        for sandhi in ("citation", "spoken"))
    sets = {"everyday, sentences": (lambda read: score_everyday(read, everyday), Pinyin()),
            "as spoken, sentences": (lambda read: score_everyday(read, spoken), spoken[0].policy)}
    if args.thchs30:
        sentences = read_sentences(args.thchs30)
        for name, half in (("even", sentences[1::2]), ("odd", sentences[0::2])):
            sets[f"THCHS-30 {name}, syllables"] = (lambda read, half=half: score_syllables(read, half), LIKE_THCHS30)
    if args.polyphones:
        for name, half in zip(("tuned on", "held out"), halves(args.polyphones), strict=True):
            sets[f"polyphones {name}"] = (lambda read, half=half: score_polyphones(read, half), Pinyin())
    return sets


def _show(score: Score) -> None:
    places: dict[str, list[str]] = {}
    for kind, where in score.mistakes:
        places.setdefault(kind, []).append(where)
    for kind, n in Counter({kind: len(where) for kind, where in places.items()}).most_common():
        print(f"  {n:3} × {kind}: {' '.join(places[kind][:5])}")


def read_sentences(table: Path) -> list[tuple[str, list[str]]]:
    """The hanzi and normalised syllables of each line. Raises UserError where their numbers differ."""
    sentences = []
    for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), 1):
        text, _, pinyin = line.partition("\t")
        syllables = [normalize_syllable(written) for written in pinyin.split()]
        if len(syllables) != len(text):
            raise UserError(f"{table}:{number}: {len(text)} characters, {len(syllables)} syllables")
        sentences.append((text, syllables))
    return sentences


def halves(table: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The lines of a table of polyphones to tune on, and those held out, parted by the sentence's hash."""
    parts: tuple[list, list] = ([], [])
    for line in table.read_text(encoding="utf-8").splitlines():
        sentence, _, syllable = line.partition("\t")
        parts[hashlib.sha256(sentence.encode()).digest()[0] % 2].append((sentence, normalize_syllable(syllable)))
    return parts


def score_everyday(read: Read, sentences: list[Sentence]) -> Score:
    """Mistakes are sentences."""
    mistakes = []
    for sentence in sentences:
        syllables = [syllable for _, read_as in read(sentence.text) for syllable in read_as.split()]
        if not sentence.is_right(syllables):
            mistakes.append((sentence.kind, f"{sentence.text} [{_marked(syllables, sentence.readings[0])}]\n     "))
    return Score(mistakes, len(sentences))


def _marked(syllables: list[str], gold: list[set[str]]) -> str:
    """The syllables read, with gold behind those that differ."""
    if len(syllables) != len(gold):
        return " ".join(syllables)
    return " ".join(one if one in right else f"{one}≠{'/'.join(sorted(right))}"
                    for one, right in zip(syllables, gold, strict=True))


def score_syllables(read: Read, sentences: list[tuple[str, list[str]]]) -> Score:
    """Mistakes are single syllables."""
    mistakes = []
    for text, theirs in sentences:
        for at, ((_, ours), label) in enumerate(zip(read(text), theirs, strict=True)):
            if ours != label:
                mistakes.append((f"{text[at]} read {ours}, labelled {label}", _around(text, at)))
    return Score(mistakes, sum(len(syllables) for _, syllables in sentences))


def score_polyphones(read: Read, sentences: list[tuple[str, str]]) -> Score:
    """Mistakes are marked characters."""
    mistakes = []
    for sentence, label in sentences:
        before, char, behind = sentence.split(MARK)
        occurrence = before.count(char)
        ours = [syllable for written, syllable in read(before + char + behind) if written == char][occurrence]
        if ours != label:
            mistakes.append((f"{char} read {ours}, labelled {label}", _around(before + char + behind, len(before))))
    return Score(mistakes, len(sentences))


def _around(text: str, at: int) -> str:
    return f"{text[max(0, at - CONTEXT) : at]}[{text[at]}]{text[at + 1 : at + 1 + CONTEXT]}"


def _by_pypinyin(text: str) -> list[tuple[str, str]]:
    """As pypinyin reads, untouched, after our reading of numbers."""
    return [one for clause in normalize(text).clauses for run in clause.split() for one in _pairs(run, lazy_pinyin(
        run, style=Style.TONE3, v_to_u=False, neutral_tone_with_five=True, errors=lambda foreign: list(foreign)))]


def _by_us(policy: Pinyin) -> Read:
    """As stage 2 reads under a policy."""
    reader = Reader(policy)
    return lambda text: list(_read_clauses(reader, text))


def _read_clauses(reader: Reader, text: str) -> Iterator[tuple[str, str]]:
    clauses, _, unread = normalize(text)
    for clause in clauses:
        for part in (*unread, *sorted(reader.unknown(clause), key=len)[::-1]):
            clause = clause.replace(part, " ")
        for word in reader.read([clause])[0][0]:
            if word.written.isascii():
                yield word.written, " ".join(word.syllables)
            else:
                yield from _pairs(word.written, list(word.syllables))


def _pairs(written: str, syllables: list[str]) -> Iterator[tuple[str, str]]:
    """Each character with its syllable; what is no hanzi, or a hanzi that nobody reads, has none."""
    if len(syllables) == len(written):
        return zip(written, syllables, strict=True)
    rest = iter(syllables)
    return ((char, next(rest, "")) if is_hanzi(char) else (char, "") for char in written)


if __name__ == "__main__":
    run(main)
