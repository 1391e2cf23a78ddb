"""Sound of any length and kind, block by block: files that libsndfile, PyAV or ffmpeg reads, and raw PCM."""

import io
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from steps.common.errors import UserError
from steps.corpus.audio import MAGIC as FOREIGN_MAGIC
from steps.corpus.audio import READ, UnknownFormatError, audio_info, foreign_kind
from steps.corpus.whole import cut_short, doubtful_end
from steps.feats.audio import SampleCheck, resampled, stream_audio

BLOCK_S = 10  # seconds of sound that a pipe is read by
LIVE_S = 0.2  # and that are waited for, at most, where they are wanted as they come
EXACT = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "asf", "avi", "caf", "wv", "tta")  # formats whose duration
# FFmpeg reads; it guesses the duration of others
MISSING_S = 0.5  # of a recording that may be missing at its end: more than what a codec adds or takes away
SEEN = 8192  # bytes of a pipe by which a file is known
TS_PACKET = 188  # bytes
MAGIC = (b"RIFF", b"RF64", b"riff", b"fLaC", b"OggS", b"ID3", b"FORM", b".snd", b"caff", b"NIST")  # of files
SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".m4b", ".mp4", ".mov", ".aac", ".amr", ".awb",
            ".3gp", ".wma", ".asf", ".webm", ".mkv", ".mka", ".ts", ".mts", ".flv", ".ac3", ".aiff", ".aif", ".au",
            ".caf", ".w64")  # of the files in a folder that are taken for recordings


class Sound(NamedTuple):
    """A recording."""

    blocks: Iterable[np.ndarray]  # float32 (samples,), one channel, full scale ±1
    seconds: float | None  # None: not known before its end
    doubt: str | None = None  # what makes doubtful that it is whole
    check: SampleCheck | None = None  # of the samples, as far as they have been read


def open_sound(path: Path, sample_rate: int) -> Sound:
    """A file at `sample_rate` Hz, its channels averaged.

    Raises UserError, at once or while blocks are read, that names a file which is missing, broken, cut short, empty,
    or of a kind that nothing installed can read.
    """
    try:
        stream = stream_audio(path, sample_rate)
        return Sound(stream.blocks, audio_info(path).seconds, stream.doubt, stream.check)
    except UnknownFormatError as error:
        unknown = error
        if "malformed" in str(error):  # libsndfile knows its kind: of a CAF cut short others would read what is there
            raise
    if wrong := cut_short(path):
        raise UserError(f"{path}: {wrong}")
    try:
        return _pyav(path, sample_rate)
    except ImportError:
        pass
    except UserError as error:
        raise error if foreign_kind(path) else unknown from None
    if shutil.which("ffmpeg"):
        return _ffmpeg(path, sample_rate)
    kind = foreign_kind(path)
    if kind is None and path.suffix.lower() in READ:
        raise unknown
    raise UserError(f"{path}: not readable as audio: it is {kind or 'of a kind'}, which libsndfile does not read; "
                    "install PyAV (./path.sh pip install av) or ffmpeg, which do")


def by_size(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same samples in blocks of `size`, but for the last."""
    rest = np.empty(0, np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        while len(rest) >= size:
            yield rest[:size]
            rest = rest[size:]
    if len(rest):
        yield rest


def piped_sound(stream: io.BufferedReader, file_rate: int, channels: int, sample_rate: int, live: bool) -> Sound:
    """The sound of a pipe: a whole file, known by its first bytes, or signed 16-bit little-endian PCM, such as
    `arecord -t raw -f S16_LE` writes.

    Args:
        file_rate, channels: of PCM, which says nothing of itself.
        live: PCM is wanted as it comes, in small blocks; a file is refused, since it is read when it is whole.
    """
    if not _is_file(stream.peek(SEEN)):
        blocks = _pcm(stream, file_rate, channels, LIVE_S if live else BLOCK_S)
        return Sound(_at_rate(blocks, file_rate, sample_rate), None)
    if live:
        raise UserError("standard input holds a file, not PCM; let arecord write PCM: `-t raw -f S16_LE -r 16000 -c 1`")

    def spooled_blocks() -> Iterator[np.ndarray]:
        with tempfile.NamedTemporaryFile(prefix="yinjie.") as spooled:
            shutil.copyfileobj(stream, spooled)
            spooled.flush()
            yield from open_sound(Path(spooled.name), sample_rate).blocks

    return Sound(spooled_blocks(), None)


def _is_file(head: bytes) -> bool:
    """Whether the first bytes that come through a pipe are those of a file, not of PCM."""
    if head.startswith(b"\xff") and head[1:2] != b"\xff":  # perhaps mp3 or AAC: each frame begins with these two bytes
        return head.count(head[:2]) > 1 + len(head) // 2000
    if head.startswith(b"G"):  # perhaps MPEG-TS: each packet does
        return set(head[::TS_PACKET]) == {head[0]} and len(head) > 2 * TS_PACKET
    return head.startswith(MAGIC) or any(re.match(magic, head, re.DOTALL) for magic, _ in FOREIGN_MAGIC)


def _pcm(stream: io.BufferedReader, rate: int, channels: int, block_s: float) -> Iterator[np.ndarray]:
    rest = b""
    while data := stream.read1(2 * channels * max(1, int(block_s * rate))):
        data = rest + data
        whole = len(data) // (2 * channels) * 2 * channels
        rest = data[whole:]
        yield np.frombuffer(data[:whole], "<i2").reshape(-1, channels) / np.float32(32768)


def _at_rate(blocks: Iterator[np.ndarray], rate: int, wanted: int) -> Iterator[np.ndarray]:
    """Blocks float32 (samples, channels) as one channel at another rate."""
    mixed = (block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32) for block in blocks)
    return mixed if rate == wanted else resampled(mixed, rate, wanted)


def _pyav(path: Path, sample_rate: int) -> Sound:
    import av

    try:
        container = av.open(f"file:{path}")
        stream = container.streams.audio[0]
    except av.FFmpegError as error:
        raise UserError(f"{path}: not readable as audio: {error.strerror}; get the file again") from None
    except IndexError:
        raise UserError(f"{path}: holds no sound") from None
    if stream.codec_context is None or not stream.rate:
        raise UserError(f"{path}: not readable as audio: its header tells no codec or rate that is known; get the file "
                        "again")
    resampler = av.AudioResampler(format="fltp")  # floats, a row for each channel; rate and channels stay
    seconds, promised = None, None
    if stream.duration:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration:
        seconds = container.duration / av.time_base
    if container.format.name in EXACT and (stream.duration or len(container.streams) == 1):  # not a film's duration
        promised = seconds

    def blocks() -> Iterator[np.ndarray]:
        done = 0
        with container:
            try:
                for frame in container.decode(stream):
                    for part in resampler.resample(frame):
                        done += part.samples
                        yield part.to_ndarray().T
            except av.FFmpegError as error:
                raise UserError(f"{path}: not readable to its end: {error.strerror}; get the file again") from None
        if not done:
            raise UserError(f"{path}: holds no sound that can be decoded; get the file again")
        if promised and done / stream.rate < promised - MISSING_S:
            raise UserError(f"{path}: cut short: {done / stream.rate:.1f} of the {promised:.1f} s that its header "
                            "promises; get the file again")

    return Sound(_at_rate(blocks(), stream.rate, sample_rate), seconds, doubtful_end(path))


def _ffmpeg(path: Path, sample_rate: int) -> Sound:
    words = ["ffmpeg", "-nostdin", "-v", "error", "-i", f"file:{path}", "-map", "0:a:0", "-ac", "1", "-ar",
             str(sample_rate), "-f", "f32le", "pipe:1"]

    def blocks() -> Iterator[np.ndarray]:
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                while data := process.stdout.read(4 * BLOCK_S * sample_rate):
                    yield np.frombuffer(data, "<f4")
                said = process.stderr.read().decode(errors="replace").strip()
                if process.wait():
                    raise UserError(f"{path}: not readable as audio: {said.splitlines()[-1] if said else 'ffmpeg'}")
            finally:
                process.kill()

    return Sound(blocks(), None)
