"""A text that is read aloud, and what was said of it: each syllable's initial, final and tone."""

import functools
import re
from typing import NamedTuple

import numpy as np

from steps.common.errors import UserError
from steps.config.schema import Pinyin
from steps.report.errors import cheapest_alignment
from steps.search.ctc import BLANK, Edits, edits
from steps.text.normalize import is_hanzi
from steps.text.syllables import NEUTRAL, Parts, from_marked, normalize, split
from steps.text.tones import sounds_otherwise
from steps.text.transcripts import Reading, transcribe

RUN = re.compile(r"[^\W\d_]+:?[^\W\d_]*[0-5]?")  # ni3hao3 is two of them; u: is ü
PARTS = Parts._fields
DOUBT = 3.0  # nats by which another text must be likelier to be taken for what was said: who reads mostly reads right
NBEST = 5  # likeliest syllables that a verdict lists


class Target(NamedTuple):
    """A syllable of the text."""

    syllable: str  # as the text has it, without sandhi
    accepted: tuple[str, ...]  # the forms that count as right, `syllable` first
    grapheme: str  # the hanzi, or the pinyin as it was written
    word: int  # the number of its word


class ReadingAloud(NamedTuple):
    """A text to be read aloud."""

    text: str
    words: tuple[str, ...]
    targets: tuple[Target, ...]


@functools.lru_cache(maxsize=256)
def reading_aloud(text: str) -> ReadingAloud:
    """`text` in hanzi (with digits and Latin words, as in transcripts), or in pinyin: `ni3 hao3`, `nǐ hǎo`.

    Right is the tone that a dictionary has, and also the one that speech makes of it: a third tone before another may
    be a second; 一 and 不 may change by what follows. Pinyin does not show 一 and 不: they count as written.
    Raises UserError if it cannot be read, or has no syllable.
    """
    if any(is_hanzi(char) for char in text):
        return _from_hanzi(text)
    return _from_pinyin(text)


def _from_hanzi(text: str) -> ReadingAloud:
    citation, spoken = (_reading(text, Pinyin(sandhi=sandhi)) for sandhi in ("citation", "spoken"))
    tones = [tuple(dict.fromkeys(both)) for both in zip(citation.syllables, spoken.syllables, strict=True)]
    words = [(word.written, list(word.written) if len(word.written) == len(word.syllables) else
              [word.written] + [""] * (len(word.syllables) - 1)) for word in citation.words]
    return _made(text, words, tones)


def _reading(text: str, policy: Pinyin) -> Reading:
    [reading] = transcribe({"text": text}, policy)
    if reading.unread:
        raise UserError(f"text {text!r}: no reading is known for {reading.unread[0]!r}; "
                        "write it in other hanzi, or the whole text in pinyin such as ni3 hao3")
    return reading


def _from_pinyin(text: str) -> ReadingAloud:
    written = [match[0] for match in RUN.finditer(text)]
    if not written:
        raise UserError(f"text {text!r}: holds no syllable; write hanzi such as 你好, or pinyin such as ni3 hao3")
    if strange := re.search(r"\w+", RUN.sub(" ", text)):
        raise UserError(f"text {text!r}: {strange[0]} is not a part of a syllable; tones are 1 to 5, as in ni3 hao3")
    try:
        syllables = [normalize(one if one[-1].isdigit() else from_marked(one.lower())) for one in written]
    except UserError as error:
        raise UserError(f"text {text!r}: {error}; write a blank between syllables: nǐ hǎo") from None
    if len(syllables) > 1 and all(syllable.endswith(NEUTRAL) for syllable in syllables):
        raise UserError(f"text {text!r}: without tones; write them as digits or accents, such as ni3 hao3 or nǐ hǎo")
    return _made(text, [(one, [one]) for one in written], [(syllable,) for syllable in syllables])


def _made(text: str, words: list[tuple[str, list[str]]], forms: list[tuple[str, ...]]) -> ReadingAloud:
    places = [(number, grapheme) for number, (_, graphemes) in enumerate(words) for grapheme in graphemes]
    following = [*(tones[0] for tones in forms[1:]), ""]
    targets = [Target(right[0], _with_third_tone(right, behind), grapheme, word)
               for right, behind, (word, grapheme) in zip(forms, following, places, strict=True)]
    return ReadingAloud(text, tuple(word for word, _ in words), tuple(targets))


def _with_third_tone(forms: tuple[str, ...], behind: str) -> tuple[str, ...]:
    if sounds_otherwise(forms[0], behind):
        return tuple(dict.fromkeys([*forms, forms[0][:-1] + "2"]))
    return forms


class Spoken(NamedTuple):
    """A syllable of the text, or one that was said beside it."""

    target: int | None  # its number in the text; None: inserted
    token: int  # what was said; 0: nothing, it was left out


class Verdict(NamedTuple):
    """How a syllable of the text was said."""

    said: str  # the text's syllable, or another that is clearly likelier; "" if it was left out
    error: str  # None, Mispronunciation or Omission, as Azure names them
    accuracy: float  # probability that a right form was said, among all syllables in this place
    log_odds: Parts  # of floats ≤ 0: log-probability of the right part among all, the other parts being right
    heard: Parts  # of str: the initial, final and tone of `said`
    nbest: tuple[tuple[str, float], ...]  # the likeliest syllables with their probabilities


def wrong_parts(target: Target, verdict: Verdict) -> list[str]:
    """Which of initial, final and tone were said otherwise than in any right form; none if nothing was said."""
    forms = [split(form) for form in target.accepted]
    return [part for part in PARTS if verdict.said and getattr(verdict.heard, part) not in
            [getattr(form, part) for form in forms]]


def part_score(target: Target, verdict: Verdict, part: str) -> float:
    """The probability, 0 to 1, that a part was right, given that the two others were. Where several were wrong that
    says nothing of them, and they have the syllable's."""
    wrong = wrong_parts(target, verdict)
    return verdict.accuracy if part in wrong and len(wrong) > 1 else float(np.exp(getattr(verdict.log_odds, part)))


class TokenParts:
    """The tokens of a model by their initials, finals and tones."""

    def __init__(self, tokens: list[str]):
        self.tokens = tokens
        self.ids = {token: number for number, token in enumerate(tokens) if number != BLANK}
        parts = [Parts("-", "-", "-"), *(split(token) for token in tokens[1:])]
        self._columns = Parts(*(np.array(column) for column in zip(*parts, strict=True)))

    def same_but(self, syllable: str, part: str) -> np.ndarray:
        """Which tokens have the parts of `syllable`, but perhaps another `part`: bool (tokens,), never the blank."""
        wanted = split(syllable)
        others = [getattr(self._columns, name) == getattr(wanted, name) for name in PARTS if name != part]
        return np.logical_and.reduce(others)


def listen(log_probs: np.ndarray, labels: list[int]) -> tuple[list[int], Edits]:
    """The spoken token ids, as near to `labels` as the sound allows; and their edits.

    From the text on, the edits of one syllable that make it likelier by DOUBT are made, until no such edit is left. On
    hsk's dev, of what is right 3 % are beaten by so much, of what is wrong 98 % (tests/benchmarks/pronunciation.py).

    Args:
        log_probs: float (frames, tokens), natural logarithms of probabilities, token 0 the blank.
        labels: the text's token ids.
    """
    said, found = list(labels), edits(log_probs, labels)
    while changes := _changes(said, found):
        for tried in (changes, changes[:1]):  # together they may disturb each other; the best alone never fails
            edited = _changed(said, tried)
            again = edits(log_probs, edited)
            if again.total > found.total:
                break
        else:
            break
        said, found = edited, again
    return said, found


class _Change(NamedTuple):
    gain: float
    place: int  # 2 × i + 1: of the i-th syllable said; 2 × i: in front of it
    token: int


def _changes(said: list[int], found: Edits) -> list[_Change]:
    """Edits that make `said` likelier by DOUBT, the best first, none beside another."""
    rows = [(2 * place + 1, row, said[place]) for place, row in enumerate(found.instead)]
    rows += [(2 * place, row, BLANK) for place, row in enumerate(found.between)]
    possible = [_Change(row.max() - found.total, place, int(row.argmax())) for place, row, now in rows
                if row.argmax() != now and row.max() > found.total + DOUBT]
    chosen: list[_Change] = []
    for change in sorted(possible, reverse=True):
        if all(abs(change.place - other.place) > 2 for other in chosen):
            chosen.append(change)
    return chosen


def _changed(said: list[int], changes: list[_Change]) -> list[int]:
    edited = list(said)
    for change in sorted(changes, key=lambda change: -change.place):
        first = change.place // 2
        edited[first:first + change.place % 2] = [change.token] if change.token else []
    return edited


def match(said: list[int], reading: ReadingAloud, parts: TokenParts) -> list[Spoken]:
    """Which syllable of the text each one that was said stands for, by the least edit distance.

    Right forms cost nothing, others 1/2 and a third for each part that differs; what is left out or inserted costs 1.
    """
    pairs = cheapest_alignment(reading.targets, [parts.tokens[token] for token in said], _cost, 1.0)
    return [Spoken(row, BLANK if column is None else said[column]) for row, column in pairs]


def _cost(target: Target, syllable: str) -> float:
    if syllable in target.accepted:
        return 0.0
    return 0.5 + sum(a != b for a, b in zip(split(target.syllable), split(syllable), strict=True)) / 3


def judge(reading: ReadingAloud, heard: list[Spoken], found: Edits,
          parts: TokenParts) -> tuple[list[Spoken], list[Verdict]]:
    """The verdict on each syllable of the text; `found` are the edits of what was said (`listen`, `match`).

    Returns also `heard`, in which a syllable that is right is the likeliest of the forms that are.
    """
    judged, verdicts, said = [], [], 0
    for one in heard:
        row = found.instead[said] if one.token else found.between[said]
        said += one.token != BLANK
        if one.target is not None:
            target = reading.targets[one.target]
            right = [parts.ids[form] for form in target.accepted if form in parts.ids]
            if one.token in right:
                one = one._replace(token=max(right, key=row.__getitem__))
            verdicts.append(_verdict(target, one.token, right, row, parts))
        judged.append(one)
    return judged, verdicts


def _verdict(target: Target, token: int, right: list[int], row: np.ndarray, parts: TokenParts) -> Verdict:
    log_probs = row - np.logaddexp.reduce(row)
    log_odds = Parts(*(part_log_odds(log_probs, target, part, parts) for part in PARTS))
    said = parts.tokens[token] if token else ""
    error = "Omission" if not said else "None" if token in right else "Mispronunciation"
    best = np.argsort(-log_probs)[:NBEST]
    return Verdict(said, error, float(np.exp(np.logaddexp.reduce(log_probs[right]))), log_odds,
                   split(said) if said else Parts("", "", ""),
                   tuple((parts.tokens[one] if one else "", float(np.exp(log_probs[one]))) for one in best))


def part_log_odds(log_probs: np.ndarray, target: Target, part: str, parts: TokenParts) -> float:
    """Log-probability ≤ 0 of the target's initial, final or tone, given that its two other parts are as they should be.

    `log_probs` (tokens,) are those of the syllables that may be in its place.
    """
    right = [parts.ids[form] for form in target.accepted if form in parts.ids]
    alike = np.logical_or.reduce([parts.same_but(form, part) for form in target.accepted])
    return float(np.logaddexp.reduce(log_probs[right]) - np.logaddexp.reduce(log_probs[alike]))


def labels_of(reading: ReadingAloud, parts: TokenParts) -> list[int]:
    """The text's token ids. Raises UserError for a syllable that the model does not know."""
    for target in reading.targets:
        if target.syllable not in parts.ids:
            raise UserError(f"text {reading.text!r}: the model does not know {target.syllable}; take another text, or "
                            "an experiment with `tokens: all`, such as hsk")
    return [parts.ids[target.syllable] for target in reading.targets]


def assess(log_probs: np.ndarray, reading: ReadingAloud, parts: TokenParts) -> tuple[list[Spoken], list[Verdict]]:
    """The spoken syllables of an utterance, and the verdict on each syllable of the text.

    Raises UserError as `labels_of`, and if the text does not fit into the recording.
    """
    labels = labels_of(reading, parts)
    if edits(log_probs, labels).total == -np.inf:
        raise UserError(f"text {reading.text!r}: {len(labels)} syllables do not fit into the recording; "
                        "read the whole text, or take a shorter one")
    said, found = listen(log_probs, labels)
    return judge(reading, match(said, reading, parts), found, parts)
