"""Where heat maps point: into the fracture boxes that radiologists drew, and onto the body rather than beside it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from predictors import heatmap
from predictors.finding import Finding
from training.body import GRID, Mask
from training.collections import Box
from training.figures import Groups, interval

MARGIN = 0.05
"""A peak counts as in a box that is grown by this fraction of the film."""


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
