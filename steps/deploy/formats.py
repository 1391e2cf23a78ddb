"""The output formats of a recording's syllables: txt, json, ctm, srt, vtt, TextGrid."""

import itertools
import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

from steps.deploy.recognizer import Phrase
from steps.search.alignment import Timed, ctm_line, timed_words

LINE_SYLLABLES = 18  # of a subtitle, at most


class Transcript(NamedTuple):
    """A recording and what was recognised in it."""

    name: str  # its path as given
    seconds: float
    phrases: list[Phrase]


def txt(heard: Transcript) -> str:
    """A line a phrase."""
    return "".join(f"{phrase.text}\n" for phrase in heard.phrases)


def one_json(heard: Transcript) -> str:
    """One line: the recording, its text, and each syllable, and word, with its times in seconds and its confidence."""
    return json.dumps({
        "file": heard.name,
        "duration": round(heard.seconds, 3),
        "text": " ".join(phrase.text for phrase in heard.phrases),
        "phrases": [{
            "begin": round(phrase.begin, 3),
            "end": round(phrase.end, 3),
            "text": phrase.text,
            **({"words": _timed("word", timed_words(phrase.syllables, phrase.words))} if phrase.words else {}),
            "syllables": _timed("syllable", phrase.syllables),
        } for phrase in heard.phrases],
    }, ensure_ascii=False) + "\n"


def _timed(kind: str, found: list[Timed]) -> list[dict[str, str | float]]:
    return [{kind: one.syllable, "begin": round(one.begin, 3), "end": round(one.begin + one.duration, 3),
             "confidence": round(one.confidence, 4)} for one in found]


def ctm(heard: Transcript) -> str:
    """NIST's: `file channel begin duration syllable confidence`; the file's name has no blanks."""
    name = "_".join(heard.name.split())
    return "".join(f"{ctm_line(name, one)}\n" for phrase in heard.phrases for one in phrase.syllables)


def srt(heard: Transcript) -> str:
    """SubRip subtitles."""
    return "".join(f"{number}\n{cue}" for number, cue in enumerate(_cues(heard, ","), 1))


def vtt(heard: Transcript) -> str:
    """WebVTT subtitles."""
    return "".join(["WEBVTT\n\n", *_cues(heard, ".")])


def _cues(heard: Transcript, point: str) -> Iterator[str]:
    return (f"{_clock(line.begin, point)} --> {_clock(line.end, point)}\n{line.text}\n\n"
            for line in _lines(heard.phrases))


def textgrid(heard: Transcript) -> str:
    """Praat's, with a tier of phrases, one of words if there are some, and one of syllables; each fills the whole
    recording, as Praat wants it."""
    tiers = {"phrases": [(phrase.begin, phrase.end, phrase.text) for phrase in heard.phrases]}
    words = [one for phrase in heard.phrases for one in timed_words(phrase.syllables, phrase.words)]
    syllables = [one for phrase in heard.phrases for one in phrase.syllables]
    for name, found in (("words", words), ("syllables", syllables)):
        if found or name == "syllables":
            tiers[name] = [(one.begin, one.begin + one.duration, one.syllable) for one in found]
    end = max([heard.seconds, *(phrase.end for phrase in heard.phrases)])
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.3f}",
             "tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers.items(), 1):
        filled = _filled(intervals, end)
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"',
                  "        xmin = 0", f"        xmax = {end:.3f}", f"        intervals: size = {len(filled)}"]
        for at, (begin, until, text) in enumerate(filled, 1):
            lines += [f"        intervals [{at}]:", f"            xmin = {begin:.3f}",
                      f"            xmax = {until:.3f}", f'            text = "{text}"']
    return "\n".join(lines) + "\n"


FORMATS: dict[str, Callable[[Transcript], str]] = {"txt": txt, "json": one_json, "ctm": ctm, "srt": srt, "vtt": vtt,
                                              "TextGrid": textgrid}


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    return (f"{milliseconds // 3_600_000:02d}:{milliseconds // 60_000 % 60:02d}:{milliseconds // 1000 % 60:02d}"
            f"{point}{milliseconds % 1000:03d}")


def _lines(phrases: list[Phrase]) -> list[Phrase]:
    """Phrases that fit a subtitle: a longer one is divided after its longest syllable, which a short pause follows;
    if there are words, after the longest that ends one."""
    lines = []
    for phrase in phrases:
        found = phrase.syllables
        ends = list(itertools.accumulate(count for _, count in phrase.words)) or list(range(1, len(found) + 1))
        cuts = [end for end in ends if len(found) // 4 < end <= len(found) - len(found) // 4]
        if len(found) <= LINE_SYLLABLES or not cuts:
            lines.append(phrase)
            continue
        cut = max(cuts, key=lambda end: found[end - 1].duration)
        words = ends.index(cut) + 1
        for part, own in ((found[:cut], phrase.words[:words]), (found[cut:], phrase.words[words:])):
            lines += _lines([Phrase(part[0].begin, part[-1].begin + part[-1].duration, part, own)])
    return lines


def _filled(intervals: list[tuple[float, float, str]], end: float) -> list[tuple[float, float, str]]:
    """Intervals in milliseconds' steps, with empty ones between them, from 0 to `end`."""
    filled, at = [], 0.0
    for begin, until, text in intervals:
        begin, until = max(at, round(begin, 3)), round(until, 3)
        if begin > at:
            filled.append((at, begin, ""))
        if until > begin:
            filled.append((begin, until, text))
            at = until
    return [*filled, (at, end, "")] if round(end, 3) > at else filled
