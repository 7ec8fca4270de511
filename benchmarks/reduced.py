"""By how much probabilities move because large films are read and resized in two steps; on real films.

``SECOND_LOOK_FILMS`` names the folder of the collections. Every film is enlarged, with grain, and saved as a JPEG; the
answer as served is compared with the one of the same JPEG decoded whole and resized at once.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from benchmarks.measure import Row, show, write
from benchmarks.servers import WEIGHTS
from predictors import image
from predictors.header import MAX_PIXELS
from predictors.image import read_film
from predictors.preprocess import network_input
from predictors.probability import probabilities
from predictors.registry import Service
from tests.drawings import encoded
from tests.load.known import REAL

SHORTER_SIDES = (1000, 2000, 2600, 4000)
"""Pixels; the last two are decoded at a fraction, the first is too small for most networks to be treated otherwise."""

AT_ONCE = float(1 << 20)
"""A reducing gap that no film reaches."""


def run(rounds: int | None = None) -> None:
    """Write ``reduced.csv``: ``rounds`` films a network and size."""
    films = Path(os.environ["SECOND_LOOK_FILMS"])
    service = Service.open(WEIGHTS)
    rows: list[Row] = []
    for name, pattern in REAL.items():
        predictor = service[name]
        network, spec = predictor.load(), predictor.spec

        def answer(data: bytes, reducing_gap: float) -> float:
            batch = network_input(read_film(data), replace(spec.input, reducing_gap=reducing_gap))  # noqa: B023
            return probabilities(network(batch).logits, spec)[spec.positive]  # noqa: B023

        paths = [path for path in sorted(films.glob(pattern)) if _fits(path)]
        for side in SHORTER_SIDES:
            moved = []
            for path in tqdm(paths[:: max(1, len(paths) // (rounds or 40))], desc=f"{name} {side}", mininterval=2):
                data = _enlarged(path, side)
                served = answer(data, spec.input.reducing_gap)
                with _decoded_whole():
                    moved.append(abs(served - answer(data, AT_ONCE)))
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


def _fits(path: Path) -> bool:
    """Whether the film is read at every size: one that is four times as long as wide is too large at the largest."""
    with Image.open(path) as small:
        return max(SHORTER_SIDES) ** 2 * max(small.size) <= MAX_PIXELS * min(small.size)


def _enlarged(path: Path, side: int) -> bytes:
    with Image.open(path) as small:
        times = side / min(small.size)
        large = small.convert("L").resize([round(times * n) for n in small.size], Image.Resampling.LANCZOS)
    grain = np.random.default_rng(0).normal(0, 3, (large.height, large.width))
    return encoded(np.clip(np.asarray(large) + grain, 0, 255).astype(np.uint8), "JPEG", quality=92)


@contextmanager
def _decoded_whole() -> Iterator[None]:
    side, image.REDUCED_SIDE = image.REDUCED_SIDE, 1 << 20
    try:
        yield
    finally:
        image.REDUCED_SIDE = side
