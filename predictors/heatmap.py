"""An evidence map becomes a picture: where on the film the network saw its evidence.

Within a film the map is relative, its peak the strongest evidence there; as a whole it is as strong as the
answer is probable, so that a film without findings stays dark instead of having its noise stretched to full colour.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from predictors.image import Radiograph
from predictors.preprocess import placement

if TYPE_CHECKING:
    from predictors.finding import Finding

LONGEST_SIDE = 1024
"""Pictures are shown no larger than this, in pixels."""

SHARPNESS = 2.0
"""Exponent of the relative evidence of mean-pooled networks: what is far from the peak fades."""

OPACITY = 0.6
"""Of the strongest evidence, in the composed picture."""

# Inferno at sixteen even steps (van der Walt and Smith 2015): lightness rises evenly, also in grey and for the
# colour-blind.
_INFERNO = np.array(
    [
        [0, 0, 4], [12, 8, 38], [36, 12, 79], [66, 10, 104], [93, 18, 110], [120, 28, 109], [147, 38, 103],
        [174, 48, 92], [199, 62, 76], [221, 81, 58], [237, 105, 37], [248, 133, 15], [252, 165, 10],
        [250, 198, 45], [242, 230, 97], [252, 255, 164],
    ],
    np.float64,
)  # fmt: skip

_COLOURS = np.stack([np.interp(np.arange(256) / 17, np.arange(16), _INFERNO[:, c]) for c in range(3)], axis=1)
"""The same at 256 steps, [256, 3]."""


def log_odds_over_film(finding: "Finding") -> NDArray[np.float32]:
    """Log-odds of ``spoken_label`` over the film, [height, width] of its place in the network's square."""
    spec, film = finding.spec, finding.film
    signed = finding.evidence if spoken_label(finding) == spec.positive else -finding.evidence
    left, top, width, height = placement(film.width, film.height, spec.input)
    cell = len(signed) / spec.input.size  # positions of the map to a pixel of the square
    box = (left * cell, top * cell, (left + width) * cell, (top + height) * cell)
    return np.asarray(Image.fromarray(signed.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC, box))


def heat(finding: "Finding") -> NDArray[np.float64]:
    """The map over the film, [height, width] as ``log_odds_over_film``, 0..1.

    Zero at the weakest evidence, the probability of ``spoken_label`` at the peak.
    """
    weight = _weight(finding.log_odds_over_film.astype(np.float64), finding)
    reach = weight.max() - weight.min()
    relative = (weight - weight.min()) / reach if reach > 0 else np.zeros_like(weight)
    return np.asarray(finding.probabilities[spoken_label(finding)] * relative)


def _weight(log_odds: NDArray[np.float64], finding: "Finding") -> NDArray[np.float64]:
    """What every position weighs in the answer, the strongest 1.

    Pooled by log-sum-exp, positions weigh as their odds do; pooled by their mean, as their log-odds.
    """
    if finding.spec.pooling == "logsumexp":
        return np.asarray(np.exp(log_odds - log_odds.max()))
    reach = log_odds.max() - log_odds.min()
    return np.asarray(((log_odds - log_odds.min()) / (reach or 1)) ** SHARPNESS)


def spoken_label(finding: "Finding") -> str:
    """The label that the map speaks for: where is the finding, if there is one?

    The positive label, whatever was decided; the likelier one where the threshold judges the confidence, since
    there both labels are findings.
    """
    return finding.label if finding.spec.decides_by_confidence else finding.spec.positive


def peak(finding: "Finding") -> tuple[float, float]:
    """Where the map is highest: x and y as fractions of the film."""
    values = finding.log_odds_over_film  # the heat is highest there too, and takes longer
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    return (float(column) + 0.5) / values.shape[1], (float(row) + 0.5) / values.shape[0]


def film_layer(finding: "Finding") -> Image.Image:
    """The film as shown: grey, mode L, its longest side at most ``LONGEST_SIDE``."""
    return Image.fromarray(finding.film.grey8()).resize(_shown(finding.film), Image.Resampling.BILINEAR)


def heat_layer(finding: "Finding") -> Image.Image:
    """The map alone, RGBA, of the film layer's size: the stronger the evidence, the more opaque; the peak marked."""
    layer = _coloured(finding, 1.0)
    _mark(layer, peak(finding))
    return layer


def overlay(finding: "Finding") -> Image.Image:
    """The film with the map over it, mode RGB: the film stays visible beneath."""
    film = film_layer(finding).convert("RGBA")
    film.alpha_composite(_coloured(finding, OPACITY))
    picture = film.convert("RGB")
    _mark(picture, peak(finding))
    return picture


def _coloured(finding: "Finding", opacity: float) -> Image.Image:
    strength = Image.fromarray(finding.heat.astype(np.float32)).resize(_shown(finding.film), Image.Resampling.BILINEAR)
    levels = np.rint(255 * np.asarray(strength)).astype(np.uint8)
    alpha = 255 * opacity * np.clip(np.linspace(0, 1.5, 256), 0, 1)
    return Image.fromarray(np.concatenate([_COLOURS, alpha[:, None]], axis=1).astype(np.uint8)[levels])


def _shown(film: Radiograph) -> tuple[int, int]:
    width, height = film.width, film.height
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _mark(picture: Image.Image, where: tuple[float, float]) -> None:
    """A ring around the peak, dark and light, so that it shows on bone and on air."""
    x, y = where[0] * picture.width, where[1] * picture.height
    radius = max(picture.size) * 0.03
    draw = ImageDraw.Draw(picture)
    for reach, colour in ((radius + 1.5, (0, 0, 0, 255)), (radius, (255, 255, 255, 255))):
        box = (x - reach, y - reach, x + reach, y + reach)
        draw.ellipse(box, outline=colour[: len(picture.getbands())], width=2)
