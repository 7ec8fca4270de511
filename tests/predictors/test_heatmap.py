import numpy as np
import pytest

from predictors import heatmap
from tests.predictors.conftest import made_finding


def planted(row: int, column: int, value: float = 6.0) -> np.ndarray:
    evidence = np.full((7, 7), -4.0)
    evidence[row, column] = value
    return evidence


@pytest.mark.parametrize(("row", "column"), [(3, 3), (2, 4), (4, 2)])
def test_the_peak_lies_where_the_evidence_is_on_a_padded_film(row: int, column: int) -> None:
    # 200 x 100 inside a square: the film covers the middle half of the square's height.
    finding = made_finding("bone_fracture", 0.9, evidence=planted(row, column), grey=np.zeros((100, 200), np.uint8))
    x, y = heatmap.peak(finding)
    assert x == pytest.approx((column + 0.5) / 7, abs=0.03)
    assert y == pytest.approx(((row + 0.5) / 7 - 0.25) * 2, abs=0.06)


def test_a_stretched_film_maps_straight() -> None:
    finding = made_finding("pneumonia", 0.9, evidence=planted(1, 5), grey=np.zeros((100, 300), np.uint8))
    assert heatmap.peak(finding) == pytest.approx((5.5 / 7, 1.5 / 7), abs=0.03)


def test_the_map_is_as_strong_as_the_answer_is_probable() -> None:
    for probability in (0.02, 0.5, 0.97):
        values = heatmap.heat(made_finding("bone_fracture", probability, evidence=planted(3, 3)))
        assert values.max() == pytest.approx(probability, abs=1e-3)
        assert values.min() == 0


def test_positions_weigh_as_they_were_pooled() -> None:
    # Smooth, so that resizing changes little: a ramp from the left to the right, 6 log-odds high.
    ramp = np.tile(np.linspace(-3, 3, 28), (28, 1))
    pooled = made_finding("bone_fracture", 1.0, evidence=ramp, grey=np.zeros((280, 280), np.uint8))
    averaged = made_finding("pneumonia", 1.0, evidence=ramp, grey=np.zeros((280, 280), np.uint8))
    middle = [values[len(values) // 2, len(values) // 2] for values in map(heatmap.heat, (pooled, averaged))]
    assert pooled.spec.pooling == "logsumexp"
    assert middle[0] == pytest.approx((np.exp(-3) - np.exp(-6)) / (1 - np.exp(-6)), rel=0.1)
    assert averaged.spec.pooling == "mean"
    assert middle[1] == pytest.approx(0.25, rel=0.1)


def test_no_evidence_anywhere_leaves_the_film_dark() -> None:
    assert not heatmap.heat(made_finding("bone_fracture", 0.9, evidence=np.zeros((7, 7)))).any()


def test_fracture_type_maps_the_likelier_class() -> None:
    evidence = planted(2, 2, value=-9.0)  # strongest for the negative label at one place
    towards_fisura = made_finding("fracture_type", 0.2, evidence=evidence)
    assert heatmap.spoken_label(towards_fisura) == "fisura"
    x, y = heatmap.peak(towards_fisura)
    assert (x, y) == pytest.approx((2.5 / 7, (2.5 / 7 - 0.125) / 0.75), abs=0.05)
    assert heatmap.spoken_label(made_finding("bone_fracture", 0.2)) == "fracture"


def test_layers_have_one_size_and_the_film_stays_visible() -> None:
    grey = np.tile(np.linspace(0, 255, 3000).astype(np.uint8), (1500, 1))
    finding = made_finding("bone_fracture", 0.9, evidence=planted(3, 3), grey=grey)
    film, layer, picture = heatmap.film_layer(finding), heatmap.heat_layer(finding), heatmap.overlay(finding)
    assert film.size == layer.size == picture.size == (1024, 512)
    assert (film.mode, layer.mode, picture.mode) == ("L", "RGBA", "RGB")
    far = np.asarray(picture)[5, 5:1000]  # far from the peak the film is as it was
    np.testing.assert_allclose(far.mean(-1), np.asarray(film)[5, 5:1000], atol=12)
    centre = np.asarray(layer)[256 - 4, 512 - 4]
    assert centre[3] == 255
    assert centre[:3].sum() > 300


def test_small_films_are_not_enlarged() -> None:
    assert heatmap.overlay(made_finding("pneumonia", 0.5, grey=np.zeros((40, 30), np.uint8))).size == (30, 40)
