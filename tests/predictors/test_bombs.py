"""Files built to cost more than any film: each refused, or read, in the time and memory of one."""

import random
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom import uid

from predictors import errors
from predictors.decoder import SUPPORTED, Decoder
from predictors.image import MAX_BYTES, read_film
from tests.drawings import dicom, drawn_film, encoded, png_chunk, png_header, tiff
from tests.films import limb
from tests.running import Space

SECONDS = 5.0
MEMORY = 256 << 20  # of a child; a film of common size takes 60 to 120

FILM = drawn_film()
PNG, JPEG, END = encoded(FILM, "PNG"), encoded(FILM, "JPEG"), b"\xff\xd9"
PICTURE = struct.pack("<HH", 0x7FE0, 0x10)


def _zeros(megabytes: int, wbits: int = zlib.MAX_WBITS) -> bytes:
    """Packed once and repeated: after a full flush each block stands for itself (its checksum is wrong in the end)."""
    packer = zlib.compressobj(9, wbits=wbits)
    first, block = (packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + block * (megabytes - 1) + packer.flush()


def _png_with(chunk: bytes) -> bytes:
    return PNG[:33] + chunk + PNG[33:]


def _deflated_dicom() -> bytes:
    plain = dicom(FILM, syntax=uid.DeflatedExplicitVRLittleEndian)
    start = 144 + struct.unpack_from("<I", plain, 140)[0]
    return plain[:start] + _zeros(1000, -zlib.MAX_WBITS)


def _nested_dicom(depth: int, element: int) -> bytes:
    """Sequences of undefined length, each within the one before."""
    group = struct.pack("<I", element)
    opened = group + b"SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closed = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    plain = dicom(FILM)
    at = plain.index(PICTURE)
    return plain[:at] + opened * depth + closed * depth + plain[at:]


def _dicom_of_many_elements() -> bytes:
    plain = dicom(FILM)
    at = plain.index(struct.pack("<HH2s", 0x28, 2, b"US"))
    more = b"".join(struct.pack("<HH2sHH", 0x27, 0x1000 + i % 0xE000, b"US", 2, 1) for i in range(500_000))
    return plain[:at] + more + plain[at:]


def _rle(runs: bytes, count: int) -> bytes:
    return dicom(FILM, syntax=uid.RLELossless, codestream=struct.pack("<16I", 1, 64, *[0] * 14) + runs * count)


def _jpeg_2000(pixels: Any, **says: int) -> bytes:
    """``says`` are fields of SIZ: ITU-T T.800 A.5.1."""
    stream = bytearray(encoded(FILM, "JPEG2000", no_jp2=True))
    siz = stream.index(b"\xff\x51")
    for name, value in says.items():
        struct.pack_into(
            ">I", stream, siz + {"width": 6, "height": 10, "tile_width": 22, "tile_height": 26}[name], value
        )
    return dicom(pixels, syntax=uid.JPEG2000Lossless, codestream=bytes(stream))


def _boxed(box: bytes, pixels: Any = FILM) -> bytes:
    """A JP2 file within a DICOM one, with ``box`` behind its first two."""
    stream = encoded(pixels, "JPEG2000")
    return dicom(FILM, syntax=uid.JPEG2000Lossless, codestream=stream[:32] + box + stream[32:])


def _directories(count: int, kind: int, cyclic: bool = False) -> bytes:
    """A TIFF whose directories all name the same strip; ``kind`` 1 is a thumbnail."""
    data = tiff(FILM, tags={254: kind})
    at = struct.unpack_from("<I", data, 4)[0]
    one = data[at : at + 2 + 12 * struct.unpack_from("<H", data, at)[0]]
    nexts = [at + (len(one) + 4) * (i + 1) for i in range(count - 1)] + [at if cyclic else 0]
    return data[:at] + b"".join(one + struct.pack("<I", place) for place in nexts)


def _tiff_of(*entries: tuple[int, int, int, int], more: int = 0) -> bytes:
    """A film of 8 bits in one strip; ``entries`` (tag, type, count, value) add or replace."""
    fields = {256: (4, 1, 96), 257: (4, 1, 80), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8)}
    fields |= {277: (3, 1, 1), 278: (4, 1, 80), 279: (4, 1, FILM.size)}
    fields |= {tag: rest for tag, *rest in entries}  # type: ignore[misc]
    body = FILM.tobytes() + bytes(more)
    directory = b"".join(struct.pack("<HHII", tag, *rest) for tag, rest in sorted(fields.items()))
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(fields)) + directory + bytes(4)


def _tiles(width: int, height: int) -> bytes:
    data = zlib.compress(bytes(1000)) + b"\0"
    fields = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: width, 323: height, 324: 8, 325: len(data)}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(fields)) + directory + bytes(4)


def _packed_tiff(strip: bytes) -> bytes:
    """A small film whose strip unpacks to far more."""
    data = encoded(FILM, "TIFF", compression="tiff_adobe_deflate")
    at, length = (Image.open(BytesIO(data)).tag_v2[tag][0] for tag in (273, 279))  # type: ignore[attr-defined]
    whole = data + strip
    for tag, was, says in ((273, at, len(data)), (279, length, len(strip))):
        for kind, code in ((4, "I"), (3, "H")):
            whole = whole.replace(
                struct.pack("<HHI", tag, kind, 1) + struct.pack(f"<{code}", was).ljust(4, b"\0"),
                struct.pack("<HHII", tag, 4, 1, says),
            )
    return whole


def _progressive(scans: int, width: int = 96, height: int = 80) -> bytes:
    """A progressive JPEG with refinements of nothing at its end."""
    data = bytearray(encoded(FILM, "JPEG", progressive=True))
    struct.pack_into(">HH", data, data.index(b"\xff\xc2") + 5, height, width)
    return bytes(data[:-2]) + b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x10\x00" * scans + END


def _exif_that_points_at_itself() -> bytes:
    return b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x8769, 4, 1, 8) + struct.pack("<I", 8)


def _exif_of_the_same_megabytes() -> bytes:
    tags = b"".join(struct.pack("<HHII", 0x200 + i, 5, 200_000, 8) for i in range(10_000))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 10_000) + tags + bytes(2_000_000)


ANSWERED = None
_LARGE = np.zeros((8000, 8000), np.uint8)
BOMBS: dict[str, tuple[Callable[[], bytes], type[errors.SecondLookError] | None]] = {
    "100,000 px PNG": (
        lambda: png_header(100_000, 100_000, 8, 0) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b""),
        errors.ImageTooLarge,
    ),
    "PNG, IDAT": (
        lambda: png_header(96, 80, 8, 0) + png_chunk(b"IDAT", _zeros(1000)) + png_chunk(b"IEND", b""),
        ANSWERED,
    ),
    "PNG, iTXt": (lambda: _png_with(png_chunk(b"iTXt", b"k\0\1\0\0\0" + _zeros(1000))), errors.CorruptImage),
    "PNG, zTXt": (lambda: _png_with(png_chunk(b"zTXt", b"k\0\0" + _zeros(1000))), errors.CorruptImage),
    "PNG, iCCP": (lambda: _png_with(png_chunk(b"iCCP", b"k\0\0" + _zeros(1000))), errors.CorruptImage),
    "PNG, many chunks": (lambda: _png_with(png_chunk(b"abCd", b"") * 1_600_000), errors.CorruptImage),
    "PNG, animated": (
        lambda: encoded(Image.fromarray(FILM), "PNG", save_all=True, append_images=[Image.fromarray(FILM[::-1])] * 50),
        errors.UnsupportedImage,
    ),
    "PNG, EXIF": (lambda: _png_with(png_chunk(b"eXIf", _exif_of_the_same_megabytes())), ANSWERED),
    "WebP, animated": (
        lambda: encoded(Image.fromarray(FILM), "WEBP", save_all=True, append_images=[Image.fromarray(FILM[::-1])] * 50),
        errors.UnsupportedImage,
    ),
    "DICOM, deflated": (_deflated_dicom, errors.ImageTooLarge),
    "DICOM, nested 100": (lambda: _nested_dicom(100, 0x11400008), ANSWERED),
    "DICOM, nested 5,000": (lambda: _nested_dicom(5_000, 0x11400008), errors.CorruptImage),
    "DICOM, nested 400,000": (lambda: _nested_dicom(400_000, 0x30000028), errors.CorruptImage),
    "DICOM, many elements": (_dicom_of_many_elements, errors.CorruptImage),
    "DICOM, 100,000 frames": (lambda: dicom(FILM, NumberOfFrames=100_000), errors.UnsupportedImage),
    "DICOM, more rows than pixels": (lambda: dicom(FILM, Rows=8000, Columns=8000), errors.CorruptImage),
    "DICOM, 65,535 rows": (lambda: dicom(FILM, Rows=65_535, Columns=65_535), errors.ImageTooLarge),
    "DICOM, no rows": (lambda: dicom(FILM, Rows=0), errors.CorruptImage),
    "DICOM, more bits than pixels": (lambda: dicom(FILM, BitsAllocated=16, BitsStored=16), errors.CorruptImage),
    "DICOM, 65,528 bits": (lambda: dicom(FILM, BitsAllocated=65_528), errors.UnsupportedImage),
    "DICOM, RLE runs": (lambda: _rle(b"\x81\x05", 9_000_000), errors.CorruptImage),
    "DICOM, RLE bytes": (lambda: _rle(b"\x00\x05", 9_000_000), errors.CorruptImage),
    "JPEG 2000, 64 million tiles": (
        lambda: _jpeg_2000(_LARGE, width=8000, height=8000, tile_width=1, tile_height=1),
        errors.CorruptImage,
    ),
    "JPEG 2000, larger than it says": (
        lambda: _jpeg_2000(FILM, width=2**31, height=2**31),
        errors.CorruptImage,
    ),
    "JPEG 2000, a box of no length": (lambda: _boxed(b"\0\0\0\0none"), errors.CorruptImage),  # found by tests.fuzz
    "JPEG 2000, boxed": (lambda: _boxed(b"\0\0\0\x08free"), ANSWERED),
    "JPEG 2000, larger than a box pretends": (
        lambda: _boxed(b"\0\0\0\x38free" + encoded(FILM, "JPEG2000", no_jp2=True)[:48], FILM.repeat(2, 0)),
        errors.CorruptImage,
    ),
    "JPEG 2000, tiles of one pixel": (lambda: _jpeg_2000(FILM, tile_width=1, tile_height=1), ANSWERED),
    "TIFF, 10,000 pages": (lambda: _directories(10_000, 0), errors.UnsupportedImage),
    "TIFF, 100,000 thumbnails": (lambda: _directories(100_000, 1), errors.UnsupportedImage),
    "TIFF, directories in a circle": (lambda: _directories(3, 1, cyclic=True), ANSWERED),
    "TIFF, absurd strip count": (lambda: _tiff_of((273, 4, 0x10000000, 8)), errors.CorruptImage),
    "TIFF, millions of strips": (
        lambda: _tiff_of((273, 4, 4_000_000, 8), (279, 4, 4_000_000, 8), more=17_000_000),
        errors.CorruptImage,
    ),
    "TIFF, millions of fractions": (lambda: _tiff_of((282, 5, 2_000_000, 8), more=17_000_000), errors.CorruptImage),
    "TIFF, tags of the same megabytes": (
        lambda: _tiff_of(*((30_000 + i, 1, 17_000_000, 8) for i in range(20_000)), more=17_000_000),
        errors.CorruptImage,
    ),
    "TIFF, huge tiles": (lambda: _tiles(60_000, 60_000), errors.ImageTooLarge),
    "TIFF, larger tiles than a film": (lambda: _tiles(30_000, 30_000), errors.ImageTooLarge),
    "TIFF, deflate": (lambda: _packed_tiff(_zeros(1000)), ANSWERED),
    "TIFF, LZW": (
        lambda: _smaller(encoded(_LARGE, "TIFF", compression="tiff_lzw")),
        ANSWERED,
    ),
    "TIFF, EXIF in a circle": (lambda: tiff(FILM, tags={34665: 8}), ANSWERED),
    "JPEG, 5,000 scans of 64 megapixels": (lambda: _progressive(5_000, 8000, 8000), errors.CorruptImage),
    "JPEG, 1,000,000 scans": (lambda: _progressive(1_000_000), errors.CorruptImage),
    "JPEG in DICOM, 5,000 scans": (
        lambda: dicom(FILM, syntax=uid.JPEGBaseline8Bit, codestream=_progressive(5_000)),
        errors.CorruptImage,
    ),
    "JPEG, 4,000,000 comments": (lambda: JPEG[:2] + b"\xff\xfe\x00\x02" * 4_000_000 + JPEG[2:], errors.CorruptImage),
    "JPEG, EXIF in a circle": (lambda: encoded(FILM, "JPEG", exif=_exif_that_points_at_itself()), ANSWERED),
    "SVG": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", errors.UnsupportedImage),
    "HTML": (lambda: b"<!doctype html><script>alert(1)</script>", errors.UnsupportedImage),
    "GIF": (lambda: encoded(FILM, "GIF"), errors.UnsupportedImage),
    "JPEG and HTML": (lambda: JPEG + b"<html><script>alert(1)</script></html>", ANSWERED),
    "PNG and ZIP": (lambda: PNG + b"PK\x03\x04" + bytes(1000), ANSWERED),
    "ZIP and PNG": (lambda: b"PK\x03\x04" + PNG, errors.UnsupportedImage),
    "20 MB of zeros": (lambda: bytes(MAX_BYTES), errors.UnsupportedImage),
    "20 MB of JPEG markers": (lambda: b"\xff" * MAX_BYTES, errors.UnsupportedImage),
    "nothing": (lambda: b"", errors.EmptyFile),
    "BMP, negative": (lambda: _bmp_of(-96, -80), errors.ImageTooLarge),
    "19.9 MB": (lambda: PNG.ljust(int(19.9 * 2**20), b"\0"), ANSWERED),
    "20.1 MB": (lambda: PNG.ljust(int(20.1 * 2**20), b"\0"), errors.FileTooLarge),
}


def _smaller(data: bytes) -> bytes:
    """A TIFF of 8000 x 8000 that says it has 96 x 80."""
    for tag, says in ((256, 96), (257, 80)):
        data = data.replace(struct.pack("<HHIHH", tag, 3, 1, 8000, 0), struct.pack("<HHIHH", tag, 3, 1, says, 0))
    return data


def _bmp_of(width: int, height: int) -> bytes:
    data = bytearray(encoded(FILM, "BMP"))
    struct.pack_into("<ii", data, 18, width, height)
    return bytes(data)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    decoder = Decoder(1)
    decoder.read(PNG)
    yield decoder
    decoder.close()


def _outcome(read: Callable[[bytes], object], data: bytes) -> type[Exception] | None:
    try:
        read(data)
    except errors.SecondLookError as error:
        return type(error)
    return ANSWERED


@pytest.mark.filterwarnings("ignore:::PIL", "ignore:::pydicom")
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_does_not_go_off(bomb: str, decoder: Decoder) -> None:
    built, expected = BOMBS[bomb]
    data = built()
    decoder.peak = 0
    began = time.monotonic()
    assert _outcome(decoder.read, data) is expected
    assert time.monotonic() - began < SECONDS
    assert decoder.peak < MEMORY
    assert not decoder.failures  # no child was needed to stop it
    assert _outcome(read_film, data) is expected


def test_what_lies_behind_a_film_is_not_counted_as_its_scans() -> None:
    """A phone's photograph can have megabytes of film behind it."""
    behind = random.Random(0).randbytes(8_000_000)
    assert behind.count(b"\xff\xda") > 100
    assert np.array_equal(read_film(JPEG + behind).grey, read_film(JPEG).grey)


def test_the_scans_of_common_encoders_are_read() -> None:
    for options in ({"progressive": True}, {"progressive": True, "restart_marker_rows": 1}, {"restart_marker_rows": 1}):
        read_film(encoded(Image.fromarray(FILM).convert("CMYK"), "JPEG", **options))


@pytest.mark.skipif(not SUPPORTED, reason="child processes need Linux")
def test_the_kind_of_film_that_needs_most_is_worked_through_in_bands(decoder: Decoder) -> None:
    """16 bits, colour, alpha: 8 bytes a pixel in the file, and 16 while two decoders' bytes are joined."""
    side = 5000
    pixels = _zeros(side * (8 * side + 1) // (1 << 20) + 1)
    film = decoder.read(png_header(side, side, 16, 6) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b""))
    assert film.grey.shape == (side, side)
    assert decoder.peak < (60 << 20) + 20 * side * side
    assert not decoder.failures


# Through the running service


@pytest.mark.parametrize(
    "bomb",
    [
        *("100,000 px PNG", "PNG, zTXt", "DICOM, deflated", "DICOM, nested 5,000", "TIFF, 10,000 pages"),
        *("JPEG, 5,000 scans of 64 megapixels", "SVG", "HTML", "nothing", "20.1 MB"),
    ],
)
def test_the_service_refuses_it(bomb: str, space: Space) -> None:
    built, expected = BOMBS[bomb]
    assert expected is not None
    with httpx.Client(base_url=space.url, timeout=30) as client:
        response = client.post("/api/bone_fracture/predict", files={"file": ("film.png", built())})
        assert (response.status_code, response.json()) == (
            expected.status,
            {"detail": response.json()["detail"], "code": expected.code},
        )
        assert client.get("/health").json()["status"] == "healthy"


def test_the_service_takes_19_9_megabytes(space: Space) -> None:
    film = encoded(limb(), "PNG")
    sent = [film, film.ljust(int(19.9 * 2**20), b"\0")]
    with httpx.Client(base_url=space.url, timeout=30) as client:
        answers = [client.post("/api/bone_fracture/predict", files={"file": ("film.png", data)}) for data in sent]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["fracture_probability"] == answers[1].json()["fracture_probability"]
