"""Stages 1 to 4 at AISHELL's size: 141,600 recordings as long as AISHELL's, made of noise; real updates of an
experiment, killed once and resumed. Seconds, disk and memory.

    python -m tests.benchmarks.training_scale [utterances] [--steps 500]

Recordings of equal length are one file under many names. Training is killed (kill -9) behind the checkpoint that lies
half way, and goes on from there. Hours of an epoch are those updates in proportion.
"""

import argparse
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from tests.benchmarks.corpus_scale import LINKS, PER_SPEAKER, PROJECT, run

MEAN_S, DEVIATION_S, SHORTEST_S, LONGEST_S = 4.5, 1.4, 1.2, 14.6  # AISHELL-1's
SYLLABLES_PER_S = 3.2
CHARACTERS = "的一是了我不人在他有这上们来到时大地为子中你说生国年着就那和要她出也里后自以会家可下而天去能小多心学"
EXPERIMENT = "aishell_dfcnn_1a"
TRAIN = """
import sys
from steps.model import callbacks
callbacks.SAVE_EVERY = {every}
from steps.stage4_train import main
sys.argv[1:] = ["{experiment}"]
main()
"""


def generate(root: Path, utterances: int) -> None:
    """data_aishell with its lengths; train, dev and test of 340, 40 and 20 speakers."""
    rng = np.random.default_rng(1)
    lengths = np.clip(rng.normal(MEAN_S, DEVIATION_S, utterances), SHORTEST_S, LONGEST_S).round(1)
    lines, made = [], {}
    for number, seconds in enumerate(lengths):
        speaker = 2 + number // PER_SPEAKER
        part = "test" if speaker % 20 == 3 else "dev" if speaker % 10 == 2 else "train"
        folder = root / "wav" / part / f"S{speaker:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        wav, names = made.get(seconds, (None, LINKS))
        if names == LINKS:
            wav, names = root / f"{number}.wav", 0
            soundfile.write(wav, rng.normal(0, 0.1, int(seconds * 16000)), 16000, format="WAV")
        made[seconds] = wav, names + 1
        utt = f"BAC009S{speaker:04d}W{number % PER_SPEAKER:04d}"
        os.link(wav, folder / f"{utt}.wav")
        lines.append(f"{utt} {''.join(rng.choice(list(CHARACTERS), int(seconds * SYLLABLES_PER_S)))}\n")
    (root / "transcript").mkdir()
    (root / "transcript/aishell_transcript_v0.8.txt").write_text("".join(lines), encoding="utf-8")
    print(f"{utterances} utterances, {lengths.sum() / 3600:.0f} hours", flush=True)


def train_until(project: Path, every: int, wanted: Path, steps: int) -> tuple[list[str], float, float]:
    """Train until the file `wanted` is there, or a line tells of so many updates; then kill -9.

    Returns what was said, seconds an update, and the largest resident size in GB.
    """
    process = subprocess.Popen([sys.executable, "-c", TRAIN.format(every=every, experiment=EXPERIMENT)], cwd=project,
                               stderr=subprocess.PIPE, text=True)
    said, told = [], []
    for line in process.stderr:
        said.append(line.rstrip())
        print(said[-1], flush=True)
        at = re.search(r"step (\d+):", line)
        if at:
            told.append((int(at[1]), time.monotonic()))
        if wanted.exists() or (told and told[-1][0] >= steps):
            break
    status = Path(f"/proc/{process.pid}/status").read_text()
    process.send_signal(signal.SIGKILL)
    process.wait()
    (first, begin), (last, end) = told[0], told[-1]
    return said, (end - begin) / max(1, last - first), int(re.search(r"VmHWM:\s*(\d+)", status)[1]) / 2**20


def main() -> None:
    """Generate, run the stages, train twice, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("utterances", nargs="?", type=int, default=141600)
    parser.add_argument("--steps", type=int, default=500)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        generate(project / "data_aishell", args.utterances)
        for name in ("steps", "local", "conf"):
            shutil.copytree(PROJECT / name, project / name)
        (project / "conf/corpora/aishell.yaml").write_text(f"module: aishell\nroot: {project}\n")
        run("stage 1", project, "-m", "steps.stage1_prepare", "aishell")
        run("stage 2", project, "-m", "steps.stage2_lexicon", "aishell")
        run("stage 3", project, "-m", "steps.stage3_features", "aishell", "fbank")
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        size = sum(path.stat().st_size for path in (project / "exp/features").rglob("*")) / 1e9
        print(f"features {size:.1f} GB; largest process of stages 1 to 3 {memory:.2f} GB", flush=True)
        half = args.steps // 2
        checkpoint = project / f"exp/{EXPERIMENT}/checkpoints/epoch-0000-step-{half:06d}.json"
        train_until(project, half, checkpoint, args.steps)
        said, seconds, memory = train_until(project, half, project / "never", args.steps)
        if f"going on after epoch 0 and {half} updates" not in "\n".join(said):
            sys.exit("training did not go on where it was killed")
        buckets = (project / "exp" / EXPERIMENT / "buckets.json").read_text().strip()
    print(f"killed, and gone on after {half} updates; {seconds:.2f} s an update, {memory:.2f} GB, lengths {buckets}")


if __name__ == "__main__":
    main()
