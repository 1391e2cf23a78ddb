"""A small project whose stages are killed: how it is made, run, and compared."""

import contextlib
import re
import shutil
import time
from pathlib import Path

import yaml
from commands import call
from corpus_trees import speech
from tiny_corpus import EXPERIMENT

from steps.common.files import write_lines

STAGES = {
    "prepare": ["steps.stage1_prepare", "mini"],
    "lexicon": ["steps.stage2_lexicon", "mini"],
    "features": ["steps.stage3_features", "mini", "fbank"],
    "train": ["steps.stage4_train", "one"],
    "graph": ["steps.make_graph", "one"],
    "tune": ["steps.tune", "exp/one", "prefix"],
    "decode": ["steps.stage5_decode", "exp/one", "dev", "--method", "prefix"],
    "score": ["steps.stage6_score", "exp/one", "dev", "--method", "prefix"],
    "align": ["steps.align", "exp/one", "train"],
    "export": ["steps.export", "exp/one"],
    "report": ["steps.make_report", "exp/one"],
    "compare": ["steps.compare"],
    "recognize": ["steps.recognize", "exp/one/export", "exp/sound", "--beside", "--overwrite"],
    "pronounce": ["steps.pronounce", "exp/one/export", "exp/sound/a.wav", "--text", "ba1",
                  "--html", "exp/page.html"],
    "diagnose": ["steps.diagnose", "one", "--minutes", "0.02"],
}
# What differs from run to run: durations, dates, commits, processes; and what holds such.
VARY = re.compile(r"env\.json|train\.csv|decode\.json|score\.json|checkpoints/.*\.json|report\.html|inputs\.json|"
                  r"lm\.json|export\.json|model\.mindir|compare\.|diagnosis\.|"
                  r"(decode|score|export)/(.*/)?SHA256SUMS|data/mini/\w+/(utt2audio|SHA256SUMS)$")


def make_project(root: Path) -> None:
    """conf/ of a corpus of some sentences of mini and an experiment that trains for moments; two recordings."""
    config = {"module": "mini", "options": {"seed": 1, "utterances": {"train": 12, "dev": 3, "test": 3}}}
    experiment = {**EXPERIMENT, "corpus": "mini", "features": "fbank",
                  "decode": {"sets": ["dev"], "methods": ["prefix"], "lm": {"words": ["words.txt"], "text": ["train"]}}}
    experiment["train"] = {**EXPERIMENT["train"], "epochs": 2}
    write_lines(root / "words.txt", ["你好", "中国"])
    for name in ("a", "b"):
        speech(root / "exp/sound" / f"{name}.wav")
    for name, content in (("corpora/mini", config), ("features/fbank", {"type": "fbank", "num_bins": 8}),
                          ("one", experiment)):
        write_lines(root / "conf" / f"{name}.yaml", [yaml.safe_dump(content)])


def run_stage(root: Path, stage: str, end: int = 0, number: str = "SIGKILL") -> tuple[int, str]:
    """Run a stage, ended at its file operation `end` by a signal: (exit status, what it said)."""
    return call(root, "killer", str(end), number, *STAGES[stage])


def operations(root: Path, stage: str) -> int:
    """How many file operations a whole run makes."""
    status, said = run_stage(root, stage)
    assert status == 0, said
    return int(re.search(r"^file operations: (\d+)$", said, re.MULTILINE)[1])


def artefacts(root: Path) -> dict[str, bytes]:
    """All files below data/ and exp/, but for those whose content varies by itself: of them the names."""
    files = {str(path.relative_to(root)): path for top in ("data", "exp") for path in sorted((root / top).rglob("*"))
             if path.is_file() and "/log/" not in str(path)}
    return {name: b"" if VARY.search(name) else path.read_bytes() for name, path in files.items()}


def kill_and_rerun(whole: Path, place: Path, stage: str, end: int, number: str) -> list[str]:
    """What is wrong after a stage on a copy of the project `whole` was killed and the chain from it was run again.

    The copy is made again at `place`, and removed where nothing is wrong.
    """
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(whole, place, symlinks=True)
    _, said = run_stage(place, stage, end, number)
    faults = []
    if number != "SIGKILL" and "Traceback" in said:
        faults.append(f"traceback: {said[-300:]}")
    if processes_in(place):
        faults.append(f"processes left: {processes_in(place)}")
    status, said = run_stage(place, stage)
    if status:
        faults.append(f"the rerun fails: {said[-300:]}")
    before, after = artefacts(whole), artefacts(place)
    faults += [f"{name}: {'other' if name in after and name in before else 'gone' if name in before else 'left over'}"
               for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    if not faults:
        shutil.rmtree(place)
    return faults


def processes_in(folder: Path, seconds: float = 3.0) -> list[str]:
    """Processes that work in a folder, some time after they should have ended."""
    end = time.monotonic() + seconds
    while True:
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                alive = (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
                if alive and (entry / "cwd").readlink() == folder:
                    found.append(entry.name)
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.1)
