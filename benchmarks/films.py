"""The films that are timed: drawn limbs that the scope guard admits, in the files that people send."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from pydicom import uid

from space.deploy.films import limb
from tests.drawings import dicom, encoded


@cache
def jpeg(side: int = 1024) -> bytes:
    """A square film of ``side`` pixels as a JPEG of quality 90."""
    return encoded(limb(side, side), "JPEG", quality=90)


@cache
def deep_png(width: int = 3000, height: int = 2500) -> bytes:
    """A film of 12 bits in a 16-bit PNG."""
    return encoded(_deep(width, height), "PNG")


@cache
def jpeg2000_dicom(width: int = 2500, height: int = 2000) -> bytes:
    """A film of 12 bits in a DICOM file, compressed with JPEG 2000 (lossless)."""
    return dicom(_deep(width, height), syntax=uid.JPEG2000Lossless, stored_bits=12)


def _deep(width: int, height: int) -> NDArray[np.uint16]:
    """The drawn film at 12 bits, its lowest bits filled as a detector's noise fills them."""
    noise = np.random.default_rng(0).integers(0, 16, (height, width), np.uint16)
    return (limb(width, height).astype(np.uint16) << np.uint16(4)) | noise
