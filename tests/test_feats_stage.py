"""Stage 3 as it is called: files, failures, several processes."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import soundfile
from commands import wait_until

from steps import stage3_features as features
from steps.common.errors import UserError
from steps.config.load import load
from steps.config.schema import Features
from steps.feats.archive import FeatureReader, load_cmvn
from steps.feats.audio import read_audio
from steps.feats.compute import compute_feats

ROOT = Path(__file__).parent.parent
RATES = (8000, 16000, 22050)
OUT = Path("exp/features/tiny_fbank")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a corpus `tiny` of three sets, of noises at several rates."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for part, count in (("train", 20), ("dev", 3), ("test", 3)):
        lines = []
        for index in range(count):
            utt, rate = f"{part}-{index:02}", RATES[index % 3]
            wav = Path("data/tiny/wav") / f"{utt}.wav"
            wav.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(wav, rng.normal(0, 0.1, (int(rate * rng.uniform(0.2, 0.5)), 1 + index % 2)), rate)
            lines.append(f"{utt} {wav}\n")
        Path("data/tiny", part).mkdir()
        Path("data/tiny", part, "wav.scp").write_text("".join(lines))
    for folder in ("corpora", "features"):
        Path("conf", folder).mkdir(parents=True)
    Path("conf/corpora/tiny.yaml").write_text("module: tiny\n")
    configure()
    return tmp_path


def configure(more: str = "") -> None:
    fbank = (ROOT / "conf/features/fbank.yaml").read_text(encoding="utf-8")
    Path("conf/features/fbank.yaml").write_text(fbank + more, encoding="utf-8")


def start(jobs: int) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "steps.stage3_features", "tiny", "fbank", "--nj", str(jobs)],
                            env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, start_new_session=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def stage(jobs: int = 1) -> tuple[int, str]:
    """The stage in this process: its exit status, and all that it said."""
    said = io.StringIO()
    with (mock.patch.object(sys, "argv", ["features", "tiny", "fbank", "--nj", str(jobs)]),
          contextlib.redirect_stdout(said), contextlib.redirect_stderr(said)):
        try:
            features.main()
        except UserError as error:
            return 1, f"{said.getvalue()}error: {error}"
    return 0, said.getvalue()


def left() -> list[str]:
    return sorted(str(path.relative_to(OUT)) for path in OUT.rglob("*") if path.is_file())


def test_files_and_contents(project):
    status, output = stage()
    assert status == 0, output
    names = ("SHA256SUMS", "feats.ark", "feats.scp", "utt2num_frames")
    in_sets = [f"{part}/{name}" for part in ("train", "dev", "test") for name in names]
    assert left() == sorted(["SHA256SUMS", "cmvn", "features.yaml", *in_sets])
    config = load(OUT / "features.yaml", Features)
    assert config == load(Path("conf/features/fbank.yaml"), Features)
    reader = FeatureReader(OUT / "train/feats.scp")
    feats = {utt: reader[utt] for utt in reader}
    assert list(feats) == [f"train-{index:02}" for index in range(20)]
    for utt, matrix in feats.items():
        np.testing.assert_array_equal(matrix, compute_feats(read_audio(f"data/tiny/wav/{utt}.wav", 16000), config))
    together = np.concatenate(list(feats.values())).astype(np.float64)
    stats = load_cmvn(OUT / "cmvn")
    np.testing.assert_allclose(stats[0], [*together.sum(axis=0), len(together)])
    np.testing.assert_allclose(stats[1, :-1], (together**2).sum(axis=0))


def test_conversions_are_said_once(project):
    _, output = stage()
    said = [line for line in output.splitlines() if " files of " in line]
    assert said == ["6 files of 8000 Hz, 1 channel: resampled to 16000 Hz",
                    "3 files of 8000 Hz, 2 channels: resampled to 16000 Hz, mixed down to one",
                    "6 files of 16000 Hz, 2 channels: mixed down to one",
                    "5 files of 22050 Hz, 1 channel: resampled to 16000 Hz",
                    "3 files of 22050 Hz, 2 channels: resampled to 16000 Hz, mixed down to one"]


def test_the_number_of_processes_changes_nothing(project):
    contents = []
    for jobs in (1, 3):
        status, output = stage(jobs)
        assert status == 0, output
        contents.append({name: (OUT / name).read_bytes() for name in left()})
    assert contents[0] == contents[1]


def test_compressed(project):
    assert stage()[0] == 0
    whole = (OUT / "train/feats.ark").stat().st_size
    configure("compress: true\n")
    assert stage()[0] == 0
    assert (OUT / "train/feats.ark").stat().st_size < whole / 2


@pytest.mark.parametrize("content", [b"", b"not audio at all"])
def test_a_broken_file_names_itself_and_stops_the_stage(project, content):
    assert stage()[0] == 0
    before = {name: (OUT / name).read_bytes() for name in left()}
    Path("data/tiny/wav/dev-01.wav").write_bytes(content)
    process = start(2)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "error: utterance dev-01: data/tiny/wav/dev-01.wav: " in output and "Traceback" not in output
    assert before == {name: (OUT / name).read_bytes() for name in left()}


def test_skip_bad_lists_what_it_leaves_out(project):
    configure("skip_bad: true\n")
    Path("data/tiny/wav/train-03.wav").write_bytes(b"")
    Path("data/tiny/wav/train-19.wav").unlink()
    soundfile.write("data/tiny/wav/train-05.wav", np.zeros(20), 16000)
    status, output = stage()
    assert status == 0 and "exp/features/tiny_fbank/train: left out 3 utterances" in output
    skipped = (OUT / "train/skipped").read_text().splitlines()
    assert [line.split()[0] for line in skipped] == ["train-03", "train-05", "train-19"]
    assert "shorter than a frame" in skipped[1] and "data/tiny/wav/train-05.wav" in skipped[1]
    assert "train-03" not in FeatureReader(OUT / "train/feats.scp")
    assert len(FeatureReader(OUT / "train/feats.scp")) == 17
    assert not (OUT / "dev/skipped").exists()


def test_skip_bad_still_wants_something(project):
    configure("skip_bad: true\n")
    for wav in Path("data/tiny/wav").glob("test-*"):
        wav.write_bytes(b"")
    status, output = stage()
    assert status == 1 and "data/tiny/test/wav.scp: no usable utterance" in output
    assert left() == []


def test_without_stage_one(project):
    Path("data/tiny/test/wav.scp").unlink()
    status, output = stage()
    assert status == 1 and "data/tiny/test/wav.scp: no such file; run stage 1" in output


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_half_way_leaves_no_feats_scp_and_no_process(project, how):
    soundfile.write("data/tiny/wav/dev-00.wav", np.random.default_rng(0).normal(0, 0.1, 5 * 48000), 48000)
    lines = "".join(f"dev-{index:04} data/tiny/wav/dev-00.wav\n" for index in range(5000))
    Path("data/tiny/dev/wav.scp").write_text(lines)
    process = start(2)
    wait_until(lambda: list(OUT.glob(".unfinished.*/dev/.feats.ark.*")))
    process.send_signal(how)
    process.wait(timeout=30)
    assert not (OUT / "dev/feats.scp").exists() and not (OUT / "test/feats.scp").exists()
    wait_until(lambda: not alive(process.pid))
    Path("data/tiny/dev/wav.scp").write_text("dev-0000 data/tiny/wav/train-00.wav\n")
    assert stage()[0] == 0
    assert "dev/feats.scp" in left() and not list(OUT.rglob(".*"))


def test_an_interrupt_within_large_results_ends_the_pool():
    script = ("import numpy\nfrom steps.common.parallel import ordered_map\n"
              "for _ in ordered_map(numpy.zeros, [300_000] * 100_000, 2): print(flush=True)")
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert err.endswith("KeyboardInterrupt\n") and err.count("Traceback") == 1


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
