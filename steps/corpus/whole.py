"""Whether a recording is as long as its container says. Downloads break off, disks fill up, cards are pulled out.

A file is cut short if its header promises more bytes than there are, or if it ends within a page or a packet.
Its end is doubtful if nothing promises its length, and the end has no mark or no whole frame.
It is several files if they were joined; a decoder reads one of them.

libsndfile checks WAV, AIFF, AU and VOC. PyAV knows the duration of films. For an mp3 libsndfile takes the number of
frames from the tag in the first frame, or guesses it by the first frames' bit rate, and reads no further. Here the
frames are counted. If the tag is missing or wrong, libsndfile gets the audio frames after a tag with their number.
Sources: RFC 3533 (Ogg), ISO/IEC 13818-1 (MPEG-TS), NIST's SPHERE,
ISO 11172-3 and 13818-3 (mp3), and the Xing tag as LAME writes it.
"""

import mmap
import os
import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from steps.common.errors import UserError

UNKNOWN_LENGTH = 2**31 - 4096  # WAV headers of streams hold about 2**31 or 2**32 bytes for "not known"
LOGGED = (re.compile(r"^ *(?:data|SSND|Data Size|riff) *: (?P<promised>\d+) \(should be (?P<there>\d+)\)", re.M),
          re.compile(r"frame count (?P<there>\d+) does not match value from 'ds64' chunk of (?P<promised>\d+)"))
OGG_PAGE = 27 + 255 + 255 * 255  # bytes of a page at most
FIRST_PAGE, LAST_PAGE = 2, 4  # flags of a page
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # Ogg's checksum has its bits the other way round
TS_PACKET = 188  # bytes
A_TAG = 4096  # bytes of a tag after the samples, at most
CHUNK = re.compile(rb"[A-Za-z0-9 _]{4}")  # the name of one in a WAV
EMPTY_BYTES = 32_000  # zeros at the end of a WAV from which on it may be a download's that broke off


def cut_short(path: str | os.PathLike) -> str | None:
    """The sign that a file was cut short, in words; None if there is none."""
    with open(path, "rb") as file:
        head, size = file.read(3 * TS_PACKET), _size(file)
        promised = 0
        if head.startswith(b"OggS"):
            promised = _last_page(file)[0]
        elif head.startswith(b"NIST_1A\n"):
            promised = _sphere_end(file)
        elif head[::TS_PACKET] == b"GGG":
            promised = -(-size // TS_PACKET) * TS_PACKET
        return _shortfall(promised, size, "bytes that it should have at least")


def wav_fault(path: str | os.PathLike) -> str | None:
    """What is wrong with the chunks of a WAV, so that not all of it would be read, in words; None if nothing is."""
    with open(path, "rb") as file:
        chunks = list(_chunks(file))
        lengths = [length for kind, _, length in chunks if kind == b"data"]
        if b"RIFF" in [kind for kind, *_ in chunks]:
            return "several recordings are joined in it, of which only the first would be read; part them"
        if len(lengths) > 1:
            return f"its samples lie in {len(lengths)} chunks, of which only one would be read; write them as one"
        behind = _size(file) - chunks[-1][1] if lengths == [0] else 0
        if behind > A_TAG:
            return (f"its header tells of no samples, but {behind} bytes follow, as when it was written to a pipe or "
                    "never closed; ffmpeg reads them: ffmpeg -i OLD.wav NEW.wav")
    return None


def ogg_fault(path: str | os.PathLike) -> str | None:
    """What is wrong with the pages of an Ogg file, so that not all of it would be read; None if nothing is."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        position, sounding = content.find(b"OggS\0"), False
        while 0 <= position < len(content) - 27:
            lengths = content[position + 27:position + 27 + content[position + 26]]
            page = content[position:position + 27 + len(lengths) + sum(lengths)]
            if len(page) < 27 + len(lengths) + sum(lengths):  # cut short
                break
            if _ogg_checksum(page[:22] + bytes(4) + page[26:]) != int.from_bytes(page[22:26], "little"):
                return f"damaged: its page at byte {position} is not as it was written; get the file again"
            if sounding and page[5] & FIRST_PAGE:
                return "several recordings are joined in it, of which only the first would be read"
            sounding = not page[5] & FIRST_PAGE
            position = content.find(b"OggS\0", position + len(page))
    return None


def _ogg_checksum(page: bytes) -> int:
    return int(f"{zlib.crc32(page.translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF:032b}"[::-1], 2)


def logged_as_short(log: str) -> str | None:
    """As `cut_short`, of what libsndfile says of a file: what the header promises and, if other, what is there."""
    if "Seems to be a truncated file" in log:  # VOC
        return "cut short: it ends before its last block does; get the file again"
    found = next(filter(None, (pattern.search(log) for pattern in LOGGED)), None)
    if found is None or int(found["promised"]) >= UNKNOWN_LENGTH:
        return None
    return _shortfall(int(found["promised"]), int(found["there"]), "bytes or samples that its header promises")


def _shortfall(promised: int, there: int, what: str) -> str | None:
    return f"cut short: {there} of the {promised} {what}; get the file again" if there < promised else None


def doubtful_end(path: str | os.PathLike) -> str | None:
    """The reason to doubt the end of a file whose container states no length, in words; None if there is none."""
    with open(path, "rb") as file:
        head = file.read(4)
        if head == b"RIFF" and _behind_samples(file):
            return "bytes stand after the samples that its header tells of: it may be longer than that"
        if head == b"RIFF" and _ends_empty(file):
            return "its second half is of zeros alone, as when a download broke off"
        if head == b"OggS" and not _last_page(file)[1]:
            return "its last Ogg page is not marked as the end: it may be cut short"
        if head.startswith((b"ID3", b"\xff")) and ends_within_a_frame(head + file.read()):
            return "it ends within a frame: its last part is missing"
    return None


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a WAV, as far as they can be followed: name, where the content begins, length of it."""
    position, size = 12, _size(file)
    while position + 8 <= size:
        file.seek(position)
        kind = file.read(4)
        if not CHUNK.fullmatch(kind):
            return
        length = int.from_bytes(file.read(4), "little")
        yield kind, position + 8, length
        position += 8 + length + length % 2


def _samples(file: BinaryIO) -> tuple[int, int]:
    """Where the samples of a WAV begin and end, by its header; the file's end for both if it has none."""
    size = _size(file)
    begin, length = next(((begin, length) for kind, begin, length in _chunks(file) if kind == b"data"), (size, 0))
    return begin, min(begin + length, size)


def _behind_samples(file: BinaryIO) -> bool:
    """Whether bytes that do not belong to a chunk stand after the samples of a WAV, and more than a tag has."""
    end = _samples(file)[1]
    file.seek(end + end % 2)
    return _size(file) - end > A_TAG and not CHUNK.match(file.read(4))


def _ends_empty(file: BinaryIO) -> bool:
    """Whether the second half of the samples of a WAV is of zeros, and so long that it is not a pause."""
    begin, end = _samples(file)
    half = (end - begin) // 2
    for length in (min(half, A_TAG), half):  # few are read of most files
        file.seek(end - length)
        if half < EMPTY_BYTES or any(file.read(length)):
            return False
    return True


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _last_page(file: BinaryIO) -> tuple[int, bool]:
    """Where the last page of an Ogg file ends, and whether it is marked as the last of its stream."""
    begin = max(0, _size(file) - OGG_PAGE)
    file.seek(begin)
    tail = file.read()
    at = max(0, tail.rfind(b"OggS\0"))
    header = tail[at:at + 27].ljust(27, b"\0")
    lengths = tail[at + 27:at + 27 + header[26]]
    return begin + at + 27 + header[26] + sum(lengths), bool(header[5] & LAST_PAGE)


def _sphere_end(file: BinaryIO) -> int:
    """The end of samples that are not compressed."""
    file.seek(0)
    header = file.read(1024)
    said = dict(re.findall(rb"^(\w+) -\w+ (\S+)", header, re.MULTILINE))
    counts = [said.get(name, b"") for name in (b"sample_count", b"channel_count", b"sample_n_bytes")]
    if not all(map(bytes.isdigit, [*counts, header[8:16].strip()])) or b"," in said.get(b"sample_coding", b""):
        return 0
    samples, channels, width = map(int, counts)
    return int(header[8:16]) + samples * channels * width


# kbit/s by index, of layer III
BITRATES = {1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
            2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)}
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # MPEG 1, 2 and 2.5
TAG_BITRATE = 8  # index of a bit rate whose frames have room for a tag
TAGS = b"Xing", b"Info"


class Frame(NamedTuple):
    """A frame of layer III: where it lies, and what all frames of a recording share."""

    begin: int
    size: int  # bytes
    rate: int
    mono: bool
    tag: int  # where in the frame a Xing tag would be


def mp3_as_read(path: str, head: bytes) -> bytes | None:
    """An mp3 as libsndfile reads it to its end; None if it does so by itself, and for other formats.

    Args:
        head: the first bytes of the file.
    Raises UserError for an mp3 that is shorter than its tag says, or joined of recordings that differ in their rate.
    """
    if not head.startswith(b"ID3") and (len(head) < 4 or _frame(head, 0) is None):
        return None
    with open(path, "rb") as file:
        content = file.read()
    frames = _frames(content)
    if not frames:
        return None
    if len({(each.rate, each.mono) for each in frames}) > 1:
        raise UserError(f"{path}: recordings of different rates or channels are joined in it; part them, or convert "
                        f"them before they are joined")
    tags = [each for each in frames if _tag(content, each) is not None]
    audio = [each for each in frames if _tag(content, each) is None]
    promised = _tag(content, tags[0]) if tags else None
    if len(tags) == 1 and tags[0] is frames[0]:
        if promised == len(audio):  # without its ID3, of which libmpg123 would complain on stderr
            return content[frames[0].begin :] if head.startswith(b"ID3") else None
        if promised > len(audio) + 1:
            raise UserError(f"{path}: cut short: {len(audio)} of the {promised} frames that its tag promises; "
                            f"get the file again")
    if not audio:
        raise UserError(f"{path}: holds no samples")
    return _new_tag(content, audio) + b"".join(content[each.begin : each.begin + each.size] for each in audio)


def ends_within_a_frame(content: bytes) -> bool:
    """Whether the last frame of an mp3 is not whole."""
    frames = _frames(content)
    if not frames:
        return False
    end = frames[-1].begin + frames[-1].size
    return _frame(content, end) is not None  # a header whose frame has not found room


def _frames(content: bytes) -> list[Frame]:
    """All whole frames, tags and junk between them passed over."""
    frames, position = [], 0
    while position + 4 <= len(content):
        if content.startswith(b"ID3", position):
            size = content[position + 6 : position + 10]
            position += 10 + sum((byte & 127) << shift for byte, shift in zip(size, (21, 14, 7, 0), strict=False))
            continue
        frame = _frame(content, position)
        in_step = frame and frames and frame.begin == frames[-1].begin + frames[-1].size
        if frame and position + frame.size <= len(content) and (in_step or _followed(content, frame)):
            frames.append(frame)
            position += frame.size
        else:
            position = content.find(b"\xff", position + 1)
            if position < 0:
                break
    return frames


def _followed(content: bytes, frame: Frame) -> bool:
    """Whether the file ends after a frame, or goes on with one alike: else it only looks like a frame."""
    end = frame.begin + frame.size
    follower = _frame(content, end)
    return end == len(content) or (follower is not None and follower.rate == frame.rate)


def _frame(content: bytes, begin: int) -> Frame | None:
    """The frame whose header is at `begin`; None if there is no such header."""
    if len(content) < begin + 4 or content[begin] != 0xFF or content[begin + 1] & 0xE6 != 0xE2:
        return None
    version, index = content[begin + 1] >> 3 & 3, content[begin + 2] >> 4
    rate_index = content[begin + 2] >> 2 & 3
    if version == 1 or index in (0, 15) or rate_index == 3:
        return None
    rate, mono = RATES[version][rate_index], content[begin + 3] >> 6 == 3
    first = version == 3
    bitrate = BITRATES[1 if first else 2][index] * 1000
    size = (144 if first else 72) * bitrate // rate + (content[begin + 2] >> 1 & 1)
    side = (17 if mono else 32) if first else (9 if mono else 17)
    return Frame(begin, size, rate, mono, 4 + side)


def _tag(content: bytes, frame: Frame) -> int | None:
    """The number of frames that the tag in a frame names, 0 if it names no number; None if the frame is audio."""
    begin = frame.begin + frame.tag
    if content[begin : begin + 4] not in TAGS:
        return None
    has_count = content[begin + 7] & 1
    return int.from_bytes(content[begin + 8 : begin + 12], "big") if has_count else 0


def _new_tag(content: bytes, audio: list[Frame]) -> bytes:
    """A frame with a Xing tag that tells the number of frames."""
    first = audio[0].begin
    header = bytearray(content[first : first + 4])
    header[1] |= 1  # without a checksum
    header[2] = header[2] & 0x0C | TAG_BITRATE << 4
    frame = _frame(bytes(header), 0)
    tag = b"Xing" + (1).to_bytes(4, "big") + len(audio).to_bytes(4, "big")
    return (bytes(header) + bytes(frame.tag - 4) + tag).ljust(frame.size, b"\0")
