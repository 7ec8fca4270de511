"""A file or its bytes become a `Radiograph`: one film as a reader would see it.

The only place where a film is decoded. What it is, is told by its content, never by its name. Limits are
checked in the order of their cost: bytes on disk, pixels in the header, and only then is anything decoded.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from predictors import errors
from predictors.bands import bands, looked_up
from predictors.bombs import DIRECTORIES, check_jpeg, check_png, check_tiff
from predictors.dicom import SEVERAL_FRAMES, decode_dicom, is_dicom

MAX_BYTES = 20 * 1024 * 1024  # "20 MB" as a file manager counts it: whoever trusts either reading is served
MAX_PIXELS = 64_000_000

REDUCED_SIDE = 1024
"""A JPEG is decoded at a half, a quarter or an eighth of its size, in which its coding can be read at once, while its
shorter side keeps so many pixels: more than a picture on the page has, and several times what a network reads."""

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "DICOM")
"""What a film can be; JPEG includes MPO, as phones write it."""

_FAX = (2, 3, 4)
"""TIFF codings that no film has: of a broken one, libtiff leaves in the picture what lay in memory before."""

# Two kinds of grey TIFF that Pillow decodes in Intel byte order and refuses in Motorola's.
TiffImagePlugin.OPEN_INFO.setdefault((TiffImagePlugin.MM, 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))
TiffImagePlugin.OPEN_INFO.setdefault((TiffImagePlugin.MM, 1, (1,), 1, (32,), ()), ("I", "I;32B"))


@dataclass(frozen=True)
class Radiograph:
    """One film as a reader would see it: orientation applied, MONOCHROME2 polarity (more = brighter)."""

    grey: NDArray[np.uint8] | NDArray[np.uint16]  # H x W; 0..255 as stored, or 0..65535 after windowing
    colour: NDArray[np.uint8] | None  # H x W x 3 (RGB), only if the channels differ
    format: str  # JPEG, PNG, WEBP, TIFF, BMP or DICOM
    size: tuple[int, int] = (0, 0)  # width and height in the file; (0, 0): those of ``grey``

    @property
    def width(self) -> int:
        """Pixels across, in the file."""
        return self.size[0] or int(self.grey.shape[1])

    @property
    def height(self) -> int:
        """Pixels down, in the file."""
        return self.size[1] or int(self.grey.shape[0])

    def grey8(self) -> NDArray[np.uint8]:
        """The grey film at 8 bits, H x W, 0..255."""
        return _to_8_bits(self.grey)

    def inverted(self) -> "Radiograph":
        """The film with its grey levels turned round, for one that was stored as a negative."""
        return replace(self, grey=~self.grey, colour=None if self.colour is None else ~self.colour)

    def preview(self) -> Image.Image:
        """The film for a page: mode RGB if it has colour, else L."""
        return Image.fromarray(self.grey8() if self.colour is None else self.colour)


def read_film(source: bytes | os.PathLike[str] | str) -> Radiograph:
    """Read one film from its bytes or from a local path (never a URL).

    Raises EmptyFile, FileTooLarge, ImageTooLarge, UnsupportedImage or CorruptImage.
    """
    data = _bytes(source)
    if is_dicom(data):
        return _radiograph(decode_dicom(data, MAX_PIXELS), "DICOM")
    try:
        return _radiograph(*_decode(data))
    except errors.SecondLookError:
        raise
    except (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise errors.ImageTooLarge from None
    except Exception:  # whatever a codec makes of broken bytes; its message is not ours to pass on
        raise errors.CorruptImage from None


def _bytes(source: bytes | os.PathLike[str] | str) -> bytes:
    """The file's content, once its size is known to be within the limit."""
    check_size(len(source) if isinstance(source, bytes) else Path(source).stat().st_size)
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def check_size(size: int) -> None:
    """Raise EmptyFile or FileTooLarge for a file of ``size`` bytes."""
    if not size:
        raise errors.EmptyFile
    if size > MAX_BYTES:
        raise errors.FileTooLarge


# The header: what it is, and whether we take it


def _open(data: bytes) -> Image.Image:
    """The picture with its header read and no pixel decoded."""
    if data.startswith(b"\xff\xd8"):
        check_jpeg(data)
    elif data.startswith(b"\x89PNG"):
        check_png(data)
    elif data.startswith((b"II", b"MM")):
        check_tiff(data)
    try:
        return Image.open(BytesIO(data), formats=FORMATS[:-1])
    except (OSError, ValueError):
        raise (errors.CorruptImage if _is_broken(data) else errors.UnsupportedImage) from None


def _is_broken(data: bytes) -> bool:
    """Whether bytes that Pillow cannot open are still one of our formats, and so are damaged."""
    if data[:4] in (b"II*\0", b"MM\0*"):
        # Many a whole TIFF is of a kind that nobody reads; it is damaged if its directory is cut off.
        directory = int.from_bytes(data[4:8], "little" if data[:1] == b"I" else "big")
        return directory + 2 > len(data)
    return (
        data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
        or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
        or (data[:2] == b"BM" and data[6:10] == bytes(4))
    )


def _check_header(image: Any) -> None:
    """Refuse what the header alone rules out: too many pictures, too many pixels, a space without grey.

    A film is one picture: an animation or a stack of pages leaves open which of them is meant, and a silent
    choice could be another patient's. What follows a phone's photograph (MPO) is its preview or depth map.
    """
    if image.format == "TIFF":
        _turn_to_film(image)
    elif image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise errors.UnsupportedImage(SEVERAL_FRAMES)
    if image.width * image.height > MAX_PIXELS or _tile_pixels(image) > MAX_PIXELS:
        raise errors.ImageTooLarge
    # Pillow reads deep samples wrongly where each channel has a plane of its own (PlanarConfiguration 2).
    deep_planes = image.format == "TIFF" and image.tag_v2.get(284) == 2 and max(image.tag_v2[258]) > 8
    if image.mode == "LAB" or deep_planes or (image.format == "TIFF" and image.tag_v2.get(259) in _FAX):
        raise errors.UnsupportedImage


def _turn_to_film(image: Any) -> None:
    """Turn a TIFF to its only page; its thumbnails and masks (tag 254, NewSubfileType) are not pages."""
    film = None
    for page in range(DIRECTORIES):
        try:
            image.seek(page)
        except EOFError:
            image.seek(film or 0)
            return
        if int(image.tag_v2.get(254, 0)) & 0b101:
            continue
        if film is not None:
            break
        film = page
    raise errors.UnsupportedImage(SEVERAL_FRAMES)


def _tile_pixels(image: Any) -> int:
    """Pixels of one tile of a TIFF, which may be far larger than the picture, and is decoded whole."""
    tags = image.tag_v2 if image.format == "TIFF" else {}
    return int(tags.get(322, 0)) * int(tags.get(323, 0))


# The pixels


def _decode(data: bytes) -> tuple[NDArray[Any], str, tuple[int, int]]:
    """Upright pixels over black, H x W or H x W x 3, uint8 as stored or uint16 after windowing.

    And the format, and the upright size in the file.
    """
    with _open(data) as image:
        _check_header(image)
        file_format = "JPEG" if image.format == "MPO" else str(image.format)
        width, height = image.size
        _reduce(image)
        pixels = _pixels(image, data)
        if pixels.dtype != np.uint8:
            pixels = _window(pixels)
        orientation = _orientation(image)
        size = (height, width) if orientation in _ON_ITS_SIDE else (width, height)
        return _upright(pixels, orientation), file_format, size


def _reduce(image: Any) -> None:
    """Have a large JPEG decoded at a fraction of its size."""
    times = min(image.size) // REDUCED_SIDE
    if image.format in ("JPEG", "MPO") and times > 1:
        image.draft(None, (image.width // times, image.height // times))


def _pixels(image: Image.Image, data: bytes) -> NDArray[Any]:
    """Pixels over black, H x W or H x W x 3, at the depth of the file."""
    samples = _samples(image, data)
    first, *others = bands(image.height, image.width)
    top = _over_black(_keyed(samples(first), image, data))
    pixels = np.empty((image.height, *top.shape[1:]), top.dtype)
    pixels[first] = top
    for rows in others:
        pixels[rows] = _over_black(_keyed(samples(rows), image, data))
    return pixels


def _samples(image: Image.Image, data: bytes) -> Callable[[slice], NDArray[Any]]:
    """Load the picture; every stored sample of some of its rows at its own depth.

    H x W x 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA).
    """
    codec, raw_mode = _layout(image)
    if image.mode in ("RGB", "RGBA") and ";16" in raw_mode:
        return _deep_samples(image, raw_mode, data)
    if image.mode in ("I", "F") and codec == "libtiff":
        _load_as(image, raw_mode.replace("B", "N"))  # libtiff has put the bytes into this machine's order
    image.load()

    def samples(rows: slice) -> NDArray[Any]:
        band = _band(image, rows)
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            pixels = _numbers(band, image)
        elif image.mode in ("P", "PA"):
            pixels = np.asarray(band.convert("RGBA" if image.has_transparency_data else "RGB"))
        else:
            plain = {"1": "L", "L": "L", "LA": "LA", "RGBA": "RGBA", "RGBa": "RGBA"}
            pixels = np.asarray(band.convert(plain.get(image.mode, "RGB")))
            if pixels.ndim == 2 and _sample_format(image) == 2:
                pixels = pixels ^ 0x80  # signed bytes: -128 is black
        return pixels[..., None] if pixels.ndim == 2 else pixels

    return samples


def _band(image: Image.Image, rows: slice) -> Image.Image:
    """Some rows of a loaded picture."""
    return image.crop((0, rows.start, image.width, rows.stop))


def _layout(image: Any) -> tuple[str, str]:
    """The codec, and how the samples lie in the file, in Pillow's words; forgotten once it is loaded."""
    if not getattr(image, "tile", None):
        return "", ""
    arguments = image.tile[0].args
    return image.tile[0].codec_name, str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _load_as(image: Any, raw_mode: str) -> None:
    """Decode the picture as if its samples lay as ``raw_mode`` says."""
    image.tile = [
        tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
        for tile in image.tile
    ]
    image.load()


def _deep_samples(image: Any, raw_mode: str, data: bytes) -> Callable[[slice], NDArray[Any]]:
    """Samples of 16 bits in colour or with alpha, of which Pillow keeps the high byte only.

    Told the wrong byte order, the same decoder keeps the low byte: two passes give all 16 bits. A PNG's
    grey with alpha is told to be four bytes a pixel, and comes whole in one.
    """
    if raw_mode == "LA;16B":
        _load_as(image, "RGBA")
        return lambda rows: _joined(*(np.asarray(_band(image, rows))[..., byte::2] for byte in (0, 1)))
    lit = raw_mode.startswith("RGBa")  # a TIFF that was composited over black already; Pillow would undo it
    raw_mode = raw_mode.replace("RGBa", "RGBA")
    order = raw_mode[-1].replace("N", "L" if sys.byteorder == "little" else "B")
    with _open(data) as low:
        low.seek(image.tell())
        _load_as(low, raw_mode[:-1] + ("L" if order == "B" else "B"))
    _load_as(image, raw_mode)
    return lambda rows: _joined(*(np.asarray(_band(each, rows)) for each in (image, low)))[..., : 3 if lit else None]


def _joined(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """16-bit samples from their two bytes."""
    return np.asarray(high.astype(np.uint16) << np.uint16(8) | low, np.uint16)


def _numbers(band: Image.Image, image: Any) -> NDArray[Any]:
    """Some rows of grey of more than 8 bits, H x W, as the file means it: its sign, and which end is black."""
    values: NDArray[Any] = np.asarray(band)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if image.format != "TIFF":
        return values
    if values.dtype == np.int32 and _sample_format(image) == 1:
        values = values.view(np.uint32)
    if image.tag_v2.get(262) == 0:  # WhiteIsZero: Pillow inverts the 8-bit kinds, and these not
        values = -values if values.dtype.kind == "f" else ~values
    return values


def _sample_format(image: Any) -> int:
    """TIFF tag 339: 1 unsigned, 2 signed, 3 floating point; 1 for every other format."""
    return int(image.tag_v2.get(339, (1,))[0]) if image.format == "TIFF" else 1


def _keyed(pixels: NDArray[Any], image: Image.Image, data: bytes) -> NDArray[Any]:
    """Blacken the one value that a PNG without alpha calls transparent (tRNS), at the depth of the file."""
    key = image.info.get("transparency")
    if key is None or image.mode not in ("1", "L", "I;16", "RGB"):
        return pixels
    if image.mode == "L":
        key *= {2: 85, 4: 17}.get(data[24], 1)  # IHDR's bit depth: Pillow stretches the samples, not the key
    return np.where((pixels == key).all(axis=-1, keepdims=True), 0, pixels).astype(pixels.dtype)


def _over_black(pixels: NDArray[Any]) -> NDArray[Any]:
    """H x W or H x W x 3, with the alpha channel (if any) composited over black."""
    if pixels.shape[-1] in (2, 4):
        full = np.iinfo(pixels.dtype).max
        lit = pixels[..., :-1].astype(np.uint32) * pixels[..., -1:]
        pixels = ((lit + full // 2) // full).astype(pixels.dtype)
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def _window(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Lowest value present -> 0, highest -> 65535, linear between; one window for all channels.

    A file of more than 8 bits does not say which of them are used, so all of them are shown and none is
    clipped. Not-a-number is black; an infinity is the end that it lies beyond. A constant film is black.
    """
    low, high = _extremes(values)
    if high <= low:
        return np.zeros(values.shape, np.uint16)
    if values.dtype == np.uint16:
        return looked_up(_windowed(np.arange(1 << 16, dtype=np.uint16), low, high), values)
    windowed = np.empty(values.shape, np.uint16)
    for rows in bands(*values.shape[:2]):
        windowed[rows] = _windowed(values[rows], low, high)
    return windowed


def _extremes(values: NDArray[Any]) -> tuple[float, float]:
    """The lowest and the highest finite value; two zeros if there is none."""
    if values.dtype.kind != "f":
        return float(values.min()), float(values.max())
    finite = [part[np.isfinite(part)] for part in (values[rows] for rows in bands(*values.shape[:2]))]
    ends = [(float(part.min()), float(part.max())) for part in finite if part.size]
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else (0.0, 0.0)


def _windowed(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint16]:
    shown = np.nan_to_num((values.astype(np.float64) - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0)
    return np.asarray(np.rint(shown * 65535), np.uint16)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1..8, of a loaded picture (Pillow has turned a TIFF already, and says 1)."""
    try:
        check_tiff(image.info.get("exif", b"").removeprefix(b"Exif\0\0"))
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # broken EXIF does not make a broken film
        return 1


_ON_ITS_SIDE = (5, 6, 7, 8)
"""EXIF orientations whose rows are the upright picture's columns."""


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo the camera's turn or mirror (EXIF 2.3, tag 0x0112)."""
    if orientation in _ON_ITS_SIDE:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _radiograph(pixels: NDArray[Any], file_format: str, size: tuple[int, int] = (0, 0)) -> Radiograph:
    """Grey from colour by ITU-R 601 luma, in Pillow's own integers; equal channels are a grey film."""
    if pixels.ndim == 2:
        return Radiograph(np.ascontiguousarray(pixels), None, file_format, size)
    if all(_is_grey(pixels[rows]) for rows in bands(*pixels.shape[:2])):
        return Radiograph(np.ascontiguousarray(pixels[..., 0]), None, file_format, size)
    grey = np.empty(pixels.shape[:2], pixels.dtype)
    for rows in bands(*grey.shape):
        grey[rows] = _luma(pixels[rows])
    return Radiograph(grey, np.ascontiguousarray(_to_8_bits(pixels)), file_format, size)


def _is_grey(pixels: NDArray[Any]) -> bool:
    red, green, blue = (pixels[..., channel] for channel in range(3))
    return np.array_equal(red, green) and np.array_equal(green, blue)


def _luma(pixels: NDArray[Any]) -> NDArray[np.uint32]:
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    weighed = red * np.uint32(19595) + green * np.uint32(38470) + blue * np.uint32(7471)  # of 65536
    return np.asarray((weighed + np.uint32(0x8000)) >> np.uint32(16))


_TO_8_BITS = ((np.arange(1 << 16, dtype=np.uint32) + 128) // 257).astype(np.uint8)


def _to_8_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """0..65535 -> 0..255, rounded; 8-bit pixels as they are."""
    return pixels if pixels.dtype == np.uint8 else looked_up(_TO_8_BITS, pixels)
