import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread, uid
from pydicom.data import get_testdata_file
from pydicom.pixels import get_decoder

from predictors import errors
from predictors.dicom import decode_dicom
from predictors.header import is_dicom
from predictors.image import read_film
from tests.drawings import (
    dicom,
    drawn_deep_film,
    drawn_film,
    drawn_photo,
    encoded,
    lookup_table,
    lossless_jpeg,
    luma,
    png,
    windowed,
)

FILM, DEEP, PHOTO = drawn_film(), drawn_deep_film(), drawn_photo()
WIDE = FILM * np.uint16(257)  # 8 bits as 16
SIGNED = (DEEP.astype(np.int32) - 2048).astype(np.int16)
RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)

# pydicom's warnings are silenced at import; pytest makes errors of them again for each test.
pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")


def grey(data: bytes) -> Any:
    film = read_film(data)
    assert (film.format, film.colour, film.grey.dtype) == ("DICOM", None, np.uint16)
    return film.grey


def bundled(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path).read_bytes()


def scaled(brightness: Any) -> Any:
    return np.rint(np.clip(brightness, 0, 1) * 65535)


def _must_not_run(*_: Any, **__: Any) -> None:
    pytest.fail("pixels were decoded")  # a BaseException: no handler of ours takes it


# Without a window: the whole film


@pytest.mark.parametrize("pixels", [DEEP, SIGNED], ids=["unsigned", "signed"])
@pytest.mark.parametrize("stored_bits", [12, 14, 16])
def test_a_deep_film_spans_its_own_values(pixels: Any, stored_bits: int) -> None:
    assert np.array_equal(grey(dicom(pixels, stored_bits=stored_bits)), windowed(pixels))


def test_an_8_bit_film_is_as_stored() -> None:
    assert np.array_equal(grey(dicom(FILM)), WIDE)
    assert np.array_equal(read_film(dicom(FILM)).grey8(), read_film(encoded(FILM, "PNG")).grey)
    assert np.array_equal(grey(dicom((FILM ^ 0x80).view(np.int8))), WIDE)
    assert np.array_equal(grey(dicom(FILM.astype(np.uint16), stored_bits=8)), WIDE)


def test_the_same_film_as_png_and_as_dicom() -> None:
    as_png = read_film(png(DEEP, 16, 0)).grey
    assert np.array_equal(grey(dicom(DEEP)), as_png)
    low, high = int(DEEP.min()), int(DEEP.max())
    spanning = {"WindowCenter": (low + high + 1) / 2, "WindowWidth": high - low + 1}
    assert np.abs(grey(dicom(DEEP, **spanning)).astype(int) - as_png).max() <= 1


def test_a_constant_film_is_black() -> None:
    assert not grey(dicom(np.full((4, 4), 900, np.uint16))).any()


@pytest.mark.parametrize("window", [(None, None), (2000, None), (2000, 0), ("", ""), (2000, -5)])
def test_an_unset_window_is_none(window: tuple[Any, Any]) -> None:
    data = dicom(DEEP, WindowCenter=window[0], WindowWidth=window[1])
    assert np.array_equal(grey(data), windowed(DEEP))


# Modality


@pytest.mark.parametrize(("slope", "intercept"), [(1, -1024), (2.5, 100), (0.01, 0), (0, 7)])
def test_rescale_alone_does_not_move_the_whole_film(slope: float, intercept: float) -> None:
    data = dicom(DEEP, RescaleSlope=slope, RescaleIntercept=intercept)
    assert np.abs(grey(data).astype(int) - windowed(DEEP)).max() <= 1


def test_a_negative_slope_turns_dark_to_bright() -> None:
    data = dicom(DEEP, RescaleSlope=-1, RescaleIntercept=4000)
    assert np.array_equal(grey(data), windowed(4000 - DEEP.astype(int)))


def test_rescale_comes_before_the_window() -> None:
    data = dicom(
        DEEP,
        RescaleSlope=2,
        RescaleIntercept=-1000,
        WindowCenter=3000,
        WindowWidth=2000,
        VOILUTFunction="LINEAR_EXACT",
    )
    assert np.array_equal(grey(data), scaled((DEEP * 2.0 - 1000 - 3000) / 2000 + 0.5))


@pytest.mark.parametrize("first", [0, 500, -100])
def test_a_modality_lut_is_looked_up(first: int) -> None:
    entries = (np.arange(3000) ** 2 // 140).astype(np.uint16)
    pixels = SIGNED if first < 0 else DEEP
    data = dicom(pixels, ModalityLUTSequence=[lookup_table(entries, first, 16)])
    expected = entries[np.clip(pixels.astype(int) - first, 0, 2999)]
    assert np.array_equal(grey(data), windowed(expected))


def test_a_negative_first_value_in_an_unsigned_element() -> None:
    entries = np.arange(3000, dtype=np.uint16)
    wrapped = dicom(SIGNED, ModalityLUTSequence=[lookup_table(entries, 65536 - 100, 16)])
    assert np.array_equal(grey(wrapped), grey(dicom(SIGNED, ModalityLUTSequence=[lookup_table(entries, -100, 16)])))


# Values of interest


@pytest.mark.parametrize("pixels", [DEEP, SIGNED], ids=["unsigned", "signed"])
@pytest.mark.parametrize(
    ("function", "center", "width"),
    [("LINEAR", 1500, 900), (None, 1500, 900), ("LINEAR_EXACT", 1500.25, 900.5), ("SIGMOID", 1500, 700)],
)
def test_a_window(pixels: Any, function: str | None, center: float, width: float) -> None:
    elements = {} if function is None else {"VOILUTFunction": function}
    x = pixels.astype(np.float64)
    expected = {
        "LINEAR": (x - (center - 0.5)) / (width - 1) + 0.5,
        "LINEAR_EXACT": (x - center) / width + 0.5,
        "SIGMOID": 1 / (1 + np.exp(-4 * (x - center) / width)),
    }[function or "LINEAR"]
    shown = grey(dicom(pixels, WindowCenter=center, WindowWidth=width, **elements))
    assert np.abs(shown - scaled(expected)).max() <= 1
    assert len(np.unique(shown)) > 20


@pytest.mark.parametrize(
    ("function", "center", "width", "black", "white"),
    [("LINEAR", 2048, 4096, 0, 4095), ("LINEAR", 101, 3, 99.5, 101.5), ("LINEAR_EXACT", 100, 10, 95, 105)],
)
def test_the_edges_of_a_window(function: str, center: int, width: int, black: float, white: float) -> None:
    """PS3.3 C.11.2.1.2: what is black and white for sure, and that the steps between are even."""
    shown = grey(dicom(RAMP, WindowCenter=center, WindowWidth=width, VOILUTFunction=function)).ravel()
    assert (shown[: int(np.floor(black)) + 1] == 0).all()
    assert (shown[int(np.ceil(white)) :] == 65535).all()
    inner = np.arange(int(np.ceil(black)), int(np.floor(white)) + 1)
    assert np.abs(shown[inner] - (inner - black) / (white - black) * 65535).max() <= 0.51


def test_a_window_of_width_1_is_a_threshold() -> None:
    shown = grey(dicom(RAMP, WindowCenter=100, WindowWidth=1)).ravel()
    assert np.array_equal(shown, np.where(np.arange(4096) > 99.5, 65535, 0))


def test_a_narrow_sigmoid_does_not_overflow() -> None:
    shown = grey(dicom(RAMP, WindowCenter=100, WindowWidth=0.01, VOILUTFunction="SIGMOID")).ravel()
    assert shown[[0, 99, 100, 101, 4095]].tolist() == [0, 0, 32768, 65535, 65535]


def test_of_several_windows_the_first_is_taken() -> None:
    several = grey(dicom(DEEP, WindowCenter=[1500, 40], WindowWidth=[900, 80]))
    assert np.array_equal(several, grey(dicom(DEEP, WindowCenter=1500, WindowWidth=900)))


@pytest.mark.parametrize(("count", "bits"), [(4096, 16), (4096, 12), (65536, 16), (1000, 10)])
@pytest.mark.parametrize("rescaled", [False, True])
def test_a_voi_lut_comes_before_a_window(count: int, bits: int, rescaled: bool) -> None:
    entries = np.rint(np.linspace(0, 1, count) ** 2 * (2**bits - 1)).astype(np.uint16)
    elements = {"RescaleSlope": 1, "RescaleIntercept": 100} if rescaled else {}
    data = dicom(DEEP, VOILUTSequence=[lookup_table(entries, 50, bits)], WindowCenter=10, WindowWidth=5, **elements)
    index = np.clip(DEEP.astype(int) + (100 if rescaled else 0) - 50, 0, count - 1)
    assert np.array_equal(grey(data), scaled(entries[index] / (2**bits - 1)))


def test_a_voi_lut_of_bytes() -> None:
    # 4096 entries of 8 bits: pydicom's own function wraps the index here.
    item = lookup_table(np.zeros(4096, np.uint16), 0, 8)
    entries = (np.arange(4096) // 16).astype(np.uint8)
    item.LUTData = entries.tobytes()
    assert np.array_equal(grey(dicom(DEEP, VOILUTSequence=[item])), entries[DEEP] * 257.0)


def test_a_voi_lut_that_ends_early_is_corrupt() -> None:
    item = lookup_table(np.zeros(4096, np.uint16), 0, 16)
    item.LUTData = bytes(100)
    with pytest.raises(errors.CorruptImage):
        read_film(dicom(DEEP, VOILUTSequence=[item]))


@pytest.mark.parametrize("big_endian", [False, True])
def test_a_lookup_table_in_either_byte_order(big_endian: bool) -> None:
    entries = np.arange(4096, dtype=np.uint16)[::-1]
    item = lookup_table(entries, 0, 12)
    if big_endian:
        item.LUTData = entries.astype(">u2").tobytes()
    syntax = uid.ExplicitVRBigEndian if big_endian else uid.ExplicitVRLittleEndian
    shown = grey(dicom(DEEP, syntax=syntax, VOILUTSequence=[item]))
    assert np.array_equal(shown, scaled((4095 - DEEP) / 4095))


# Polarity and padding


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"WindowCenter": 1500, "WindowWidth": 900},
        {"VOILUTSequence": [lookup_table(np.arange(4096, dtype=np.uint16), 0, 12)]},
        {"PresentationLUTShape": "INVERSE"},
    ],
    ids=["whole", "window", "lut", "inverse-shape"],
)
def test_monochrome1_is_inverted_after_the_window(elements: dict[str, Any]) -> None:
    dark_is_more = grey(dicom(DEEP, PhotometricInterpretation="MONOCHROME1", **elements))
    assert np.abs(dark_is_more.astype(int) - (65535 - grey(dicom(DEEP, **elements)).astype(int))).max() <= 1


def test_8_bit_monochrome1() -> None:
    assert np.array_equal(grey(dicom(FILM, PhotometricInterpretation="MONOCHROME1")), 65535 - WIDE)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2000, "WindowWidth": 4000}])
@pytest.mark.parametrize("signed", [False, True])
def test_padding_is_background_and_does_not_widen_the_window(
    photometric: str, window: dict[str, Any], signed: bool
) -> None:
    film = SIGNED if signed else DEEP
    value = -30000 if signed else 65000
    padded = film.copy()
    padded[:, :10] = value
    elements = {"PhotometricInterpretation": photometric, **window}
    shown = grey(dicom(padded, PixelPaddingValue=value, **elements))
    assert (shown[:, :10] == 0).all()
    alone = grey(dicom(np.ascontiguousarray(film[:, 10:]), **elements))
    assert np.array_equal(shown[:, 10:], alone)


def test_a_range_of_padding() -> None:
    padded = DEEP.copy()
    padded[:, :5], padded[:, 5:10] = 60000, 61000
    shown = grey(dicom(padded, PixelPaddingValue=61000, PixelPaddingRangeLimit=60000))
    assert (shown[:, :10] == 0).all()
    assert np.array_equal(shown[:, 10:], windowed(DEEP[:, 10:]))


def test_padding_said_in_the_wrong_sign() -> None:
    padded = SIGNED.copy()
    padded[:, :10] = -2000
    data = dicom(padded, PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1")
    data = data.replace(
        struct.pack("<HH2sHh", 0x28, 0x120, b"SS", 2, 0), struct.pack("<HH2sHH", 0x28, 0x120, b"US", 2, 63536)
    )
    assert (grey(data)[:, :10] == 0).all()


def test_a_film_of_nothing_but_padding_is_black() -> None:
    assert not grey(dicom(np.full((4, 4), 9, np.uint16), PixelPaddingValue=9)).any()


# Transfer syntaxes


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
        uid.RLELossless,
        uid.JPEG2000Lossless,
    ],
    ids=lambda syntax: uid.UID(syntax).name[:20],
)
@pytest.mark.parametrize("pixels", [FILM, DEEP, SIGNED], ids=["8-bit", "16-bit", "signed"])
def test_a_lossless_syntax_gives_the_same_film(syntax: str, pixels: Any) -> None:
    assert np.array_equal(grey(dicom(pixels, syntax=syntax)), grey(dicom(pixels)))


@pytest.mark.parametrize(
    ("pixels", "precision"), [(FILM, 8), (DEEP, 12), (DEEP * np.uint16(16), 16)], ids=["8", "12", "16"]
)
@pytest.mark.parametrize("syntax", [uid.JPEGLossless, uid.JPEGLosslessSV1])
def test_lossless_jpeg(pixels: Any, precision: int, syntax: str) -> None:
    stream = lossless_jpeg(pixels, precision)
    shown = grey(dicom(pixels, syntax=syntax, stored_bits=precision, codestream=stream))
    assert np.array_equal(shown, grey(dicom(pixels, stored_bits=precision)))


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit])
def test_lossy_jpeg(syntax: str) -> None:
    stream = encoded(FILM, "JPEG", quality=95)
    shown = read_film(dicom(FILM, syntax=syntax, codestream=stream)).grey8()
    assert np.abs(shown.astype(int) - read_film(stream).grey).max() <= 2


@pytest.mark.parametrize(
    "name",
    ["RLE", "jp2klossless", "jpeg_ls_lossless", "bigendian", "expb", "implicit", "padded"],
)
def test_bundled_magnetic_resonance_in_every_syntax(name: str) -> None:
    plain = grey(bundled("MR_small.dcm"))
    assert np.array_equal(grey(bundled(f"MR_small_{name}.dcm")), plain)
    film = dcmread(get_testdata_file("MR_small.dcm", download=False))
    exact = (film.pixel_array - (film.WindowCenter - 0.5)) / (film.WindowWidth - 1) + 0.5
    assert np.abs(plain - scaled(exact)).max() <= 1


def test_bundled_computed_tomography() -> None:
    film = dcmread(get_testdata_file("CT_small.dcm", download=False))
    stored = film.pixel_array
    inside = stored != film.PixelPaddingValue
    shown = grey(bundled("CT_small.dcm"))
    assert (shown[~inside] == 0).all()
    assert np.array_equal(shown[inside], windowed(stored[inside]))


@pytest.mark.parametrize(
    "name",
    [
        *("693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm", "JPEG2000.dcm", "JPEGLSNearLossless_08.dcm"),
        *("JPEGLSNearLossless_16.dcm", "JPGExtended.dcm", "image_dfl.dcm", "examples_overlay.dcm"),
    ],
)
def test_bundled_films_are_read(name: str) -> None:
    shown = grey(bundled(name))
    header = dcmread(get_testdata_file(name, download=False), stop_before_pixels=True)
    assert shown.shape == (header.Rows, header.Columns)
    assert shown.max() - shown.min() > 10_000


def test_an_unknown_syntax_is_unsupported() -> None:
    for syntax in (uid.MPEG2MPML, "1.2.840.10008.1.2.4.94"):
        with pytest.raises(errors.UnsupportedImage, match="compressed in a way"):
            read_film(dicom(FILM, syntax=syntax, codestream=bytes(100)))


# Colour


@pytest.mark.parametrize(
    "name",
    [
        *("SC_rgb_rle.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_gdcm_KY.dcm", "SC_rgb_dcmtk_+eb+cr.dcm"),
        *("SC_rgb_dcmtk_+eb+cy+np.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_ybr_full_422_uncompressed.dcm"),
        *("SC_rgb_jls_lossy_sample.dcm", "SC_rgb_jls_lossy_line.dcm", "SC_rgb_rle_16bit.dcm"),
    ],
)
def test_bundled_captures_become_the_same_rgb(name: str) -> None:
    film = read_film(bundled(name))
    assert film.colour is not None
    assert film.colour.shape == (100, 100, 3)
    for row, rgb in [(5, (255, 0, 0)), (25, (0, 255, 0)), (45, (0, 0, 255)), (75, (64, 64, 64))]:
        assert np.abs(film.colour[row, 50].astype(int) - rgb).max() <= 6
    assert np.abs(film.colour.astype(int) - read_film(bundled("SC_rgb_rle.dcm")).colour).mean() < 3


@pytest.mark.parametrize("planar", [0, 1])
def test_rgb_is_kept_and_grey_is_its_luma(planar: int) -> None:
    pixels = PHOTO if planar == 0 else np.ascontiguousarray(PHOTO.transpose(2, 0, 1))
    film = read_film(dicom(PHOTO, PlanarConfiguration=planar, PixelData=pixels.tobytes()))
    assert film.colour is not None
    assert np.array_equal(film.colour, PHOTO)
    assert np.abs(film.grey.astype(int) - luma(PHOTO)).max() <= 1


def test_12_bit_rgb_is_scaled_to_8() -> None:
    film = read_film(dicom(PHOTO.astype(np.uint16) * 16, stored_bits=12))
    assert film.colour is not None
    assert np.array_equal(film.colour, np.rint(PHOTO * 16.0 * (255 / 4095)))


def test_a_grey_film_captured_as_rgb_is_grey() -> None:
    film = read_film(dicom(np.stack([FILM] * 3, -1)))
    assert film.colour is None
    assert np.array_equal(film.grey, FILM)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_is_looked_up(bits: int) -> None:
    tables = [np.arange(256), np.arange(256)[::-1], np.full(256, 40)]
    elements: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        entries = table.astype(np.uint8) if bits == 8 else (table * 257).astype("<u2")
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        elements[f"{name}PaletteColorLookupTableData"] = entries.tobytes()
    film = read_film(dicom(FILM, **elements))
    assert film.colour is not None
    assert np.array_equal(film.colour, np.stack([table[FILM] for table in tables], -1))


# Refusals


@pytest.mark.parametrize(
    "name",
    ["reportsi.dcm", "test-SR.dcm", "rtplan.dcm", "rtstruct.dcm", "waveform_ecg.dcm", "liver_1frame.dcm"],
)
def test_dicom_without_a_film_is_unsupported(name: str) -> None:
    with pytest.raises(errors.UnsupportedImage, match="no picture"):
        read_film(bundled(name))


@pytest.mark.parametrize("name", ["SC_rgb_rle_2frame.dcm", "examples_ybr_color.dcm", "rtdose.dcm"])
def test_several_frames_are_unsupported(name: str) -> None:
    with pytest.raises(errors.UnsupportedImage, match="more than one picture"):
        read_film(bundled(name))


@pytest.mark.parametrize(
    "elements",
    [
        {"BitsAllocated": 32},
        {"BitsAllocated": 1, "BitsStored": 1},
        {"PhotometricInterpretation": "HSV"},
        {"PhotometricInterpretation": "RGB"},
        {"BitsStored": 17},
    ],
)
def test_kinds_of_pixels_that_we_do_not_read(elements: dict[str, Any]) -> None:
    with pytest.raises(errors.UnsupportedImage):
        read_film(dicom(DEEP, **elements))


def test_one_frame_said_aloud_is_one_frame() -> None:
    assert np.array_equal(grey(dicom(DEEP, NumberOfFrames=1)), windowed(DEEP))


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian])
def test_too_many_pixels_are_refused_by_the_header(syntax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(get_decoder(uid.ExplicitVRLittleEndian)), "as_array", _must_not_run)
    data = dicom(FILM, syntax=syntax, Rows=8001, Columns=8000)
    with pytest.raises(errors.ImageTooLarge):
        read_film(data)


def test_several_frames_come_before_their_size() -> None:
    with pytest.raises(errors.UnsupportedImage):
        read_film(dicom(FILM, NumberOfFrames=2, Rows=60_000, Columns=60_000))


@pytest.mark.parametrize("skipped", [0, 132])
def test_a_deflated_bomb_is_refused_before_it_is_unpacked(skipped: int) -> None:
    plain = dicom(FILM, syntax=uid.DeflatedExplicitVRLittleEndian)
    start = 144 + struct.unpack_from("<I", plain, 140)[0]
    zeros = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    bomb = b"".join(zeros.compress(bytes(1 << 20)) for _ in range(10)) + zeros.flush()
    with pytest.raises(errors.ImageTooLarge):
        decode_dicom(plain[skipped:start] + bomb, max_pixels=1_000_000)


@pytest.mark.parametrize(
    ("syntax", "stream"),
    [
        (uid.JPEGBaseline8Bit, encoded(FILM, "JPEG")),
        (uid.JPEG2000Lossless, encoded(FILM, "JPEG2000", no_jp2=True)),
        (uid.JPEGLosslessSV1, lossless_jpeg(FILM, 8)),
    ],
)
def test_a_stream_larger_than_its_header_says_is_not_decoded(
    syntax: str, stream: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = dicom(FILM[:8, :8], syntax=syntax, codestream=stream)
    assert grey(dicom(FILM, syntax=syntax, codestream=stream)).shape == FILM.shape
    monkeypatch.setattr(type(get_decoder(uid.ExplicitVRLittleEndian)), "as_array", _must_not_run)
    with pytest.raises(errors.CorruptImage):
        read_film(small)


@pytest.mark.parametrize(
    "syntax",
    [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless, uid.DeflatedExplicitVRLittleEndian],
)
def test_broken_pixels_are_corrupt(syntax: str) -> None:
    data = dicom(np.random.default_rng(0).integers(0, 65536, (64, 64), np.uint16), syntax=syntax)
    with pytest.raises(errors.CorruptImage):
        read_film(data[: len(data) * 3 // 4])


def test_broken_rle_never_escapes_as_a_panic() -> None:
    # A segment that unpacks to more than its share makes pylibjpeg-rle panic, which is a BaseException.
    overlong = struct.pack("<16I", 2, 64, 9064, *[0] * 13) + b"\x81\x05" * 9000
    try:
        read_film(dicom(DEEP, syntax=uid.RLELossless, codestream=overlong))
    except BaseException as error:
        assert type(error) is errors.CorruptImage  # noqa: PT017


def test_a_picture_without_its_pixels_is_corrupt() -> None:
    with pytest.raises(errors.CorruptImage):
        read_film(bundled("MR_truncated.dcm"))
    data = dicom(DEEP)
    with pytest.raises(errors.CorruptImage):
        read_film(data[: data.index(struct.pack("<HH2s", 0x7FE0, 0x10, b"OW"))])


# Recognition, and what is kept to ourselves


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_a_data_set_without_preamble_or_meta(syntax: str) -> None:
    data = dicom(DEEP, syntax=syntax)
    assert is_dicom(data)
    assert np.array_equal(grey(data[132:]), windowed(DEEP))  # the meta information first
    start = 144 + struct.unpack_from("<I", data, 140)[0]
    assert np.array_equal(grey(data[start:]), windowed(DEEP))  # the data set alone


def test_nothing_about_the_patient_is_parsed_or_told(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr("predictors.dicom._check_header", lambda film, _: seen.append(film))
    data = dicom(DEEP, WindowCenter=2000, WindowWidth=100, NumberOfFrames=1)
    with caplog.at_level("DEBUG"):
        grey(data)
    assert "PatientName" not in seen[0]
    assert "SECRET" in data.decode("latin-1")
    assert "SECRET" not in str(seen[0]) + caplog.text + "".join(capfd.readouterr())


def test_pydicom_is_silent() -> None:
    # A sequence cut short makes pydicom log; a number that is none makes it warn, with its value.
    cut = dicom(DEEP, syntax=uid.RLELossless)[:-300]
    nonsense = dicom(DEEP, WindowCenter=2000).replace(b"2000", b"SE\\C")
    overlong = dicom(DEEP, PhotometricInterpretation="MONOCHROME2").replace(b"MONOCHROME2 ", b"MONOCHROME2!")
    program = (
        "import logging, sys\n"
        "from predictors.errors import SecondLookError\n"
        "from predictors.image import read_film\n"
        "logging.basicConfig(level='INFO')\n"
        f"for data in ({cut!r}, {nonsense!r}, {overlong!r}):\n"
        "    try: read_film(data)\n"
        "    except SecondLookError: pass\n"
    )
    run = subprocess.run([sys.executable], input=program, text=True, capture_output=True, check=True)
    assert run.stdout + run.stderr == ""
