"""Whether a recording goes on to where its container says. Downloads break off, disks fill up, cards are pulled out.

A file is cut short where its header promises more bytes than there are, or where it ends within a page or a packet.
Its end is doubtful where nothing promises its length, and the mark or the whole frame is missing that an end has.
It is more than one where several were joined, of which a decoder reads one.
Sources: RFC 3533 (Ogg), RFC 8794 (EBML of Matroska and WebM), ISO/IEC 14496-12 (MP4), ISO/IEC 13818-1 (MPEG-TS),
EBU Tech 3306 (RF64), Apple's Core Audio Format, NIST's SPHERE.
"""

import mmap
import os
import re
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from steps.corpus.mp3 import ends_within_a_frame

UNKNOWN_LENGTH = 2**31 - 4096  # WAV headers of streams hold about 2**31 or 2**32 bytes for "not known"
LOGGED = re.compile(r"^ *(?:data|SSND|Data Size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
OGG_PAGE = 27 + 255 + 255 * 255  # bytes of a page at the most
FIRST_PAGE, LAST_PAGE = 2, 4  # flags of a page
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # Ogg's checksum has its bits the other way round
TS_PACKET = 188  # bytes
A_TAG = 4096  # bytes of a tag behind the samples, at the most
CHUNK = re.compile(rb"[A-Za-z0-9 _]{4}")  # the name of one in a WAV
EMPTY_BYTES = 32_000  # zeros at the end of a WAV from which on it may be a download's that broke off
MP4_BOXES = b"ftyp moov mdat moof mfra free skip wide uuid styp sidx meta udta emsg prft pdin".split()
SEGMENT = b"\x18\x53\x80\x67"  # EBML's id of what holds a Matroska file's sound


def cut_short(path: str | os.PathLike) -> str | None:
    """The sign that a file was cut short, in words; None if there is none."""
    with open(path, "rb") as file:
        head = file.read(3 * TS_PACKET)
        end_of = next((end_of for magic, end_of in ENDS if re.match(magic, head, re.DOTALL)), None)
        promised = end_of(file) if end_of else 0
        return _shortfall(promised, _size(file), "bytes that it should have at the least")


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
            return (f"its header tells of no samples, but {behind} bytes follow, as where it was written to a pipe or "
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
                return f"damaged: its page at byte {position} is not as it was written; get the file anew"
            if sounding and page[5] & FIRST_PAGE:
                return "several recordings are joined in it, of which only the first would be read"
            sounding = not page[5] & FIRST_PAGE
            position = content.find(b"OggS\0", position + len(page))
    return None


def _ogg_checksum(page: bytes) -> int:
    return int(f"{zlib.crc32(page.translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF:032b}"[::-1], 2)


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
        if head == b"RIFF" and _behind_samples(file):
            return "bytes stand behind the samples that its header tells of: it may be longer than that"
        if head == b"RIFF" and _ends_empty(file):
            return "its second half is of zeros alone, as where a download broke off"
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
        length = _number(file, position + 4, 4)
        yield kind, position + 8, length
        position += 8 + length + length % 2


def _samples(file: BinaryIO) -> tuple[int, int]:
    """Where the samples of a WAV begin and end, by its header; the file's end for both where it tells of none."""
    size = _size(file)
    begin, length = next(((begin, length) for kind, begin, length in _chunks(file) if kind == b"data"), (size, 0))
    return begin, min(begin + length, size)


def _behind_samples(file: BinaryIO) -> bool:
    """Whether bytes that are no chunk stand behind the samples of a WAV, and more than a tag has."""
    end = _samples(file)[1]
    file.seek(end + end % 2)
    return _size(file) - end > A_TAG and not CHUNK.match(file.read(4))


def _ends_empty(file: BinaryIO) -> bool:
    """Whether the second half of the samples of a WAV is of zeros, and so long that it is no pause."""
    begin, end = _samples(file)
    half = (end - begin) // 2
    for length in (min(half, A_TAG), half):  # few are read of most files
        file.seek(end - length)
        if half < EMPTY_BYTES or any(file.read(length)):
            return False
    return True


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
