"""The results in an experiment directory."""

import math
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from steps.common.checksums import AGAIN, check_sums
from steps.common.errors import UserError
from steps.common.files import read_json
from steps.common.process import read_history
from steps.config.load import load_known
from steps.report.errors import EPS, Pair
from steps.report.scores import read_per_utt
from steps.search.ctm import Timed, read_ctm

NUMBERS = ("utterances", "ref_tokens", "ins", "del", "sub", "syllable_error_rate", "toneless_error_rate",
           "tone_error_rate", "sentence_error_rate", "real_time_factor")  # of score.json
OF_STAGE = "; is it an experiment that was trained?", "run its stage again"


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 2**63


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
        """(ref, hyp) pairs by utterance. Raises UserError where per_utt is missing or damaged."""
        alignments = read_per_utt(self.score_dir / "per_utt")
        if len(alignments) != self.scores["utterances"]:
            raise UserError(f"{self.score_dir}/per_utt: {len(alignments)} of {self.scores['utterances']} utterances; "
                            "run stage 6 (score) again")
        return alignments

    def times_of(self, utt: str) -> list[Timed]:
        """An utterance's decoded syllables with their times. Raises UserError where they are not what was scored."""
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

        Raises UserError where it is missing or damaged.
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

        Of several methods it is the one with the lowest syllable error rate on dev; greedy where none is better, and
        where dev is not scored. A method that did not pay when it was tuned comes last.
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


