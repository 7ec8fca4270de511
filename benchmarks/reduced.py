"""By how much probabilities move because large films are read and resized in two steps; on real films.

``SECOND_LOOK_FILMS`` names the folder of the collections. Every film is enlarged, with grain, and saved as a JPEG; the
answer as served is compared with the one of the same JPEG decoded whole and resized at once.
"""

import os
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from benchmarks.measure import Row, show, write
from predictors import image, preprocess
from predictors.image import Radiograph, read_film
from predictors.preprocess import network_input, normalised, placement
from predictors.probability import probabilities
from predictors.registry import Service
from predictors.spec import InputSpec
from tests.drawings import encoded
from tests.load.known import REAL

WEIGHTS = Path(__file__).parent.parent / "weights"
SHORTER_SIDES = (1000, 2000, 2600, 4000)
"""Pixels; the last two are decoded at a fraction, and all are resized in two steps."""


def run(rounds: int | None = None) -> None:
    """Write ``results/reduced.csv``: ``rounds`` films a network and size."""
    films = Path(os.environ["SECOND_LOOK_FILMS"])
    service = Service.open(WEIGHTS)
    rows: list[Row] = []
    for name, pattern in REAL.items():
        predictor = service[name]
        network, spec = predictor.load(), predictor.spec

        def answer(batch: preprocess.Plane) -> float:
            return probabilities(network(batch).logits, spec)[spec.positive]  # noqa: B023

        paths = sorted(films.glob(pattern))
        for side in SHORTER_SIDES:
            moved = []
            for path in tqdm(paths[:: max(1, len(paths) // (rounds or 40))], desc=f"{name} {side}", mininterval=2):
                data = _enlarged(path, side)
                served = answer(network_input(read_film(data), spec.input))
                moved.append(abs(served - answer(_at_once(_whole(data), spec.input))))
            rows.append(
                {
                    "model": name,
                    "shorter_side": side,
                    "films": len(moved),
                    "mean": round(float(np.mean(moved)), 5),
                    "p99": round(float(np.percentile(moved, 99)), 5),
                    "largest": round(max(moved), 5),
                }
            )
    show(rows)
    write(rows, "reduced")


def _enlarged(path: Path, side: int) -> bytes:
    with Image.open(path) as small:
        times = side / min(small.size)
        large = small.convert("L").resize([round(times * n) for n in small.size], Image.Resampling.LANCZOS)
    grain = np.random.default_rng(0).normal(0, 3, (large.height, large.width))
    return encoded(np.clip(np.asarray(large) + grain, 0, 255).astype(np.uint8), "JPEG", quality=92)


def _whole(data: bytes) -> Radiograph:
    """The film decoded at its full size."""
    limit, image.REDUCED_SIDE = image.REDUCED_SIDE, 1 << 20
    try:
        return read_film(data)
    finally:
        image.REDUCED_SIDE = limit


def _at_once(film: Radiograph, spec: InputSpec) -> preprocess.Plane:
    """The network's input, resized from the full size in one step."""
    place = placement(film.width, film.height, spec)
    picture = Image.fromarray(film.grey).convert("F")
    small = np.asarray(picture.resize((place.width, place.height), Image.Resampling.BILINEAR)) / np.float32(255)
    low, high = np.percentile(small, spec.window)
    square = np.zeros((spec.size, spec.size), np.float32)
    shown = np.clip((small - low) / (high - low), 0, 1)
    square[place.top : place.top + place.height, place.left : place.left + place.width] = shown
    return normalised(square, spec)[None]
