"""What an experiment directory holds of results."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from steps.common.errors import UserError
from steps.config.load import Resolved, load_resolved
from steps.results.errors import EPS, Pair
from steps.results.kaldi_files import read_per_utt
from steps.search.ctm import Timed, read_ctm


class Scored:
    """A scored set: exp_dir/score/<set>_<method>, and what was decoded for it. Big files are read when asked for."""

    def __init__(self, exp_dir: Path, name: str):
        self.name = name
        self.scores: dict[str, Any] = read_json(exp_dir / "score" / name / "score.json")
        self.score_dir = exp_dir / "score" / name
        self._decode_dir = exp_dir / "decode" / name

    @cached_property
    def alignments(self) -> dict[str, list[Pair]]:
        """(ref, hyp) pairs by utterance."""
        return read_per_utt(self.score_dir / "per_utt")

    def times_of(self, utt: str) -> list[Timed]:
        """An utterance's decoded syllables with their times. Raises UserError where they are not what was scored."""
        times = self._times.get(utt, [])
        if [one.syllable for one in times] != [hyp for _, hyp in self.alignments[utt] if hyp != EPS]:
            raise UserError(f"{self._decode_dir}/ctm: {utt} is not as {self.score_dir}/per_utt has it; score it again")
        return times

    @cached_property
    def _times(self) -> dict[str, list[Timed]]:
        return read_ctm(self._decode_dir / "ctm")

    @cached_property
    def speakers(self) -> pd.DataFrame:
        """The counts of per_spk: spk, utts, ref_tokens, cor, sub, ins, del, err, wrong_utts; without the SUM."""
        lines = (self.score_dir / "per_spk").read_text(encoding="utf-8").splitlines()
        rows = [line.split() for line in lines[1:]]
        raw = [[row[0], *map(int, row[2:])] for row in rows if row[1] == "raw" and row[0] != "SUM"]
        return pd.DataFrame(raw, columns=["spk", "utts", "ref_tokens", "cor", "sub", "ins", "del", "err", "wrong_utts"])


class Results:
    """An experiment directory, finished or not."""

    def __init__(self, exp_dir: Path):
        self.exp_dir = exp_dir
        self.config: Resolved = load_resolved(exp_dir)
        self.env: dict[str, Any] = read_json(exp_dir / "env.json")
        self.history = _read_history(exp_dir / "train.csv")
        names = [path.parent.name for path in exp_dir.glob("score/*/score.json")]
        self.scored = sorted((Scored(exp_dir, name) for name in names), key=self._place)

    @property
    def main(self) -> Scored | None:
        """What the experiment is judged by: its test set, or else the last scored one; None where nothing is scored."""
        tests = [one for one in self.scored if one.scores["set"] == "test"]
        return (tests or self.scored or [None])[-1]

    def _place(self, one: Scored) -> tuple[int, str]:
        sets = self.config.corpus.sets
        return (sets.index(one.scores["set"]) if one.scores["set"] in sets else len(sets), one.name)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file. Raises UserError where it is missing or cut short."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; is {path.parent} an experiment that was trained?") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not readable as JSON ({error}); run its stage again") from None


def _read_history(path: Path) -> pd.DataFrame:
    """train.csv, a row an epoch; without rows where training has not finished an epoch."""
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["epoch"])
