"""How fast recognition starts and runs, and what memory it takes, on ONNX Runtime and on MindSpore.

    python -m tests.benchmarks.recognize [exp/mini] [--minutes 60]

The recording is the test utterances of the experiment's corpus, one after the other, again and again. Each figure is
that of a whole process. Where other programs run, too, the processor's seconds tell more than those of the clock: they
stand behind the slash. The last line compares windows with the whole of 10 minutes.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from steps.config.load import load_resolved
from steps.corpus.table import read_table
from steps.deploy.model import OnnxModel
from steps.deploy.recognizer import WINDOW_S, windows
from steps.feats.audio import read_audio
from steps.feats.compute import compute_feats

RATE = 16000


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.recognize", description=__doc__)
    parser.add_argument("exp_dir", type=Path, nargs="?", default=Path("exp/mini"))
    parser.add_argument("--minutes", type=float, default=60)
    args = parser.parse_args()
    wavs = list(read_table(load_resolved(args.exp_dir).data_dir / "test" / "wav.scp").values())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = folder / "bare"
        bare.mkdir()
        for path in args.exp_dir.iterdir():
            if path.name != "export":
                (bare / path.name).symlink_to(path.resolve())
        short, long = write(folder / "short.wav", wavs, 1), write(folder / "long.wav", wavs, 60 * args.minutes)
        print(f"load {os.getloadavg()[0]:.1f}; seconds by the clock / by the processor")
        print(f"{'':15}{'start-up':>16}{'real-time factor':>20}{'peak memory':>14}")
        for what, exp_dir in (("ONNX Runtime", args.exp_dir), ("MindSpore", bare)):
            started = np.min([run(exp_dir, short)[0] for _ in range(2)], axis=0)
            seconds, memory = run(exp_dir, long)
            factor = (seconds - started) / (60 * args.minutes)
            print(f"{what:15}{started[0]:8.1f} / {started[1]:.1f} s{factor[0]:10.4f} / {factor[1]:.4f}"
                  f"{memory / 1e6:11.0f} MB", flush=True)
        print(equality(args.exp_dir, write(folder / "ten.wav", wavs, 600)))


def write(path: Path, wavs: list[str], seconds: float) -> Path:
    """A recording of about so many seconds."""
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for wav in itertools.cycle(wavs):
            file.write(read_audio(wav, RATE))
            if file.tell() >= seconds * RATE:
                return path


def run(exp_dir: Path, wav: Path) -> tuple[np.ndarray, int]:
    """Seconds, by the clock and by the processor, and most bytes of memory of a process that recognizes a recording."""
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "steps.recognize", exp_dir, wav, "--format", "ctm"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"recognition of {wav} ended with status {status}")
    return np.array([time.perf_counter() - begin, usage.ru_utime + usage.ru_stime]), usage.ru_maxrss * 1024


def equality(exp_dir: Path, wav: Path) -> str:
    """Whether windows give what the whole gives."""
    model = OnnxModel(exp_dir / "export")
    feats = compute_feats(read_audio(wav, RATE), model.features)
    whole = model.one(feats)
    found = np.concatenate([log_probs for _, log_probs in windows(model, [feats], WINDOW_S)])
    return f"10 minutes: windows and the whole differ by {np.abs(found - whole).max():.1f} at most"


if __name__ == "__main__":
    main()
