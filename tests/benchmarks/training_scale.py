"""Stages 1 to 4 at AISHELL's size: 141,600 recordings as long as AISHELL's, made of noise; real updates of an
experiment, killed once and resumed. Seconds, disk and memory.

    python -m tests.benchmarks.training_scale [utterances] [--steps 500]

Training is killed (kill -9) behind the checkpoint that lies half way, and goes on from there. Hours of an epoch are
those updates in proportion.
"""

import argparse
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

from steps.model.batches import read_buckets
from tests.benchmarks.corpus_scale import MEAN_S, PROJECT, generate, run

DEVIATION_S, SHORTEST_S, LONGEST_S = 1.4, 1.2, 14.6  # AISHELL-1's
EXPERIMENT = "aishell_dfcnn_1a"
TRAIN = """
import sys
from steps.model import callbacks
callbacks.SAVE_EVERY = {every}
from steps.stage4_train import main
sys.argv[1:] = ["{experiment}"]
main()
"""


def aishells_lengths(utterances: int) -> np.ndarray:
    """Seconds of so many recordings, to a tenth."""
    drawn = np.random.default_rng(1).normal(MEAN_S, DEVIATION_S, utterances)
    return np.clip(drawn, SHORTEST_S, LONGEST_S).round(1)


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
        lengths = aishells_lengths(args.utterances)
        generate(project / "data_aishell", lengths)
        print(f"{args.utterances} utterances, {lengths.sum() / 3600:.0f} hours", flush=True)
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
        buckets = read_buckets(project / "exp" / EXPERIMENT)
    print(f"killed, and gone on after {half} updates; {seconds:.2f} s an update, {memory:.2f} GB, lengths {buckets}")


if __name__ == "__main__":
    main()
