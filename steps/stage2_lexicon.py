"""Stage 2: how a corpus' texts are read aloud, and what the network is to tell apart.

Reads conf/corpora/<corpus>.yaml and data/<corpus>/<set>/{text,pinyin}; writes data/<corpus>/<set>/pinyin if the
corpus ships none, and data/<corpus>/lang/{lexicon.txt,tokens.txt,words.txt,report.txt,pinyin.sha256}. Words and tokens
come from train alone; of a corpus without train, which is for test, from all its sets. report.txt tells how much there
is, what train lacks, what was normalised, which readings are guesses, what could not be read.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from steps.common.checksums import AGAIN, SUMS, check_sums, forget_sums, write_sums
from steps.common.errors import UserError, counted, run
from steps.common.files import write_lines
from steps.common.parallel import track
from steps.common.process import output_lock
from steps.config.load import load_corpus
from steps.config.schema import TRAIN, Pinyin
from steps.corpus.table import is_derived, is_own, note_own, read_numbers, write_derived
from steps.text.normalize import is_basic, simplified
from steps.text.reading import Word
from steps.text.syllables import token_lines
from steps.text.transcripts import Reading, check_texts, read_pinyin, read_texts, transcribe

RATES = 0.2, 10.0  # syllables a second, with the pauses; outside, text and recording do not belong together
USUAL = 2.0, 6.0  # of half of the sentences; corpora have 2.9 to 5
SENTENCE, SENTENCES = 8, 10  # syllables; sentences that can tell


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.stage2_lexicon", description=__doc__)
    parser.add_argument("corpus", help="names conf/corpora/<corpus>.yaml and data/<corpus>")
    corpus = parser.parse_args().corpus
    config = load_corpus(corpus)
    with output_lock(Path("data") / corpus, "lexicon"):
        make_lexicon(Path("data") / corpus, config.sets, config.pinyin)


def make_lexicon(data_dir: Path, sets: list[str], policy: Pinyin) -> None:
    """Run stage 2 on a corpus' data directory. Writes nothing before every set was read without an error."""
    lexicon, taught = Lexicon(), {TRAIN} & {*sets} or {*sets}
    summaries, shipped, derived, unread = [], {}, {}, []
    for name in sets:
        own = not is_derived(data_dir, name)
        summary = SetSummary(name, own)
        read = _read_set(data_dir, summary, policy, lexicon if name in taught else None)
        table = [f"{utt} {' '.join(syllables)}" for utt, syllables in read]
        (shipped if own else derived)[name] = table
        summaries.append(summary)
        unread += [summary.unread_message(data_dir / name)] if summary.unread else []
    _refuse_or_warn(unread, summaries, policy)
    without = [name for name in sets if not (data_dir / name / "text").exists()]
    if 0 < len(without) < len(sets):
        print(f"warning: {data_dir / without[0] / 'text'}: no such file, but other sets have one: the words of the "
              f"set are not known; run stage 1 again, if it should have some", file=sys.stderr)
    for name, table in shipped.items():
        _respell(data_dir / name / "pinyin", table)
    write_derived(data_dir, derived)
    train = sum((summary.syllables for summary in summaries if summary.name in taught), Counter())
    write_lang(data_dir / "lang", lexicon, train)
    _tell(data_dir / "lang/report.txt", summaries, train)
    for name, table in {**shipped, **derived}.items():
        _warn_of_rates(data_dir / name, table)


def _read_set(data_dir: Path, summary: SetSummary, policy: Pinyin, lexicon: Lexicon | None
              ) -> Iterator[tuple[str, list[str]]]:
    """Yield (utterance, syllables) of a set and fill in its summary and the lexicon, if one is given."""
    directory = data_dir / summary.name
    own = read_pinyin(directory / "pinyin") if summary.shipped else None
    texts = read_texts(directory, own)
    if (directory / SUMS).exists():
        check_sums(directory, AGAIN.format("1 (prepare)"), ["utt2spk"])
    check_texts(directory)
    for reading in track(transcribe(texts, policy), len(texts), f"lexicon {summary.name}"):
        words, syllables = _settle(reading, own, summary)
        if not syllables:
            continue
        for kind in reading.changed:
            spoken = " ".join(word.written for word in reading.words)
            summary.changed[kind].append(f"{reading.utt}: {texts[reading.utt]} → {spoken}")
        summary.utterances += 1
        summary.syllables.update(syllables)
        summary.doubts += [(doubt.odds[0][1], f"{reading.utt}: {doubt}") for doubt in reading.doubts if own is None]
        summary.rare += [f"{reading.utt}: {hanzi} {syllable}" for word in words if own is None
                         for hanzi, syllable in zip(word.written, word.syllables, strict=False)
                         if not is_basic(hanzi) and not is_basic(simplified(hanzi))]
        if lexicon is not None:
            lexicon.add(words)
        yield reading.utt, syllables


def _settle(reading: Reading, own: dict[str, list[str]] | None, summary: SetSummary) -> tuple[list[Word], list[str]]:
    """An utterance's words and syllables: the corpus' own pinyin wins, spread over the words if it fits them."""
    if own is None:
        if not reading.words:
            summary.unread[reading.utt] = reading.unread
        return reading.words, reading.syllables
    if reading.utt not in own:
        summary.unread[reading.utt] = ()
        return [], []
    syllables = own[reading.utt]
    if len(reading.syllables) != len(syllables):
        if reading.words or reading.unread:
            summary.uneven.append(reading.utt)
        return [], syllables
    rest = iter(syllables)
    return [Word(word.written, tuple(next(rest) for _ in word.syllables)) for word in reading.words], syllables


def _refuse_or_warn(unread: list[str], summaries: list[SetSummary], policy: Pinyin) -> None:
    """Report what could not be read in all sets at once. Raises UserError unless it may be left out."""
    if unread and policy.unreadable == "stop":
        remedies = {True: "Add the pinyin that a set lacks", False: "Take signs and markers such as <NOISE> out of the "
                    "text, and give hanzi and Latin words a reading in a pinyin.user_dict (a line WiFi wai1 fei1). "
                    "Text that is pinyin belongs in a file (of a table: a column) `pinyin` in place of `text`"}
        wanted = sorted({summary.shipped for summary in summaries if summary.unread}, reverse=True)
        raise UserError("\n  ".join([*unread, *(remedies[shipped] for shipped in wanted), "Or leave them out with "
                                     "pinyin: {unreadable: skip}, in the corpus' yaml file"]))
    for message in unread:
        print(f"WARNING: {message}\n  left out of its pinyin", file=sys.stderr)


def _respell(path: Path, table: list[str]) -> None:
    """Bring the corpus' own pinyin into the recipe's spelling, leaving a file alone that is in it."""
    if path.read_text(encoding="utf-8").splitlines() != table:
        own = is_own(path.parent)
        write_lines(path, table)
        if own:
            note_own(path.parent)


def _tell(path: Path, summaries: list[SetSummary], train: Counter[str]) -> None:
    lines = [summary.line(train) for summary in summaries]
    print(*lines, f"details: {path}", sep="\n")
    doubtful = sum((summary.doubtful() for summary in summaries), Counter())
    if doubtful:
        counts = ", ".join(f"{kind} {count}" for kind, count in sorted(doubtful.items()))
        print(f"doubtful readings: {counts}; look at them in {path} before you train. What is wrong is mended by "
              f"pinyin.user_dict, or in <set>/pinyin by hand")
    write_lines(path, [*lines, *(line for summary in summaries for line in summary.details(train))])


def _warn_of_rates(directory: Path, table: list[str]) -> None:
    """Say on stderr how many utterances hold too many syllables for their length, or too few."""
    seconds = read_numbers(directory / "utt2dur") if (directory / "utt2dur").exists() else {}
    counts = {utt: len(syllables) for utt, *syllables in map(str.split, table) if utt in seconds}
    odd = [utt for utt, count in counts.items() if not RATES[0] <= count / seconds[utt] <= RATES[1]]
    if odd:
        print(f"warning: {directory}: {len(odd)} of {len(counts)} utterances have fewer than {RATES[0]} or more than "
              f"{RATES[1]:.0f} syllables a second, such as {odd[0]}, {counts[odd[0]]} in {seconds[odd[0]]:.1f} s: does "
              f"its text belong to it, and does its header tell the right sample rate?", file=sys.stderr)
    rates = [count / seconds[utt] for utt, count in counts.items() if count >= SENTENCE]
    if len(rates) >= SENTENCES and not USUAL[0] <= (usual := statistics.median(rates)) <= USUAL[1]:
        print(f"warning: {directory}: its sentences have {usual:.1f} syllables a second, but {USUAL[0]:.0f} to "
              f"{USUAL[1]:.0f} are usual: do the recordings' headers tell the right sample rate?", file=sys.stderr)


FILES = "lexicon.txt", "words.txt", "tokens.txt"
SHOWN = 10  # examples a message shows; the report file has all


class Lexicon:
    """Words and all the ways they were read; each hanzi of them is a word, too."""

    def __init__(self) -> None:
        self._readings: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)

    def add(self, words: Iterable[Word]) -> None:
        for written, syllables in words:
            if syllables in self._readings.get(written, ()):
                continue
            self._readings[written].add(syllables)
            if not written.isascii():
                for character, syllable in zip(written, syllables, strict=True):
                    self._readings[character].add((syllable,))

    def words(self) -> list[str]:
        return sorted(self._readings)

    def lines(self) -> list[str]:
        """The lines of lexicon.txt: `word syllable…`, a line a reading, in C order."""
        return [" ".join((word, *syllables)) for word in self.words() for syllables in sorted(self._readings[word])]


def write_lang(lang: Path, lexicon: Lexicon, train_syllables: Iterable[str]) -> None:
    forget_sums(lang, FILES)
    write_lines(lang / "lexicon.txt", lexicon.lines())
    words = ["<eps>", *lexicon.words(), "#0", "<s>", "</s>"]  # as Kaldi's symbol table has them
    write_lines(lang / "words.txt", (f"{word} {number}" for number, word in enumerate(words)))
    write_lines(lang / "tokens.txt", token_lines(train_syllables))
    write_sums(lang, FILES)


@dataclass
class SetSummary:
    """The tally of one set."""

    name: str
    shipped: bool  # the pinyin came with the corpus
    utterances: int = 0
    syllables: Counter[str] = field(default_factory=Counter)
    changed: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # kind to utterances
    unread: dict[str, tuple[str, ...]] = field(default_factory=dict)  # utterance to characters and words, left out
    doubts: list[tuple[float, str]] = field(default_factory=list)  # readings that are guesses, by their probability
    rare: list[str] = field(default_factory=list)  # characters that GB 2312 lacks, which dictionaries may have wrong
    uneven: list[str] = field(default_factory=list)  # utterances with other than one shipped syllable a character

    def line(self, train: Counter[str]) -> str:
        """The summary on one line; `train` holds the syllables of the training set."""
        oov = self.out_of_tokens(train)
        total = sum(self.syllables.values())
        parts = [f"{self.name}: {counted(self.utterances, 'utterance')}", counted(total, "syllable"),
                 f"{len(self.syllables)} distinct",
                 f"{sum(oov.values())} ({len(oov)} distinct) not in train" + _commonest(oov),
                 "pinyin of the corpus" if self.shipped else "pinyin derived"]
        parts += [f"{kind} normalised in {len(utts)}" for kind, utts in sorted(self.changed.items())]
        if self.doubts:
            parts.append(counted(len(self.doubts), "guessed reading"))
        if self.rare:
            parts.append(counted(len(self.rare), "rare character"))
        if self.uneven:
            parts.append(f"{len(self.uneven)} with other than one syllable a character")
        if self.unread:
            parts.append(f"{len(self.unread)} LEFT OUT as {self._why_unread}")
        return ", ".join(parts)

    def doubtful(self) -> Counter[str]:
        """The readings that people should look at, counted by kind."""
        return Counter({"guesses": len(self.doubts), "rare characters": len(self.rare),
                        **{f"texts with {kind}": len(told) for kind, told in self.changed.items()}})

    def out_of_tokens(self, train: Counter[str]) -> Counter[str]:
        return Counter({syllable: n for syllable, n in self.syllables.items() if syllable not in train})

    def details(self, train: Counter[str]) -> list[str]:
        """The lines of the report file about the set: `set: kind: utterance or syllable: …`."""
        lines = [f"{self.name}: reading guessed: {what}" for _, what in sorted(self.doubts)]
        lines += [f"{self.name}: rare character: {what}" for what in self.rare]
        for kind, told in sorted(self.changed.items()):
            lines += [f"{self.name}: {kind} normalised: {what}" for what in told]
        oov = self.out_of_tokens(train)
        lines += [f"{self.name}: not in train: {syllable} {n}" for syllable, n in oov.most_common()]
        lines += [f"{self.name}: other than one syllable a character: {utt}" for utt in self.uneven]
        lines += [" ".join([f"{self.name}: LEFT OUT as {self._why_unread}:", utt, *what])
                  for utt, what in self.unread.items()]
        return lines

    @property
    def _why_unread(self) -> str:
        return "without pinyin" if self.shipped else "unreadable"

    def unread_message(self, directory: Path) -> str:
        """The message about text without a reading, with counts and utterances."""
        total = len(self.unread) + self.utterances
        utts = ", ".join(list(self.unread)[:SHOWN]) + (", …" if len(self.unread) > SHOWN else "")
        if self.shipped:
            return (f"{directory}/pinyin: the corpus' own, or mended by hand, lacks {len(self.unread)} of the {total} "
                    f"utterances of text: {utts}")
        counts = Counter(what for found in self.unread.values() for what in found)
        named = {what: what if len(what) > 1 else f"{what} (U+{ord(what):04X})" for what in counts}
        found = ", ".join(f"{named[what]} {n}×" for what, n in counts.most_common(SHOWN))
        return (f"{directory}/text: {len(self.unread)} of {total} utterances cannot be read aloud: "
                f"{found or 'no words'}; in {utts}")


def _commonest(counts: Counter[str]) -> str:
    return ": " + " ".join(f"{syllable} {n}×" for syllable, n in counts.most_common(SHOWN)) if counts else ""


if __name__ == "__main__":
    run(main)
