"""Is an audio file what it should be? Its duration, or a sentence that says what is wrong with it."""

import os
import re
from collections.abc import Iterator, Sequence

import soundfile

from steps.common.parallel import ordered_map
from steps.common.progress import track

CHUNK = 64  # files a task: opening a header is too short to be sent alone
UNKNOWN_LENGTH = 2**31 - 4096  # WAV headers of streams hold about 2**31 or 2**32 bytes for "not known"


def check_audio(path: str, deep: bool = False) -> float | str:
    """Duration of a file in seconds; or, where it is missing, unreadable, empty or cut short, what is wrong, in words.

    Shallow reads headers, which shows a WAV cut short, though not a FLAC or MP3. `deep` decodes every sample, and finds
    digital silence too.
    """
    if not os.path.exists(path):
        return f"{path}: no such file"
    if os.path.getsize(path) == 0:
        return f"{path}: the file is empty"
    try:
        info = soundfile.info(path, verbose=True)
        if info.frames <= 0 or info.samplerate <= 0:
            return f"{path}: holds no samples"
        short = cut_short(info.extra_info)
        if short:
            return f"{path}: {short}"
        return (_read_through(path, info.frames) if deep else None) or info.frames / info.samplerate
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = getattr(error, "error_string", str(error)).strip().rstrip(".")
        return f"{path}: not readable as audio ({reason}); get the file anew"


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


def cut_short(log: str) -> str | None:
    """libsndfile's log of a WAV tells the bytes that the header promises and, if others, those that are there."""
    found = re.search(r"^data : (\d+) \(should be (\d+)\)", log, re.MULTILINE)
    if found is None:
        return None
    promised, there = map(int, found.groups())
    if there < promised < UNKNOWN_LENGTH:
        return f"cut short: {there} of the {promised} bytes of samples that its header promises; get the file anew"
    return None


def _read_through(path: str, frames: int) -> str | None:
    read, loud = 0, False
    with soundfile.SoundFile(path) as audio:
        while len(block := audio.read(65536, dtype="float32")):  # audio.blocks() would not tell a short read
            read += len(block)
            loud = loud or bool(block.any())
    if read < frames:
        return f"{path}: cut short: {read} of the {frames} samples that its header promises; get the file anew"
    return None if loud else f"{path}: digital silence, every sample is zero"
