"""Training steps here and of the same networks in PyTorch, in turn on the same machine, and the ratios of their speeds.

    python -m tests.benchmarks.train_step [--torch PYTHON] [--rounds N] [--steps N] [CASE…]

Here that is the loop of stage 4 (train_step_mindspore.py), there a bare loop (train_step_pytorch.py). PYTHON is one
that has PyTorch; by default a venv for it is made in a temporary directory. Where other programs run, look at
processor seconds, with OMP_NUM_THREADS=1: threads that wait for each other use them up, too. ONEDNN_MAX_CPU_ISA, which
path.sh sets for MindSpore, is kept from PyTorch. The aim (issue "Acoustic model"): 1.25 times PyTorch's fp32 speed at
width 16, 1.1 times at 64; with bf16 the speed of its bf16 autocast.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from steps.config.schema import Model
from steps.model.network import out_sizes, syllable_parts
from steps.text.syllables import BLANK, all_syllables

PROJECT = Path(__file__).resolve().parents[2]
TORCH = ["torch==2.13.0", "numpy<2"]
STUDENT = [{"channels": 64, "pool": 2}, {"channels": 128, "pool": 2}, {"channels": 256, "layers": 3, "pool": 2},
           {"channels": 512, "layers": 3}, {"channels": 512, "layers": 3}]  # as in conf/thchs30_dfcnn_1a.yaml
QUARTER = [{**block, "channels": block["channels"] // 4} for block in STUDENT]
CASES = {  # network (None: of conf/hsk.yaml), batch, frames, bins
    "hsk": (None, 16, 128, 80),
    "width16": ({"blocks": QUARTER}, 16, 128, 80),
    "width64": ({"blocks": STUDENT}, 8, 128, 200),  # as the student project's, less 4096 × 4096
}
SYSTEMS = (("here", "fp32"), ("here", "bf16"), ("pytorch", "fp32"), ("pytorch", "bf16"))
MINDSPORE_ONLY = "ONEDNN_MAX_CPU_ISA"  # PyTorch's oneDNN obeys it, too, and would go without AVX-512 and bf16
WARM_UP = 3  # steps not counted: compilation, memory


def describe(name: str) -> dict:
    """A case in full."""
    network, batch, frames, bins = CASES[name]
    if network is None:
        network = yaml.safe_load((PROJECT / "conf/hsk.yaml").read_text(encoding="utf-8"))["model"]
    model, tokens = Model(**network), [BLANK, *all_syllables()]
    out_frames, out_bins = out_sizes(model, frames, bins)
    return {"model": model.model_dump(mode="json"), "batch": batch, "frames": frames, "bins": bins, "labels": 3,
            "tokens": len(tokens), "parts": syllable_parts(tokens).tolist(), "out_frames": out_frames,
            "width": model.blocks[-1].channels * out_bins,
            "threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))}


def run(command: list[str], without: str | None = None) -> dict:
    """What a child printed last, which has all environment variables but `without`."""
    variables = {name: value for name, value in os.environ.items() if name != without}
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True, env=variables)
    return json.loads(done.stdout.splitlines()[-1])


def install_torch(folder: Path) -> str:
    """A venv that has PyTorch for CPUs."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", *TORCH], check=True)
    return python


def measure(name: str, torch: str, rounds: int, steps: int) -> None:
    """Run a case's systems in turn and print the medians of all steps, and how they compare."""
    found: dict[tuple[str, str], list] = {system: [] for system in SYSTEMS}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(describe(name), file)
        file.flush()
        for _ in range(rounds):
            for kind, precision in SYSTEMS:
                arguments = [file.name, precision, str(WARM_UP + steps)]
                if kind == "here":
                    result = run([sys.executable, "-m", "tests.benchmarks.train_step_mindspore", *arguments])
                else:
                    result = run([torch, "tests/benchmarks/train_step_pytorch.py", *arguments], without=MINDSPORE_ONLY)
                found[kind, precision].append(result)
    ours = medians(found["here", "fp32"])
    for (_, precision), results in found.items():
        seconds, processor = medians(results)
        print(f"{name:8} {results[0]['version']:28} {precision}  {seconds:.4f} s a step, {processor:.4f} processor s; "
              f"{seconds / ours[0]:.2f} and {processor / ours[1]:.2f} times what fp32 takes here")
    pipeline, processor = found["here", "fp32"][0]["pipeline"]
    print(f"{name:8} the input pipeline alone: {1 / pipeline:.0f} batches a second ({1 / processor:.0f} a processor "
          f"second), training takes {1 / ours[0]:.0f}")


def medians(results: list[dict]) -> tuple[float, float]:
    """Seconds and processor seconds of a step."""
    counted = [step for result in results for step in result["seconds"][WARM_UP:]]
    return statistics.median(step[0] for step in counted), statistics.median(step[1] for step in counted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--torch", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        torch = args.torch or install_torch(Path(folder))
        for name in args.cases:
            measure(name, torch, args.rounds, args.steps)


if __name__ == "__main__":
    main()
