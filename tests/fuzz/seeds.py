"""Good films of every format and coding that the service reads: what the mutator starts from."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.data import get_testdata_file

from tests.drawings import (
    dicom,
    drawn_deep_film,
    drawn_film,
    drawn_photo,
    encoded,
    lookup_table,
    lossless_jpeg,
    png,
    png_chunk,
    tiff,
)

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "DICOM")

_FILM, _DEEP, _PHOTO = drawn_film(), drawn_deep_film(), drawn_photo()


@cache
def seeds(file_format: str) -> tuple[bytes, ...]:
    """Files of about 2 to 30 KB."""
    return tuple(_SEEDS[file_format]())


def _jpeg() -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    film, photo = Image.fromarray(_FILM), Image.fromarray(_PHOTO)
    return [
        encoded(film, "JPEG", exif=exif),
        encoded(film, "JPEG", progressive=True),
        encoded(photo, "JPEG", quality=90, subsampling=2, restart_marker_rows=1),
        encoded(photo.convert("CMYK"), "JPEG", progressive=True),
        encoded(film, "MPO", save_all=True, append_images=[film]),
    ]


def _png() -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 8
    alpha = np.full((80, 96, 1), 200, np.uint8)
    palette = png_chunk(b"PLTE", bytes(range(48))) + png_chunk(b"tRNS", bytes(16))
    return [
        encoded(_FILM, "PNG", exif=exif),
        encoded(_DEEP, "PNG"),
        png(_FILM >> 4, 4, 3, chunks=palette),
        png(np.concatenate([_PHOTO, alpha], -1), 8, 6, interlaced=True),
        png(np.stack([_DEEP] * 4, -1), 16, 6),
        png(np.stack([_DEEP] * 2, -1), 16, 4, interlaced=True),
        png(_DEEP, 16, 0, chunks=png_chunk(b"tRNS", b"\1\0") + png_chunk(b"iTXt", b"a\0\0\0\0\0b")),
    ]


def _tiff() -> list[bytes]:
    film = Image.fromarray(_FILM)
    return [
        *(encoded(film, "TIFF", compression=f"tiff_{kind}") for kind in ("lzw", "adobe_deflate", "jpeg")),
        encoded(film, "TIFF", compression="packbits"),
        encoded(film.convert("1"), "TIFF", compression="group4"),
        encoded(film, "TIFF", save_all=True, append_images=[film]),
        encoded(film, "TIFF", big_tiff=True),
        tiff(_DEEP.astype(np.float32), compressed=True),
        tiff(_DEEP, photometric=0, big_endian=True, tags={274: 6}),
        tiff(np.stack([_DEEP] * 4, -1), photometric=2, compressed=True),
        tiff(_PHOTO, photometric=2),
    ]


def _webp() -> list[bytes]:
    photo = Image.fromarray(_PHOTO)
    exif = Image.Exif()
    exif[0x0112] = 3
    with_alpha = photo.convert("RGBA")
    with_alpha.putalpha(Image.fromarray(_FILM))
    return [
        encoded(photo, "WEBP", lossless=True, exif=exif),
        encoded(photo, "WEBP", quality=70),
        encoded(with_alpha, "WEBP", quality=70),
        encoded(photo, "WEBP", save_all=True, append_images=[photo.rotate(90)]),
    ]


def _bmp() -> list[bytes]:
    film = Image.fromarray(_FILM)
    runs = encoded(film, "BMP")  # 8 bits, and the same bytes called run-length coded
    return [
        encoded(film, "BMP"),
        encoded(film.convert("1"), "BMP"),
        encoded(Image.fromarray(_PHOTO), "BMP"),
        encoded(Image.fromarray(_PHOTO).convert("RGBA"), "BMP"),
        runs[:30] + b"\1" + runs[31:],
    ]


def _dicom() -> list[bytes]:
    signed = (_DEEP.astype(np.int32) - 2048).astype(np.int16)
    table = lookup_table(np.arange(3000, dtype=np.uint16), 0, 16)
    palette: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name in ("Red", "Green", "Blue"):
        palette[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 8]
        palette[f"{name}PaletteColorLookupTableData"] = bytes(range(256))
    return [
        dicom(_DEEP, WindowCenter=[1500, 40], WindowWidth=[900, 80], RescaleSlope=2, RescaleIntercept=-100),
        dicom(_DEEP, syntax=uid.ImplicitVRLittleEndian, VOILUTSequence=[table], PixelPaddingValue=120),
        dicom(signed, syntax=uid.ExplicitVRBigEndian, PhotometricInterpretation="MONOCHROME1"),
        dicom(_DEEP, syntax=uid.DeflatedExplicitVRLittleEndian, ModalityLUTSequence=[table]),
        dicom(_DEEP, syntax=uid.RLELossless),
        dicom(_PHOTO, syntax=uid.RLELossless),
        dicom(_DEEP, syntax=uid.JPEG2000Lossless),
        dicom(_FILM, syntax=uid.JPEG2000, codestream=encoded(_FILM, "JPEG2000", irreversible=True)),
        dicom(_FILM, syntax=uid.JPEGBaseline8Bit, codestream=encoded(_FILM, "JPEG")),
        dicom(
            _PHOTO,
            syntax=uid.JPEGBaseline8Bit,
            codestream=encoded(_PHOTO, "JPEG"),
            PhotometricInterpretation="YBR_FULL_422",
        ),
        dicom(_DEEP, syntax=uid.JPEGLosslessSV1, codestream=lossless_jpeg(_DEEP)),
        dicom(_FILM, **palette),
        _jpeg_ls(),
        dicom(_DEEP)[132:],  # without its preamble
    ]


def _jpeg_ls() -> bytes:
    """Nothing here writes JPEG-LS; pydicom brings a film that is."""
    return Path(str(get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False))).read_bytes()


_SEEDS = {"JPEG": _jpeg, "PNG": _png, "TIFF": _tiff, "WEBP": _webp, "BMP": _bmp, "DICOM": _dicom}
