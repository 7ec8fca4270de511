"""Every door against every kind of bad film: all of them say what a direct Python call says."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from predictors import errors
from predictors.errors import SecondLookError
from predictors.image import MAX_BYTES
from predictors.registry import Service
from tests.drawings import dicom, drawn_film, encoded
from tests.films import chest, limb
from tests.running import ROOT, Space
from tests.security.doors import DOORS, MODEL, Told, refused, rest

FILM = encoded(chest(), "PNG")


def wide() -> bytes:
    """A small file of 72 megapixels."""
    stream = BytesIO()
    Image.new("1", (9000, 8000)).save(stream, "PNG")
    return stream.getvalue()


BAD: dict[str, tuple[bytes, type[SecondLookError]]] = {
    "too many bytes": (bytes(MAX_BYTES + 1), errors.FileTooLarge),
    "too many pixels": (wide(), errors.ImageTooLarge),
    "empty": (b"", errors.EmptyFile),
    "text": (b"a letter", errors.UnsupportedImage),
    "HTML": (b"<html><script>alert(1)</script></html>", errors.UnsupportedImage),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', errors.UnsupportedImage),
    "cut short": (FILM[: len(FILM) // 2], errors.CorruptImage),
    "multi-frame": (dicom(drawn_film(), NumberOfFrames="2"), errors.UnsupportedImage),
    "another kind": (encoded(limb(), "PNG"), errors.OutOfScope),
}


@pytest.fixture(scope="module")
def http(space: Space) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=space.url) as client:
        yield client


@pytest.fixture(scope="module")
def direct() -> Service:
    return Service.open(ROOT / "weights")


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("door", DOORS)
def test_a_bad_film_is_refused_at_every_door_in_the_same_words(
    http: httpx.Client, direct: Service, door: str, kind: str
) -> None:
    content, error = BAD[kind]
    with pytest.raises(error) as caught:
        direct[MODEL].predict(content)
    told = DOORS[door](http, content)
    assert told == Told(str(caught.value), told.code)
    assert told.code in (error.code, None)


@pytest.mark.parametrize("door", DOORS)
def test_every_door_still_answers_a_film(http: httpx.Client, direct: Service, door: str) -> None:
    answer: Any = DOORS[door](http, FILM).answer
    if door == "heatmap":
        assert answer.startswith(b"\x89PNG")
        return
    expected = direct[MODEL].predict(FILM)
    assert (answer["prediction"], answer["confidence"]) == (expected["prediction"], expected["confidence"])


@pytest.mark.parametrize("kind", ["too many bytes", "empty", "text", "another kind"])
def test_the_address_of_the_first_service_refuses_alike(http: httpx.Client, direct: Service, kind: str) -> None:
    content = FILM if kind == "another kind" else BAD[kind][0]
    with pytest.raises(BAD[kind][1]) as caught:
        direct["bone_fracture"].predict(content)
    assert refused(rest(http, content, "/run/predict", "data")) == Told(str(caught.value), caught.value.code)
