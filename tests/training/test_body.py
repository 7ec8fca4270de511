"""Where the body lies, on films drawn for it."""

import numpy as np
import pytest

from predictors.image import Radiograph
from predictors.spec import Scope
from training.body import GRID, body_of

SIDE = 320


def film_with_letters() -> np.ndarray:
    """A bright limb down the middle third, with a letter in the upper left corner."""
    grey = np.full((SIDE, SIDE), 5, np.uint8)
    grey[:, 107:213] = 150
    grey[20:34, 20:32] = 250
    return grey


def mammogram(air: int, turned: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A breast, dim towards its skin, in grey air with black tape and white letters; and its outline."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    depth = 1 - np.hypot((rows - 0.5) / 0.4, columns / 0.6)  # 0 at the skin, 1 at the chest wall
    grey = air + 12 * np.random.default_rng(0).random((SIDE, SIDE))
    grey = np.where(depth > 0, air + 40 + (215 - air) * depth.clip(0, 1) ** 0.7, grey).clip(0, 255)
    grey[10:30, 230:310] = 0
    grey[50:70, 250:290] = 245
    film, outline = grey.astype(np.uint8), depth > 0
    return (film[:, ::-1], outline[:, ::-1]) if turned else (film, outline)


def limb(grey: np.ndarray) -> np.ndarray:
    return body_of(Radiograph(grey, None, "PNG"), "limb")


def test_the_body_is_what_is_bright_and_large() -> None:
    body = limb(film_with_letters())
    assert body.shape == (GRID, GRID)
    assert body[:, GRID // 2].all()
    assert not body[:, : GRID // 4].any()
    assert body.mean() == pytest.approx(1 / 3, abs=0.03)


def test_a_hole_in_the_body_is_body() -> None:
    grey = film_with_letters()
    grey[140:160, 150:170] = 5
    assert np.array_equal(limb(grey), limb(film_with_letters()))


@pytest.mark.parametrize("scope", ["limb", "chest", "mammogram"])
def test_a_blank_film_is_all_body(scope: Scope) -> None:
    assert body_of(Radiograph(np.zeros((50, 50), np.uint8), None, "PNG"), scope).all()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("air", [4, 30, 70])
def test_a_breast_is_told_from_air_of_any_level_from_tape_and_from_letters(air: int, turned: bool) -> None:
    film, outline = mammogram(air, turned)
    found = body_of(Radiograph(film, None, "PNG"), "mammogram")
    known = outline.reshape(GRID, SIDE // GRID, GRID, SIDE // GRID).mean((1, 3)) > 0.5
    assert (found & known).sum() / (found | known).sum() > 0.9


def test_grey_air_would_be_body_by_the_rule_for_limbs() -> None:
    film, _ = mammogram(70)
    assert limb(film).mean() > 0.9
    assert body_of(Radiograph(film, None, "PNG"), "mammogram").mean() < 0.5
