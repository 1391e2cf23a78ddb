"""Text read aloud: words of hanzi to tonal syllables, under a corpus' `pinyin:` policy."""

import re
from pathlib import Path
from typing import NamedTuple

import rjieba

from steps.config.schema import Pinyin
from steps.text.grammar import (
    Clause,
    Token,
    adverbial_di,
    complement_de,
    doubled_verbs,
    erhua,
    measure_zhi,
    must_dei,
    unable_liao,
)
from steps.text.normalize import spell
from steps.text.phrases import Phrases, read_entries, weak_entries
from steps.text.syllables import NEUTRAL
from steps.text.tones import citation_tones, lexical_tones, spoken_tones

CORRECTIONS = Path(__file__).parent / "corrections.txt"
WORD_OR_HANZI = re.compile(r"[a-zA-Z]+|[^\sa-zA-Z]")
WORD_OR_RUN = re.compile(r"[a-zA-Z]+|[^\sa-zA-Z][^a-zA-Z]*")
SEGMENTED = re.compile(r"[^\sa-zA-Z] +[^\sa-zA-Z]")  # blanks beside Latin words are typography


class Word(NamedTuple):
    """A word as it was read where it stood."""

    written: str  # hanzi, or a Latin word
    syllables: tuple[str, ...]  # one a hanzi


class Reader:
    """Reads text aloud under one policy. Hold on to it: building one reads the dictionaries' files.

    Raises UserError for a user dictionary that is missing or malformed.
    """

    def __init__(self, policy: Pinyin):
        self.policy = policy
        early = policy.dictionary == "early"
        entries = {} if early else read_entries(CORRECTIONS)
        if policy.neutral_tone == "spoken":
            entries |= weak_entries(entries)
        self._user = read_entries(Path(policy.user_dict)) if policy.user_dict else {}
        self._phrases = Phrases(entries | self._user, loose=early)

    def unknown(self, clause: str) -> list[str]:
        """The hanzi that are in no dictionary, and the Latin words that neither user_dict nor spelling reads."""
        return [part for part in WORD_OR_HANZI.findall(clause) if not self._lookup(part)]

    def read(self, clause: str) -> list[Word]:
        """The words of one clause of `steps.text.normalize` and their syllables; nothing in it may be unknown.

        Words are those that blanks part; without blanks, those that jieba finds.
        """
        segmented = SEGMENTED.search(clause) is not None
        words = []
        for run in WORD_OR_RUN.findall(clause):
            if run.isascii():
                words.append(Word(run, self._lookup(run)))
            else:
                words += self._read_hanzi(run.split(), segmented)
        return words

    def _lookup(self, part: str) -> tuple[str, ...]:
        """The reading of a Latin word, or of one hanzi; empty where there is none."""
        if not part.isascii():
            return self._phrases.syllables(part)
        return self._user.get(part) or spell(part)

    def _read_hanzi(self, pieces: list[str], segmented: bool) -> list[Word]:
        clause = _clause("".join(pieces))
        rest = iter(self._syllables(clause, pieces))
        words = pieces if segmented else [token.hanzi for token in clause.tokens]
        return [Word(word, tuple(next(rest) for _ in word)) for word in words]

    def _syllables(self, clause: Clause, pieces: list[str]) -> list[str]:
        spans = [span for piece in pieces for span in self._phrases.spans(piece)]
        syllables = [syllable for span in spans for syllable in span.syllables]
        changes = self._changes(clause, syllables)
        at = 0
        for span in spans:
            for _ in span.hanzi:
                if span.hanzi not in self._user:
                    syllables[at] = changes.get(at, syllables[at])
                at += 1
        return syllables

    def _changes(self, clause: Clause, syllables: list[str]) -> dict[int, str]:
        """What the clause and the policy make of the dictionary's `syllables`."""
        changes = unable_liao(clause) | measure_zhi(clause) | adverbial_di(clause)
        if self.policy.neutral_tone == "spoken":
            changes |= must_dei(clause) | complement_de(clause)
            changes |= {at: syllables[at][:-1] + NEUTRAL for at in doubled_verbs(clause)} | erhua(clause)
        else:
            changes |= {at: "ge4" for at, char in enumerate(clause.text) if char == "个"}
        if self.policy.sandhi == "citation":
            return changes | citation_tones(clause)
        if self.policy.sandhi == "lexical":
            return changes | lexical_tones(clause)
        return changes | spoken_tones(clause, [changes.get(at, syllable) for at, syllable in enumerate(syllables)])


def _clause(text: str) -> Clause:
    tokens, start = [], 0
    for hanzi, tag in rjieba.tag(text, hmm=False):
        tokens.append(Token(start, hanzi, tag))
        start += len(hanzi)
    return Clause(text, tokens)
