"""A film's file to the network's input, as the services that were replaced say they do it: open, squeeze, scale."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from predictors.spec import InputSpec

Batch = NDArray[np.float32]
"""A network's input, [1, size, size, 3]."""


def network_input(file: bytes, spec: InputSpec) -> Batch:
    """Decode ``file`` with Pillow, squeeze it to the network's square and scale it as its backbone expects."""
    picture = Image.open(io.BytesIO(file)).convert("RGB")
    pixels = np.asarray(picture.resize((spec.size, spec.size), Image.Resampling.BILINEAR), np.float32)
    mean, std = np.asarray(spec.mean, np.float32), np.asarray(spec.std, np.float32)
    return ((pixels / np.float32(255) - mean) / std)[None]
