"""Text read aloud: words of hanzi to tonal syllables, under a corpus' `pinyin:` policy.

What decides a character's reading, the strongest first: the user's dictionary, contexts marked as strong, rules of
grammar for particles and suffixes, phrases of the dictionaries that do not straddle words, contexts, the network over
the characters around it, and the dictionary's first reading. `dictionary: early` stops at phrases. Traditional
characters are read as the simplified ones in their place.
"""

import functools
import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import rjieba

from steps.config.schema import Pinyin
from steps.text import grammar
from steps.text.de import readings_of_de
from steps.text.grammar import Clause, tagged
from steps.text.normalize import decided, simplified, spell
from steps.text.phrases import Phrases, Span, read_entries, weak_entries
from steps.text.polyphones import Odds, polyphones, strong_readings, weak_reading
from steps.text.syllables import NEUTRAL
from steps.text.tones import citation_tones, doubled_third_tones, lexical_tones, spoken_tones, third_tones

CORRECTIONS = Path(__file__).parent / "corrections.txt"
WORD_OR_HANZI = re.compile(r"[a-zA-Z]+|[^\sa-zA-Z]")
WORD_OR_RUN = re.compile(r"[a-zA-Z]+|[^\sa-zA-Z][^a-zA-Z]*")
SEGMENTED = re.compile(r"[^\sa-zA-Z] +[^\sa-zA-Z]")  # blanks beside Latin words are typography
TOGETHER = re.compile(r"[^\sa-zA-Z]{2}")  # if there is none, blanks part characters, not words
CERTAIN = 0.95  # probability from which a guess of the network is no doubt
PARTICLES = frozenset("的地得了着儿子为吧呢吗嘛啊呀哇啦么上大会说过没那哪把个一不")  # for rules, not for the network


class Word(NamedTuple):
    """A word as it was read where it stood."""

    written: str  # hanzi, or a Latin word
    syllables: tuple[str, ...]  # one a hanzi


class Doubt(NamedTuple):
    """A character whose reading the network guessed, and was not sure of."""

    before: str
    hanzi: str
    behind: str
    odds: list[tuple[str, float]]  # readings and their probabilities, the likeliest first

    def __str__(self) -> str:
        return f"{self.before}[{self.hanzi}]{self.behind}: " + " ".join(f"{one} {odds:.2f}" for one, odds in self.odds)


class Run:
    """The hanzi between two Latin words of a clause, on their way to syllables."""

    def __init__(self, start: int, words: list[str], clause: Clause, spans: list[Span]):
        self.start = start  # in the clause, blanks not counted
        self.words = words
        self.clause = clause
        self.spans = spans
        self.syllables = [syllable for span in spans for syllable in span.syllables]
        self.alone = frozenset(span.start for span in spans if len(span.hanzi) == 1)  # in no phrase
        self.undecided: list[int] = []

    def inside(self, phrases: set[str]) -> set[int]:
        """The positions in spans that are one of `phrases`."""
        return {at for span in self.spans if span.hanzi in phrases
                for at in range(span.start, span.start + len(span.hanzi))}


class Draft(NamedTuple):
    """A clause on its way to syllables."""

    text: str  # simplified, without blanks
    parts: list[Word | Run]
    decided: dict[int, str]  # readings that traditional characters decide, by position

    @property
    def runs(self) -> list[Run]:
        return [part for part in self.parts if isinstance(part, Run)]


class Reader:
    """Reads text aloud under one policy. Hold on to it: building one reads the dictionaries' files.

    Raises UserError for a user dictionary that is missing or malformed.
    """

    def __init__(self, policy: Pinyin):
        self.policy = policy
        self._early = policy.dictionary == "early"
        entries = {} if self._early else read_entries(CORRECTIONS)
        if policy.neutral_tone == "spoken":
            entries |= weak_entries(entries)
        user = read_entries(Path(policy.user_dict)) if policy.user_dict else {}
        self._user = {simplified(word): entry for word, entry in user.items()} | user
        self._phrases = Phrases(entries | self._user, loose=self._early)

    def unknown(self, clause: str) -> list[str]:
        """The hanzi that are in no dictionary, and the Latin words that neither user_dict nor spelling reads."""
        return [part for part in WORD_OR_HANZI.findall(clause) if not self._lookup(part)]

    def syllables_of(self, words: Sequence[str]) -> list[list[str]]:
        """The syllables of dictionary words, as `read` has them, but quicker; none for a word that is unknown."""
        found = [self._of_plain(word) for word in words]
        pending = [at for at, (_, undecided) in enumerate(found) if undecided]
        all_odds = polyphones().log_odds([words[at] for at in pending]) if pending else []
        for at, odds in zip(pending, all_odds, strict=True):
            for position in found[at][1]:
                found[at][0][position] = _likeliest(odds[position])
        rest = [at for at, (syllables, _) in enumerate(found) if not syllables and not self.unknown(words[at])]
        for at, (parts, _) in zip(rest, self.read([words[at] for at in rest]), strict=True):
            found[at][0].extend(syllable for part in parts for syllable in part.syllables)
        return [syllables for syllables, _ in found]

    def _of_plain(self, word: str) -> tuple[list[str], list[int]]:
        """The syllables of a word that no rule changes, and where in it the network decides; empty for other words."""
        if not self._is_plain(word) or simplified(word) != word:
            return [], []
        spans = self._phrases.spans(word) if self._early else \
            self._phrases.spans_of_words(rjieba.cut(word, hmm=False))
        found = [syllable for span in spans for syllable in span.syllables]
        if len(found) != len(word):
            return [], []
        alone = [] if self._early else [span.start for span in spans if len(span.hanzi) == 1]
        return found, _by_contexts(word, found, alone)

    def _is_plain(self, text: str) -> bool:
        """Whether no rule changes a text: nothing in it is what grammar or sandhi is about, no strong context fits."""
        return (grammar.RULED.isdisjoint(text) and len(set(text)) == len(text) and self.policy.sandhi != "spoken"
                and (self._early or not strong_readings(text)))

    def read(self, clauses: Sequence[str]) -> list[tuple[list[Word], list[Doubt]]]:
        """The words of clauses of `steps.text.normalize`, nothing in which may be unknown, and their syllables; and the
        characters of each that the network reads with a probability below CERTAIN.

        Words are those that blanks part; without blanks, or with one between all characters, those that jieba finds.
        """
        drafts = [self._draft(clause) for clause in clauses]
        pending = [at for at, draft in enumerate(drafts) if any(run.undecided for run in draft.runs)]
        doubts: list[list[Doubt]] = [[] for _ in drafts]
        all_odds = polyphones().log_odds([drafts[at].text for at in pending]) if pending else []
        for at, odds in zip(pending, all_odds, strict=True):
            _decide(drafts[at], odds)
            doubts[at] = _doubts(drafts[at], odds)
        return [(self._words(draft) if draft.text == clause else _as_written(self._words(draft), clause), found)
                for clause, draft, found in zip(clauses, drafts, doubts, strict=True)]

    def _lookup(self, part: str) -> tuple[str, ...]:
        """The reading of a Latin word, or of one hanzi; empty if there is none."""
        if not part.isascii():
            return self._phrases.syllables(part)
        return self._user.get(part) or spell(part)

    def _simplified(self, clause: str) -> str:
        """The clause with the simplified characters that a dictionary knows."""
        plain = simplified(clause)
        return clause if plain == clause else "".join(
            new if new == old or self._lookup(new) else old for old, new in zip(clause, plain, strict=True))

    def _draft(self, clause: str) -> Draft:
        traditional = "".join(clause.split())
        clause = self._simplified(clause)
        text = "".join(clause.split())
        segmented = SEGMENTED.search(clause) is not None
        if segmented and TOGETHER.search(clause) is None:
            clause, segmented = re.sub(r"(?<=[^a-zA-Z]) +(?=[^a-zA-Z])", "", clause), False
        parts: list[Word | Run] = []
        start = 0
        for written in WORD_OR_RUN.findall(clause):
            if written.isascii():
                parts.append(Word(written, self._lookup(written)))
                start += len(written)
            else:
                parts.append(self._run(start, written.split(), segmented))
                start += len(parts[-1].clause.text)
        return Draft(text, parts, decided(traditional, text))

    def _run(self, start: int, pieces: list[str], segmented: bool) -> Run:
        clause = tagged("".join(pieces))
        words = pieces if segmented else [token.hanzi for token in clause.tokens]
        if self._early:
            return Run(start, words, clause, [span for piece in pieces for span in self._phrases.spans(piece)])
        run = Run(start, words, clause, self._phrases.spans_of_words(words))
        run.undecided = _by_contexts(clause.text, run.syllables, sorted(run.alone))
        return run

    def _words(self, draft: Draft) -> list[Word]:
        words: list[Word] = []
        for part in draft.parts:
            if isinstance(part, Word):
                words.append(part)
                continue
            self._apply_rules(part, {at - part.start: syllable for at, syllable in draft.decided.items()})
            rest = iter(part.syllables)
            words += [Word(word, tuple(next(rest) for _ in word)) for word in part.words]
        return words

    def _apply_rules(self, run: Run, certain: dict[int, str]) -> None:
        """The dictionaries' syllables (but not the user's) after the rules of the clause and the policy; `certain` ones
        win, but for a neutral tone."""
        if not certain and self._is_plain(run.clause.text):
            return
        users = run.inside(set(self._user)) if self._user else set()
        changes = self._rules_of_corrected(run) if not self._early else (
            grammar.able_liao(run.clause) | grammar.measure_zhi(run.clause) | grammar.adverbial_di(run.clause))
        if self.policy.neutral_tone == "spoken":
            changes |= {at: changes.get(at, run.syllables[at])[:-1] + NEUTRAL
                        for at in grammar.doubled_verbs(run.clause)} | grammar.erhua(run.clause)
        else:
            changes |= {at: "ge4" for at, char in enumerate(run.clause.text) if char == "个"}
        _change(run, changes, users)
        _change(run, {at: syllable for at, syllable in certain.items() if 0 <= at < len(run.syllables)
                      and run.syllables[at] != syllable[:-1] + NEUTRAL}, users)
        if self.policy.sandhi == "citation":
            _change(run, citation_tones(run.clause), users)
        elif self.policy.sandhi == "lexical":
            _change(run, lexical_tones(run.clause), users)
        else:
            _change(run, spoken_tones(run.clause, run.syllables), users)
            _change(run, doubled_third_tones(run.clause, run.syllables), users)
            _change(run, third_tones(run.words, run.syllables), users)

    def _rules_of_corrected(self, run: Run) -> dict[int, str]:
        clause = run.clause
        again = {at: run.syllables[at - back] for at in run.alone
                 if (back := grammar.distance_back(clause.text, at))}
        particles = grammar.readings_of_wei(clause) | readings_of_de(clause) | grammar.adverbial_di(clause)
        return ({at: syllable for at, syllable in particles.items() if at in run.alone}
                | again | grammar.able_liao(clause) | grammar.attained_zhao(clause)
                | strong_readings(clause.text))


reader_of = functools.cache(Reader)  # by policy


def _as_written(words: list[Word], clause: str) -> list[Word]:
    """The words with the clause's own characters, where they were read as simplified ones."""
    rest = iter("".join(clause.split()))
    return [Word("".join(itertools.islice(rest, len(word.written))), word.syllables) for word in words]


def _by_contexts(text: str, syllables: list[str], alone: Sequence[int]) -> list[int]:
    """Give the characters at `alone`, which are in no phrase, what contexts say; those that the network decides on."""
    undecided = []
    for at in alone:
        syllable = weak_reading(text, at)
        if syllable:
            syllables[at] = syllable
        elif text[at] in polyphones() and text[at] not in PARTICLES:
            undecided.append(at)
    return undecided


def _decide(draft: Draft, odds: dict[int, Odds]) -> None:
    """Give the undecided characters of a clause the likeliest readings."""
    for run in draft.runs:
        for at in run.undecided:
            run.syllables[at] = _likeliest(odds[run.start + at])


def _likeliest(odds: Odds) -> str:
    return max(odds, key=odds.__getitem__)


def _doubts(draft: Draft, odds: dict[int, Odds]) -> list[Doubt]:
    found = []
    for at in [run.start + at for run in draft.runs for at in run.undecided]:
        weights = {syllable: math.exp(score - max(odds[at].values())) for syllable, score in odds[at].items()}
        likely = sorted(((one, weight / sum(weights.values())) for one, weight in weights.items()),
                        key=lambda entry: -entry[1])
        if likely[0][1] < CERTAIN:
            found.append(Doubt(draft.text[max(0, at - 5) : at], draft.text[at], draft.text[at + 1 : at + 6],
                               [entry for entry in likely if entry[1] >= 0.01]))
    return found


def _change(run: Run, changes: dict[int, str], users: set[int]) -> None:
    for at, syllable in changes.items():
        if at not in users:
            run.syllables[at] = syllable
