"""Where heat maps point: into the fracture boxes that radiologists drew, and onto the body rather than beside it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from predictors import heatmap
from predictors.image import Radiograph
from predictors.predictor import Finding
from training.collections import Box
from training.figures import Groups, interval

MARGIN = 0.05
"""A peak counts as in a box that is grown by this fraction of the film."""

GRID = 64
"""Body masks and maps are compared on a square of so many cells a side."""

AIR = 0.12
"""Grey level, as a fraction of the film's window, under which a cell shows no body."""

Mask = NDArray[np.bool_]


def body_of(film: Radiograph) -> Mask:
    """Where the body lies on ``film``, [GRID, GRID], nearly: what is brighter than air, without letters and lines.

    A cell belongs to the body if it is over ``AIR`` and part of a patch that is at least a tenth as large as the
    largest; holes are filled. Tables and collimator edges that touch the body count as body.
    """
    small = Image.fromarray(film.grey8()).resize((GRID, GRID), Image.Resampling.BILINEAR)
    grey = np.asarray(small, np.float64)
    low, high = np.percentile(grey, [0.5, 99.5])
    bright = ndimage.binary_opening(grey > low + AIR * max(high - low, 1.0))
    patches, count = ndimage.label(bright)
    if not count:
        return np.ones((GRID, GRID), np.bool_)
    sizes = np.bincount(patches.ravel())[1:]
    large = 1 + np.flatnonzero(sizes >= 0.1 * sizes.max())
    return np.asarray(ndimage.binary_fill_holes(np.isin(patches, large)), np.bool_)


def outside_body(finding: Finding, body: Mask) -> float:
    """The share, 0..1, of the heat map's energy that lies beside the body."""
    heat = np.asarray(
        Image.fromarray(finding.heat.astype(np.float32)).resize((GRID, GRID), Image.Resampling.BOX), np.float64
    )
    return float(heat[~body].sum() / max(heat.sum(), 1e-12))


def peak_in_box(finding: Finding, boxes: Sequence[Box]) -> bool:
    """Whether the map's peak lies in one of ``boxes``, grown by ``MARGIN``."""
    x, y = heatmap.peak(finding)
    return any(
        left - MARGIN <= x <= left + width + MARGIN and top - MARGIN <= y <= top + height + MARGIN
        for left, top, width, height in boxes
    )


def share(hits: Sequence[float], groups: Groups) -> dict[str, Any]:
    """Mean of ``hits`` with its interval over groups."""
    values = np.array(hits, np.float64)
    low, high = interval(lambda rows: float(values[rows].mean()), groups)
    return {"films": len(values), "share": round(float(values.mean()), 4), "share_95": [round(low, 4), round(high, 4)]}
