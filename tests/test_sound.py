"""Sound of every kind, from files and pipes: in blocks that equal the whole; what is cut short or no sound."""

import io
import os
import re
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from steps.common.errors import UserError
from steps.deploy.sound import open_sound, piped_sound
from steps.feats.audio import read_audio


def speech(seconds: float, rate: int = 16000, seed: int = 0) -> np.ndarray:
    """Tones of 0.2 s in noise, with a pause of a second now and then: float32."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    hertz = rng.uniform(150, 3500, int(seconds / 0.2) + 1)[(time / 0.2).astype(int)]
    return ((0.3 * np.sin(2 * np.pi * hertz * time) + 0.01 * rng.normal(size=len(time)))
            * (time % 5 < 4)).astype(np.float32)


@pytest.mark.parametrize(("rate", "channels", "kind"), [(16000, 1, "wav"), (44100, 2, "flac"), (8000, 1, "wav"),
                                                        (48000, 3, "wav"), (22050, 1, "mp3"), (48000, 2, "ogg")])
def test_sound_in_blocks_equals_the_whole_file(tmp_path, rate, channels, kind):
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, np.stack([speech(25, rate, seed) for seed in range(channels)], axis=1), rate)
    sound = open_sound(path, 16000)
    blocks = list(sound.blocks)
    assert len(blocks) >= 3 and abs(sound.seconds - 25) < 0.2
    samples = soundfile.read(path, dtype="float32", always_2d=True)[0]
    mono = samples[:, 0] if channels == 1 else samples.mean(axis=1, dtype=np.float32)
    expected = mono if rate == 16000 else soxr.resample(mono, rate, 16000, quality="HQ")
    np.testing.assert_allclose(np.concatenate(blocks), expected, atol=1e-6)


class Trickle(io.RawIOBase):
    """A pipe that gives a few bytes at a time, not whole samples."""

    def __init__(self, data: bytes, size: int):
        self.data, self.size = data, size

    def readable(self):
        return True

    def readinto(self, buffer):
        size = min(self.size, len(buffer))
        part, self.data = self.data[:size], self.data[size:]
        buffer[:len(part)] = part
        return len(part)


@pytest.mark.parametrize(("channels", "size", "live"), [(1, 333, True), (2, 4097, True), (2, 101, False)])
def test_pcm_from_a_pipe(channels, size, live):
    pcm = (np.stack([speech(1, seed=seed) for seed in range(channels)], axis=1) * 32767).astype("<i2")
    sound = piped_sound(io.BufferedReader(Trickle(pcm.tobytes(), size), 64), 16000, channels, 16000, live)
    expected = (pcm / np.float32(32768)).mean(axis=1, dtype=np.float32)
    np.testing.assert_allclose(np.concatenate(list(sound.blocks)), expected, atol=1e-7)


@pytest.mark.parametrize("name", ["a.flac", "a.mp3"])
def test_a_whole_file_from_a_pipe(tmp_path, name):
    soundfile.write(tmp_path / name, speech(1), 16000)
    pipe = io.BufferedReader(io.BytesIO((tmp_path / name).read_bytes()))
    np.testing.assert_array_equal(np.concatenate(list(piped_sound(pipe, 8000, 2, 16000, False).blocks)),
                                  read_audio(tmp_path / name, 16000))
    with pytest.raises(UserError, match="arecord"):
        piped_sound(io.BufferedReader(io.BytesIO(b"RIFF....WAVE")), 16000, 1, 16000, True)


@pytest.mark.parametrize(("content", "message"), [
    (None, "no such file"), (b"", "the file is empty"), (b"not sound", "install PyAV"),
])
def test_files_that_hold_no_sound(tmp_path, monkeypatch, content, message):
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "a.m4a"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.m4a: .*{message}"):
        list(open_sound(path, 16000).blocks)


@pytest.mark.parametrize(("name", "kind", "subtype"), [
    ("a.wav", "WAV", None), ("upload", "WAV", None), ("a.aiff", "AIFF", None), ("a.wav", "RF64", None),
    ("a.w64", "W64", None), ("a.sph", "NIST", None), ("a.voc", "VOC", None), ("a.caf", "CAF", None),
    ("a.ogg", "OGG", "VORBIS"), ("a.opus", "OGG", "OPUS"), ("a.mp3", "MP3", None), ("a.flac", "FLAC", None),
])
def test_a_file_cut_short_is_refused_or_its_end_is_doubtful(tmp_path, name, kind, subtype):
    path = tmp_path / name
    soundfile.write(path, speech(6), 16000, format=kind, subtype=subtype)
    content = path.read_bytes()
    whole = open_sound(path, 16000)
    assert whole.doubt is None and sum(map(len, whole.blocks)) == pytest.approx(96000, abs=2000)
    last_page = content.rfind(b"OggS") if kind == "OGG" else len(content) // 3
    for size in (last_page, len(content) * 2 // 3, len(content) - 400):
        path.write_bytes(content[:size])
        try:
            sound = open_sound(path, 16000)
            list(sound.blocks)
        except UserError as error:
            assert re.match(rf"{path}: .*(cut short|not readable|malformed)", str(error))
        else:
            assert kind == "OGG" and size == last_page and "not marked as the end" in sound.doubt


def encode(path: Path, samples: np.ndarray, rate: int, codec: str) -> None:
    """Write float32 (channels, samples) as PyAV does it."""
    av = pytest.importorskip("av")
    layout = "stereo" if len(samples) == 2 else "mono"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        resampler = av.AudioResampler(stream.format, layout, rate)
        frame = av.AudioFrame.from_ndarray(samples, "fltp", layout)
        frame.rate = rate
        pieces = av.AudioFifo()
        for piece in resampler.resample(frame):
            pieces.write(piece)
        while piece := pieces.read(stream.codec_context.frame_size or 1024, partial=True):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(("name", "codec", "rate", "cut"), [
    ("a.m4a", "aac", 44100, "not readable as audio"), ("a.mkv", "aac", 48000, "cut short"),
    ("a.webm", "libopus", 48000, "cut short"), ("a.amr", "libopencore_amrnb", 8000, "not readable to its end"),
    ("a.ts", "mp2", 48000, "cut short"), ("a.aac", "aac", 16000, "not readable to its end"),
])
def test_pyav_reads_what_libsndfile_cannot(tmp_path, name, codec, rate, cut):
    samples = np.stack([speech(2, rate, seed) for seed in range(1 if codec == "libopencore_amrnb" else 2)])
    encode(tmp_path / name, samples, rate, codec)
    level = np.sqrt(np.mean(np.square(samples.mean(0))))
    content = (tmp_path / name).read_bytes()
    for sound in (open_sound(tmp_path / name, 16000),
                  piped_sound(io.BufferedReader(io.BytesIO(content)), 8000, 2, 16000, False)):
        heard = np.concatenate(list(sound.blocks))
        assert abs(len(heard) / 16000 - 2) < 0.15
        assert np.sqrt(np.mean(np.square(heard))) == pytest.approx(level, rel=0.5)
    (tmp_path / name).write_bytes(content[:len(content) * 2 // 3 + 5])
    with pytest.raises(UserError, match=rf"{name}: {cut}.*; get the file again"):
        list(open_sound(tmp_path / name, 16000).blocks)


def test_ffmpeg_reads_where_there_is_no_pyav(tmp_path, monkeypatch):
    """A stand-in for ffmpeg, which checks what it is asked."""
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    fake = tmp_path / "ffmpeg"
    fake.write_text(f"#!{sys.executable}\nimport sys, numpy\n"
                    "if 'broken' in ' '.join(sys.argv): sys.exit('Invalid data found')\n"
                    "assert '-nostdin' in sys.argv and sys.argv[-5:] == '-ar 16000 -f f32le pipe:1'.split(), sys.argv\n"
                    "sys.stdout.buffer.write(numpy.full(48000, 0.25, '<f4').tobytes())\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    for name in ("a.amr", "broken.amr"):
        (tmp_path / name).write_bytes(b"#!AMR\n....")
    heard = np.concatenate(list(open_sound(tmp_path / "a.amr", 16000).blocks))
    assert len(heard) == 48000 and (heard == 0.25).all()
    with pytest.raises(UserError, match=r"broken\.amr: not readable as audio: Invalid data found"):
        list(open_sound(tmp_path / "broken.amr", 16000).blocks)
