"""Experiment directories as rows of a comparison: runs, groups of seeds, and the config keys that differ."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from steps.common.errors import UserError
from steps.common.files import sha256
from steps.config.load import Resolved, flatten
from steps.config.variants import Parsed, parse_name
from steps.report.experiment import Results, Scored, is_measured

EXP = Path("exp")
_SIGNS = ("config.yaml", "env.json", "train.csv", "final.ckpt", "checkpoints", "score")  # of an experiment


class Run(NamedTuple):
    """An experiment directory: one training."""

    path: Path
    name: Parsed
    results: Results | None  # None if damaged
    problem: str  # why it cannot be compared; empty if it can


def find_runs(words: Sequence[str]) -> list[Path]:
    """The experiment directories that `words` mean, in their order: paths, names, sweeps, patterns such as `mini*`.

    Without words, all of exp/. Raises UserError for a word that means none.
    """
    there = sorted(path for path in EXP.glob("*") if _is_run(path))
    found: list[Path] = []
    for word in words:
        matches = [Path(word)] if _is_run(Path(word)) else [path for path in there if _means(word, path.name)]
        if not matches:
            raise UserError(f"{word}: no experiment of this name or path; "
                            f"{EXP} has {', '.join(path.name for path in there) or 'none yet'}")
        found += matches
    return list(dict.fromkeys(found)) if words else there


def _is_run(path: Path) -> bool:
    return any((path / sign).exists() for sign in _SIGNS)


def is_one(word: str) -> bool:
    """Whether `word` means a single experiment, perhaps of several seeds, and not a sweep or many by a pattern."""
    return len({parse_name(path.absolute().name).group for path in find_runs([word])}) == 1


def _means(word: str, name: str) -> bool:
    parsed = parse_name(name)
    return word in (name, parsed.group, parsed.sweep) or fnmatchcase(name, word)


def open_run(path: Path) -> Run:
    """Read an experiment directory. What is missing or damaged in it becomes `problem`."""
    name = parse_name(path.absolute().name)
    try:
        results = Results(path)
    except UserError as error:
        begun = (path / "config.yaml").exists() and not (path / "env.json").exists()
        return Run(path, name, None, "unfinished: training has only begun" if begun else f"damaged: {error}")
    return Run(path, name, results, _problem(results))


def _problem(results: Results) -> str:
    path, checkpoint = results.exp_dir, results.exp_dir / "final.ckpt"
    if results.scored:
        digest = sha256(checkpoint) if checkpoint.exists() else None
        for one in results.scored:
            if digest and one.scores.get("checkpoint_hash", digest) != digest:
                return f"stale: {one.name} was scored with other weights than {path}/final.ckpt; run doit score"
        return ""
    if checkpoint.exists():
        return f"unfinished: trained, but not scored; run doit score:{path.name}"
    done, epochs = len(results.history), results.config.experiment.train.epochs
    return f"unfinished: {done} of {epochs} epochs trained"


SER = "syllable_error_rate"
RATES = {  # of score.json, and what to call them
    SER: "syllables", "toneless_error_rate": "toneless", "tone_error_rate": "tones",
    "sandhi_blind_error_rate": "sandhi-blind", "sentence_error_rate": "sentences",
    "character_error_rate": "characters", "homophone_error_rate": "homophones forgiven"}


class Value(NamedTuple):
    """A rate: of one run with its interval, or the mean over several seeds with their spread. Fractions."""

    mean: float
    interval: tuple[float, float] | None  # 95 %, of a single run
    spread: float | None  # standard deviation over the seeds


@dataclass(frozen=True)
class Row:
    """Runs that differ in their seed alone, decoded by one method."""

    label: str
    method: str
    runs: tuple[Run, ...]

    @property
    def short(self) -> str:
        """The label; a sweep's point is without its keys: `lr 0.001, 20`."""
        name = self.runs[0].name
        return f"{name.sweep} {', '.join(name.point.values())}" if name.sweep else self.label

    @property
    def first(self) -> Results:
        """The run of the lowest seed, which stands for all if only one can be shown."""
        return self.runs[0].results

    @property
    def sets(self) -> list[str]:
        """The scored sets, in the corpus' order."""
        return [one.scores["set"] for one in self.first.scored if one.scores["method"] == self.method]

    def scored(self, part: str) -> list[Scored]:
        """The scores of a set, one a run, as far as they are there."""
        return [one for run in self.runs for one in run.results.scored
                if (one.scores["set"], one.scores["method"]) == (part, self.method)]

    def value(self, part: str, rate: str) -> Value | None:
        """A rate of RATES on a set; None if it was not measured."""
        found = [one.scores for one in self.scored(part) if is_measured(one.scores, rate)]
        if not found:
            return None
        if len(found) > 1:
            rates = [scores[rate] for scores in found]
            return Value(statistics.fmean(rates), None, statistics.stdev(rates))
        interval = found[0]["ci95"] if rate == SER else found[0].get("intervals", {}).get(rate)
        return Value(found[0][rate], tuple(interval) if interval else None, None)

    @cached_property
    def main_set(self) -> str:
        """The set by which the row is judged: test, or else the last scored set."""
        return "test" if "test" in self.sets else self.sets[-1]

    @property
    def weights(self) -> int | None:
        """Trainable numbers of the network."""
        noted = self.first.env.get("weights")
        return noted if type(noted) is int and noted < 2**63 else None

    @property
    def minutes(self) -> float | None:
        """Minutes of training, the mean over the runs."""
        found = [run.results.history["seconds"].iloc[-1] / 60 for run in self.runs
                 if "seconds" in run.results.history and len(run.results.history)]
        return statistics.fmean(found) if found else None

    @property
    def real_time_factor(self) -> float:
        """Seconds of decoding per second of audio, on the main set."""
        return statistics.fmean(one.scores["real_time_factor"] for one in self.scored(self.main_set))

    @property
    def commit(self) -> str:
        """The commits that its runs were trained at."""
        found = dict.fromkeys(run.results.env.get("git_commit") or "unknown" for run in self.runs)
        return ", ".join(found)

    @property
    def date(self) -> str:
        """The day on which the first run was trained."""
        return str(self.first.env.get("date") or "")[:10]


SORT_KEYS: dict[str, Callable[[Row], Any]] = {
    "name": lambda row: row.label,
    "dev": lambda row: _known(row.value("dev", SER)),
    "test": lambda row: _known(row.value("test", SER)),
    **{name: lambda row, rate=rate: _known(row.value(row.main_set, rate)) for rate, name in RATES.items()
       if rate != SER},
    "weights": lambda row: _known(row.weights),
    "minutes": lambda row: _known(row.minutes),
    "rtf": lambda row: row.real_time_factor,
    "date": lambda row: row.date,
}


class _Key(NamedTuple):
    """The facts that the runs of a row have in common."""

    parent: Path
    group: str
    seeded: bool
    method: str


def make_rows(runs: Iterable[Run]) -> list[Row]:
    """The rows of the runs that can be compared, in the order of the runs."""
    groups: dict[_Key, list[Run]] = {}
    for run in runs:
        if not run.problem:
            for method in dict.fromkeys(one.scores["method"] for one in run.results.scored):
                key = _Key(run.path.absolute().parent, run.name.group, run.name.seed is not None, method)
                groups.setdefault(key, []).append(run)
    return [Row(_label(key, members[0], list(groups)), key.method, tuple(sorted(members, key=_seed)))
            for key, members in groups.items()]


def _seed(run: Run) -> int:
    return run.name.seed or 0


def _label(own: _Key, run: Run, keys: Sequence[_Key]) -> str:
    """The shortest name that no other row has."""
    others = [key for key in keys if key.group == own.group]
    here = [key for key in others if key.parent == own.parent]
    name = own.group if len(here) == len(others) else str(run.path.parent / own.group)
    if not own.seeded and any(key.seeded for key in here):
        name += " (without seed)"
    return f"{name} ({own.method})" if len({key.method for key in here if key.seeded == own.seeded}) > 1 else name


def sort_rows(rows: list[Row], key: str) -> list[Row]:
    """Sorted by one of SORT_KEYS, within the corpora; what lacks it comes last."""
    return sorted(rows, key=lambda row: (row.first.config.experiment.corpus, SORT_KEYS[key](row), row.label))


def _known(value: Value | float | None) -> float:
    if value is None:
        return float("inf")
    return value.mean if isinstance(value, Value) else value


def sets_of(rows: Iterable[Row]) -> list[str]:
    """All scored sets, dev and test first."""
    found = dict.fromkeys(part for row in rows for part in row.sets)
    return sorted(found, key=lambda part: (["dev", "test"].index(part) if part in ("dev", "test") else 2))


def rates_of(rows: Iterable[Row]) -> list[str]:
    """The rates of RATES that any row has."""
    rows = list(rows)
    return [rate for rate in RATES if any(row.value(part, rate) for row in rows for part in row.sets)]


ABSENT = "–"


def flat_config(config: Resolved) -> dict[str, str]:
    """A config as text by dotted key: `train.epochs` of the experiment, `corpus.root`, `features.num_bins`."""
    parts = config.model_dump(mode="json")
    flat = {**flatten(parts["experiment"]), **flatten(parts["corpus"], "corpus."),
            **flatten(parts["features"], "features.")}
    return {key: ", ".join(map(str, value)) if isinstance(value, list) else str(value) for key, value in flat.items()}


def run_config(run: Run) -> dict[str, str]:
    """The flattened config of a run, with the keys that only another version of the recipe knows."""
    unknown = {key.removeprefix("experiment."): str(value) for key, value in run.results.unknown_keys.items()}
    return {**flat_config(run.results.config), **unknown}


def row_config(row: Row) -> dict[str, str]:
    """The flattened config of a row; `seed` lists those of all its runs."""
    seeds = [str(run.results.config.experiment.seed) for run in row.runs]
    return {**run_config(row.runs[0]), "seed": ", ".join(seeds)}


def differing(configs: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """The values of all configs by key, for the keys that differ; ABSENT if a config lacks the key.

    Corpora that differ are shown by their names alone: they have few keys in common.
    """
    keys = dict.fromkeys(key for config in configs for key in config)
    values = {key: [config.get(key, ABSENT) for config in configs] for key in keys}
    found = {key: each for key, each in values.items() if len(set(each)) > 1}
    return {key: each for key, each in found.items() if "corpus" not in found or not key.startswith("corpus.")}


def seed_notes(rows: Iterable[Row]) -> list[str]:
    """Sentences on rows whose runs differ in more than their seed."""
    notes = []
    for row in rows:
        keys = [key for key in differing([run_config(run) for run in row.runs]) if key != "seed"]
        if keys:
            notes.append(f"The seeds of {row.label} differ in {', '.join(keys)}, too: their mean means little.")
    return notes
