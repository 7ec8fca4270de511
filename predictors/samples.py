"""A picture whose header was read becomes its samples: at the depth of the file, over black."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from predictors.bands import bands
from predictors.header import opened


def pixels_of(image: Image.Image, data: bytes) -> NDArray[Any]:
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
            mode = plain.get(image.mode, "RGB")
            pixels = np.asarray(band if band.mode == mode else band.convert(mode))
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
    with opened(data) as low:
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
