"""The exported directory in sherpa-onnx, which knows nothing of this project: the same tokens at the same times."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_recognize import speech, write_lively

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
    """The Python of an environment that has sherpa-onnx and nothing of ours."""
    folder = tmp_path_factory.mktemp("sherpa")
    python = folder / "bin" / "python"
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120, capture_output=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check",
                        f"sherpa-onnx=={VERSION}", "numpy"], check=True, timeout=300, capture_output=True)
    except (subprocess.SubprocessError, OSError) as error:
        said = (getattr(error, "stderr", b"") or b"").decode(errors="replace").strip().splitlines()
        pytest.skip(f"sherpa-onnx {VERSION} cannot be installed here: {said[-1] if said else error}")
    return python


def compare(python: Path, model: OnnxModel, folder: Path, sounds: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Each sound by itself and all of them in a batch, against our own front end and search."""
    np.savez(tmp_path / "sounds.npz", **sounds)
    done = subprocess.run([python, "-c", LISTEN, folder, tmp_path / "sounds.npz", str(model.features.num_bins)],
                          check=True, capture_output=True, timeout=300, cwd=tmp_path)
    for found in json.loads(done.stdout.splitlines()[-1]):
        assert found.keys() == sounds.keys()
        for name, samples in sounds.items():
            expected = greedy(model.one(compute_feats(samples, model.features)))
            assert found[name][0] == [model.tokens[one.token] for one in expected]
            assert found[name][1] == pytest.approx([one.first * model.frame_shift_s for one in expected], abs=1e-4)


@pytest.mark.xfail(reason="since features are computed in blocks some utterances differ in a few tokens; to be found")
def test_a_random_network(sherpa, tmp_path):
    """Sounds of many lengths, with digital silence, which the model floors by itself."""
    features = load_features("fbank", ROOT / "conf").model_dump(exclude={"type", "num_bins"})
    write_lively(tmp_path / "small", **features)
    sounds = {f"s{number}": speech(0.5 + 0.37 * number, seed=number) for number in range(12)}
    sounds |= {"silence": np.zeros(9000, np.float32), "then": np.pad(speech(1), (8000, 8000))}
    model = load_model(tmp_path / "small")
    assert len(greedy(model.one(compute_feats(sounds["s9"], model.features)))) > 5
    compare(sherpa, model, tmp_path / "small" / "export", sounds, tmp_path)


def test_minis_test_utterances(sherpa, tmp_path):
    exp_dir, wavs = ROOT / "exp/mini", ROOT / "data/mini/test/wav.scp"
    if not (exp_dir / "export" / "export.json").exists() or not wavs.exists():
        pytest.skip("mini is not exported here; run: doit export:mini")
    sounds = {utt: read_audio(ROOT / path, 16000) for utt, path in read_table(wavs).items()}
    assert len(sounds) == 100
    compare(sherpa, load_model(exp_dir), exp_dir / "export", sounds, tmp_path)
