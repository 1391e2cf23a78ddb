"""Whether a recording goes on to where its container says. Downloads break off, disks fill up, cards are pulled out.

A file is cut short where its header promises more bytes than there are, or where it ends within a page or a packet.
Its end is doubtful where nothing promises its length, and the mark or the whole frame is missing that an end has.
Sources: RFC 3533 (Ogg), RFC 8794 (EBML of Matroska and WebM), ISO/IEC 14496-12 (MP4), ISO/IEC 13818-1 (MPEG-TS),
EBU Tech 3306 (RF64), Apple's Core Audio Format, NIST's SPHERE.
"""

import os
import re
from collections.abc import Callable
from typing import BinaryIO

from steps.corpus.mp3 import ends_within_a_frame

UNKNOWN_LENGTH = 2**31 - 4096  # WAV headers of streams hold about 2**31 or 2**32 bytes for "not known"
LOGGED = re.compile(r"^ *(?:data|SSND|Data Size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
OGG_PAGE = 27 + 255 + 255 * 255  # bytes of a page at the most
LAST_PAGE = 4  # flag of a page
TS_PACKET = 188  # bytes
A_TAG = 4096  # bytes of a tag behind the samples, at the most
CHUNK = re.compile(rb"[A-Za-z0-9 _]{4}")  # the name of one in a WAV
MP4_BOXES = b"ftyp moov mdat moof mfra free skip wide uuid styp sidx meta udta emsg prft pdin".split()
SEGMENT = b"\x18\x53\x80\x67"  # EBML's id of what holds a Matroska file's sound


def cut_short(path: str | os.PathLike) -> str | None:
    """The sign that a file was cut short, in words; None if there is none."""
    with open(path, "rb") as file:
        head = file.read(3 * TS_PACKET)
        end_of = next((end_of for magic, end_of in ENDS if re.match(magic, head, re.DOTALL)), None)
        promised = end_of(file) if end_of else 0
        return _shortfall(promised, _size(file), "bytes that it should have at the least")


def logged_as_short(log: str) -> str | None:
    """As `cut_short`, of what libsndfile says of a file: of WAV, AIFF and AU the bytes of samples that the header
    promises and, if others, those that are there."""
    if "Seems to be a truncated file" in log:  # VOC
        return "cut short: it ends before its last block does; get the file anew"
    found = LOGGED.search(log)
    promised, there = map(int, found.groups()) if found else (0, 0)
    if promised >= UNKNOWN_LENGTH:
        return None
    return _shortfall(promised, there, "bytes of samples that its header promises")


def _shortfall(promised: int, there: int, what: str) -> str | None:
    return f"cut short: {there} of the {promised} {what}; get the file anew" if there < promised else None


def doubtful_end(path: str | os.PathLike) -> str | None:
    """The reason to doubt the end of a file whose container states no length, in words; None if there is none."""
    with open(path, "rb") as file:
        head = file.read(4)
        if head == b"RIFF" and (more := _behind_samples(file)):
            return f"{more} bytes stand behind the samples that its header tells of: it may be longer than that"
        if head == b"OggS" and not _last_page(file)[1]:
            return "its last Ogg page is not marked as the end: it may be cut short"
        if head.startswith((b"ID3", b"\xff")) and ends_within_a_frame(head + file.read()):
            return "it ends within a frame: its last part is missing"
    return None


def _behind_samples(file: BinaryIO) -> int:
    """Bytes behind the samples of a WAV that are no chunk; 0 where there are few, such as a tag."""
    position, size, kind = 12, _size(file), b""
    while position + 8 <= size and kind != b"data":
        file.seek(position)
        kind = file.read(4)
        position += 8 + _number(file, position + 4, 4)
    position += position % 2
    file.seek(min(position, size))
    return size - position if size - position > A_TAG and not CHUNK.match(file.read(4)) else 0


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _number(file: BinaryIO, position: int, length: int, order: str = "little") -> int:
    file.seek(position)
    return int.from_bytes(file.read(length), order)


def _ogg_end(file: BinaryIO) -> int:
    return _last_page(file)[0]


def _last_page(file: BinaryIO) -> tuple[int, bool]:
    """Where the last page of an Ogg file ends, and whether it is marked as the last of its stream."""
    begin = max(0, _size(file) - OGG_PAGE)
    file.seek(begin)
    tail = file.read()
    at = max(0, tail.rfind(b"OggS\0"))
    header = tail[at:at + 27].ljust(27, b"\0")
    lengths = tail[at + 27:at + 27 + header[26]]
    return begin + at + 27 + header[26] + sum(lengths), bool(header[5] & LAST_PAGE)


def _ts_end(file: BinaryIO) -> int:
    return -(-_size(file) // TS_PACKET) * TS_PACKET


def _riff_end(file: BinaryIO) -> int:
    return 8 + _number(file, 4, 4)


def _rf64_end(file: BinaryIO) -> int:
    return 8 + _number(file, 20, 8)


def _w64_end(file: BinaryIO) -> int:
    return _number(file, 16, 8)


def _caf_end(file: BinaryIO) -> int:
    """The end of the chunk of samples, the first that may be large; its length may be -1 for "not known"."""
    position, size = 8, _size(file)
    while position + 12 <= size:
        kind, length = _number(file, position, 4, "big"), _number(file, position + 4, 8, "big")
        if length >= 2**63:
            return 0
        position += 12 + length
        if kind == int.from_bytes(b"data", "big"):
            break
    return position


def _mp4_end(file: BinaryIO) -> int:
    """The end of the last box; of boxes that nothing says the length of, and of what is no box, nothing is known."""
    position, size = 0, _size(file)
    while position + 8 <= size:
        length = _number(file, position, 4, "big")
        if file.read(4) not in MP4_BOXES:
            break
        length = length if length != 1 else _number(file, position + 8, 8, "big")
        if length < 8:
            break
        position += length
    return position


def _ebml_end(file: BinaryIO) -> int:
    """The end of the segment, which follows the header; a live recording does not tell it."""
    file.seek(4)
    file.seek(min(_ebml_length(file), _size(file)), os.SEEK_CUR)
    if file.read(4) != SEGMENT:
        return 0
    length = _ebml_length(file)
    return length and file.tell() + length


def _ebml_length(file: BinaryIO) -> int:
    """A number of 1 to 8 bytes, behind as many zero bits less one as it has bytes; 0 for "not known", all ones."""
    first = file.read(1)
    if first in (b"", b"\0"):  # no such number
        return 0
    more = 8 - first[0].bit_length()
    number = int.from_bytes(first + file.read(more).ljust(more, b"\0"), "big") - (1 << 7 * (more + 1))
    return 0 if number == (1 << 7 * (more + 1)) - 1 else number


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


ENDS: tuple[tuple[bytes, Callable[[BinaryIO], int]], ...] = (  # by a file's first bytes
    (rb"OggS", _ogg_end), (rb"G.{187}G.{187}G", _ts_end), (rb"RIFF....AVI ", _riff_end),
    (rb"RF64....WAVEds64", _rf64_end), (rb"riff\x2e\x91\xcf\x11", _w64_end), (rb"caff", _caf_end),
    (rb"....ftyp", _mp4_end), (rb"\x1aE\xdf\xa3", _ebml_end), (rb"NIST_1A\n", _sphere_end))
