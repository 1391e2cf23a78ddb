"""The exported directory in sherpa-onnx, which knows nothing of this project: the same tokens at the same times."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_recognize import write_lively
from test_sound import speech

from steps.config.load import load_features
from steps.corpus.table import read_table
from steps.deploy.model import OnnxModel, load_model
from steps.feats.audio import read_audio
from steps.feats.compute import compute_feats
from steps.search.ctc import greedy

ROOT = Path(__file__).parent.parent
VERSION = "2.0.1"
LISTEN = """
import json, sys
import numpy, sherpa_onnx
folder, sounds, bins = sys.argv[1:]
recognizer = sherpa_onnx.OfflineRecognizer.from_wenet_ctc(
    model=f"{folder}/model.onnx", tokens=f"{folder}/tokens.txt", feature_dim=int(bins))
found = []
for together in (False, True):
    streams = {}
    for name, samples in numpy.load(sounds).items():
        streams[name] = recognizer.create_stream()
        streams[name].accept_waveform(16000, samples)
    if together:
        recognizer.decode_streams(list(streams.values()))
    else:
        for stream in streams.values():
            recognizer.decode_stream(stream)
    found.append({name: [stream.result.tokens, stream.result.timestamps] for name, stream in streams.items()})
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def sherpa(tmp_path_factory) -> Path:
    """A folder that has sherpa-onnx, for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("sherpa")
    try:
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps",
                        "--no-compile", "--target", folder, f"sherpa-onnx=={VERSION}", f"sherpa-onnx-core=={VERSION}"],
                       check=True, timeout=300, capture_output=True)
    except (subprocess.SubprocessError, OSError) as error:
        said = (getattr(error, "stderr", b"") or b"").decode(errors="replace").strip().splitlines()
        pytest.skip(f"sherpa-onnx {VERSION} cannot be installed here: {said[-1] if said else error}")
    return folder


def compare(sherpa: Path, model: OnnxModel, folder: Path, sounds: dict[str, np.ndarray], tmp_path: Path) -> list[str]:
    """Each sound by itself and all of them in a batch, against our own front end and search: the sounds that differ."""
    np.savez(tmp_path / "sounds.npz", **sounds)
    done = subprocess.run([sys.executable, "-c", LISTEN, folder, tmp_path / "sounds.npz", str(model.features.num_bins)],
                          check=True, capture_output=True, timeout=300, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(sherpa)})
    others = []
    for found in json.loads(done.stdout.splitlines()[-1]):
        assert found.keys() == sounds.keys()
        for name, samples in sounds.items():
            expected = greedy(model.one(compute_feats(samples, model.features)))
            times = [one.first * model.frame_shift_s for one in expected]
            same = found[name][0] == [model.tokens[one.token] for one in expected]
            others += [] if same and found[name][1] == pytest.approx(times, abs=1e-4) else [name]
    return others


def margin(model: OnnxModel, samples: np.ndarray) -> float:
    """By how much the likeliest token leads where it leads least, in nats."""
    best = np.sort(model.one(compute_feats(samples, model.features)))
    return float((best[:, -1] - best[:, -2]).min())


def test_a_random_network(sherpa, tmp_path):
    """Sounds of many lengths. sherpa-onnx dithers what it gives to WeNet's models, whatever its options say: it hears
    digital silence otherwise each time. So all sounds are noisy, and what the network barely decides is left out."""
    features = load_features("fbank", ROOT / "conf").model_dump(exclude={"type", "num_bins"})
    write_lively(tmp_path / "small", **features)
    noise = np.random.default_rng(1).normal(0, 0.1, 16000 * 5).astype(np.float32)
    sounds = {f"s{number}": speech(0.5 + 0.37 * number, seed=number) for number in range(12)}
    sounds |= {"silence": np.zeros(9000, np.float32), "then": np.pad(speech(1), (8000, 8000))}
    sounds = {name: samples + noise[:len(samples)] for name, samples in sounds.items()}
    model = load_model(tmp_path / "small")
    sounds = {name: samples for name, samples in sounds.items() if margin(model, samples) > 0.01}
    assert len(sounds) > 5
    assert sum(len(greedy(model.one(compute_feats(samples, model.features)))) for samples in sounds.values()) > 10
    assert compare(sherpa, model, tmp_path / "small" / "export", sounds, tmp_path) == []


def test_minis_test_utterances(sherpa, tmp_path):
    exp_dir, wavs = ROOT / "exp/mini", ROOT / "data/mini/test/wav.scp"
    if not (exp_dir / "export" / "export.json").exists() or not wavs.exists():
        pytest.skip("mini is not exported here; run: doit export:mini")
    sounds = {utt: read_audio(ROOT / path, 16000) for utt, path in read_table(wavs).items()}
    assert len(sounds) == 100
    model = load_model(exp_dir)
    others = compare(sherpa, model, exp_dir / "export", sounds, tmp_path)
    assert len(others) <= 1 and all(margin(model, sounds[utt]) < 0.1 for utt in others)  # dither decides there
