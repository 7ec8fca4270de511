"""Where the body lies on a film: a rough mask, to tell what networks look at."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from predictors.image import Radiograph
from predictors.spec import Scope

GRID = 64
"""Body masks are squares of so many cells a side, whatever the film's proportions."""

AIR = 0.12
"""Grey level, as a fraction of the film's window, under which a cell shows no body."""

LEVELS = 48
"""Bins of the histogram in which the level of a mammogram's air is looked for."""

Mask = NDArray[np.bool_]


def body_of(film: Radiograph, scope: Scope | None) -> Mask:
    """Where the body lies on ``film``, [GRID, GRID], nearly; letters and lines are left out, holes are filled.

    A film on which nothing stands out is all body. Tables and collimator edges that touch the body count as body.
    """
    return _breast(film.grey8()) if scope == "mammogram" else _brighter_than_air(film.grey8())


def _breast(grey: NDArray[np.uint8]) -> Mask:
    """The breast on a mammogram, with the muscle behind it.

    The air on a digitised film is grey, unlike the tape on it, and its level differs from scanner to scanner: it is
    the commonest level of the dark part (Otsu 1979), and the breast the largest patch that is brighter.
    """
    cells = _cells(grey, Image.Resampling.BOX)
    cut = _otsu(cells)
    counts, edges = np.histogram(cells[cells < cut], LEVELS, (0.0, cut))
    air = edges[int(np.argmax(np.convolve(counts, np.ones(3), "same")))] + cut / LEVELS / 2
    patches, sizes = _patches(ndimage.binary_opening(cells > air + max(0.04, (cut - air) / 4), iterations=2))
    if not sizes.size:
        return np.ones((GRID, GRID), np.bool_)
    filled = ndimage.binary_fill_holes(patches == 1 + np.argmax(sizes))
    return np.asarray(ndimage.binary_dilation(filled), np.bool_)  # the skin is nearly as dark as the air


def _brighter_than_air(grey: NDArray[np.uint8]) -> Mask:
    """Cells over ``AIR`` that are part of a patch at least a tenth as large as the largest."""
    patches, sizes = _patches(ndimage.binary_opening(_cells(grey, Image.Resampling.BILINEAR) > AIR))
    if not sizes.size:
        return np.ones((GRID, GRID), np.bool_)
    large = 1 + np.flatnonzero(sizes >= 0.1 * sizes.max())
    return np.asarray(ndimage.binary_fill_holes(np.isin(patches, large)), np.bool_)


def _cells(grey: NDArray[np.uint8], resampling: Image.Resampling) -> NDArray[np.float64]:
    """The film on the grid, its window 0..1."""
    cells = np.asarray(Image.fromarray(grey).resize((GRID, GRID), resampling), np.float64)
    low, high = np.percentile(cells, [0.5, 99.5])
    return np.asarray(np.clip((cells - low) / max(high - low, 1.0), 0, 1))


def _patches(cells: Mask) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The connected patches, numbered from 1, and their sizes."""
    patches, _ = ndimage.label(cells)
    return patches, np.bincount(patches.ravel())[1:]


def _otsu(values: NDArray[np.float64]) -> float:
    """The level that parts ``values`` in 0..1 into the two classes that differ most (Otsu 1979)."""
    counts, edges = np.histogram(values, 128, (0.0, 1.0))
    middles = (edges[1:] + edges[:-1]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * middles)
    total, mean = below[-1], sums[-1]
    apart = (mean * below / total - sums) ** 2 / np.maximum(below * (total - below), 1)
    return float(middles[int(np.argmax(apart))])
