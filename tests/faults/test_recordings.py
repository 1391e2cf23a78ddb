"""Recordings of every kind: read to their end, or refused with the file, the fault and a remedy."""

import errno
import io
import os
import wave
from unittest import mock

import numpy as np
import pytest
import soundfile
from conftest import PLAIN
from corpus_trees import BUILDERS

from steps.corpus.audio import check_audio
from steps.feats.archive import FeatureReader
from steps.feats.audio import load_audio

RATE = 16000
RNG = np.random.default_rng(1)
LOUD, QUIET = 0.3 * RNG.standard_normal(2 * RATE), 1e-4 * RNG.standard_normal(RATE)
THREE_S = np.concatenate([LOUD, QUIET])


def encode(samples: np.ndarray, kind: str, rate: int = RATE, **more) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, **more)
    return file.getvalue()


def mp3(samples: np.ndarray, rate: int = RATE) -> bytes:
    return encode(samples, "MP3", rate, bitrate_mode="VARIABLE", compression_level=0.5)


def bare(content: bytes) -> bytes:
    """An mp3 without its first frame, which is the tag."""
    return content[content.find(content[:2], 4):]


def with_rate(rate: int) -> bytes:
    content = bytearray(encode(LOUD, "WAV"))
    content[24:28] = rate.to_bytes(4, "little")
    return bytes(content)


def wav(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WAV whose chunks are these behind the first, which tells the format."""
    return encode(LOUD, "WAV")[:36] + b"".join(name + len(content).to_bytes(4, "little") + content
                                               for name, content in chunks)


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1:]


SAMPLES = (32768 * LOUD).astype("<i2").tobytes()
READ = {  # name: content, seconds
    "tagged.mp3": (mp3(THREE_S), 3.0),
    "bare.mp3": (bare(mp3(THREE_S)), 3.0),
    "quiet_first.mp3": (bare(mp3(THREE_S[::-1])), 3.0),
    "joined.mp3": (mp3(LOUD) + mp3(THREE_S), 5.0),
    "joined_bare.mp3": (bare(mp3(LOUD)) + bare(mp3(THREE_S)), 5.0),
    "id3.mp3": (b"ID3\4\0\0\0\0\2\0" + bytes(256) + bare(mp3(THREE_S)), 3.0),
    "comment.mp3": (b"ID3\4\0\0\0\0\0\x0fCOMM\0\0\0\5\0\0\3eng\0" + mp3(THREE_S), 3.0),
    "lyrics_behind.mp3": (bare(mp3(THREE_S)) + b"TAG" + bytes(125), 3.0),
    "stereo.mp3": (bare(mp3(np.stack([THREE_S, THREE_S], 1), 44100)), 3.0 * RATE / 44100),
    "gsm.wav": (encode(LOUD[::2], "WAV", 8000, subtype="GSM610"), 2.0),
    "g721.wav": (encode(LOUD, "WAV", subtype="G721_32"), 2.0),
    "streamed.wav": (encode(LOUD, "WAV")[:40] + b"\xff" * 4 + SAMPLES, 2.0),
    "chunks.wav": (wav((b"LIST", bytes(8)), (b"data", SAMPLES), (b"id3 ", bytes(9000))), 2.0),
    "id3.flac": (b"ID3\4\0\0\0\0\2\0" + bytes(256) + encode(LOUD, "FLAC"), 2.0),
    "UPPER.WAV": (encode(LOUD, "WAV"), 2.0),
    "ulaw.au": (encode(LOUD, "AU", subtype="ULAW"), 2.0),
    "opus.ogg": (encode(LOUD, "OGG", subtype="OPUS"), 2.0),
}
REFUSED = {  # name: content, words of the error
    "cut.mp3": (mp3(THREE_S)[:9000], "cut short: "),
    "two_rates.mp3": (mp3(LOUD) + mp3(LOUD, 24000), "of different rates or channels are joined"),
    "joined.flac": (encode(LOUD, "FLAC") * 2, "several recordings are joined in it"),
    "joined.ogg": (encode(LOUD, "OGG") + encode(LOUD[::2], "OGG"), "several recordings are joined in it"),
    "joined.wav": (encode(LOUD, "WAV") * 2, "several recordings are joined in it"),
    "parts.wav": (wav((b"data", SAMPLES[:9000]), (b"data", SAMPLES)), "its samples lie in 2 chunks"),
    "unclosed.wav": (wav((b"data", b"")) + SAMPLES, "no samples, but 64000 bytes follow"),
    "flipped.ogg": (flipped(encode(LOUD, "OGG")), "damaged: its page at byte "),
    "flipped.opus": (flipped(encode(LOUD, "OGG", subtype="OPUS")), "damaged: its page at byte "),
    "raw.wav": (SAMPLES, "ffmpeg -f s16le -ar 16000 -ac 1 -i {0}.wav {0}.new.wav"),
    "json.wav": (b'{"error": 404}', "it is a text that begins with '{{\"error\": 404}}'"),
    "phone.m4a": (b"\0\0\0\x1cftypM4A " + bytes(999), "convert it: ffmpeg -i {0}.m4a {0}.wav"),
    "phone.amr": (b"#!AMR\n" + bytes(999), "convert it: ffmpeg -i {0}.amr {0}.wav"),
    "page.webm": (b"\x1aE\xdf\xa3" + bytes(999), "convert it: ffmpeg -i {0}.webm {0}.wav"),
    "old.wma": (b"\x30\x26\xb2\x75\x8e\x66" + bytes(999), "Windows Media"),
    "stream.aac": (b"\xff\xf1\x50\x80" + bytes(999), "it is AAC"),
    "m4a.wav": (b"\0\0\0\x1cftypisom" + bytes(999), "convert it: ffmpeg -i {0}.wav {0}.new.wav"),
    "raw.pcm": (bytes(1000), "ffmpeg -f s16le -ar 16000 -ac 1 -i {0}.pcm {0}.wav"),
    "error.mp3": (b"<!DOCTYPE html><html>404</html>", "a page of the web"),
    "pointer.wav": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "text.wav": (b"not audio", "get the file again"),
    "empty.wav": (b"", "the file is empty"),
    "no_samples.wav": (encode(LOUD[:0], "WAV"), "holds no samples"),
    "one_hertz.wav": (with_rate(1), "its header says 1 Hz"),
    "giga.wav": (with_rate(2**31 - 1), "its header says 2147483647 Hz"),
    "cut.wav": (encode(LOUD, "WAV")[:9000], "cut short: "),
    "by_ftp.wav": (encode(LOUD, "WAV").replace(b"\n", b"\r\n"), "it was sent as text"),
}
REFUSED_DECODED = {  # as REFUSED, where the samples have to be decoded
    "cut.flac": (encode(LOUD, "FLAC")[:9000], "not readable as audio"),
    "tagged.flac": (encode(LOUD, "FLAC") + b"TAG" + bytes(125), "an ID3 tag stands at its end"),
    "huge.wav": (encode(1e30 * LOUD, "WAV", subtype="FLOAT"), "where 1 is full scale"),
    "as_int16.wav": (encode(32768 * LOUD, "WAV", subtype="FLOAT"), "divide them by 32768"),
    "nan.wav": (encode(np.append(LOUD, np.nan), "WAV", subtype="FLOAT"), "NaN or infinite"),
}


@pytest.mark.parametrize("name", READ)
def test_read_to_the_end(project, name, capfd):
    content, seconds = READ[name]
    path = project.write(f"own/{name}", content)
    assert check_audio(str(path)) == pytest.approx(seconds, abs=0.16)  # an mp3 encoder's delay, of each part
    assert check_audio(str(path), deep=True) == check_audio(str(path))
    assert len(load_audio(path, RATE).samples) == pytest.approx(check_audio(str(path)) * RATE, abs=2)
    assert not any(capfd.readouterr())  # libmpg123 would complain of an empty comment


@pytest.mark.parametrize("name", {**REFUSED, **REFUSED_DECODED})
def test_refused(project, name):
    content, said = {**REFUSED, **REFUSED_DECODED}[name]
    path = project.write(f"own/{name}", content)
    wrong = check_audio(str(path), deep=name in REFUSED_DECODED)
    assert isinstance(wrong, str) and str(path) in wrong
    assert said.format(path.with_suffix("")) in wrong
    project.table(PLAIN[0], f"{name},s1,好,train", *PLAIN[1:])
    assert (said.format(path.with_suffix("")) in project.prepare()) == (name in REFUSED)


@pytest.mark.parametrize("name", REFUSED_DECODED)
def test_stage_3_names_it_or_leaves_it_out(project, name):
    project.write(f"own/{name}", REFUSED_DECODED[name][0])
    project.take(PLAIN[0], f"{name},s1,好,train", *PLAIN[1:])
    assert f"utterance s1-{name.split('.')[0]}: " in project.features()
    project.write("conf/features/fbank.yaml", "type: fbank\nnum_bins: 20\nskip_bad: true\n")
    assert project.features() == ""
    assert "/s1-" not in (project.root / "exp/features/own_fbank/train/skipped").read_text()


def test_no_file_no_name_and_no_permission(project, monkeypatch):
    assert "no such file" in check_audio(str(project.own / "none.wav"))
    assert "no name of a file" in check_audio("a\0b.wav")
    assert "it is not a file" in check_audio(str(project.own))
    os.mkfifo(project.own / "pipe.wav")
    assert "it is not a file" in check_audio(str(project.own / "pipe.wav"))
    (project.own / "link.wav").symlink_to("nowhere.wav")
    assert "it is a link to nowhere.wav, which is not there" in check_audio(str(project.own / "link.wav"))
    for number in (errno.EMFILE, errno.ESTALE):  # the machine's fault: `skip_bad` must not leave the recording out
        with monkeypatch.context() as patch, pytest.raises(OSError, match=r"a0\.wav"):
            patch.setattr("builtins.open", mock.Mock(side_effect=OSError(number, os.strerror(number), "a0.wav")))
            check_audio(str(project.own / "a0.wav"))
    monkeypatch.setattr("builtins.open", mock.Mock(side_effect=PermissionError(13, "Permission denied")))
    assert check_audio(str(project.own / "a0.wav")).endswith("a0.wav: cannot be read: Permission denied")


@pytest.mark.parametrize(("factor", "doubt"), [(-1, True), (-0.95, True), (1, False), (0, False)])
def test_channels_that_cancel_each_other(project, capsys, factor, doubt):
    project.write("own/a0.wav", encode(np.stack([LOUD, factor * LOUD], axis=1), "WAV"))
    project.take()
    assert project.features() == ""
    assert ("such as s1-a0: the channels are inverted" in capsys.readouterr().err) == doubt
    assert FeatureReader("exp/features/own_fbank/train/feats.scp")["s1-a0"].std(axis=0).mean() > 0.3


def as_if(samples: np.ndarray, bits: int, channels: int = 1) -> bytes:
    """A WAV of 16-bit samples of one channel whose header tells other ones, all of it fitting together."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((channels, bits // 8, RATE, 0, "NONE", ""))
        file.writeframes((32768 * samples).astype("<i2").tobytes())
    return content.getvalue()


QUITE = 0.1 * LOUD


@pytest.mark.parametrize(("name", "content", "doubt"), [
    ("a0.wav", encode(0 * LOUD + 0.1, "WAV"), "such as s1-a0: digital silence"),
    ("a0.wav", as_if(QUITE, 8), "such as s1-a0: louder on the whole than speech"),
    ("a0.wav", as_if(QUITE, 24), "such as s1-a0: louder on the whole than speech"),
    ("a0.wav", as_if(np.repeat(QUITE, 2), 16), "such as s1-a0: each sample is there twice"),
    ("a0.wav", as_if(np.repeat(QUITE, 2), 16, channels=2), ""),
    ("a0.wav", as_if(LOUD, 16), ""),
    ("a0.mp3", bare(mp3(THREE_S))[:-20], "such as s1-a0: it ends within a frame"),
    ("a0.wav", wav((b"data", SAMPLES[:20000])) + SAMPLES[20000:], "bytes stand after the samples"),
    ("a0.wav", wav((b"data", SAMPLES + bytes(90000))), "such as s1-a0: its second half is of zeros alone"),
    ("a0.ogg", (ogg := encode(THREE_S, "OGG"))[:ogg.rfind(b"OggS")], "such as s1-a0: its last Ogg page is not marked"),
])
def test_samples_that_no_speech_has_and_doubtful_ends_are_told(project, capsys, name, content, doubt):
    (project.own / "a0.wav").unlink()
    project.write(f"own/{name}", content)
    project.take(*(line.replace("a0.wav", name) for line in PLAIN))
    assert project.features() == ""
    said = capsys.readouterr().err
    assert doubt in said if doubt else "such as s1-a0" not in said


def test_a_wav_in_an_archive_as_espnet_has_it(project):
    project.write("own/wav.ark", b"s1-a " + encode(LOUD, "WAV") + b"s1-b " + encode(QUIET, "WAV"))
    assert check_audio(f"{project.own}/wav.ark:5") == 2.0
    assert "no WAV begins there" in check_audio(f"{project.own}/wav.ark:6")
    assert "no such file" in check_audio(f"{project.own}/other.ark:5")


@pytest.mark.parametrize("variable", ["two", "1.5", "-1", "9" * 30])
def test_a_wrong_number_of_processes_removes_nothing(project, monkeypatch, variable):
    project.take()
    assert project.features() == ""
    before = {path: path.read_bytes() for path in (project.root / "exp").rglob("*") if path.is_file()}
    monkeypatch.setenv("YINJIE_NJ", variable)
    assert "YINJIE_NJ" in project.features()
    monkeypatch.setenv("YINJIE_NJ", "1")
    with pytest.raises(SystemExit):
        project.features("--nj", "-3")
    project.own.rename(project.root / "away")
    assert "is the disk mounted?" in project.features()
    assert before == {path: path.read_bytes() for path in (project.root / "exp").rglob("*") if path.is_file()}


@pytest.fixture
def magicdata(project):
    """The project with the tree of MagicData, one speaker a set."""
    BUILDERS["magicdata"](project.own)
    project.configure("magicdata", {})
    return project


def test_linked_folders_are_gone_into_once(magicdata):
    speaker, disk = magicdata.own / "train/38_5837", magicdata.root / "disk2"
    speaker.rename(disk)
    speaker.symlink_to(disk)
    (speaker / "loop").symlink_to(magicdata.own / "train")
    assert magicdata.prepare() == ""
    assert len((magicdata.root / "data/own/train/wav.scp").read_text().splitlines()) == 3


def test_a_link_to_a_disk_that_is_not_there_is_named(magicdata):
    (magicdata.own / "train/13_03").symlink_to("/nowhere/13_03")
    assert "train/13_03: a link to /nowhere/13_03, which is not there" in magicdata.prepare()


def test_a_folder_that_cannot_be_read_is_named(magicdata, monkeypatch):
    scandir = os.scandir

    def deny(path):
        if os.fspath(path).endswith("38_5837"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    assert "train/38_5837: cannot be read: Permission denied" in magicdata.prepare()
