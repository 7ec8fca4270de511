"""A DICOM file becomes pixels as a reader would see them.

The header is read and checked, the pixels are decoded, and grey ones go through ``predictors.grayscale``.
Only the elements named in ``_ELEMENTS`` are ever parsed; nothing about the patient is.
"""

import itertools
import logging
import struct
import warnings
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset, read_partial
from pydicom.pixels import apply_color_lut, convert_color_space, get_decoder
from pydicom.tag import Tag

from predictors.bands import bands, looked_up
from predictors.bombs import check_jpeg
from predictors.errors import CorruptImage, ImageTooLarge, SecondLookError, UnsupportedImage
from predictors.grayscale import shown_grey
from predictors.header import SEVERAL_FRAMES, is_part10

_NO_PICTURE = "This DICOM file holds no picture of a kind that we read; send a single-frame radiograph."
_UNKNOWN_CODING = "This DICOM file is compressed in a way that we do not read; export it uncompressed."

# pydicom's messages quote the values of elements, so none may reach a log or a stream. This is said once, at
# import: `warnings.catch_warnings` swaps a process-wide list, which two threads that decode would corrupt.
logging.getLogger("pydicom").propagate = False
warnings.filterwarnings("ignore", module="pydicom")

_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_THREE_SAMPLES = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_LUMA_FIRST = ("YBR_FULL", "YBR_FULL_422")  # of YBR_ICT and YBR_RCT, JPEG 2000 has made RGB
_PIXEL_DATA = 0x7FE00010
_MOST_ELEMENTS = 10_000  # beside those within sequences; a film has 200
_ELEMENTS = [
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows"),
    *("Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue"),
    *("PixelPaddingRangeLimit", "ModalityLUTSequence", "RescaleIntercept", "RescaleSlope", "VOILUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "PixelData", "ExtendedOffsetTable"),
    *("ExtendedOffsetTableLengths", "PaletteColorLookupTableUID"),
    *(f"{c}PaletteColorLookupTableDescriptor" for c in ("Red", "Green", "Blue")),
    *(f"{c}PaletteColorLookupTableData" for c in ("Red", "Green", "Blue")),
    *(f"Segmented{c}PaletteColorLookupTableData" for c in ("Red", "Green", "Blue")),
]


def decode_dicom(data: bytes, max_pixels: int) -> NDArray[Any]:
    """Pixels of the only frame: H x W uint16, 0..65535, more = brighter; or H x W x 3 uint8 RGB.

    Raises UnsupportedImage (no picture, several frames, a coding that we lack), ImageTooLarge (by the header,
    before any pixel is decoded) or CorruptImage.
    """
    try:
        _check_inflated_size(data, max_pixels)
        _check_header(_parse(data, stop_before_pixels=True), max_pixels)
        film = _parse(data)
        stored = _decode(film)
        if film.PhotometricInterpretation in _MONOCHROME:
            return shown_grey(film, stored)
        return _rgb(film, stored)
    except SecondLookError:
        raise
    except MemoryError:
        raise ImageTooLarge from None
    except Exception:  # whatever pydicom or a codec makes of broken bytes; its message may quote the file
        raise CorruptImage from None


# Reading the header


def _parse(data: bytes, stop_before_pixels: bool = False) -> Any:
    """The picture's own elements, as a pydicom data set with a transfer syntax."""
    part10 = is_part10(data)
    elements = itertools.count()

    def enough(tag: int, _vr: str | None, _length: int) -> bool:
        if next(elements) > _MOST_ELEMENTS:
            raise CorruptImage
        return tag >= _PIXEL_DATA + (not stop_before_pixels)

    try:
        film = read_partial(BytesIO(data), enough, force=not part10, specific_tags=[*map(Tag, _ELEMENTS)])
    except SecondLookError:
        raise
    except Exception:
        if part10:
            raise
        raise UnsupportedImage from None  # it only looked like a data set
    if "TransferSyntaxUID" not in film.file_meta:
        implicit, little = film.original_encoding
        explicit = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
        film.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else explicit
    return film


def _check_inflated_size(data: bytes, max_pixels: int) -> None:
    """Refuse a deflated data set that would unpack to more than any film we accept (PS3.5 A.5).

    pydicom inflates all of it before it reads the first element, so the header cannot warn us.
    """
    stream = BytesIO(data)
    stream.seek(132 if is_part10(data) else 0)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2)
    if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
        return
    inflater, packed, size = zlib.decompressobj(-zlib.MAX_WBITS), stream.read(), 0
    while packed and not inflater.eof:
        size += len(inflater.decompress(packed, 1 << 20))
        packed = inflater.unconsumed_tail
        if size > 2 * 3 * max_pixels:  # three samples of two bytes each
            raise ImageTooLarge


def _check_header(film: Any, max_pixels: int) -> None:
    """Everything that can be refused without decoding a pixel (PS3.3 C.7.6.3)."""
    if "Rows" not in film or "Columns" not in film:
        raise UnsupportedImage(_NO_PICTURE)  # a report, a plan, a waveform
    if int(film.get("NumberOfFrames") or 1) > 1:
        raise UnsupportedImage(SEVERAL_FRAMES)
    if int(film.Rows) * int(film.Columns) > max_pixels:
        raise ImageTooLarge
    samples = {**dict.fromkeys((*_MONOCHROME, "PALETTE COLOR"), 1), **dict.fromkeys(_THREE_SAMPLES, 3)}
    if (
        samples.get(film.PhotometricInterpretation) != film.SamplesPerPixel
        or film.BitsAllocated not in (8, 16)
        or not 1 <= film.BitsStored <= film.BitsAllocated
    ):
        raise UnsupportedImage(_NO_PICTURE)


# Decoding


def _decode(film: Any) -> NDArray[Any]:
    """Stored values, H x W or H x W x 3 (RGB), in the machine's byte order."""
    if "PixelData" not in film:
        raise CorruptImage  # it describes a picture, and ends before it
    syntax = uid.UID(film.file_meta.TransferSyntaxUID)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise UnsupportedImage(_UNKNOWN_CODING) from None
    if not decoder.is_available:
        raise UnsupportedImage(_UNKNOWN_CODING)
    plugin = ""
    if syntax.is_encapsulated:
        # Always the same decoder: the same numbers whatever else is installed. RLE stays with pydicom, since
        # pylibjpeg's panics on broken data, which is no `Exception` and would go past every handler.
        plugin = "pydicom" if syntax == uid.RLELossless else "pylibjpeg"
        frame = get_frame(film.PixelData, 0, number_of_frames=1)
        if _codestream_size(frame) not in (None, (film.Rows, film.Columns)):
            raise CorruptImage
        if syntax == uid.RLELossless and len(frame) > _longest_rle(film):
            raise CorruptImage
    pixels: NDArray[Any]
    pixels, told = decoder.as_array(film, decoding_plugin=plugin, as_rgb=False)
    if pixels.shape[:2] != (film.Rows, film.Columns):
        raise CorruptImage
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if told["photometric_interpretation"] in _LUMA_FIRST:
        pixels = np.require(pixels, requirements="W")
        for rows in bands(*pixels.shape[:2]):
            pixels[rows] = convert_color_space(pixels[rows], "YBR_FULL", "RGB")
    return pixels


def _longest_rle(film: Any) -> int:
    """Bytes of run-length coding that the picture can need at most: two for each of its own, and the header.

    pydicom unpacks all that there is, however small the picture.
    """
    return 64 + 2 * int(film.Rows) * int(film.Columns) * int(film.SamplesPerPixel) * int(film.BitsAllocated) // 8


def _codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 stream says it has; None if it is none of them.

    A codec believes the stream, not the DICOM header, so a small header could hide a huge picture.
    """
    if frame[:2] != b"\xff\xd8":
        start = _unwrapped(frame)
        if frame[start : start + 4] != b"\xff\x4f\xff\x51":  # JPEG 2000: ITU-T T.800 A.5.1
            return None
        right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
        return bottom - top, right - left
    check_jpeg(frame)
    at = 2
    while at < len(frame):  # JPEG segments up to the frame header: ITU-T T.81 B.1.1.4, T.87 C.2.2
        marker = frame[at + 1]
        if frame[at] != 0xFF:
            raise CorruptImage
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns = struct.unpack_from(">2H", frame, at + 5)
            return rows, columns
        else:
            at += 2 + int(struct.unpack_from(">H", frame, at + 2)[0])
    raise CorruptImage


def _unwrapped(frame: bytes) -> int:
    """Where the JPEG 2000 stream begins: some are wrapped in the boxes of a JP2 file (ITU-T T.800 I.4).

    pydicom looks for it too, and would not come to an end over a box of no length.
    """
    if not frame.startswith(b"\0\0\0\x0cjP  "):
        return 0
    at = 12
    while frame[at + 4 : at + 8] != b"jp2c":
        length = int.from_bytes(frame[at : at + 4], "big")
        if length < 8 or at >= len(frame):
            raise CorruptImage
        at += length
    return at + 8


# Colour


def _rgb(film: Any, stored: NDArray[Any]) -> NDArray[np.uint8]:
    """A photograph or a screen capture: H x W x 3, scaled from the bits it has to 8 (PS3.3 C.7.6.3.1.2)."""
    bits = int(film.BitsStored)
    if film.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, film)
        bits = 8 * stored.itemsize
    if bits == 8:
        return np.asarray(stored, np.uint8)
    levels = np.arange(1 << 8 * stored.itemsize, dtype=f"u{stored.itemsize}").view(stored.dtype)
    brightness = np.clip(np.rint(levels * (255 / (2**bits - 1))), 0, 255)
    return looked_up(brightness.astype(np.uint8), stored.view(f"u{stored.itemsize}"))
