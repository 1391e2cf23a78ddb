"""Stages 1 and 2 on a generated tree of AISHELL's size and layout, and doit's check when all is done: seconds and
memory, side by side with the budget.

    python tests/benchmarks/corpus_scale.py [utterances]

The budget (issue "Corpora and lexicon"): preparing, validating and lexicon of 141,600 utterances in at most 180 s and
1.5 GB on 2 cores, without the reading of audio; doit's no-op check on it in at most 5 s. The audio is one short
recording under many names: opening each is timed apart. For doit's check stages 3 to 6 are recorded as done with files
of their size that a stand-in wrote.
"""

import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from pypinyin.constants import PHRASES_DICT

PROJECT = Path(__file__).resolve().parents[2]
PER_SPEAKER = 354  # 141,600 utterances of 400 speakers
MEAN_S, WORDS_PER_S = 4.5, 1.35  # of AISHELL-1
LINKS = 20000  # names that one file may have on common file systems
BUDGET_S, BUDGET_GB, BUDGET_CHECK_S = 180, 1.5, 5
EXPERIMENT = "corpus: aishell\nfeatures: fbank\nmodel: {blocks: [{channels: 16}]}\n"
RECORD = """
from pathlib import Path
from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain
import dodo
from steps.tasks.step import Step

def stand_in(step, out=None, err=None):
    for path in map(Path, step.task.targets):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            table = Path("data/aishell", path.parent.name.removesuffix("_greedy"), "pinyin")
            path.write_text(table.read_text() if table.exists() else "done")
    step.result = "done"

Step.execute = stand_in
raise SystemExit(DoitMain(ModuleTaskLoader(dodo)).run(["report:scale"]))
"""


def generate(root: Path, lengths: np.ndarray) -> None:
    """data_aishell of noise and random words: a recording for each of `lengths`, seconds, with about 3 characters a
    second; train, dev and test of 340, 40 and 20 speakers. Recordings of equal length are one file under many names."""
    draw, rng = random.Random(1), np.random.default_rng(1)
    words = sorted(word for word in PHRASES_DICT if 1 < len(word) < 4)
    lines, made = [], {}
    for number, seconds in enumerate(lengths.tolist()):
        speaker = 2 + number // PER_SPEAKER
        part = "test" if speaker % 20 == 3 else "dev" if speaker % 10 == 2 else "train"
        utt = f"BAC009S{speaker:04d}W{number % PER_SPEAKER:04d}"
        folder = root / "wav" / part / f"S{speaker:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        wav, names = made.get(seconds, (None, LINKS))
        if names == LINKS:
            wav, names = root / f"{number}.wav", 0
            soundfile.write(wav, rng.normal(0, 0.1, int(seconds * 16000)), 16000, format="WAV")
        made[seconds] = wav, names + 1
        os.link(wav, folder / f"{utt}.wav")
        lines.append(f"{utt} {' '.join(draw.choices(words, k=max(1, int(seconds * WORDS_PER_S))))}\n")
    (root / "transcript").mkdir()
    (root / "transcript/aishell_transcript_v0.8.txt").write_text("".join(lines), encoding="utf-8")


def call(project: Path, *command: str) -> str:
    """What a command in the project says on stdout."""
    return subprocess.run([sys.executable, *command], cwd=project, check=True, stdout=subprocess.PIPE, text=True).stdout


def run(what: str, project: Path, *command: str) -> tuple[float, float]:
    """Wall and processor seconds of a command."""
    begin, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    call(project, *command)
    seconds, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{what:40} {seconds:7.1f} s  {used:7.1f} s of processor")
    return seconds, used


def check_when_done(project: Path) -> float:
    """Wall seconds that doit takes to see that nothing is to be done for an experiment on the corpus."""
    call(project, "-c", RECORD)
    again = call(project, "-m", "doit", "report:scale")
    if any(not line.startswith("--") for line in again.splitlines()):
        sys.exit(f"doit ran something again:\n{again}")
    return run("doit, all up to date", project, "-m", "doit", "report:scale")[0]


def main() -> None:
    """Generate, run, print a table and whether the budget holds."""
    utterances = int(sys.argv[1]) if len(sys.argv) > 1 else 141600
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        generate(project / "data_aishell", np.full(utterances, MEAN_S))
        (project / "conf/corpora").mkdir(parents=True)
        (project / "conf/corpora/aishell.yaml").write_text(f"module: aishell\nroot: {project}\n")
        (project / "conf/features").mkdir()
        (project / "conf/features/fbank.yaml").write_text("type: fbank\n")
        (project / "conf/scale.yaml").write_text(EXPERIMENT)
        shutil.copy(PROJECT / "dodo.py", project)
        for name in ("steps", "local"):
            shutil.copytree(PROJECT / name, project / name)
        print(f"{utterances} utterances")
        audio = ("from steps.corpus.audio import check_audios; from steps.corpus.find import find_audio;"
                 "list(check_audios(list(find_audio('data_aishell/wav').values())))")
        opening, _ = run("opening the audio (not counted)", project, "-c", audio)
        total = run("prepare, the opening counted", project, "-m", "steps.stage1_prepare", "aishell")[0] - opening
        for part in ("train", "dev", "test"):
            total += run(f"validate {part}", project, "-m", "steps.data_dir", "validate", f"data/aishell/{part}",
                         "--audio", "no")[0]
        total += run("lexicon", project, "-m", "steps.stage2_lexicon", "aishell")[0]
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        check = check_when_done(project)
    print(f"{'without the opening':40} {total:7.1f} s of {BUDGET_S}; largest process {memory:.2f} GB of {BUDGET_GB}; "
          f"doit's check {check:.1f} s of {BUDGET_CHECK_S}")
    sys.exit(total > BUDGET_S or memory > BUDGET_GB or check > BUDGET_CHECK_S)


if __name__ == "__main__":
    main()
