"""DICOM's grayscale pipeline: stored values become brightness, as a reader would see it.

The order is that of DICOM PS3.3 C.11 (and PS3.4 N.2): stored value -> modality -> values of interest ->
polarity. A stored value has at most 16 bits, so the whole chain is computed once for each value that a
pixel can have, in float64, and the film is then looked up in that table: exact, and as fast as one copy.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.multival import MultiValue

from predictors.bands import bands, looked_up
from predictors.errors import CorruptImage


def shown_grey(film: Any, stored: NDArray[Any]) -> NDArray[np.uint16]:
    """Stored values (8 or 16 bits, signed or not) -> H x W uint16, 0 = black, 65535 = white."""
    codes = stored.view(f"u{stored.itemsize}")
    levels = np.arange(1 << 8 * stored.itemsize, dtype=codes.dtype).view(stored.dtype)
    padding = _padding(film, levels)
    values = _modality(film, levels.astype(np.float64))
    brightness = _voi_lut(film, values)
    if brightness is None:
        brightness = _voi_window(film, values)
    if brightness is None:
        brightness = _whole_range(values, _shown(film, codes, levels) & ~padding)
    # Polarity is told by the photometric interpretation alone: Presentation LUT Shape INVERSE says the same
    # thing a second time (PS3.3 C.11.6), and must not undo it.
    if film.PhotometricInterpretation == "MONOCHROME1":
        brightness = 1 - brightness
    brightness[padding] = 0  # outside the film is background, in either polarity
    return looked_up(np.rint(brightness * 65535).astype(np.uint16), codes)


def _padding(film: Any, levels: NDArray[Any]) -> NDArray[np.bool_]:
    """Which levels mark pixels that are no part of the film (PS3.3 C.7.5.1.1.2)."""
    value = film.get("PixelPaddingValue")
    if value is None:
        return np.zeros(levels.shape, bool)
    limit = film.get("PixelPaddingRangeLimit")
    # Writers confuse signed and unsigned here: take the bits, and read them as the pixels are read.
    pair = np.array([value, value if limit is None else limit], np.int64).astype(levels.dtype)
    return np.asarray((levels >= pair.min()) & (levels <= pair.max()))


def _modality(film: Any, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Modality LUT, or rescale slope and intercept (PS3.3 C.11.1)."""
    if film.get("ModalityLUTSequence"):
        table, first, _ = _table(film, film.ModalityLUTSequence[0], values)
        return _through(values, table, first)
    slope, intercept = film.get("RescaleSlope"), film.get("RescaleIntercept")
    # A slope of 0 would erase the film; it is a writer's "not set".
    return np.asarray(values * float(slope or 1) + float(intercept or 0))


def _voi_lut(film: Any, values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Brightness 0..1 by the first VOI LUT, which comes before any window (PS3.3 C.11.2.1.1)."""
    if not film.get("VOILUTSequence"):
        return None
    table, first, bits = _table(film, film.VOILUTSequence[0], values)
    return np.asarray(np.clip(_through(values, table, first) / (2**bits - 1), 0, 1))


def _voi_window(film: Any, values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Brightness 0..1 by the first window (PS3.3 C.11.2.1.2 and C.11.2.1.3); None without a valid one."""
    center, width = (_first_number(film.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if center is None or width is None or width <= 0:
        return None  # a width of 0 is what some writers put for "none"
    function = str(film.get("VOILUTFunction") or "LINEAR").upper()
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700))))
    if function != "LINEAR_EXACT":  # LINEAR counts whole values, from center - 0.5 - (width - 1) / 2
        center, width = center - 0.5, width - 1
        if width <= 0:
            return None if width < 0 else (values > center).astype(np.float64)
    return np.asarray(np.clip((values - center) / width + 0.5, 0, 1))


def _shown(film: Any, codes: NDArray[Any], levels: NDArray[Any]) -> NDArray[np.bool_]:
    """The levels that a film without a window is shown by.

    The whole range of 8 bits, or from the lowest to the highest value present if there are more: so that the
    film looks as it does in an 8-bit or in a 16-bit PNG.
    """
    shown = np.zeros(levels.shape, bool)
    if film.BitsStored > 8:
        for rows in bands(*codes.shape):
            shown[codes[rows]] = True
        return shown
    lowest = -(1 << film.BitsStored - 1) if film.PixelRepresentation else 0
    return np.asarray((levels >= lowest) & (levels < lowest + (1 << film.BitsStored)))


def _whole_range(values: NDArray[np.float64], shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Brightness 0..1 from the lowest to the highest value shown; a constant film is black."""
    low, high = (values[shown].min(), values[shown].max()) if shown.any() else (0.0, 0.0)
    return np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)


def _table(film: Any, item: Any, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], int, int]:
    """A lookup table, the first value that it maps, and the bits of its entries (PS3.3 C.11.1.1)."""
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    count = count or 1 << 16
    if first >= 1 << 15 and values.min() < 0:
        first -= 1 << 16  # a negative first value, stored in an unsigned element
    data = item.LUTData
    if isinstance(data, bytes):
        word = "u1" if len(data) < 2 * count else "<u2" if film.original_encoding[1] else ">u2"
        data = np.frombuffer(data, word)
    table = np.atleast_1d(np.asarray(data, np.float64))[:count]
    if len(table) < count:
        raise CorruptImage
    return table, first, bits


def _through(values: NDArray[np.float64], table: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    """``values`` through ``table``; outside it, its first and last entries hold."""
    index = np.clip(np.rint(values) - first, 0, len(table) - 1).astype(np.intp)
    return np.asarray(table[index])


def _first_number(value: Any) -> float | None:
    """A number of an element with one value or several; None if it is absent, empty or not finite."""
    first = next(iter(value), None) if isinstance(value, MultiValue) else value
    number = float("nan" if first in (None, "") else first)
    return number if np.isfinite(number) else None
