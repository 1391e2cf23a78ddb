"""Data directories as Kaldi's, WeNet's and ESPnet's recipes write them are taken as they are."""

import numpy as np
import pytest
import soundfile
from corpus_trees import lines, speech

from steps.corpus.table import read_table

UTTS = [f"BAC009{spk}W012{number}" for spk in ("S0002", "S0003") for number in (1, 2)]


@pytest.fixture
def kaldi(project):
    """Three sets as Kaldi's own aishell recipe has them: ids that do not begin with their speaker."""
    for part in ("train", "dev", "test"):
        folder = project.own / part
        lines(folder / "wav.scp", *(f"{utt} {speech(project.own / 'wav' / part / f'{utt}.wav')}" for utt in UTTS))
        lines(folder / "text", *(f"{utt} 你好" for utt in UTTS))
        lines(folder / "utt2spk", *(f"{utt} {utt[6:11]}" for utt in UTTS))
        lines(folder / "spk2utt", *(f"{spk} BAC009{spk}W0121 BAC009{spk}W0122" for spk in ("S0002", "S0003")))
    project.configure("kaldi", {})
    return project


def cut(kaldi, *segments: str) -> None:
    """Make train a recording of 3 s and its segments."""
    speech(kaldi.own / "long.flac", 8000, 3.0)
    lines(kaldi.own / "train/wav.scp", f"long {kaldi.own}/long.flac")
    lines(kaldi.own / "train/segments", *segments)


def test_as_kaldi_has_them(kaldi):
    assert kaldi.prepare() == "" and kaldi.read("utt2spk")["BAC009S0002W0121"] == "S0002"


def test_paths_from_another_folder_where_the_advice_is_followed(kaldi):
    for part in ("train", "dev", "test"):
        scp = kaldi.own / part / "wav.scp"
        scp.write_text(scp.read_text().replace(f"{kaldi.own}/", ""))
    said = kaldi.prepare()
    assert "12 of 12 audio files cannot be used" in said and "skip_bad" not in said
    assert "`options: {base: FOLDER}`" in said
    kaldi.configure("kaldi", {"base": str(kaldi.own)})
    assert kaldi.prepare() == ""


def test_without_spk2utt(kaldi):
    (kaldi.own / "train/spk2utt").unlink()
    assert kaldi.prepare() == ""
    assert (kaldi.root / "data/own/train/spk2utt").read_text().startswith("S0002 BAC009S0002W0121 BAC009S0002W0122\n")


def test_without_speakers_as_wenet_has_them(kaldi):
    for part in ("train", "dev", "test"):
        (kaldi.own / part / "utt2spk").unlink()
        (kaldi.own / part / "spk2utt").unlink()
    assert kaldi.prepare() == "" and kaldi.read("utt2spk")["BAC009S0002W0121"] == "BAC009S0002W0121"


def test_ids_that_do_not_sort_as_their_speakers(kaldi, capsys):
    folder = kaldi.own / "train"
    lines(folder / "utt2spk", *(f"BAC009{spk}W012{number} {other}" for spk, other in (("S0002", "z"), ("S0003", "a"))
                                for number in (1, 2)))
    (folder / "spk2utt").unlink()
    assert kaldi.prepare() == "" and "ids are written as <speaker>-<utterance>" in capsys.readouterr().err
    assert kaldi.read("text")["z-BAC009S0002W0121"] == "你好"


def test_segments_are_cut(kaldi):
    times = "0.5 1.25", "1 2", "2.5 3.4", "2.9 -1"
    cut(kaldi, *(f"{utt} long {time}" for utt, time in zip(UTTS, times, strict=True)))
    assert kaldi.prepare() == ""
    assert list(read_table("data/own/train/utt2dur").values()) == ["0.75", "1", "0.5", "0.1"]
    whole, _ = soundfile.read(kaldi.own / "long.flac", dtype="int16")
    part, rate = soundfile.read("data/own/cut/train/BAC009S0002W0121.wav", dtype="int16")
    assert rate == 8000 and (part == whole[4000:10000]).all()
    assert kaldi.features() == ""


def test_a_segment_of_one_channel(kaldi):
    sound = np.random.default_rng(0).normal(0, 0.1, (8000, 2))
    soundfile.write(kaldi.own / "both.wav", sound, 8000)
    cut(kaldi, *(f"{utt} both 0 1 {channel}" for utt, channel in zip(UTTS, (0, 1, -1, 1), strict=True)))
    lines(kaldi.own / "train/wav.scp", f"both {kaldi.own}/both.wav")
    assert kaldi.prepare() == ""
    found = [soundfile.read(f"data/own/cut/train/{utt}.wav")[0] for utt in UTTS]
    for part, wanted in zip(found, (sound[:, 0], sound[:, 1], sound, sound[:, 1]), strict=True):
        np.testing.assert_allclose(part, wanted, atol=1e-4)


def test_ids_with_slashes_stay_in_their_folder(kaldi):
    cut(kaldi, "../../x long 0 1", "a/b long 1 2")
    lines(kaldi.own / "train/text", "../../x 你好", "a/b 再见")
    for name in ("utt2spk", "spk2utt"):
        (kaldi.own / "train" / name).unlink()
    assert kaldi.prepare() == ""
    assert sorted(path.name for path in (kaldi.root / "data/own").rglob("*.wav")) == ["..%2F..%2Fx.wav", "a%2Fb.wav"]


def test_lists_side_by_side_that_were_sorted_otherwise(kaldi, capsys):
    scp = kaldi.own / "train/wav.scp"
    utts, wavs = zip(*map(str.split, scp.read_text().splitlines()), strict=True)
    lines(scp, *map(" ".join, zip(utts, wavs[1:] + wavs[:1], strict=True)))
    assert kaldi.prepare() == ""
    assert "the recordings of 4 of 12 utterances are called as others are, such as" in capsys.readouterr().err


@pytest.mark.parametrize(("old", "new", "said"), [
    (b"\n", b"\r\n", "text:1: a carriage return (CR), as Windows"), (b"\n", b"\r", "(CR), as the old Macintosh ends"),
    (b"\n", b"\n\xef\xbb\xbf", "text:2: a byte order mark"), (b"\n", b"\n\0", "text:2: a zero byte"),
    (b"BAC", b"\xff\xfeBAC", "text:1: UTF-16; convert it: iconv -f UTF-16 -t UTF-8"),
])
def test_texts_of_other_kinds(kaldi, old, new, said):
    text = kaldi.own / "train/text"
    text.write_bytes(text.read_bytes().replace(old, new))
    assert said in kaldi.prepare()


@pytest.mark.parametrize(("line", "said"), [("long 2 1", "2.0 to 1.0 s is not a part"), ("long 0 9", "is not a part"),
                                            ("other 0 1", "no recording other"), ("long 0", "are wanted"),
                                            ("long a b", "are wanted"), ("long nan 1", "is not a part"),
                                            ("long 0 1 A", "a channel's number, from 0, not 'long 0 1 A'"),
                                            ("long 0 1 1", "has 1 channels, and none of the number 1")])
def test_segments_that_cannot_be(kaldi, line, said):
    cut(kaldi, f"BAC009S0002W0121 {line}")
    assert said in kaldi.prepare()


def test_commands_are_run_where_they_are_allowed(kaldi):
    scp = kaldi.own / "train/wav.scp"
    scp.write_text("".join(f"{utt} cat {wav} |\n" for utt, wav in map(str.split, scp.read_text().splitlines())))
    said = kaldi.prepare()
    assert "A command may do whatever you may" in said and "stage1_prepare own --allow-pipes" in said
    assert kaldi.prepare("--allow-pipes") == ""
    kaldi.configure("kaldi", {"allow_pipes": True})
    assert kaldi.prepare() == ""
    scp.write_text(scp.read_text().replace("cat ", "cat /nowhere/"))
    assert "ended with status 1: cat: /nowhere/" in kaldi.prepare()


def test_text_of_an_utterance_without_audio(kaldi):
    lines(kaldi.own / "train/text", "BAC009S0002W0121 你好", "x 你好")
    said = kaldi.prepare()
    assert "3 of utt2spk are missing, the first is BAC009S0002W0122" in said and "1 are not in utt2spk" in said
