import dataclasses
import io
import os
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from predictors import errors
from predictors.header import MAX_PIXELS
from predictors.image import MAX_BYTES, Radiograph, read_film
from tests.drawings import (
    dicom,
    drawn_deep_film,
    drawn_film,
    drawn_photo,
    encoded,
    luma,
    png,
    png_chunk,
    png_header,
    tiff,
    windowed,
)
from tests.fuzz.seeds import seeds

FILM, DEEP, PHOTO = drawn_film(), drawn_deep_film(), drawn_photo()
EVERY_FORMAT = {
    "JPEG": encoded(FILM, "JPEG"),
    "PNG": encoded(FILM, "PNG"),
    "WEBP": encoded(FILM, "WEBP", lossless=True),
    "TIFF": encoded(FILM, "TIFF"),
    "BMP": encoded(FILM, "BMP"),
    "DICOM": dicom(FILM),
}


# What the answer looks like


def test_a_radiograph_says_its_size_and_format_and_cannot_be_changed() -> None:
    film = read_film(EVERY_FORMAT["PNG"])
    assert (film.width, film.height, film.format) == (96, 80, "PNG")
    assert film.grey.shape == (80, 96)
    with pytest.raises(dataclasses.FrozenInstanceError):
        film.format = "JPEG"  # type: ignore[misc]


@pytest.mark.parametrize("name", EVERY_FORMAT)
def test_each_format_is_known_by_its_content(name: str, tmp_path: Path) -> None:
    misnamed = tmp_path / "film.gif"
    misnamed.write_bytes(EVERY_FORMAT[name])
    for source in (EVERY_FORMAT[name], misnamed, str(misnamed)):
        film = read_film(source)
        assert film.format == name
        assert film.colour is None
        assert np.abs(film.grey8().astype(int) - FILM).mean() < 2


def test_preview_is_rgb_for_colour_and_grey_otherwise() -> None:
    assert read_film(encoded(PHOTO, "PNG")).preview().mode == "RGB"
    preview = read_film(encoded(DEEP, "PNG")).preview()
    assert (preview.mode, preview.size) == ("L", (96, 80))


def test_grey8_rounds_from_16_bits() -> None:
    film = read_film(png(np.arange(0, 65536, dtype=np.uint16).reshape(256, 256), 16, 0))
    assert np.array_equal(film.grey8().ravel(), np.rint(np.arange(65536) / 257).astype(np.uint8))


# Eight bits: as stored


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(FILM, "PNG"), id="png"),
        pytest.param(png(FILM, 8, 0, interlaced=True), id="png-interlaced"),
        pytest.param(encoded(FILM, "BMP"), id="bmp"),
        pytest.param(encoded(FILM, "WEBP", lossless=True), id="webp"),
        pytest.param(encoded(FILM, "TIFF", compression="tiff_lzw"), id="tiff-lzw"),
        pytest.param(tiff(FILM), id="tiff"),
        pytest.param(tiff(255 - FILM, photometric=0), id="tiff-white-is-zero"),
        pytest.param(tiff((FILM ^ 0x80).view(np.int8)), id="tiff-signed"),
        pytest.param(encoded(np.stack([FILM] * 3, -1), "PNG"), id="png-rgb-of-equal-channels"),
        pytest.param(encoded(Image.fromarray(FILM).convert("P"), "PNG"), id="png-grey-palette"),
        pytest.param(encoded(Image.fromarray(FILM).convert("RGBA"), "TIFF"), id="tiff-rgba"),
    ],
)
def test_8_bit_grey_is_exactly_as_stored(data: bytes) -> None:
    film = read_film(data)
    assert film.grey.dtype == np.uint8
    assert film.colour is None
    assert np.array_equal(film.grey, FILM)


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("interlaced", [False, True])
def test_a_png_of_few_bits_spans_black_to_white(depth: int, interlaced: bool) -> None:
    samples = FILM >> (8 - depth)
    film = read_film(png(samples, depth, 0, interlaced=interlaced))
    assert np.array_equal(film.grey, samples * (255 // (2**depth - 1)))


def test_jpeg_is_close() -> None:
    film = read_film(encoded(FILM, "JPEG", quality=95))
    assert np.abs(film.grey.astype(int) - FILM).max() < 12


@pytest.mark.parametrize(("size", "shape"), [((2700, 2560), (1280, 1350)), ((5121, 5200), (1300, 1281))])
def test_a_large_jpeg_is_decoded_at_a_fraction_and_keeps_its_size(
    size: tuple[int, int], shape: tuple[int, int]
) -> None:
    pixels = drawn_film(*size)
    film = read_film(encoded(pixels, "JPEG", quality=95))
    assert film.grey.shape == shape
    assert (film.width, film.height) == size
    averaged = np.asarray(Image.fromarray(pixels).resize(shape[::-1], Image.Resampling.BOX))
    assert np.abs(film.grey.astype(int) - averaged).mean() < 1
    assert (film.inverted().width, film.inverted().height) == size


def test_a_phones_large_photograph_is_decoded_at_a_fraction() -> None:
    first, second = (Image.fromarray(drawn_film(2600, 2600) ^ turn) for turn in (0, 255))
    film = read_film(encoded(first, "MPO", save_all=True, append_images=[second], quality=95))
    assert (film.width, film.height, film.format) == (2600, 2600, "JPEG")
    averaged = np.asarray(first.resize((1300, 1300), Image.Resampling.BOX))
    assert np.abs(film.grey.astype(int) - averaged).mean() < 1


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_a_film_is_decoded_whole_where_a_fraction_would_be_too_small_or_cannot_be_had(file_format: str) -> None:
    size = (2700, 2559) if file_format == "JPEG" else (2600, 2600)
    assert read_film(encoded(drawn_film(*size), file_format)).grey.shape == size[::-1]


def test_a_large_colour_jpeg_on_its_side_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    film = read_film(encoded(drawn_photo(2700, 2600), "JPEG", exif=exif))
    assert (film.width, film.height) == (2600, 2700)
    assert film.grey.shape == (1350, 1300)
    assert film.colour is not None
    assert film.colour.shape == (1350, 1300, 3)


def test_a_large_jpeg_that_would_begin_in_part_of_a_pixel_is_decoded_whole() -> None:
    exif = Image.Exif()
    exif[0x0112] = 2  # mirrored, and of an odd number of columns
    assert read_film(encoded(drawn_film(2701, 2600), "JPEG", exif=exif)).grey.shape == (2600, 2701)


def test_cmyk_jpeg_becomes_rgb() -> None:
    film = read_film(encoded(Image.fromarray(PHOTO).convert("CMYK"), "JPEG", quality=95))
    assert film.colour is not None
    assert np.abs(film.colour.astype(int) - PHOTO).mean() < 4


def test_an_icc_profile_changes_nothing() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert np.array_equal(read_film(encoded(FILM, "PNG", icc_profile=profile)).grey, FILM)


# Colour and transparency


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(PHOTO, "PNG"), id="png"),
        pytest.param(encoded(PHOTO, "BMP"), id="bmp"),
        pytest.param(encoded(PHOTO, "TIFF"), id="tiff"),
        pytest.param(encoded(PHOTO, "WEBP", lossless=True), id="webp"),
        pytest.param(png(PHOTO * np.uint16(257), 16, 2), id="png-16-bit"),
        pytest.param(png(PHOTO * np.uint16(257), 16, 2, interlaced=True), id="png-16-bit-interlaced"),
    ],
)
def test_colour_is_kept_and_grey_is_its_luma(data: bytes) -> None:
    film = read_film(data)
    assert film.colour is not None
    scale = np.iinfo(film.grey.dtype).max // 255
    shown = PHOTO if scale == 1 else (windowed(PHOTO) + 128.0) // 257
    assert np.array_equal(film.colour, shown)
    assert film.grey8().shape == (80, 96)
    assert np.abs(film.grey8().astype(int) - luma(film.colour)).max() <= 1
    if scale == 1:
        assert np.array_equal(film.grey, Image.fromarray(PHOTO).convert("L"))


def test_a_colour_palette_is_looked_up() -> None:
    palette = bytes([255, 0, 0, 0, 255, 0, 10, 10, 10, 0, 0, 255])
    samples = FILM >> 6
    film = read_film(png(samples, 2, 3, chunks=png_chunk(b"PLTE", palette)))
    assert film.colour is not None
    assert np.array_equal(film.colour, np.frombuffer(palette, np.uint8).reshape(4, 3)[samples])


ALPHA = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (80, 1))
LIT = np.rint(FILM * (ALPHA / 255)).astype(np.uint8)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png(np.stack([FILM, ALPHA], -1), 8, 4), id="png-la"),
        pytest.param(png(np.stack([FILM] * 3 + [ALPHA], -1), 8, 6), id="png-rgba"),
        pytest.param(encoded(np.stack([FILM] * 3 + [ALPHA], -1), "TIFF"), id="tiff-rgba"),
        pytest.param(encoded(np.stack([FILM] * 3 + [ALPHA], -1), "WEBP", lossless=True, exact=True), id="webp-rgba"),
    ],
)
def test_alpha_lies_over_black(data: bytes) -> None:
    film = read_film(data)
    assert film.colour is None
    assert np.array_equal(film.grey, LIT)


@pytest.mark.parametrize("colour_type", [4, 6])
@pytest.mark.parametrize("interlaced", [False, True])
def test_16_bit_alpha_lies_over_black_and_no_bit_is_lost(colour_type: int, interlaced: bool) -> None:
    alpha = ALPHA.astype(np.uint16) * 257
    samples = np.stack([DEEP] * (colour_type // 2 if colour_type == 6 else 1) + [alpha], -1)
    film = read_film(png(samples, 16, colour_type, interlaced=interlaced))
    assert np.array_equal(film.grey, windowed(np.rint(DEEP * (alpha / 65535))))


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("premultiplied", [False, True])
def test_16_bit_alpha_in_a_tiff(big_endian: bool, compressed: bool, premultiplied: bool) -> None:
    alpha = ALPHA.astype(np.uint16) * 257
    lit = np.rint(DEEP * (alpha / 65535)).astype(np.uint16)
    samples = np.stack([lit if premultiplied else DEEP] * 3 + [alpha], -1)
    tags = {338: 1 if premultiplied else 2}
    film = read_film(tiff(samples, photometric=2, big_endian=big_endian, compressed=compressed, tags=tags))
    assert np.array_equal(film.grey, windowed(lit))


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_transparent_value_of_a_grey_png_is_black(depth: int) -> None:
    samples = DEEP if depth == 16 else FILM >> (8 - depth)
    key = int(np.median(samples))
    film = read_film(png(samples, depth, 0, chunks=png_chunk(b"tRNS", struct.pack(">H", key))))
    keyed = np.where(samples == key, 0, samples)
    expected = windowed(keyed) if depth == 16 else keyed * (255 // (2**depth - 1))
    assert (samples == key).any()
    assert np.array_equal(film.grey, expected)


@pytest.mark.parametrize("depth", [8, 16])
def test_the_transparent_colour_of_an_rgb_png_is_black(depth: int) -> None:
    photo = PHOTO if depth == 8 else PHOTO * np.uint16(257)
    key = photo[40, 30]
    film = read_film(png(photo, depth, 2, chunks=png_chunk(b"tRNS", struct.pack(">3H", *key))))
    keyed = (photo == key).all(-1)
    assert film.colour is not None
    assert (film.colour[keyed] == 0).all()
    assert film.colour[~keyed].any(axis=-1).mean() > 0.9


def test_a_palette_with_transparency_lies_over_black() -> None:
    chunks = png_chunk(b"PLTE", bytes([200] * 3 + [100] * 3)) + png_chunk(b"tRNS", bytes([0, 51]))
    film = read_film(png(FILM >> 7, 1, 3, chunks=chunks))
    assert np.array_equal(film.grey, np.where(FILM >> 7, 20, 0))


# More than eight bits: windowed, never clipped


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(DEEP, "PNG"), id="png"),
        pytest.param(png(DEEP, 16, 0, interlaced=True), id="png-interlaced"),
        pytest.param(png(np.stack([DEEP] * 3, -1), 16, 2), id="png-rgb-of-equal-channels"),
        pytest.param(tiff(DEEP), id="tiff"),
        pytest.param(tiff(np.stack([DEEP] * 3, -1), photometric=2), id="tiff-rgb-of-equal-channels"),
        pytest.param(encoded(DEEP, "TIFF", compression="tiff_lzw"), id="tiff-lzw"),
        pytest.param(encoded(DEEP.astype(np.int32), "TIFF"), id="tiff-int32"),
    ],
)
def test_a_deep_film_is_windowed_and_keeps_every_level(data: bytes) -> None:
    film = read_film(data)
    assert film.grey.dtype == np.uint16
    assert film.colour is None
    assert np.array_equal(film.grey, windowed(DEEP))
    assert len(np.unique(film.grey)) == len(np.unique(DEEP))
    assert (film.grey.min(), film.grey.max()) == (0, 65535)


_RANDOM = np.random.default_rng(0)
TIFF_KINDS = {
    "u16": DEEP,
    "s16": (DEEP.astype(np.int32) - 2000).astype(np.int16),
    "u32": _RANDOM.integers(0, 2**32, (80, 96), np.uint32),
    "s32": _RANDOM.integers(-(2**31), 2**31, (80, 96)).astype(np.int32),
    "f32": _RANDOM.normal(size=(80, 96)).astype(np.float32),
    "rgb16": np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]], -1),
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("kind", TIFF_KINDS)
def test_every_deep_tiff_in_either_byte_order(kind: str, big_endian: bool, compressed: bool) -> None:
    values = TIFF_KINDS[kind]
    photometric = 2 if values.ndim == 3 else 1
    film = read_film(tiff(values, photometric=photometric, big_endian=big_endian, compressed=compressed))
    expected = windowed(values)
    if values.ndim == 3:
        assert np.abs(film.grey.astype(int) - luma(expected)).max() <= 1
        assert film.colour is not None
    else:
        assert np.array_equal(film.grey, expected)


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["u16", "f32"])
def test_white_is_zero_is_inverted(kind: str, big_endian: bool, compressed: bool) -> None:
    values = TIFF_KINDS[kind]
    film = read_film(tiff(values, photometric=0, big_endian=big_endian, compressed=compressed))
    assert np.array_equal(film.grey, windowed(-values.astype(np.float64)))


def test_floats_that_are_no_numbers_stay_outside_the_window() -> None:
    values = np.array([[1.0, 2.0, 3.0], [np.nan, np.inf, -np.inf]], np.float32)
    assert read_film(tiff(values)).grey.tolist() == [[0, 32768, 65535], [0, 65535, 0]]
    assert not read_film(tiff(np.full((2, 2), np.nan, np.float32))).grey.any()


@pytest.mark.parametrize("value", [0, 700, 65535])
def test_a_constant_deep_film_is_black(value: int) -> None:
    assert not read_film(png(np.full((4, 5), value, np.uint16), 16, 0)).grey.any()


# Orientation


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(file_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(FILM, file_format, exif=exif, **({"lossless": True} if file_format == "WEBP" else {}))
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image)
    film = read_film(data)
    assert (film.width, film.height) == upright.size
    assert np.array_equal(film.grey, np.asarray(upright.convert("L")))


@pytest.mark.parametrize("colour_type", [0, 2])
def test_orientation_of_a_16_bit_png(colour_type: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    samples = DEEP if colour_type == 0 else np.stack([DEEP] * 3, -1)
    data = png(samples, 16, colour_type, chunks=png_chunk(b"eXIf", exif.tobytes()[6:]))
    assert np.array_equal(read_film(data).grey, windowed(np.rot90(DEEP, -1)))


def test_orientation_of_a_16_bit_colour_tiff() -> None:
    photo = TIFF_KINDS["rgb16"]
    turned = read_film(tiff(photo, photometric=2, tags={274: 6})).grey
    assert np.array_equal(turned, np.rot90(read_film(tiff(photo, photometric=2)).grey, -1))


def test_broken_exif_does_not_break_the_film() -> None:
    data = png(FILM, 8, 0, chunks=png_chunk(b"eXIf", b"\xff\x00nonsense"))
    assert np.array_equal(read_film(data).grey, FILM)


# One film, one picture


def test_a_phones_mpo_is_its_first_picture() -> None:
    second = Image.fromarray(255 - FILM)
    data = encoded(Image.fromarray(FILM), "MPO", save_all=True, append_images=[second])
    film = read_film(data)
    assert film.format == "JPEG"
    assert np.abs(film.grey.astype(int) - FILM).mean() < 4


@pytest.mark.parametrize("file_format", ["TIFF", "PNG", "WEBP"])
def test_several_pictures_are_refused(file_format: str) -> None:
    data = encoded(Image.fromarray(FILM), file_format, save_all=True, append_images=[Image.fromarray(FILM[::-1])])
    with pytest.raises(errors.UnsupportedImage, match="more than one picture"):
        read_film(data)


def _with_page(data: bytes, samples: Any, kind: int, first: bool) -> bytes:
    """``data``, a film of `tiff`, with a page of 8-bit grey before or after it; ``kind`` 1 is a thumbnail."""
    film_at, page_at = struct.unpack_from("<I", data, 4)[0], len(data)
    fields = [(254, kind), (256, samples.shape[1]), (257, samples.shape[0]), (258, 8), (259, 1), (262, 1)]
    fields += [(273, page_at + 2 + 9 * 12 + 4), (277, 1), (279, samples.size)]
    page = struct.pack("<H", len(fields)) + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in fields)
    page += struct.pack("<I", film_at if first else 0) + samples.tobytes()
    whole = bytearray(data + page)
    points_to_page = 4 if first else film_at + 2 + 12 * struct.unpack_from("<H", data, film_at)[0]
    struct.pack_into("<I", whole, points_to_page, page_at)
    return bytes(whole)


@pytest.mark.parametrize("thumbnail_first", [False, True])
@pytest.mark.parametrize("film", [FILM, DEEP, TIFF_KINDS["rgb16"]], ids=["8-bit", "16-bit", "16-bit-colour"])
def test_a_tiffs_thumbnail_is_not_a_second_film(film: Any, thumbnail_first: bool) -> None:
    alone = tiff(film, photometric=2 if film.ndim == 3 else 1)
    assert np.array_equal(read_film(_with_page(alone, FILM[::4, ::4], 1, thumbnail_first)).grey, read_film(alone).grey)
    with pytest.raises(errors.UnsupportedImage):
        read_film(_with_page(alone, FILM[::4, ::4], 0, thumbnail_first))


def test_a_film_behind_its_thumbnail_has_the_same_limits() -> None:
    data = _with_page(_tiff_header(8001, 8000), FILM[::4, ::4], 1, True)
    with pytest.raises(errors.ImageTooLarge):
        read_film(data)


# Refusals


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'><rect width='9' height='9'/></svg>", id="svg"),
        pytest.param(b"<!doctype html><title>film</title>", id="html"),
        pytest.param(b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n", id="pdf"),
        pytest.param(b"BMI of the patient: 24", id="text"),
        pytest.param(b"\x08\x00 not a data set at all", id="almost-dicom"),
        pytest.param(encoded(FILM, "GIF"), id="gif"),
        pytest.param(encoded(FILM, "JPEG2000"), id="jpeg2000"),
        pytest.param(encoded(FILM, "PPM"), id="ppm"),
        pytest.param(b"\0", id="one-byte"),
        pytest.param(encoded(Image.new("LAB", (4, 4)), "TIFF"), id="tiff-lab"),
        *(
            pytest.param(encoded(Image.fromarray(FILM).convert("1"), "TIFF", compression=coding), id=coding)
            for coding in ("tiff_ccitt", "group3", "group4")
        ),
        pytest.param(tiff(np.zeros((4, 4), np.float64)), id="tiff-float64"),
        pytest.param(tiff(np.zeros((4, 4, 3), np.uint16), photometric=2, tags={284: 2}), id="tiff-planar-16"),
    ],
)
def test_what_we_do_not_read_is_unsupported(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    path.write_bytes(data)
    with pytest.raises(errors.UnsupportedImage):
        read_film(path)


def test_no_bytes() -> None:
    with pytest.raises(errors.EmptyFile):
        read_film(b"")


def test_a_file_over_the_limit_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "film.png"
    with path.open("wb") as stream:
        os.truncate(stream.fileno(), MAX_BYTES + 1)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("it was read"))
    with pytest.raises(errors.FileTooLarge):
        read_film(path)
    with pytest.raises(errors.FileTooLarge):
        read_film(bytes(MAX_BYTES + 1))


def test_a_file_at_the_limit_is_read() -> None:
    film = read_film(EVERY_FORMAT["BMP"].ljust(MAX_BYTES, b"\0"))
    assert np.array_equal(film.grey, FILM)


def _jpeg_header(width: int, height: int) -> bytes:
    data = bytearray(encoded(FILM, "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def _bmp_header(width: int, height: int) -> bytes:
    data = bytearray(encoded(FILM, "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def _webp_header(width: int, height: int) -> bytes:
    stream = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(16)
    chunk = b"VP8L" + struct.pack("<I", len(stream)) + stream + bytes(len(stream) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def _tiff_header(width: int, height: int) -> bytes:
    data = tiff(FILM)
    for tag, was, says in ((256, 96, width), (257, 80, height)):
        data = data.replace(struct.pack("<HHII", tag, 4, 1, was), struct.pack("<HHII", tag, 4, 1, says))
    return data


def _png_header(width: int, height: int) -> bytes:
    return png_header(width, height, 8, 0) + png_chunk(b"IDAT", b"")


@pytest.mark.parametrize("header", [_jpeg_header, _bmp_header, _webp_header, _tiff_header, _png_header])
@pytest.mark.parametrize("size", [(8001, 8000), (10_000, 10_000), (16_000, 16_000)])
def test_too_many_pixels_are_refused_by_the_header(header: Any, size: tuple[int, int]) -> None:
    # Over our limit; over the one at which Pillow warns; over the one at which it raises.
    with pytest.raises(errors.ImageTooLarge):
        read_film(header(*size))


def test_exactly_the_limit_passes_the_header() -> None:
    assert MAX_PIXELS == 8000 * 8000
    with pytest.raises(errors.CorruptImage):  # it has no pixels to go with it
        read_film(_png_header(8000, 8000))


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("name", EVERY_FORMAT)
def test_a_file_cut_short_is_corrupt(name: str, part: float) -> None:
    noise = _RANDOM.integers(0, 256, (200, 200), np.uint8)  # so that its pixels are most of the file
    data = dicom(noise) if name == "DICOM" else encoded(noise, name)
    with pytest.raises(errors.CorruptImage):
        read_film(data[: int(len(data) * part)])


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "BMP"])
def test_a_format_known_by_its_first_bytes_alone_is_corrupt(name: str) -> None:
    with pytest.raises(errors.CorruptImage):
        read_film(EVERY_FORMAT[name][:14])


@pytest.mark.filterwarnings("ignore:::PIL")  # as in production: Pillow warns of the cut, and goes on
def test_a_tiff_cut_before_its_directory_is_corrupt() -> None:
    with pytest.raises(errors.CorruptImage):
        read_film(tiff(FILM)[:1000])


def test_broken_png_data_are_corrupt() -> None:
    data = bytearray(EVERY_FORMAT["PNG"])
    data[60:80] = bytes(20)
    with pytest.raises(errors.CorruptImage):
        read_film(bytes(data))


@pytest.mark.parametrize("out_of_memory", ["predictors.image._decode", "predictors.dicom._decode"])
def test_no_memory_means_too_large(out_of_memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(out_of_memory, fail)
    with pytest.raises(errors.ImageTooLarge):
        read_film(EVERY_FORMAT["DICOM" if "dicom" in out_of_memory else "PNG"])


@pytest.mark.parametrize("name", EVERY_FORMAT)
def test_a_refusal_tells_nothing_of_the_file_or_of_the_library(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "SECRET-name"
    data = EVERY_FORMAT[name]
    path.write_bytes(data[: len(data) * 2 // 3])
    with caplog.at_level("INFO"), pytest.raises(errors.SecondLookError) as refusal:
        read_film(path)
    told = str(refusal.value) + caplog.text + "".join(capfd.readouterr())
    assert "SECRET" not in told
    assert str(tmp_path) not in told
    assert str(refusal.value) == type(refusal.value).sentence
    assert refusal.value.__suppress_context__


# The same numbers, always


@pytest.mark.filterwarnings("ignore:::pydicom")
@pytest.mark.parametrize("name", EVERY_FORMAT)
@pytest.mark.parametrize("pixels", [1, 700])
def test_a_film_is_the_same_in_however_many_bands(name: str, pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    films = [film for film in map(_or_none, seeds(name)) if film]
    monkeypatch.setattr("predictors.bands._PIXELS", pixels)  # a row, or seven, of 96
    for whole, banded in zip(films, filter(None, map(_or_none, seeds(name))), strict=True):
        assert np.array_equal(whole.grey, banded.grey)
        assert np.array_equal(whole.grey8(), banded.grey8())
        assert (whole.colour is None) == (banded.colour is None)
        assert whole.colour is None or np.array_equal(whole.colour, banded.colour)  # type: ignore[arg-type]


def _or_none(data: bytes) -> Radiograph | None:
    try:
        return read_film(data)
    except errors.SecondLookError:
        return None


def test_threads_read_as_one_does() -> None:
    sources = [*EVERY_FORMAT.values(), encoded(DEEP, "PNG"), png(np.stack([DEEP] * 3, -1), 16, 2)] * 4
    alone = [read_film(source).grey for source in sources]
    together: dict[int, Any] = {}

    def read(index: int) -> None:
        together[index] = read_film(sources[index]).grey

    threads = [threading.Thread(target=read, args=(index,)) for index in range(len(sources))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(alone[index], together[index]) for index in range(len(sources)))
