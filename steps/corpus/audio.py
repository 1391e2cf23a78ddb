"""Audio files: what they hold, decoded in blocks whatever their length, refused if they cannot be used."""

import contextlib
import errno
import functools
import io
import mmap
import os
import re
import shlex
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import soundfile

from steps.common.errors import UserError
from steps.common.parallel import ordered_map, track
from steps.corpus.whole import cut_short, logged_as_short, mp3_as_read, ogg_fault, wav_fault

CHUNK = 64  # files a task: opening a header is too short to be sent alone
BLOCK = 1 << 16  # samples decoded at once: hours of audio would take gigabytes
UNKNOWN_FRAMES = 2**62
RATES_HZ = 4_000, 768_000  # of speech; what lies outside is a damaged header
MAX_CHANNELS = 64
MAX_S = 24 * 3600.0
MAX_LEVEL = 32.0  # 30 dB above full scale: 16-bit numbers that were written as float reach 32,768
SILENT = "digital silence, every sample is the same"
WAVS = b"RIFF", b"RF64", b"RIFX", b"riff"
READ = ".wav", ".flac", ".ogg", ".opus", ".mp3"  # by libsndfile
OF_MACHINE = errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE  # the file is not to blame, nor to be left out
LINES = 4  # ends of lines of Windows in the first 4 kB, and no other: by chance once in four thousand million files
FLAC = b"fLaC\x00\x00\x00\x22"  # with the length of the first block
IN_ARCHIVE = re.compile(r".+\.ark:\d+")
MAGIC = (  # what libsndfile does not read, by a file's first bytes
    (rb"....ftyp", "MPEG-4 audio (m4a)"), (rb"#!AMR", "AMR"), (rb"\x1aE\xdf\xa3", "WebM or Matroska"),
    (rb"\x30\x26\xb2\x75", "Windows Media (wma)"), (rb"\xff[\xf0\xf1\xf8\xf9]", "AAC"), (rb"ADIF", "AAC"),
    (rb"MAC ", "Monkey's Audio"), (rb"#!SILK|\x02#!SILK", "SILK"), (rb"FLV", "Flash video"))
FOREIGN = {".pcm": "samples without a header", ".raw": "samples without a header", ".m4a": "MPEG-4 audio",
           ".aac": "AAC", ".amr": "AMR", ".wma": "Windows Media", ".webm": "WebM", ".sph": "compressed SPHERE"}


class UnknownFormatError(UserError):
    """libsndfile does not read the file; something else may."""


class AudioInfo(NamedTuple):
    """The header of an audio file."""

    rate: int  # Hz
    channels: int
    frames: int  # samples of each channel

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


class _Forward(soundfile.SoundFile):
    """A file that is read from its begin to its end. soundfile would seek after each block, to the same place; in an
    mp3 that disturbs the next samples."""

    def seekable(self) -> bool:
        return False


@contextlib.contextmanager
def open_audio(path: str | os.PathLike) -> Iterator[soundfile.SoundFile]:
    """An audio file that libsndfile reads, opened, whose header is plausible.

    Raises UserError that names the file: missing, without samples, cut short, several recordings in one, or with a
    rate, a length or channels that speech does not have. Raises UnknownFormatError for what libsndfile does not read.
    """
    path = os.fspath(path)
    raw = _readable(path)
    with _explained(path), _Forward(raw) as file:
        wrong = (_implausible(path, file) or logged_as_short(file.extra_info) or _joined(path, file.format)
                 or (cut_short(path) if raw is path else None))
        if wrong:
            raise UserError(f"{path}: {wrong}")
        yield file


def audio_info(path: str | os.PathLike) -> AudioInfo:
    """Rate, channels and length of a file. Raises UserError as `open_audio` does."""
    with open_audio(path) as file:
        return AudioInfo(file.samplerate, file.channels, file.frames)


def read_blocks(path: str | os.PathLike) -> Iterator[np.ndarray]:
    """All samples of a file in blocks, float32 (at most BLOCK, channels), full scale ±1.

    Raises UserError as `open_audio` does, for a file that cannot be decoded to its end, and for samples that are NaN,
    infinite or far above full scale.
    """
    done = 0
    with open_audio(path) as file:
        while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
            if not np.isfinite(block).all():
                raise UserError(f"{path}: holds samples that are NaN or infinite")
            if np.abs(block).max() > MAX_LEVEL:
                raise UserError(f"{path}: holds samples of {np.abs(block).max():.3g}, where 1 is full scale; if they "
                                f"are 16-bit numbers written as float, divide them by 32768")
            done += len(block)
            yield block
        if done < file.frames:
            raise UserError(f"{path}: cut short or damaged: {done} of {file.frames} samples can be decoded; "
                            f"get the file again")


def is_there(path: str) -> bool:
    """Whether there is a file of that name, or the archive that it names a place in."""
    return os.path.exists(path.rpartition(":")[0] if IN_ARCHIVE.fullmatch(path) else path)


def check_audio(path: str, deep: bool = False) -> float | str:
    """Duration of a file in seconds; or what is wrong with it, in words, as `open_audio` says it.

    Shallow reads headers, which shows a WAV cut short, though not a FLAC. `deep` decodes every sample, and finds
    digital silence too.
    """
    try:
        info = audio_info(path)
        if deep and not any([bool(np.ptp(block, axis=0).any()) for block in read_blocks(path)]):  # to the end
            return f"{path}: {SILENT}"
        return info.seconds
    except UserError as error:
        return str(error)


def check_audios(paths: Sequence[str], deep: bool = False, jobs: int | None = None) -> Iterator[float | str]:
    """`check_audio` of each path in turn, over `jobs` processes, with progress."""
    chunks = [(paths[start : start + CHUNK], deep) for start in range(0, len(paths), CHUNK)]
    if len(chunks) < 2:
        jobs = 1
    results = (result for chunk in ordered_map(_check_chunk, chunks, jobs) for result in chunk)
    return track(results, len(paths), "audio")


def _check_chunk(chunk: tuple[Sequence[str], bool]) -> list[float | str]:
    paths, deep = chunk
    return [check_audio(path, deep) for path in paths]


def _readable(path: str) -> str | io.BytesIO:
    """What libsndfile is to open: the path, an mp3's frames behind a tag that tells their number, or a piece of an
    archive."""
    try:
        if IN_ARCHIVE.fullmatch(path) and not os.path.exists(path):
            return io.BytesIO(_from_archive(path))
        facts = os.stat(path)
        if not stat.S_ISREG(facts.st_mode):
            raise UserError(f"{path}: not readable as audio: it is not a file")
        if not facts.st_size:
            raise UserError(f"{path}: the file is empty")
        with open(path, "rb") as file:
            head = file.read(4096)
        if head.startswith(b"RIFF") and head.count(b"\n") == head.count(b"\r\n") >= LINES:
            raise UserError(f"{path}: damaged: it was sent as text, with \\r\\n for \\n; get it again, as binary")
        wrong = wav_fault(path) if head.startswith(b"RIFF") else ogg_fault(path) if head.startswith(b"OggS") else None
        if wrong:
            raise UserError(f"{path}: {wrong}")
        again = mp3_as_read(path, head)
    except FileNotFoundError:
        gone = f": it is a link to {os.readlink(path)}, which is not there" if os.path.islink(path) else _alike(path)
        raise UserError(f"{path}: no such file{gone}") from None
    except ValueError:  # a zero byte in the name
        raise UserError(f"{path!r}: no name of a file") from None
    except OSError as error:
        if error.errno in OF_MACHINE:
            raise
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    return path if again is None else io.BytesIO(again)


def _alike(path: str) -> str:
    """What to say of a file beside `path`, which is not there, whose name differs in case, in the form of accents, or
    by an ending of audio."""
    folder, name = os.path.split(path)
    with contextlib.suppress(OSError):
        there = _folded_names(folder or os.curdir, os.stat(folder or os.curdir).st_mtime_ns).get(_folded(name))
        return f"; {there} is there, so write that name" if there else ""
    return ""


@functools.lru_cache(maxsize=16)  # a table may name thousands that are not there
def _folded_names(folder: str, mtime_ns: int) -> dict[str, str]:
    names = sorted(os.listdir(folder))
    return {**{_folded(os.path.splitext(name)[0]): name for name in names if name.lower().endswith(READ)},
            **{_folded(name): name for name in names}}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _from_archive(path: str) -> bytes:
    """The WAV that begins at an offset of a Kaldi archive, `<archive>:<offset>`, as ESPnet's wav.scp has it."""
    archive, offset = path.rsplit(":", 1)
    with open(archive, "rb") as file:
        file.seek(int(offset))
        head = file.read(8)
        if not head.startswith(b"RIFF"):
            raise UserError(f"{path}: no WAV begins there; make a file of each utterance: "
                            f"wav-copy scp:wav.scp scp,p:new.scp (Kaldi)")
        return head + file.read(int.from_bytes(head[4:], "little"))


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """libsndfile's errors as UnknownFormatError."""
    try:
        yield
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError, OSError) as error:
        if getattr(error, "errno", None) in OF_MACHINE:
            raise
        reason = getattr(error, "error_string", str(error)).strip().rstrip(".")
        raise UnknownFormatError(f"{path}: not readable as audio ({reason}); {_remedy(path)}") from None


def foreign_kind(path: str | os.PathLike) -> str | None:
    """What a file is that libsndfile does not read, by its first bytes, else by its name; None if that tells
    nothing."""
    suffix = os.path.splitext(path)[1].lower()
    return next((kind for magic, kind in MAGIC if re.match(magic, _bytes(path, 0), re.DOTALL)), FOREIGN.get(suffix))


def _bytes(path: str | os.PathLike, begin: int, whence: int = os.SEEK_SET) -> bytes:
    """128 bytes of a file; none if it cannot be read."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        file.seek(begin, whence)
        return file.read(128)
    return b""


def _remedy(path: str) -> str:
    head, kind, suffix = _bytes(path, 0)[:64], foreign_kind(path), os.path.splitext(path)[1].lower()
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a page of the web, perhaps a server's error; download it again"
    if head.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS; fetch the file itself: git lfs pull"
    if kind == "samples without a header":
        return f"it is {kind}; say what they are, such as: {_convert(path, '-f s16le -ar 16000 -ac 1 ')}"
    if kind:
        return f"it is {kind}, which libsndfile does not read; convert it: {_convert(path)}"
    if head and all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head):
        return f"it is a text that begins with {head[:20].decode()!r}; get the file again"
    if suffix == ".wav" and not head.startswith(WAVS):
        return ("it does not begin as a WAV does; get the file again, or, if it holds samples alone, say what they "
                f"are, such as: {_convert(path, '-f s16le -ar 16000 -ac 1 ')}")
    if _bytes(path, -128, os.SEEK_END).startswith(b"TAG"):  # as mp3 players write it
        return f"an ID3 tag stands at its end, but its format has none; convert it: {_convert(path)}"
    return "get the file again" if suffix in READ else f"convert it: {_convert(path)}"


def _convert(path: str, options: str = "") -> str:
    """A command that makes a wav of a file."""
    stem, suffix = os.path.splitext(path)
    return f"ffmpeg {options}-i {shlex.quote(path)} {shlex.quote(stem + '.new' * (suffix.lower() == '.wav') + '.wav')}"


def _implausible(path: str, file: soundfile.SoundFile) -> str | None:
    if file.frames <= 0:
        return "holds no samples"
    if file.frames > UNKNOWN_FRAMES:
        return f"its header does not tell its length, as when it was written to a pipe; convert it: {_convert(path)}"
    if not RATES_HZ[0] <= file.samplerate <= RATES_HZ[1]:
        return (f"its header says {file.samplerate} Hz, but {RATES_HZ[0]} to {RATES_HZ[1]} are plausible; "
                f"get the file again, or write the right rate")
    if file.channels > MAX_CHANNELS:
        return f"its header says {file.channels} channels, but at most {MAX_CHANNELS} are plausible"
    seconds = file.frames / file.samplerate
    if seconds > MAX_S:
        return f"its header says {seconds / 3600:.1f} h, but at most {MAX_S / 3600:.0f} are taken; cut it"
    return None


def _joined(path: str, kind: str) -> str | None:
    """FLAC files that were joined by `cat` are read to the end of the first alone."""
    if kind != "FLAC":
        return None
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        first = content.find(FLAC)  # behind a tag, perhaps
        if first < 0 or content.find(FLAC, first + len(FLAC)) < 0:
            return None
    return f"several recordings are joined in it, of which only the first would be read; convert it: {_convert(path)}"
