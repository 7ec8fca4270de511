"""Films drawn at the size of real ones, near enough to their kind that the scope guard admits them.

What a new Space is asked about, and what the tests send: nobody's radiograph leaves the house for it.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Film = NDArray[np.uint8]


def limb(width: int = 480, height: int = 640) -> Film:
    """Two tubular bones in soft tissue, one with a dark line across it."""
    y, x = _grid(width, height)
    bend = 12 * np.sin(3 * y / height)

    def tube(centre: float, radius: float) -> NDArray[np.float64]:
        profile: NDArray[np.float64] = 1 - (np.abs(x - centre * width - bend) / (radius * width)) ** 2
        return np.clip(profile, 0, 1)

    film = 12 + 70 * np.sqrt(tube(0.5, 0.33))
    for centre, radius in ((0.42, 0.06), (0.6, 0.045)):
        bone = tube(centre, radius)
        film += np.where(bone > 0.02, 110 * (1 - 0.45 * np.sqrt(bone)), 0)  # bright cortex, darker marrow
    picture = Image.fromarray(_bytes(film))
    draw = ImageDraw.Draw(picture)
    draw.line((0.33 * width, 0.52 * height, 0.5 * width, 0.47 * height), fill=70, width=5)
    draw.text((20, 20), "L", fill=255)
    return _noisy(picture.filter(ImageFilter.GaussianBlur(1.6)), 3)


def mammogram(width: int = 480, height: int = 640) -> Film:
    """A breast in profile with clouds of dense tissue, the pectoral muscle and one bright mass."""
    y, x = _grid(width, height)
    inside = np.clip(1 - (x / (0.75 * width)) ** 2 - ((y - 0.52 * height) / (0.42 * height)) ** 2, 0, 1)
    grain = ((8, 1), (20, 1.5), (50, 2), (120, 3))
    clouds = sum((_cloud(width, height, cells) / weight for cells, weight in grain), np.zeros((height, width)))
    clouds = (clouds - clouds.min()) / np.ptp(clouds)
    film = 5 + inside**0.4 * (60 + 110 * clouds * np.sqrt(inside))
    film += 120 * np.clip(3 * np.clip(1 - x / (0.35 * width) - y / (0.45 * height), 0, 1), 0, 1)
    film += 90 * np.exp(-(((x - 0.35 * width) / 18) ** 2) - ((y - 0.5 * height) / 16) ** 2)
    return _noisy(film, 2)


def chest(width: int = 560, height: int = 560) -> Film:
    """Two dark lungs beside a bright spine and heart, with ribs and a diaphragm."""
    y, x = _grid(width, height)
    u, v = 2 * x / width - 1, 2 * y / height - 1
    film = np.where(np.abs(u) > 0.93, 20, 150 - 360 * np.clip(np.abs(u) - 0.85, 0, 1))
    for side in (-0.42, 0.42):
        film -= 105 * np.sqrt(np.clip(1.15 - ((u - side) / 0.3) ** 2 - ((v + 0.05) / 0.68) ** 2, 0, 1))
    film += 35 * np.exp(-((u / 0.12) ** 2))
    film += 70 * np.sqrt(np.clip(1 - ((u - 0.15) / 0.33) ** 2 - ((v - 0.35) / 0.32) ** 2, 0, 1))
    film += 9 * np.sin(26 * (v + 0.6 * u**2)) * (np.abs(u) < 0.85) * (np.abs(v) < 0.75)
    film += np.where(v > 0.65, 40 * np.clip(5 * (v - 0.65), 0, 1), 0)
    film -= 90 * np.clip(-4 * (v + 0.75), 0, 1) * np.clip(1.5 * np.abs(u) - 0.2, 0, 1)
    return _noisy(Image.fromarray(_bytes(film)).filter(ImageFilter.GaussianBlur(3)), 4)


FILMS = {"limb": limb, "mammogram": mammogram, "chest": chest}
"""By the kinds of ``ModelSpec.scope``."""


def write(kind: str, folder: Path) -> Path:
    """A PNG of the film of this kind, in ``folder``."""
    path = folder / f"{kind}.png"
    Image.fromarray(FILMS[kind]()).save(path)
    return path


def _grid(width: int, height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.mgrid[0:height, 0:width]
    return y.astype(np.float64), x.astype(np.float64)


def _cloud(width: int, height: int, cells: int) -> NDArray[np.float64]:
    coarse = Image.fromarray(np.random.default_rng(cells).random((cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float64)


def _noisy(picture: Any, spread: float) -> Film:
    pixels = np.asarray(picture, np.float64)
    return _bytes(pixels + np.random.default_rng(0).normal(0, spread, pixels.shape))


def _bytes(film: NDArray[np.float64]) -> Film:
    return np.clip(film, 0, 255).astype(np.uint8)
