"""What the checks of a diagnosis look at, and what they find."""

from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from steps.common.files import utf8_lines
from steps.common.process import read_history
from steps.config.load import Resolved
from steps.corpus.table import read_numbers, read_table
from steps.corpus.write import read_pinyin
from steps.feats.archive import FeatureReader, apply_cmvn, having_features, load_cmvn, mean_std
from steps.text.syllables import BLANK, TOKENS_AGAIN, TOKENS_FIRST, all_syllables

Severity = Literal["ok", "warning", "error", "skipped"]


class Finding(NamedTuple):
    """A check's result, in words for the user of the recipe.

    A `warning` is likely to cost accuracy, an `error` makes training fail or its result worthless; `skipped` says why
    a check could not be made.
    """

    check: str
    severity: Severity
    finding: str  # what is the case, in a sentence
    evidence: Sequence[str] = ()  # what that is judged from, in figures
    remedy: str = ""  # what to do; empty where nothing need be done
    figures: Sequence[str] = ()  # SVG

    def as_dict(self) -> dict[str, Any]:
        """For diagnosis.json: all but the pictures."""
        return {"check": self.check, "severity": self.severity, "finding": self.finding,
                "evidence": list(self.evidence), "remedy": self.remedy}


def graded(value: float, warning: float, error: float) -> Severity:
    """`ok` below `warning`, `error` from `error` on."""
    return "error" if value >= error else "warning" if value >= warning else "ok"


def percent(fraction: float) -> str:
    """`12.3 %`."""
    return f"{100 * fraction:.1f} %"


def few(names: Sequence[str], most: int = 3) -> str:
    """The first few of many names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


SAMPLE = 200  # utterances of a set whose features are kept in memory


class Context:
    """Reads the files of stages 2 to 4, also those that the stages refuse, so that checks can say what is wrong.

    Args:
        config: the experiment's.
        exp_dir: where its training is or will be.
        minutes: how long the checks that train may take in all.
    """

    def __init__(self, config: Resolved, exp_dir: Path, minutes: float = 3.0):
        self.config = config
        self.exp_dir = exp_dir
        self.minutes = minutes
        self.pinyin = cache(self._pinyin)
        self.frames = cache(self._frames)
        self.raw_feats = cache(self._raw_feats)
        self.feats = cache(self._feats)

    @cached_property
    def token_lines(self) -> list[str]:
        """The lines of tokens.txt. Raises UserError where stage 2 has not run."""
        return utf8_lines(self.config.data_dir / "lang" / "tokens.txt", TOKENS_FIRST, if_not_utf8=TOKENS_AGAIN)

    @cached_property
    def tokens(self) -> list[str]:
        """The network's tokens, in the order of tokens.txt whatever its ids say."""
        tokens = [line.split()[0] for line in self.token_lines if line.strip()]
        if self.config.experiment.tokens == "all":
            tokens = [BLANK, *sorted({*tokens, *all_syllables()} - {BLANK})]
        return tokens

    def _pinyin(self, part: str) -> dict[str, list[str]]:
        """Syllables by utterance of the set `part`, of those that have features. Raises UserError where none has."""
        path = self.config.data_dir / part / "pinyin"
        frames = self.frames(part)
        return having_features(read_pinyin(path), frames, path)

    def _frames(self, part: str) -> dict[str, int]:
        """Feature frames by utterance of the set `part`. Raises UserError where stage 3 has not run."""
        return {utt: int(n) for utt, n in read_numbers(self.config.feature_dir / part / "utt2num_frames").items()}

    def speakers(self, part: str) -> set[str]:
        """Those of the set `part`."""
        path = self.config.data_dir / part / "utt2spk"
        return set(read_table(path).values()) if path.exists() else set()

    def stream(self, part: str, most: int) -> Iterator[tuple[str, np.ndarray]]:
        """Features as stored, one utterance after the other, of at most `most` of the set `part`."""
        reader = FeatureReader(self.config.feature_dir / part / "feats.scp", self.config.features)
        for utt in spread_sample(list(reader), most):
            yield utt, reader[utt]

    def _raw_feats(self, part: str) -> dict[str, np.ndarray]:
        """Features as stored, float32 (frames, bins), of a sample of the set `part`."""
        return dict(self.stream(part, SAMPLE))

    def _feats(self, part: str) -> dict[str, np.ndarray]:
        """The same normalised, as the network gets them."""
        mean, std = self.mean_std
        cmn_frames = self.config.features.cmn_frames
        return {utt: apply_cmvn(feats, mean, std, cmn_frames).astype(np.float32)
                for utt, feats in self.raw_feats(part).items()}

    @cached_property
    def mean_std(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation by bin that training normalises features with."""
        return mean_std(load_cmvn(self.config.cmvn))

    @cached_property
    def history(self) -> pd.DataFrame:
        """train.csv, a row an epoch; empty where there is none."""
        return pd.DataFrame(read_history(self.exp_dir))


def spread_sample(names: list[str], most: int) -> list[str]:
    """At most `most` of `names`, evenly spread over them, in order."""
    if len(names) <= most:
        return names
    return [names[place] for place in np.linspace(0, len(names) - 1, most).round().astype(int)]
