"""The one function between film and network."""

from dataclasses import replace

import numpy as np
import pytest

from predictors.image import Radiograph, read_film
from predictors.preprocess import network_input, normalised, placement, windowed_planes
from predictors.spec import InputSpec
from tests.drawings import drawn_film, drawn_photo, encoded

PAD = InputSpec(64, "pad")
STRETCH = InputSpec(64, "stretch")


def film(grey: np.ndarray, colour: np.ndarray | None = None) -> Radiograph:
    return Radiograph(grey, colour, "PNG")


@pytest.mark.parametrize(
    ("size", "expected"), [((128, 64), (0, 16, 64, 32)), ((64, 128), (16, 0, 32, 64)), ((9000, 1), (0, 31, 64, 1))]
)
def test_padding_keeps_the_proportions_and_centres_the_film(size: tuple[int, int], expected: tuple[int, ...]) -> None:
    assert placement(*size, PAD) == expected
    assert placement(*size, STRETCH) == (0, 0, 64, 64)


def test_the_padding_is_black_and_the_film_fills_0_to_1() -> None:
    planes = windowed_planes(film(drawn_film(128, 64) // 2 + 60), PAD)
    assert planes.shape == (64, 64)
    assert planes.dtype == np.float32
    assert not planes[:16].any()
    assert not planes[48:].any()
    assert (planes[16:48].min(), planes[16:48].max()) == (0, 1)


def test_exposure_and_bit_depth_leave_the_input_unchanged() -> None:
    grey = drawn_film(200, 160)
    planes = windowed_planes(film(grey), PAD)
    deep = grey.astype(np.uint16) * 257
    np.testing.assert_allclose(windowed_planes(film(deep), PAD), planes, atol=1e-5)
    np.testing.assert_allclose(windowed_planes(film(deep // 8 + 30000), PAD), planes, atol=1e-3)


def test_an_even_film_is_black_and_not_a_division_by_zero() -> None:
    assert not windowed_planes(film(np.full((50, 50), 90, np.uint8)), STRETCH).any()


def test_thin_lines_survive_the_resizing() -> None:
    grey = np.zeros((1024, 1024), np.uint8)
    grey[:, 511:513] = 255
    spec = replace(STRETCH, window=(0, 100))
    assert windowed_planes(film(grey), spec)[:, 31:33].min() > 0.4


def test_averaging_first_changes_little_and_a_wider_gap_less() -> None:
    grey = drawn_film(1500, 1200)
    at_once, near, wide = (windowed_planes(film(grey), replace(PAD, reducing_gap=gap)) for gap in (1e6, 1.0, 4.0))
    assert 0 < np.abs(wide - at_once).max() < 0.01
    assert np.abs(wide - at_once).mean() < np.abs(near - at_once).mean() < 0.05


def test_a_film_read_at_half_its_size_lies_where_the_whole_film_does(monkeypatch: pytest.MonkeyPatch) -> None:
    data, spec = encoded(drawn_film(2601, 2571), "JPEG", quality=95), InputSpec(320, "stretch")
    half = read_film(data)
    monkeypatch.setattr("predictors.image.REDUCED_SIDE", 2600)
    whole = read_film(data)
    assert (half.extent, whole.extent) == ((1300.5, 1285.5), (2601, 2571))
    at_half, at_once = (windowed_planes(film, spec) for film in (half, whole))
    assert np.abs(at_half - at_once).max() < 0.01
    stretched = windowed_planes(replace(half, size=(0, 0)), spec)  # as if its last pixels were whole ones
    assert np.abs(stretched - at_once).max() > 0.05


def test_normalising_repeats_grey_and_applies_mean_and_std() -> None:
    spec = InputSpec(2, "stretch", mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    result = normalised(np.full((2, 2), 0.6, np.float32), spec)
    np.testing.assert_allclose(result[0, 0], [1.0, 1.6, 0.15], rtol=1e-6)


def test_colour_reaches_the_scope_guard_only() -> None:
    photo = drawn_photo(96, 80)
    grey = photo.mean(-1).astype(np.uint8)
    rgb = network_input(film(grey, photo), replace(STRETCH, colour="rgb"))
    assert rgb.shape == (1, 64, 64, 3)
    assert not np.allclose(rgb[..., 0], rgb[..., 2])
    plain = network_input(film(grey, photo), STRETCH)
    np.testing.assert_array_equal(plain[..., 0], plain[..., 2])
    np.testing.assert_array_equal(network_input(film(grey), replace(STRETCH, colour="rgb")), plain)


def test_a_stored_film_gives_the_stored_input() -> None:
    """The golden array: 4x4 of the drawn film, written down once. A change here changes every answer."""
    planes = windowed_planes(film(drawn_film(96, 80)), InputSpec(4, "stretch"))
    expected = [
        [0.0256, 0.7476, 0.5615, 0.0364],
        [0.0000, 0.7838, 0.9486, 0.1111],
        [0.0382, 0.7953, 0.9755, 0.1651],
        [0.0896, 0.8535, 1.0000, 0.2137],
    ]
    np.testing.assert_allclose(planes, np.array(expected), atol=5e-4)
