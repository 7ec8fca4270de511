"""A patient who does not exist, on films that say so in every place where a film can say something."""

from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image
from pydicom import Dataset, dcmread, dcmwrite, uid

from tests.drawings import dicom, encoded
from tests.films import chest, mammogram

FILE_NAME = "Quartermaine_Zebedee_19371104_Erasmus.dcm"

_TAGS = {
    "PatientName": "Quartermaine^Zebedee",
    "PatientID": "PID-7731-XK",
    "PatientBirthDate": "19371104",
    "PatientAddress": "9 Larkspur Mews",
    "OtherPatientNames": "Thistlewood^Zebedee",
    "InstitutionName": "Saint Erasmus Infirmary",
    "ReferringPhysicianName": "Pemberton^Ottoline",
    "AccessionNumber": "ACC-99123-Q",
    "StudyID": "STUDY-4471-R",
    "StudyDescription": "Thorax after fall from quince tree",
    "ImageComments": "Widow lives at Brambleford",
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.77317731",
}

WORDS = [
    b"quartermaine",
    b"zebedee",
    b"pid-7731",
    b"19371104",
    b"larkspur",
    b"thistlewood",
    b"erasmus",
    b"ottoline",
    b"acc-99123",
    b"study-4471",
    b"quince tree",
    b"brambleford",
    b"77317731",
    b"quillfeather",  # in a private element
    b"mistletoe",  # drawn over the film, as an overlay's bits
    b"foxglove",  # in the preamble, before the file says that it is DICOM
    b"hollyhock",  # in the file's own header
]
"""Lower case. What is looked for, in any case, wherever something could have stayed."""


@cache
def film() -> bytes:
    """A chest film as DICOM, 8 bits, of which everything is told."""
    data = _described(chest())
    return _written(data)


@cache
def mammogram_film() -> bytes:
    """The same of a mammogram, whose answers hold the caller's name of the file."""
    return _written(_described(mammogram()))


@cache
def photograph() -> bytes:
    """The film as JPEG, with the patient in its EXIF, its comment and behind its end."""
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = _TAGS["PatientName"], _TAGS["InstitutionName"]
    jpeg = encoded(chest(), "JPEG", exif=exif, comment=_TAGS["PatientID"], quality=90)
    return jpeg + _TAGS["AccessionNumber"].encode()


@cache
def broken() -> dict[str, bytes]:
    """Films that fail on the way, each at another place."""
    whole = film()
    name = _TAGS["PatientName"].encode()
    at = whole.index(name)
    syntax = uid.ExplicitVRLittleEndian.encode()
    return {
        "truncated in the pixels": whole[: len(whole) // 2],
        "a length that is too long": whole[: at - 2] + b"\xff\xff" + whole[at:],
        "a transfer syntax that is a name": whole.replace(syntax, name[: len(syntax)], 1),
        "a height that is a name": whole.replace(b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00LO\x02\x00", 1),
        "a name that is not text": whole.replace(name, b"\xff\xfe" + name[2:], 1),
    }


@cache
def pixels() -> list[bytes]:
    """A run of the film as it is in the files, and as it is in memory once read."""
    row = chest()[300, 200:264]
    assert len(np.unique(row)) > 8  # nothing that could be there by chance
    jpeg = photograph()
    middle = len(jpeg) // 2
    return [row.tobytes(), (row.astype(np.uint16) * 257).tobytes(), jpeg[middle : middle + 64]]


def _described(pixels: "np.ndarray[tuple[int, int], np.dtype[np.uint8]]") -> Dataset:
    data = dcmread(BytesIO(dicom(pixels, **_TAGS)))
    data.private_block(0x0011, "ZEPHYR PRIVATE", create=True).add_new(0x01, "LO", "Quillfeather")
    overlay = b"Mistletoe".ljust(8 * 8, b"\0")
    for element, kind, value in ((0x10, "US", 8), (0x11, "US", 64), (0x40, "CS", "G"), (0x100, "US", 1)):
        data.add_new((0x6000, element), kind, value)
    data.add_new((0x6000, 0x50), "SS", [1, 1])
    data.add_new((0x6000, 0x3000), "OW", overlay)
    data.preamble = b"Foxglove".ljust(128, b"\0")
    data.file_meta.SourceApplicationEntityTitle = "HOLLYHOCK"
    data.file_meta.ImplementationVersionName = "HOLLYHOCK"
    return data


def _written(data: Dataset) -> bytes:
    stream = BytesIO()
    dcmwrite(stream, data, enforce_file_format=True)
    return stream.getvalue()
