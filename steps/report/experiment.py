"""The results in an experiment directory, which mistakes remain in them, and what that says to do next."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from steps.common.checksums import AGAIN, check_sums
from steps.common.errors import UserError
from steps.common.files import read_json
from steps.config.exp_dir import read_history
from steps.config.load import load_known
from steps.report.errors import EPS, Pair
from steps.report.scores import read_per_utt
from steps.search.alignment import Timed, read_ctm
from steps.text.syllables import Parts, split

NUMBERS = ("utterances", "ref_tokens", "ins", "del", "sub", "syllable_error_rate", "toneless_error_rate",
           "tone_error_rate", "sentence_error_rate", "real_time_factor")  # of score.json
OF_STAGE = "; is it an experiment that was trained?", "run its stage again"


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 2**63


def is_measured(scores: Mapping[str, Any], rate: str) -> bool:
    """Whether score.json has a rate; a tone error rate counts only if a syllable was right."""
    judged = rate != "tone_error_rate" or any(map(any, scores.get("tone_confusion", [[1]])))
    return judged and scores.get(rate) is not None


class Scored:
    """A scored set: exp_dir/score/<set>_<method>, and what was decoded for it. Big files are read when asked for."""

    def __init__(self, exp_dir: Path, name: str):
        self.name = name
        path = exp_dir / "score" / name / "score.json"
        check_sums(path.parent, AGAIN.format("6 (score)"))
        self.scores = read_json(path, *OF_STAGE)
        lacking = [key for key in NUMBERS if not _is_number(self.scores.get(key))]
        lacking += [key for key in ("set", "method") if not isinstance(self.scores.get(key), str)]
        interval = self.scores.get("ci95")
        if not (isinstance(interval, list) and len(interval) == 2 and all(map(_is_number, interval))):
            lacking.append("ci95")
        if lacking:
            raise UserError(f"{path}: {', '.join(lacking)}: not there, or not possible; run stage 6 (score) again")
        self.score_dir = exp_dir / "score" / name
        self._decode_dir = exp_dir / "decode" / name

    @cached_property
    def alignments(self) -> dict[str, list[Pair]]:
        """(ref, hyp) pairs by utterance. Raises UserError if per_utt is missing or damaged."""
        alignments = read_per_utt(self.score_dir / "per_utt")
        if len(alignments) != self.scores["utterances"]:
            raise UserError(f"{self.score_dir}/per_utt: {len(alignments)} of {self.scores['utterances']} utterances; "
                            "run stage 6 (score) again")
        return alignments

    def times_of(self, utt: str) -> list[Timed]:
        """An utterance's decoded syllables with their times. Raises UserError if they are not what was scored."""
        times = self._times.get(utt, [])
        if [one.syllable for one in times] != [hyp for _, hyp in self.alignments[utt] if hyp != EPS]:
            raise UserError(f"{self._decode_dir}/ctm: {utt} is not as {self.score_dir}/per_utt has it; score it again")
        return times

    @cached_property
    def _times(self) -> dict[str, list[Timed]]:
        check_sums(self._decode_dir, AGAIN.format("5 (decode)"), ["ctm"])
        return read_ctm(self._decode_dir / "ctm")

    @cached_property
    def speakers(self) -> pd.DataFrame:
        """The counts of per_spk: spk, utts, ref_tokens, cor, sub, ins, del, err, wrong_utts; without the SUM.

        Raises UserError if it is missing or damaged.
        """
        columns = ["spk", "utts", "ref_tokens", "cor", "sub", "ins", "del", "err", "wrong_utts"]
        try:
            lines = (self.score_dir / "per_spk").read_text(encoding="utf-8").splitlines()
            rows = [line.split() for line in lines[1:]]
            raw = [[row[0], *map(int, row[2:])] for row in rows if row[1] == "raw" and row[0] != "SUM"]
            speakers = pd.DataFrame(raw, columns=columns)
        except (OSError, ValueError, IndexError, OverflowError):
            speakers = pd.DataFrame(columns=columns)
        if speakers["utts"].sum() != self.scores["utterances"]:
            raise UserError(f"{self.score_dir}/per_spk: missing or damaged; run stage 6 (score) again")
        return speakers


class Results:
    """An experiment directory, finished or not, perhaps made by another version of the recipe.

    `unknown_keys` are the keys of its config that this version does not know, by dotted key.
    """

    def __init__(self, exp_dir: Path):
        self.exp_dir = exp_dir
        self.config, self.unknown_keys = load_known(exp_dir)
        self.env = read_json(exp_dir / "env.json", *OF_STAGE)
        self.history = pd.DataFrame(read_history(exp_dir))  # a row an epoch; none before the first has ended
        tuning = exp_dir / "decode/tuning.json"
        self.tuning = read_json(tuning, *OF_STAGE) if tuning.exists() else {}  # weights of language models
        names = [path.parent.name for path in exp_dir.glob("score/*/score.json")]
        self.scored = sorted((Scored(exp_dir, name) for name in names), key=self._place)

    @property
    def main(self) -> Scored | None:
        """The set by which the experiment is judged: test, or else the last scored one; None if nothing is scored.

        Among several methods it is the one with the lowest syllable error rate on dev; greedy if none is better, and
        if dev is not scored. A method that was no better than greedy in tuning comes last.
        """
        sets = [one.scores["set"] for one in self.scored]
        part = "test" if "test" in sets else (sets or [None])[-1]
        of_dev = {one.scores["method"]: one.scores["syllable_error_rate"] for one in self.scored
                  if one.scores["set"] == "dev"}
        unpaid = {method for method, found in self.tuning.items()
                  if isinstance(found, dict) and not found.get("pays", True)}
        return min((one for one in self.scored if one.scores["set"] == part), default=None, key=lambda one: (
            one.scores["method"] in unpaid, of_dev.get(one.scores["method"], math.inf),
            one.scores["method"] != "greedy"))

    def _place(self, one: Scored) -> tuple[int, str]:
        sets = self.config.corpus.sets
        return (sets.index(one.scores["set"]) if one.scores["set"] in sets else len(sets), one.name)


SEEN = {"never": 0, "1 to 4": 1, "5 to 19": 5, "20 to 99": 20, "100 and more": 100}  # times in training, at least
PLACES = ["alone", "first", "second", "in between", "last"]
TEMPOS = ["slowest quarter", "second", "third", "fastest quarter"]
SHOWN_PARTS = 12  # initials, finals or tones, those with the most errors
FEWEST = 20  # syllables that a group must have to be mentioned
WORSE = 1.3  # times the error rate of all syllables: then a group is mentioned, if chance does not explain it


def find_mistakes(alignments: Mapping[str, list[Pair]], training: Counter, seconds: Mapping[str, float]
                  ) -> dict[str, pd.DataFrame]:
    """The reference syllables of a decoded set in groups, by times in training, place in the utterance, speaking rate,
    initial, final and tone.

    Each table has a row a group: `syllables`, how many of them are `errors` (insertions belong to no syllable), and how
    many of those are `deletions`. A syllable left out is wrong in initial, final and tone.

    Args:
        alignments: (ref, hyp) pairs by utterance.
        training: how often training has each syllable.
        seconds: durations by utterance, as far as they are known.
    """
    said = pd.DataFrame(_said(alignments, seconds), columns=["ref", "hyp", "place", "tempo"], dtype=object)
    left_out, wrong = said["hyp"] == EPS, said["hyp"] != said["ref"]
    seen = pd.cut(said["ref"].map(training).astype(int), [*SEEN.values(), math.inf], right=False, labels=list(SEEN))
    found = {"times in training": _grouped(seen, wrong, left_out),
             "place in the utterance": _grouped(pd.Categorical(said["place"], PLACES), wrong, left_out),
             "speaking rate": _grouped(pd.Categorical(said["tempo"], TEMPOS), wrong, left_out)}
    heard = said["hyp"].where(~left_out)
    for part in Parts._fields:
        name, other = (one.map(lambda syllable, part=part: getattr(split(syllable), part) or "–", na_action="ignore")
                       for one in (said["ref"], heard))
        groups = _grouped(name, name != other, left_out)
        found[part] = groups.sort_values("errors", ascending=False, kind="stable").head(SHOWN_PARTS)
    return found


def _said(alignments: Mapping[str, list[Pair]], seconds: Mapping[str, float]
          ) -> Iterator[tuple[str, str, str, str | None]]:
    """Each reference syllable, what became of it, and the names of its place and tempo."""
    counts = {utt: sum(ref != EPS for ref, _ in pairs) for utt, pairs in alignments.items()}
    rates = {utt: count / seconds[utt] for utt, count in counts.items() if count and seconds.get(utt, 0) > 0}
    limits = np.quantile(list(rates.values()), [0.25, 0.5, 0.75]) if rates else []
    for utt, pairs in alignments.items():
        tempo = TEMPOS[int(np.searchsorted(limits, rates[utt], side="right"))] if utt in rates else None
        for number, (ref, hyp) in enumerate(pair for pair in pairs if pair[0] != EPS):
            yield ref, hyp, _place(number, counts[utt]), tempo


def _place(number: int, count: int) -> str:
    if count == 1:
        return "alone"
    return "first" if number == 0 else "last" if number == count - 1 else "second" if number == 1 else "in between"


def _grouped(names: pd.Series | pd.Categorical, wrong: pd.Series, left_out: pd.Series) -> pd.DataFrame:
    counts = pd.DataFrame({"syllables": 1, "errors": wrong, "deletions": left_out}, dtype=int)
    return counts.groupby(names, observed=True).sum()


Advice = tuple[str, dict[str, Any]]  # a sentence with names in braces, and their values


def advice(found: Mapping[str, pd.DataFrame]) -> list[Advice]:
    """Advice on the next step: a sentence for each group that has far more errors than all have."""
    whole, said = found["times in training"].sum(), []
    rare = _joined(found["times in training"], "never", "1 to 4")
    if _stands_out(rare, whole):
        said.append(("Syllables that training has fewer than 5 times are wrong in {rate} of cases ({errors} errors): "
                     "splice utterances (augment.splice), which draws rare syllables more often, or add text with "
                     "them.", _values(rare)))
    fast = _joined(found["speaking rate"], "fastest quarter")
    if _stands_out(fast, whole):
        said.append(("Fast speech is wrong in {rate} of cases, {deletions} of {errors} left out: let augment.time_warp "
                     "and the features' copies reach to faster speech.", _values(fast)))
    for name in ("first", "last"):
        edge = _joined(found["place in the utterance"], name)
        if _stands_out(edge, whole):
            said.append((f"The {name} syllable of an utterance is wrong in {{rate}} of cases: look at the silence "
                         "around it, and whether the recordings are cut off.", _values(edge)))
    if whole["errors"] >= FEWEST and whole["deletions"] * 2 > whole["errors"]:
        said.append(("More than half of the errors are syllables left out: train longer, or let the network emit more "
                     "often (smaller strides in frames).", {}))
    tones, *others = (found[part]["errors"].sum() for part in ("tone", "initial", "final"))
    if whole["errors"] >= FEWEST and tones > max(others):
        said.append(("Tones are wrong more often than initials or finals ({errors} times): let the network see more "
                     "frames (kernel), and augment.freq_warp less.", {"errors": tones}))
    return said


def _joined(groups: pd.DataFrame, *names: str) -> pd.Series:
    return groups[groups.index.isin(names)].sum()


def _stands_out(group: pd.Series, whole: pd.Series) -> bool:
    if group["syllables"] < FEWEST:
        return False
    expected = group["syllables"] * whole["errors"] / whole["syllables"]
    return group["errors"] > max(WORSE * expected, expected + 2 * math.sqrt(expected))


def _values(group: pd.Series) -> dict[str, Any]:
    return {"rate": f"{100 * group['errors'] / group['syllables']:.1f} %", "errors": group["errors"],
            "deletions": group["deletions"]}
