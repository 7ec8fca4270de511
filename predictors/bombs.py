"""Files whose structure costs more than any film's: small, valid, and hours to decode. Refused before they are opened.

What a header says about pixels is checked where it is read; these are the parts that a file may have any number of.
"""

import re
import struct

from predictors.errors import CorruptImage

PARTS = 50_000
"""A PNG's chunks: 20 MB of them at the 1 KB that the thriftiest encoders buffer come to 20,000."""

SEGMENTS = 2_000
"""A JPEG's headers, tables and profiles: an ICC profile alone may have 255, and each scan brings its tables."""

SCANS = 100
"""A JPEG's passes over the whole picture; the usual progressive encoders make 10."""

DIRECTORIES = 64
"""A TIFF's pages, thumbnails and masks. A pyramid of a 64-megapixel film has 13."""

VALUES = 1_000_000
"""Numbers of one TIFF tag. A palette has 196,608, and a film has fewer strips than rows."""

_NUMBERS = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of one value, by its TIFF type; of text and plain bytes, one."""

_SCAN, _END = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")  # no stuffing, no restart: ITU-T T.81 B.1.1.2


def check_jpeg(data: bytes) -> None:
    """Raise CorruptImage for a JPEG or JPEG-LS stream of too many segments or scans."""
    segments = scans = 0
    marker = _MARKER.search(data, 2)
    while marker and marker[0][1] != _END:
        segments += 1
        if marker[0][1] == _SCAN:
            scans += 1
            if scans == 1 and data.count(b"\xff\xda") <= SCANS:
                return  # the usual case, told without a walk through the pixels
        if segments > SEGMENTS or scans > SCANS:
            raise CorruptImage
        marker = _MARKER.search(data, marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big"))


def check_png(data: bytes) -> None:
    """Raise CorruptImage for a PNG of too many chunks."""
    at = 8
    for _ in range(PARTS):
        if at >= len(data) or data[at + 4 : at + 8] == b"IEND":
            return
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    raise CorruptImage


def check_tiff(data: bytes) -> None:
    """Raise CorruptImage for a TIFF, a BigTIFF or EXIF whose tags hold more than the file, or too many numbers.

    Values may lie anywhere: a few bytes a tag can name the same megabytes again and again, and each is read.
    """
    order = "<" if data[:1] == b"I" else ">"
    large = data[2:4] in (b"+\0", b"\0+")
    count, offset, entry, at = ("Q", "Q", "HHQQ", 8) if large else ("H", "I", "HHII", 4)
    count, offset, entry = order + count, order + offset, order + entry
    try:
        for _ in range(DIRECTORIES):
            (at,) = struct.unpack_from(offset, data, at)
            if not at:
                return
            (tags,) = struct.unpack_from(count, data, at)
            start, size = at + struct.calcsize(count), struct.calcsize(entry)
            tags = min(tags, (len(data) - start) // size)  # of a directory that is cut short, the rest is read
            at = start + tags * size
            held = 0
            for _, kind, number, _ in struct.iter_unpack(entry, data[start:at]):
                held += number * _NUMBERS.get(kind, 1)
                if held > len(data) or (kind in _NUMBERS and number > VALUES):
                    raise CorruptImage
    except struct.error:  # it ends here: whoever reads it will say
        return
