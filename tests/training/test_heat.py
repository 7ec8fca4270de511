"""Where heat maps point, on maps and films drawn for it."""

import numpy as np

from predictors.image import Radiograph
from tests.predictors.conftest import made_finding
from tests.training.test_body import film_with_letters
from training.body import body_of
from training.heat import outside_body, peak_in_box, share


def spot(row: int, column: int) -> np.ndarray:
    """Evidence around one of 16 x 16 positions, and none far from it."""
    rows, columns = np.mgrid[:16, :16]
    return np.asarray(16 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 2) - 8)


def test_heat_on_a_letter_lies_outside_and_heat_on_the_limb_does_not() -> None:
    grey = film_with_letters()
    body = body_of(Radiograph(grey, None, "PNG"), "limb")
    on_letter = made_finding("bone_fracture", 0.9, evidence=spot(1, 1), grey=grey)
    on_limb = made_finding("bone_fracture", 0.9, evidence=spot(8, 8), grey=grey)
    assert outside_body(on_letter, body) > 0.95
    assert outside_body(on_limb, body) < 0.05


def test_a_peak_is_in_a_box_or_just_beside_it() -> None:
    finding = made_finding("bone_fracture", 0.9, evidence=spot(8, 8), grey=film_with_letters())
    assert peak_in_box(finding, [(0.5, 0.5, 0.1, 0.1)])
    assert peak_in_box(finding, [(0.56, 0.5, 0.1, 0.1)])  # by the margin
    assert not peak_in_box(finding, [(0.65, 0.5, 0.1, 0.1)])
    assert peak_in_box(finding, [(0.0, 0.0, 0.1, 0.1), (0.5, 0.5, 0.1, 0.1)])


def test_a_share_has_an_interval_over_groups() -> None:
    result = share([1.0, 1.0, 0.0, 0.0], ["a", "a", "b", "b"])
    assert (result["films"], result["share"]) == (4, 0.5)
    assert result["share_95"] == [0.0, 1.0]
