"""Films drawn in memory, and the files that hold them: what the tests send in place of radiographs."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import Dataset, dcmwrite, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate

Pixels = NDArray[Any]


def drawn_film(width: int = 96, height: int = 80) -> NDArray[np.uint8]:
    """A limb, roughly: two bright shafts on a soft slope, with a dark line across one. No symmetry."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    slope = 30 + 60 * x + 20 * y
    canvas = Image.fromarray(slope.astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((width * 0.2, 0, width * 0.4, height), fill=190)
    draw.rectangle((width * 0.55, height * 0.1, width * 0.68, height), fill=235)
    draw.line((width * 0.2, height * 0.45, width * 0.4, height * 0.55), fill=60, width=max(1, height // 40))
    draw.text((2, 2), "L", fill=255)
    return np.asarray(canvas)


def drawn_deep_film(width: int = 96, height: int = 80, low: int = 120, high: int = 4000) -> NDArray[np.uint16]:
    """The same at 12 bits in 16: uint16 with ``low`` and ``high`` as its extremes, and a fine texture."""
    fine = drawn_film(width, height) * 16.0 + np.arange(width * height).reshape(height, width) % 13
    fine = (fine - fine.min()) / (fine.max() - fine.min())
    return np.rint(low + fine * (high - low)).astype(np.uint16)


def drawn_photo(width: int = 96, height: int = 80) -> NDArray[np.uint8]:
    """A picture with colour: H x W x 3, with channels that differ."""
    film = drawn_film(width, height)
    return np.stack([film, film[::-1], 255 - film[:, ::-1]], axis=-1)


def windowed(values: Pixels) -> NDArray[np.uint16]:
    """What a film of more than 8 bits without metadata must become: lowest -> 0, highest -> 65535."""
    exact = values.astype(np.float64)
    return np.rint((exact - exact.min()) * 65535 / (exact.max() - exact.min())).astype(np.uint16)


def luma(rgb: Pixels) -> Pixels:
    """ITU-R 601: 0.299 R + 0.587 G + 0.114 B, rounded."""
    return np.rint(rgb @ np.array([0.299, 0.587, 0.114])).astype(rgb.dtype)


def encoded(pixels: Pixels | Image.Image, file_format: str, **options: Any) -> bytes:
    """A file as Pillow writes it."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


# PNG, by hand: Pillow writes neither 16-bit colour, nor interlaced files, nor a tRNS of its own depth

_ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int, depth: int, colour_type: int, interlaced: bool = False) -> bytes:
    """Signature and IHDR: enough to tell the size, and no pixel."""
    fields = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", fields)


def png(samples: Pixels, depth: int, colour_type: int, *, interlaced: bool = False, chunks: bytes = b"") -> bytes:
    """H x W or H x W x C samples of ``depth`` bits; colour type 0 grey, 2 RGB, 3 palette, 4 LA, 6 RGBA."""
    height, width = samples.shape[:2]
    passes = _ADAM7 if interlaced else [(0, 0, 1, 1)]
    rows = [row for x, y, dx, dy in passes for row in samples[y::dy, x::dx]]
    packed = b"".join(_png_row(row, depth) for row in rows if row.size)
    header = png_header(width, height, depth, colour_type, interlaced)
    return header + chunks + png_chunk(b"IDAT", zlib.compress(packed)) + png_chunk(b"IEND", b"")


def _png_row(row: Pixels, depth: int) -> bytes:
    if depth < 8:
        bits = "".join(f"{sample:0{depth}b}" for sample in row.ravel())
        bits += "0" * (-len(bits) % 8)
        return b"\0" + bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    plain = np.frombuffer(row.astype(f">u{depth // 8}").tobytes(), np.uint8).reshape(len(row), -1)
    return b"\1" + np.diff(plain, axis=0, prepend=plain[:1] * 0).tobytes()  # filter 1, Sub


# TIFF, by hand: Pillow writes few of the kinds that it reads


def tiff(
    samples: Pixels,
    *,
    photometric: int = 1,
    big_endian: bool = False,
    compressed: bool = False,
    tags: dict[int, int] | None = None,
) -> bytes:
    """One page of H x W or H x W x C samples, in one strip; ``tags`` adds SHORT tags."""
    end = ">" if big_endian else "<"
    strip = samples.astype(samples.dtype.newbyteorder(end)).tobytes()
    strip = zlib.compress(strip) if compressed else strip
    strip += bytes(len(strip) % 2)
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    sample_format = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    fields: dict[int, list[int]] = {
        256: [samples.shape[1]],
        257: [samples.shape[0]],
        258: [8 * samples.dtype.itemsize] * channels,
        259: [8 if compressed else 1],
        262: [photometric],
        273: [8],
        277: [channels],
        279: [len(strip)],
        339: [sample_format] * channels,
        **({338: [2]} if channels in (2, 4) else {}),
        **{tag: [value] for tag, value in (tags or {}).items()},
    }
    directory = struct.pack(end + "H", len(fields))
    overflow_at, overflow = 8 + len(strip) + 2 + 12 * len(fields) + 4, b""
    for tag, numbers in sorted(fields.items()):
        kind, code = (4, "I") if tag in (256, 257, 273, 279) else (3, "H")
        value = struct.pack(f"{end}{len(numbers)}{code}", *numbers)
        if len(value) > 4:
            value, overflow = struct.pack(end + "I", overflow_at + len(overflow)), overflow + value
        directory += struct.pack(end + "HHI", tag, kind, len(numbers)) + value.ljust(4, b"\0")
    head = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(end + "I", 8 + len(strip))
    return head + strip + directory + bytes(4) + overflow


# DICOM


def dicom(
    pixels: Pixels,
    *,
    syntax: str = uid.ExplicitVRLittleEndian,
    stored_bits: int | None = None,
    codestream: bytes | None = None,
    **elements: Any,
) -> bytes:
    """A DICOM Part 10 file with one frame of H x W or H x W x 3 pixels; ``elements`` adds or replaces.

    ``syntax`` may be an uncompressed one, RLE or JPEG 2000 Lossless; with ``codestream``, any.
    """
    data = Dataset()
    data.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    data.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    data.PatientName = "SECRET^PATIENT"
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    data.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = 8 * pixels.dtype.itemsize
    data.BitsStored = stored_bits or data.BitsAllocated
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    raw = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    data.PixelData = raw + bytes(len(raw) % 2)
    data["PixelData"].VR = "OB" if data.BitsAllocated == 8 else "OW"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    if codestream is not None:
        data.PixelData = encapsulate([codestream])
        data["PixelData"].VR = "OB"
    elif uid.UID(syntax).is_encapsulated:
        data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        data.compress(syntax, generate_instance_uid=False)
    for name, value in elements.items():
        setattr(data, name, value)
    stream = BytesIO()
    dcmwrite(stream, data, enforce_file_format=True)
    return stream.getvalue()


def lookup_table(entries: Pixels, first: int, bits: int) -> Dataset:
    """An item of a Modality or VOI LUT Sequence."""
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, bits]
    item.LUTData = entries.astype("<u2").tobytes()
    item["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    item["LUTData"].VR = "OW"
    return item


def lossless_jpeg(samples: Pixels, precision: int = 16) -> bytes:
    """JPEG Lossless, first-order prediction (process 14, selection value 1): what most X-ray systems write.

    One Huffman table that gives every size of difference (0..16 bits) a code of 5 bits: ITU-T T.81 H.1.
    """
    height, width = samples.shape
    values = samples.astype(np.int64)
    before = np.empty_like(values)
    before[:, 1:], before[1:, 0], before[0, 0] = values[:, :-1], values[:-1, 0], 1 << (precision - 1)
    differences = (values - before + 32768) % 65536 - 32768
    bits = []
    for difference in differences.ravel().tolist():
        size = abs(difference).bit_length()
        bits.append(f"{size:05b}")
        if 0 < size < 16:  # a negative one is written as its ones' complement
            bits.append(f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}")
    packed = "".join(bits)
    packed += "1" * (-len(packed) % 8)
    scan = int(packed, 2).to_bytes(len(packed) // 8, "big").replace(b"\xff", b"\xff\0")
    segments = [
        (0xC3, struct.pack(">BHHBBBB", precision, height, width, 1, 1, 0x11, 0)),
        (0xC4, bytes([0, 0, 0, 0, 0, 17] + [0] * 11) + bytes(range(17))),
        (0xDA, bytes([1, 1, 0, 1, 0, 0])),
    ]
    head = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return b"\xff\xd8" + head + scan + b"\xff\xd9"
