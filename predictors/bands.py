"""Large films are worked through a few rows at a time: what is in between needs no memory of the film's own size."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PIXELS = 1 << 18
"""In one band, about: its 32-bit samples fit a core's own cache."""


def bands(height: int, width: int) -> Iterator[slice]:
    """The rows of a film of ``height`` x ``width`` pixels, as slices from its top to its bottom."""
    rows = max(1, _PIXELS // max(1, width))
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def looked_up(table: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
    """``table[codes]`` for H x W or H x W x C codes; NumPy makes eight bytes of every code that it looks up.

    Every code must have an entry: others get the last one's, which costs half as much as to check.
    """
    values = np.empty(codes.shape, table.dtype)
    for rows in bands(*codes.shape[:2]):
        np.take(table, codes[rows], out=values[rows], mode="clip")
    return values
