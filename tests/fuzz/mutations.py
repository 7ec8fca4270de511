"""Broken films: seeds, changed blindly or where their format says what a field means. Each from its number alone."""

import random
import struct
import zlib
from collections.abc import Callable

from tests.fuzz.seeds import FORMATS, seeds

LARGEST = 200_000  # bytes of a mutant

_TELLING = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 32, 127, 128, 255, 256, 4095, 8000, 16383, 32767, 32768, 65535)
_LARGE = (65536, 1 << 20, (1 << 24) - 1, 1 << 28, (1 << 31) - 1, 1 << 31, (1 << 32) - 8, (1 << 32) - 1)

Mutation = Callable[[bytes, random.Random], bytes]


def mutant(seed: int, number: int, file_format: str) -> bytes:
    """The ``number``-th broken film of a format; the same for the same three, on every machine."""
    dice = random.Random(f"{seed} {number} {file_format}")
    data = dice.choice(seeds(file_format))
    for _ in range(dice.choice((1, 1, 1, 2, 3, 5))):
        mutation = dice.choice((*_BLIND, *[_FIELDS[file_format]] * len(_BLIND)))
        data = mutation(data, dice)[:LARGEST]
    return data


def _number(dice: random.Random) -> int:
    return dice.choice((*_TELLING, *_TELLING, *_LARGE, dice.getrandbits(32), dice.getrandbits(16)))


def _packed(number: int, size: int, order: str) -> bytes:
    return (number & (1 << 8 * size) - 1).to_bytes(size, "big" if order == ">" else "little")


def _span(data: bytes, dice: random.Random, longest: int = 2000) -> tuple[int, int]:
    start = dice.randrange(len(data) + 1)
    return start, min(len(data), start + dice.randrange(1, longest))


# Blind


def _flip(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.randrange(1, 17) if changed else 0):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _fill(data: bytes, dice: random.Random) -> bytes:
    start, end = _span(data, dice, dice.choice((8, 64, 1000)))
    fill = dice.choice((b"\0", b"\xff", b"\x80", None))
    return data[:start] + (fill * (end - start) if fill else dice.randbytes(end - start)) + data[end:]


def _cut(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def _insert(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + dice.randbytes(dice.randrange(1, 300)) + data[at:]


def _drop(data: bytes, dice: random.Random) -> bytes:
    start, end = _span(data, dice)
    return data[:start] + data[end:]


def _repeat(data: bytes, dice: random.Random) -> bytes:
    start, end = _span(data, dice)
    return data[:end] + data[start:end] * dice.randrange(1, 30) + data[end:]


def _splice(data: bytes, dice: random.Random) -> bytes:
    other = dice.choice(seeds(dice.choice(FORMATS)))
    return data[: dice.randrange(len(data) + 1)] + other[dice.randrange(len(other)) :]


def _overwrite(data: bytes, dice: random.Random) -> bytes:
    """A number in the head of the file, where headers are."""
    size = dice.choice((1, 2, 4))
    at = dice.randrange(max(1, min(len(data), 600)))
    return data[:at] + _packed(_number(dice), size, dice.choice("<>")) + data[at + size :]


_BLIND: tuple[Mutation, ...] = (_flip, _fill, _cut, _insert, _drop, _repeat, _splice, _overwrite)


# Where the format says what a field means


def _shuffled(parts: list[bytes], dice: random.Random) -> list[bytes]:
    """One part changed by chance, lost, doubled or moved."""
    if not parts:
        return parts
    at = dice.randrange(len(parts))
    kind = dice.randrange(6)
    if kind == 0:
        return parts[:at] + parts[at + 1 :]
    if kind == 1:
        return parts[:at] + [parts[at]] * dice.randrange(2, 40) + parts[at:]
    if kind == 2:
        part = parts.pop(at)
        parts.insert(dice.randrange(len(parts) + 1), part)
        return parts
    return [*parts[:at], dice.choice(_BLIND)(parts[at], dice), *parts[at + 1 :]]


def _png(data: bytes, dice: random.Random) -> bytes:
    """Chunks, with their checksums made right again so that what they hold is read."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append(data[at + 4 : at + 8 + length])
        at += 12 + length
    kind = dice.randrange(4)
    if kind == 0 and chunks and len(chunks[0]) >= 17:  # IHDR
        at, size = dice.choice(((4, 4), (8, 4), (12, 1), (13, 1), (16, 1)))
        values = (1, 2, 4, 8, 16, 0, 3, 6) if size == 1 else (_number(dice),)
        chunks[0] = chunks[0][:at] + _packed(dice.choice(values), size, ">") + chunks[0][at + size :]
    elif kind == 1:  # the pixels, packed again
        packed = b"".join(chunk[4:] for chunk in chunks if chunk[:4] == b"IDAT")
        try:
            raw = dice.choice(_BLIND)(zlib.decompressobj().decompress(packed, 1 << 22), dice)
        except zlib.error:
            raw = packed
        chunks = [chunk for chunk in chunks if chunk[:4] not in (b"IDAT", b"IEND")]
        chunks += [b"IDAT" + zlib.compress(raw), b"IEND"]
    else:
        chunks = _shuffled(chunks, dice)
    told = [struct.pack(">I", max(0, len(c) - 4)) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(told)


def _jpeg(data: bytes, dice: random.Random) -> bytes:
    """Segments up to the first scan; their lengths made right again, mostly."""
    segments, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] not in (0xDA, 0xD9):
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        segments.append(data[at:end])
        at = max(end, at + 2)
    frames = [i for i, segment in enumerate(segments) if 0xC0 <= segment[1] <= 0xC2 and len(segment) > 9]
    if frames and dice.random() < 0.4:
        i, field = frames[0], dice.choice(((5, 2), (7, 2), (4, 1), (9, 1), (11, 1)))
        changed = _packed(_number(dice), field[1], ">")
        segments[i] = segments[i][: field[0]] + changed + segments[i][sum(field) :]
    else:
        segments = _shuffled(segments, dice)
        if dice.random() < 0.8:
            segments = [s[:2] + struct.pack(">H", min(65535, len(s) - 2)) + s[4:] for s in segments if len(s) >= 4]
    return data[:2] + b"".join(segments) + data[at:]


def _tiff(data: bytes, dice: random.Random) -> bytes:
    """One field of one entry of the first directory, or where the next one lies."""
    order = "<" if data[:1] == b"I" else ">"
    if len(data) < 8:
        return data
    (at,) = struct.unpack_from(order + "I", data, 4)
    if at + 2 > len(data):
        return data
    (entries,) = struct.unpack_from(order + "H", data, at)
    entry = at + 2 + 12 * dice.randrange(entries + 1)
    field, size = dice.choice(((0, 2), (2, 2), (4, 4), (8, 4), (8, 2)))
    common = (254, 256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339)
    number = dice.choice(common) if field == 0 else _number(dice)
    number = dice.choice((1, 2, 3, 4, 5, 7, 8, 32773, 34712, 50000)) if field == 8 and dice.random() < 0.3 else number
    number = dice.randrange(19) if field == 2 else number
    return data[: entry + field] + _packed(number, size, order) + data[entry + field + size :]


def _webp(data: bytes, dice: random.Random) -> bytes:
    """Chunks; the length of the whole made right again."""
    chunks, at = [], 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        chunks.append(data[at : at + 8 + size + size % 2])
        at += 8 + size + size % 2
    chunks = _shuffled(chunks, dice)
    if chunks and dice.random() < 0.4:  # the header of a bit stream, with its size in pixels
        i, at = dice.randrange(len(chunks)), dice.randrange(8, 24)
        chunks[i] = chunks[i][:at] + _packed(_number(dice), dice.choice((1, 2, 3)), "<") + chunks[i][at + 3 :]
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _bmp(data: bytes, dice: random.Random) -> bytes:
    at, size = dice.choice(((10, 4), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2), (30, 4), (34, 4), (46, 4)))
    number = dice.choice((0, 1, 2, 3, 4, 8, 16, 24, 32, 40, 64, 108, 124, -80, _number(dice)))
    return data[:at] + _packed(number, size, "<") + data[at + size :]


def _dicom(data: bytes, dice: random.Random) -> bytes:
    """A value, length or type of an element that describes the picture; or what lies within its pixels."""
    element = dice.choice((0x02, 0x04, 0x06, 0x08, 0x10, 0x11, 0x100, 0x101, 0x102, 0x103, 0x120, 0x1050, 0x1051))
    at = data.find(struct.pack("<HH", 0x28, element))
    pixels = data.rfind(struct.pack("<HH", 0x7FE0, 0x10))
    kind = dice.randrange(5)
    if kind == 0 and pixels >= 0:
        return data[:pixels] + dice.choice(_BLIND)(data[pixels:], dice)
    if kind == 1 and (stream := data.find(b"\xff\x4f\xff\x51", max(0, pixels))) >= 0:  # JPEG 2000's SIZ
        field = stream + 4 + dice.choice((2, *range(4, 36, 4), 36, 38, 39, 40))
        return data[:field] + _packed(_number(dice), dice.choice((1, 2, 4)), ">") + data[field + 4 :]
    if kind == 2 and (stream := data.find(b"\xff\xd8", max(0, pixels))) >= 0:
        return data[:stream] + _jpeg(data[stream:], dice)
    if at < 0:
        return _overwrite(data, dice)
    if kind == 3:
        length = at + dice.choice((4, 6))
        return data[:length] + _packed(_number(dice), dice.choice((2, 4)), "<") + data[length + 2 :]
    return data[: at + 8] + _packed(_number(dice), 2, "<") + data[at + 10 :]


_FIELDS: dict[str, Mutation] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "TIFF": _tiff,
    "WEBP": _webp,
    "BMP": _bmp,
    "DICOM": _dicom,
}
