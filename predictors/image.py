"""A file or its bytes become a `Radiograph`: one film as a reader would see it.

The only place where a film is decoded. What it is, is told by its content, never by its name. Limits are
checked in the order of their cost: bytes on disk, pixels in the header, and only then is anything decoded.
"""

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from predictors import errors
from predictors.bands import bands, looked_up
from predictors.bombs import check_tiff
from predictors.header import MAX_PIXELS, check_header, is_dicom, opened
from predictors.samples import pixels_of

MAX_BYTES = 20 * 1024 * 1024  # "20 MB" as a file manager counts it: whoever trusts either reading is served

REDUCED_SIDE = 1280
"""A JPEG is decoded at a half, a quarter or an eighth of its size, in which its coding can be read at once, while its
shorter side keeps so many pixels: more than a picture on the page has, and several times what a network reads (with
1024, a mammogram's probability moved by 0.0055, ``benchmarks/reduced.py``)."""


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

    @property
    def extent(self) -> tuple[float, float]:
        """How far the film reaches across and down ``grey``, in its pixels.

        Of a film read at a fraction of its size, the last ones may show the film in part and beyond it nothing.
        """
        height, width = self.grey.shape
        return self.width / round(self.width / width), self.height / round(self.height / height)

    @cached_property
    def plane(self) -> Image.Image:
        """The grey film in floating point (mode F), in its own range: what every network's input is resized from."""
        return Image.fromarray(self.grey).convert("F")

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
        from predictors.dicom import decode_dicom  # and pydicom, 23 MiB by itself: in the decoders alone

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


# The pixels


def _decode(data: bytes) -> tuple[NDArray[Any], str, tuple[int, int]]:
    """Upright pixels over black, H x W or H x W x 3, uint8 as stored or uint16 after windowing.

    And the format, and the upright size in the file.
    """
    with opened(data) as image:
        check_header(image)
        file_format = "JPEG" if image.format == "MPO" else str(image.format)
        width, height = image.size
        _reduce(image)
        pixels = pixels_of(image, data)
        if pixels.dtype != np.uint8:
            pixels = _window(pixels)
        orientation = _orientation(image)
        size = (height, width) if orientation in _ON_ITS_SIDE else (width, height)
        return _upright(pixels, orientation), file_format, size


def _reduce(image: Any) -> None:
    """Have a large JPEG decoded at a fraction of its size, if `Radiograph.extent` can tell where it then ends.

    It can where the film need not be turned, or fills its last pixels: mirrored, it would begin in part of a pixel.
    """
    times = max(times for times in (1, 2, 4, 8) if times == 1 or times * REDUCED_SIDE <= min(image.size))
    if image.format not in ("JPEG", "MPO") or times == 1:
        return
    if _orientation(image) == 1 or not any(side % times for side in image.size):
        image.draft(None, (image.width // times, image.height // times))


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
