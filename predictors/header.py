"""What a file is, told by its first bytes, and whether we take it: nothing is decoded here.

Limits are checked in the order of their cost.
"""

from io import BytesIO
from typing import Any

from PIL import Image, TiffImagePlugin

from predictors import errors
from predictors.bombs import DIRECTORIES, check_jpeg, check_png, check_tiff

MAX_PIXELS = 64_000_000

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "DICOM")
"""What a film can be; JPEG includes MPO, as phones write it."""

SEVERAL_FRAMES = "The file holds more than one picture; send one film as a single-frame file."

_FAX = (2, 3, 4)
"""TIFF codings that no film has: of a broken one, libtiff leaves in the picture what lay in memory before."""

# Two kinds of grey TIFF that Pillow decodes in Intel byte order and refuses in Motorola's.
TiffImagePlugin.OPEN_INFO.setdefault((TiffImagePlugin.MM, 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))
TiffImagePlugin.OPEN_INFO.setdefault((TiffImagePlugin.MM, 1, (1,), 1, (32,), ()), ("I", "I;32B"))


def is_dicom(data: bytes) -> bool:
    """Whether ``data`` is DICOM Part 10, or a data set with no preamble (first group 0002 or 0008)."""
    return is_part10(data) or data[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x08")


def is_part10(data: bytes) -> bool:
    """Whether ``data`` begins as DICOM Part 10 files do: a preamble of 128 bytes, and its mark."""
    return data[128:132] == b"DICM"


def opened(data: bytes) -> Image.Image:
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


def check_header(image: Any) -> None:
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
