"""The whole recipe for real, as a user runs it: mini made small, through doit, from nothing to its report; then reruns,
kills, and every command of the README."""

import csv
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import readme
from commands import wait_until
from opened_files import SITECUSTOMIZE, undeclared

from steps import hanzi
from steps.common.files import write_lines
from steps.corpus.table import read_table
from steps.search import lm, words
from steps.search.alignment import read_ctm

ROOT = Path(__file__).parent.parent
SHRUNK = {
    "conf/mini.yaml": [(r" +- \{channels: (32|64|96).*\n", ""),  # one block
                       (r"epochs: \d+", "epochs: 2\n  buckets: 1"),  # a compilation for each
                       (r"( +)learning_rate: .*", r"\1learning_rate: 0.003\n\1warmup_steps: 5"),
                       (r"\ntrain:", "\ndecode: {sets: [test]}\ntrain:")],
    "conf/corpora/mini.yaml": [(r"\{train: 1000, dev: 100, test: 100\}", "{train: 60, dev: 12, test: 12}")],
}


def copy_project(folder):
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True,
                           check=True).stdout.split("\n")
    for file in filter(None, files):
        if (ROOT / file).is_file() and not file.startswith("tests/"):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, folder / file)
    for file, changes in SHRUNK.items():
        change(folder / file, changes)


def change(path, changes):
    text = path.read_text()
    for pattern, new in changes:
        text = re.sub(pattern, new, text)
    path.write_text(text)


def start(folder, *words, **variables):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.Popen(words, cwd=folder, env={**os.environ, "PATH": path, **variables}, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def call(folder, *words, **variables):
    process = start(folder, *words, **variables)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


def executed(output):
    return re.findall(r"^\.  (\S+)", output, re.MULTILINE)


def scores(folder):
    """What score.json says, but for what depends on the clock and on which file it is of."""
    found = json.loads((folder / "exp/mini/score/test_greedy/score.json").read_text())
    return {key: value for key, value in found.items() if key not in ("real_time_factor", "checkpoint_hash")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The project after `doit`, and what that said."""
    folder = tmp_path_factory.mktemp("recipe")
    copy_project(folder)
    hook = tmp_path_factory.mktemp("hook")
    (hook / "sitecustomize.py").write_text(SITECUSTOMIZE)
    output = call(folder, "doit", PYTHONPATH=str(hook), OPENED_LOG=f"{folder}.opened")
    return folder, output


def test_everything_runs_from_nothing_to_the_report(finished):
    folder, output = finished
    assert sorted(task.split(":")[0] for task in executed(output)) == sorted([
        "prepare", "lexicon", "features", "train", "decode", "score", "report"])
    found = scores(folder)
    assert found["utterances"] == 12 and 0 < found["syllable_error_rate"] <= 1.5
    assert "<svg" in (folder / "exp/mini/report.html").read_text()
    assert len(list(csv.DictReader((folder / "exp/mini/train.csv").open()))) == 2


def test_stages_open_what_dodo_declares(finished):
    """A file that a stage reads and dodo.py does not know could change without a rerun."""
    folder, _ = finished
    assert undeclared(folder, Path(f"{folder}.opened")) == []


@pytest.fixture
def copied(finished, tmp_path):
    """A copy to spoil: timestamps and doit's memory come along."""
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True, copy_function=shutil.copy2)
    return tmp_path


def kill_in_stage(folder, module, *words):
    """Start doit, and kill -9 it and the stage, as soon as the stage runs."""
    process = start(folder, "doit", *words)
    doit = psutil.Process(process.pid)

    def is_stage(child):
        try:
            return module in child.cmdline()
        except psutil.NoSuchProcess:  # another stage, which ended between the two questions
            return False

    wait_until(lambda: any(map(is_stage, doit.children(recursive=True))))
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_killed_in_a_stage_and_run_again_it_scores_the_same(finished, copied):
    call(copied, "doit", "clean", "features:mini_fbank")
    kill_in_stage(copied, "steps.stage3_features", "score:mini")
    call(copied, "doit", "score:mini")
    assert scores(copied) == scores(finished[0])


def test_a_training_on_spliced_utterances_has_them_aligned_first(copied):
    spliced = "base: mini\ntrain: {epochs: 1, ali: mini, augment: {splice: 1.0}}\n"
    (copied / "conf/spliced.yaml").write_text(spliced)
    kill_in_stage(copied, "steps.stage4_train", "train:spliced")
    times = read_ctm(copied / "exp/mini/ali/train/ctm")
    assert executed(call(copied, "doit", "train:spliced"))[-1] == "train:spliced"
    assert executed(call(copied, "doit", "train:spliced")) == []
    pinyin = dict(line.split(" ", 1) for line in (copied / "data/mini/train/pinyin").read_text().splitlines())
    assert {utt: " ".join(one.syllable for one in found) for utt, found in times.items()} == pinyin
    for found in times.values():
        assert all(one.begin + one.duration == pytest.approx(after.begin, abs=0.002)
                   for one, after in itertools.pairwise(found))


def readme_blocks():
    """The indented blocks of the guides as lists of lines, without comments; the Chinese ones repeat the English."""
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "conf/README.md"))
    blocks = re.findall(r"(?:^ {4,}\S.*\n)+", text, re.MULTILINE)
    return list(map(list, dict.fromkeys(tuple(re.split(r"\s+#", line)[0].strip() for line in block.splitlines())
                                        for block in blocks)))


def is_session(block):
    """Whether its commands belong together, since one writes a config for the others."""
    return any("> conf/" in line for line in block)


def readme_commands():
    """The commands in these blocks that the recipe itself answers."""
    lines = [line for block in readme_blocks() if not is_session(block) for line in block]
    return sorted({line for line in lines if "path.sh " in line and not line.startswith("$ ")})


@pytest.mark.parametrize("command", readme_commands())
def test_commands_of_the_readme(finished, tmp_path, command):
    """Each is run in a finished project. path.sh, which has tests of its own, is left away: this is its environment."""
    if "pytest" in command:
        pytest.skip("this very run")
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True, copy_function=shutil.copy2)
    shown = command  # real recordings are not there: what doit would do
    if "AUDIO_CMN" in command:
        shown = re.sub(r"doit (\S+)$", r"doit list --all --status \1", command)
    output = call(tmp_path, "bash", "-euo", "pipefail", "-c", shown.replace("./path.sh ", ""))
    assert output or command.endswith("doit")
    if command in ("./path.sh doit", "./path.sh doit score:mini"):
        assert executed(output) == []


@pytest.fixture(scope="module")
def frequent_words(finished):
    """exp/hanzi of the project, which steps.hanzi would make of 349,000 words, made of the most frequent ones."""
    with pytest.MonkeyPatch.context() as patch:
        general = words.general_words()
        patch.setattr(words, "general_words", lambda: dict(sorted(general.items(), key=lambda one: -one[1])[:5000]))
        patch.setattr(lm, "newspaper_clauses", lambda: [["你好"], ["世界"]])
        hanzi.general_graph(finished[0] / "exp/hanzi", None, None)


@pytest.mark.parametrize(("command", "output"), readme.shown(readme.README.read_text(encoding="utf-8")))
def test_outputs_of_the_readme(finished, frequent_words, command, output):
    """A small mini hears other syllables, if any: its lines have the form of README's."""
    found = readme.printed(command, finished[0])
    assert found == output if "exp/mini" not in command else readme.forms(found) <= readme.forms(output)


@pytest.mark.parametrize("block", list(filter(is_session, readme_blocks())), ids=lambda block: block[-1])
def test_sessions_of_the_readme(finished, tmp_path, block):
    """As a shell runs them, but with one epoch. A sweep has two points and one seed. The reader's own recordings are
    those of mini."""
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True, copy_function=shutil.copy2)
    change(tmp_path / "conf/mini.yaml", [(r"epochs: \d+", "epochs: 1")])
    write_own_table(tmp_path)
    script = re.sub(r"epochs: \d+", "epochs: 1", "\n".join(block).replace("./path.sh ", ""))
    kept = iter([2])
    script = re.sub(r"\[([^\]]*)\]", lambda values: "[" + ",".join(values[1].split(",")[:next(kept, 1)]) + "]", script)
    script = script.replace("/home/me/mine", str(tmp_path / "mine"))
    output = call(tmp_path, "bash", "-euo", "pipefail", "-c", script)
    assert "against" in output if "compare" in script else (tmp_path / "exp/mine/report.html").exists()


def write_own_table(root):
    """mine/speech.csv: what mini says, as a reader's own table has it."""
    lines = ["path,speaker,text"]
    for folder in (root / "data/mini" / part for part in ("train", "dev", "test")):
        tables = [read_table(folder / name) for name in ("wav.scp", "utt2spk", "text")]
        lines += [f"{root / wav},{tables[1][utt]},{tables[2][utt]}" for utt, wav in tables[0].items()]
    write_lines(root / "mine/speech.csv", lines)
