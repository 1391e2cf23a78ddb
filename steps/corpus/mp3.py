"""MP3 files whose length libsndfile would guess wrong: without a Xing tag, as streams are, or joined by `cat`.

libsndfile takes the number of frames from the tag in the first frame, else it guesses by the first frames' bit rate,
and reads no further. Here the frames are counted. Where the tag is missing or wrong, the audio frames are given to
libsndfile behind a tag that tells their number. Formats: ISO 11172-3 and 13818-3, and the Xing tag as LAME writes it.
"""

from typing import NamedTuple

from steps.common.errors import UserError

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
    """An mp3 as libsndfile reads it to its end; None where it does so by itself, and for other formats.

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
        if promised == len(audio):
            return None
        if promised > len(audio) + 1:
            raise UserError(f"{path}: cut short: {len(audio)} of the {promised} frames that its tag promises; "
                            f"get the file anew")
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
    """Whether the file ends behind a frame, or goes on with one alike: else it only looks like a frame."""
    end = frame.begin + frame.size
    follower = _frame(content, end)
    return end == len(content) or (follower is not None and follower.rate == frame.rate)


def _frame(content: bytes, begin: int) -> Frame | None:
    """The frame whose header is at `begin`; None where there is no such header."""
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
    """The number of frames that the tag in a frame tells, 0 where it tells none; None where the frame is audio."""
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
