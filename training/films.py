"""Films read once, through the function that serving uses, and held in memory as windowed planes."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from predictors.image import Radiograph, read_film
from predictors.preprocess import placement, windowed_planes
from predictors.spec import InputSpec
from training.collections import Box, Example

MASK_STRIDE = 8
"""Box masks are kept at an eighth of the input's resolution: finer than any evidence map here."""


def film_of(example: Example) -> Radiograph:
    """The film as it is to be read: as the file has it, or as its negative."""
    film = read_film(example.path)
    return film.inverted() if example.inverted else film


def planes_of(examples: Sequence[Example], spec: InputSpec, cache: Path | None = None) -> NDArray[np.float16]:
    """Windowed planes of every film: [N, size, size] or [N, size, size, 3] in 0..1.

    ``cache`` is a folder for the decoded planes, so that a resumed training does not decode again.
    """
    key = hashlib.sha256(
        repr((sorted(asdict(spec).items()), [(str(e.path), e.inverted) for e in examples])).encode()
    ).hexdigest()
    stored = cache / f"planes-{key[:16]}.npy" if cache else None
    if stored and stored.is_file():
        return np.load(stored)
    bar = tqdm(examples, desc="reading films", unit="film", mininterval=2)
    planes = np.stack([windowed_planes(film_of(e), spec).astype(np.float16) for e in bar])
    if stored:
        stored.parent.mkdir(parents=True, exist_ok=True)
        np.save(stored, planes)
    return planes


def mask_of(boxes: Sequence[Box], width: int, height: int, spec: InputSpec) -> NDArray[np.float16]:
    """Boxes of one film of ``width`` x ``height`` as a mask over the network's square, at ``MASK_STRIDE``."""
    place = placement(width, height, spec)
    mask = np.zeros((spec.size // MASK_STRIDE, spec.size // MASK_STRIDE), np.float16)
    for x, y, w, h in boxes:
        left, top = place.left + x * place.width, place.top + y * place.height
        right, bottom = left + w * place.width, top + h * place.height
        rows = slice(int(top // MASK_STRIDE), int(np.ceil(bottom / MASK_STRIDE)))
        columns = slice(int(left // MASK_STRIDE), int(np.ceil(right / MASK_STRIDE)))
        mask[rows, columns] = 1
    return mask


def masks_of(examples: Sequence[Example], spec: InputSpec) -> NDArray[np.float16]:
    """Masks of every film's boxes, [N, size/8, size/8]; all zero where a film has none."""
    masks = []
    for example in examples:
        width, height = int(example.facts.get("width", 0)), int(example.facts.get("height", 0))
        if example.boxes and not width:
            film = read_film(example.path)
            width, height = film.width, film.height
        masks.append(mask_of(example.boxes, width or 1, height or 1, spec))
    return np.stack(masks)
