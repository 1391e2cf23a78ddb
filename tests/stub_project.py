"""A project of dodo.py and conf/ as they are, whose stages are stubs: they write their files at once, and a log."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from commands import Command, wait_until

ROOT = Path(__file__).parent.parent
KEPT = ("dodo.py", "steps/__init__.py", "steps/common", "steps/config", "steps/tasks", "steps/corpus/table.py",
        "steps/status.py")

# Tasks of plain doit.
FROM_TRAIN = ["train:mini", "decode:mini:dev", "decode:mini:test", "score:mini:dev", "score:mini:test", "report:mini"]
ALL = ["prepare:mini", "lexicon:mini", "features:mini_fbank", *FROM_TRAIN]

EXPERIMENT = """corpus: mini
features: fbank
model: {blocks: [{channels: 8}]}
train: {epochs: 2}
"""
CONF = {
    "mini.yaml": EXPERIMENT,
    "wide.yaml": EXPERIMENT.replace("channels: 8", "channels: 64"),
    "real.yaml": EXPERIMENT.replace("corpus: mini", "corpus: real") + "decode: {sets: [test]}\n",
    "both.yaml": EXPERIMENT.replace("corpus: mini", "corpora: [mini, real]"),
    "corpora/mini.yaml": "module: mini\noptions: {seed: 1}\n",
    "corpora/real.yaml": "module: table\nroot: ${REAL}\noptions: {file: table.csv}\n",
    "features/fbank.yaml": "type: fbank\n",
}

# What a stage writes says what it read of conf/ or of the stage before, so that changes propagate as real ones do.
STUB = '''
import hashlib, os, sys, time
from pathlib import Path
from steps.common.errors import run

def name(*words): return ":".join([sys.argv[0].split("/")[-1].removesuffix(".py").split("_")[-1], *words])

def read(*paths): return hashlib.md5(b"".join(Path(path).read_bytes() for path in paths)).hexdigest()

def write(folder, files, content):
    folder.mkdir(parents=True, exist_ok=True)
    for file in files.split():
        (folder / file).write_text(content + "\\n")

def log(line):
    with open("log", "a") as file:
        file.write(line + "\\n")

def begin(task):
    slow = task in os.environ.get("SLOW", "").split()
    try:
        log(f"{task} {os.getpid()}")
        print(f"{task} begins", flush=True)
        if os.environ.get("FAIL") == task:
            sys.exit("error: as asked")
        end = time.monotonic() + 60
        while slow and time.monotonic() < end and not Path("go").exists():
            time.sleep(0.02)
    finally:
        if slow:
            time.sleep(float(os.environ.get("CLEARING", 0)))
            log(f"{task} cleared up")
'''
STAGES = {
    "stage1_prepare": '''
from steps.common.files import size_and_time
def main():
    corpus, = sys.argv[1:]
    begin(name(corpus))
    for part in ("train", "dev", "test"):
        wav = Path("audio", f"{part}.wav")
        if not wav.exists():
            write(wav.parent, wav.name, "audio")
        write(Path("data", corpus, part), "text utt2spk spk2utt utt2dur", f"{corpus} {part}")
        write(Path("data", corpus, part), "wav.scp", f"utt {wav}")
        write(Path("data", corpus, part), "utt2audio", f"utt {size_and_time(wav)}")
''',
    "stage2_lexicon": '''
def main():
    corpus, = sys.argv[1:]
    begin(name(corpus))
    conf = Path(f"conf/corpora/{corpus}.yaml")
    says = [line for line in conf.read_text().splitlines() if "pinyin" in line] if conf.exists() else []
    for part in ("train", "dev", "test"):
        write(Path("data", corpus, part), "pinyin", str(says) + read(Path("data", corpus, part, "text")))
    write(Path("data", corpus, "lang"), "lexicon.txt tokens.txt words.txt", str(says))
''',
    "stage3_features": '''
import steps.feats.helper
def main():
    corpus, features = sys.argv[1:]
    begin(name(f"{corpus}_{features}"))
    out = Path("exp/features", f"{corpus}_{features}")
    for part in ("train", "dev", "test"):
        write(out / part, "feats.ark feats.scp utt2num_frames", "feats")
    write(out, "cmvn", read(f"conf/features/{features}.yaml"))
''',
    "stage4_train": '''
from steps.common.process import output_lock
def main():
    experiment, = sys.argv[1:]
    with output_lock(Path("exp", experiment), "train"):
        work(experiment)
def work(experiment):
    begin(name(experiment))
    out = Path("exp", experiment)
    corpus = {"real": "real", "both": "mini+real"}.get(experiment, "mini")
    file = f"{experiment.partition('@')[0]}.yaml"
    conf, = (path for path in (Path("conf", file), Path("conf/sweeps", file)) if path.exists())
    trained = read(conf, f"data/{corpus}/train/pinyin", f"exp/features/{corpus}_fbank/cmvn")
    write(out, "final.ckpt train.csv config.yaml env.json tokens.txt cmvn", trained)
    write(out / "checkpoints", "epoch-1", trained)
''',
    "make_graph": '''
def main():
    experiment, = sys.argv[1:]
    begin(name(experiment))
    write(Path("exp", experiment, "graph"), "syllables.arpa lm.json", "graph")
''',
    "tune": '''
def main():
    exp = sys.argv[1]
    begin(name(exp.split("/")[1]))
    write(Path(exp, "decode"), "tuning.json", "weights")
''',
    "stage5_decode": '''
def main():
    exp, part, _, method = sys.argv[1:]
    begin(name(exp.split("/")[1], part))
    part = part.replace("/", ".")
    write(Path(exp, "decode", f"{part}_{method}"), "pinyin text ctm decode.json", read(f"{exp}/final.ckpt"))
''',
    "stage6_score": '''
def main():
    exp, part, _, method = sys.argv[1:]
    begin(name(exp.split("/")[1], part))
    found, part = "score.json wer per_utt per_spk ops confusion", part.replace("/", ".")
    write(Path(exp, "score", f"{part}_{method}"), found, read(f"{exp}/decode/{part}_{method}/pinyin"))
''',
    "make_report": '''
def main():
    exp, = sys.argv[1:]
    begin(name(exp.split("/")[1]))
    write(Path(exp), "report.html", "page")
''',
    "diagnose": '''
def main():
    experiment, = sys.argv[1:]
    begin(name(experiment))
    write(Path("exp", experiment), "diagnosis.html diagnosis.json", "sound")
''',
    "compare": '''
def main():
    begin("compare")
    write(Path("exp"), "compare.html", "page")
''',
}


class Project:
    """A project folder, and doit in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._seen = 0

    def make(self) -> None:
        """Fill the folder."""
        for name in KEPT:
            source, target = ROOT / name, self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        for name, text in CONF.items():
            self.write(f"conf/{name}", text)
        self.write("steps/stub.py", STUB)
        for name, text in STAGES.items():
            self.write(f"steps/{name}.py", f"from steps.stub import *\n{text}\nif __name__ == '__main__': run(main)\n")
        for name in ("steps/feats/helper.py", "steps/feats/other.py", "local/mini.py", "local/table.py"):
            self.write(name, "")
        for name in ("data/README.md", "exp/README.md"):
            self.write(name, "kept\n")

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text, encoding="utf-8")

    def replace(self, name: str, old: str, new: str) -> None:
        """Change a file of the project."""
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def start(self, *args: str, **variables: str) -> Command:
        """Start doit in a process group of its own."""
        return Command(self.folder, "doit", *args, PYTHONUNBUFFERED="1", **variables)

    def start_alone(self, *args: str, **variables: str) -> subprocess.Popen:
        """The same, not forked from anything: for what passes on signals to processes that it forks itself. Ctrl-C
        reaches it also where the tests run in the background of a shell, which ignores it."""
        return subprocess.Popen([sys.executable, "-m", "doit", *args], cwd=self.folder, text=True,
                                env={**os.environ, "PYTHONUNBUFFERED": "1", **variables}, start_new_session=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    def doit(self, *args: str, status: int = 0, **variables: str) -> tuple[str, str]:
        """Run doit and return its stdout and stderr; it must exit with `status`."""
        process = self.start(*args, **variables)
        out, err = process.communicate(timeout=240)
        assert process.returncode == status, f"{process.returncode}\n{out}\n{err}"
        return out, err

    def status(self, *args: str) -> dict:
        """What steps.status --json says."""
        return json.loads(Command(self.folder, "steps.status", "--json", *args).communicate()[0])

    def run(self, *args: str, **variables: str) -> list[str]:
        """Run doit and return the stages that have begun."""
        self.doit(*args, **variables)
        return self.ran()

    def ran(self) -> list[str]:
        """The stages that have begun since the last call."""
        return [line.split()[0] for line in self.log_lines() if line.split()[1].isdigit()]

    def log_lines(self) -> list[str]:
        """What the stubs have logged since the last call of this or `ran`."""
        log = self.folder / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        new = lines[self._seen:]
        self._seen = len(lines)
        return new

    def wait_for(self, task: str) -> int:
        """Wait until a stage has begun, and return its process id."""
        log = self.folder / "log"

        def begun() -> int | None:
            lines = log.read_text().splitlines()[self._seen:] if log.exists() else []
            return next((int(line.split()[1]) for line in lines
                         if line.startswith(f"{task} ") and line.split()[1].isdigit()), None)

        return wait_until(begun, 120)


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def wait_until_gone(pid: int) -> None:
    """Wait a moment for a process to end, or fail (and end it)."""
    try:
        wait_until(lambda: not is_running(pid), 30)
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        raise
