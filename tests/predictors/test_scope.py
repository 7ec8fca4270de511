"""Which kind of film it is, and which way round: what the guard says and what a predictor makes of it."""

from dataclasses import replace

import numpy as np
import pytest

from predictors.image import Radiograph, read_film
from predictors.predictor import Predictor
from predictors.registry import Service
from predictors.runtime import Output
from predictors.scope import ScopeGuard, Sight, inverted, sight
from predictors.spec import ModelSpec
from tests.drawings import encoded
from tests.films import FILMS, limb
from tests.predictors.conftest import WEIGHTS

LABELS = ("chest", "limb", "mammogram", inverted("chest"), inverted("limb"), inverted("mammogram"), "out")


def says(label: str) -> ScopeGuard:
    """A guard that is sure of one label."""
    spec = replace(ModelSpec.read(WEIGHTS / "scope"), labels=LABELS, threshold=0.5)
    logits = np.where(np.array(LABELS) == label, 20.0, 0.0).astype(np.float32)
    return ScopeGuard(spec, lambda planes: Output(logits, np.zeros((1, 1, len(LABELS)), np.float32)))  # type: ignore[arg-type]


@pytest.fixture
def limbs(service: Service) -> Predictor:
    return service["bone_fracture"]


def test_the_score_is_of_either_polarity_and_the_likelier_one_is_told() -> None:
    every = {"limb": 0.01, inverted("limb"): 0.89, "chest": 0.1, inverted("chest"): 0.0}
    assert sight(every, "limb") == Sight(pytest.approx(0.9), True)
    doubtful = every | {"limb": 0.1, inverted("limb"): 0.8}  # too little to turn a film round for
    assert sight(doubtful, "limb") == Sight(pytest.approx(0.9), False)
    assert sight(every, "chest") == Sight(pytest.approx(0.1), False)


def test_a_guard_that_knows_no_negatives_takes_every_film_as_it_is() -> None:
    assert sight({"limb": 0.9, "out": 0.1}, "limb") == Sight(0.9, False)


def test_a_negative_is_turned_round_and_answered_as_the_film_that_it_is(
    limbs: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = limb()
    monkeypatch.setattr(limbs, "_guard", lambda: says("limb"))
    upright = limbs.examine(encoded(film, "PNG"))
    monkeypatch.setattr(limbs, "_guard", lambda: says(inverted("limb")))
    negative = limbs.examine(encoded(255 - film, "PNG"))
    assert (upright.inverted, negative.inverted) == (False, True)
    assert negative.probabilities == upright.probabilities
    assert np.array_equal(negative.film.grey, upright.film.grey)
    assert limbs.answer(negative).keys() == limbs.answer(upright).keys()


def test_what_is_not_in_scope_is_left_as_it_is(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = service["fracture_type"]  # it answers out of scope, in a shape of its own
    monkeypatch.setattr(predictor, "_guard", lambda: says(inverted("chest")))
    finding = predictor.examine(encoded(limb(), "PNG"))
    assert (finding.in_scope, finding.inverted) == (False, False)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_film_turned_round_twice_is_itself(dtype: type[np.uint8] | type[np.uint16]) -> None:
    grey = np.arange(12, dtype=dtype).reshape(3, 4)
    colour = np.stack([grey.astype(np.uint8)] * 3, axis=-1)
    film = Radiograph(grey, colour, "PNG")
    turned = film.inverted()
    assert turned.grey.dtype == dtype
    assert turned.grey[0, 1] == np.iinfo(dtype).max - 1
    assert turned.colour is not None
    assert turned.colour[0, 1].tolist() == [254] * 3
    assert np.array_equal(turned.inverted().grey, grey)


@pytest.mark.parametrize("kind", FILMS)
def test_the_shipped_guard_knows_a_drawn_film_and_its_negative(service: Service, kind: str) -> None:
    film = FILMS[kind]()
    upright = service.guard().look(read_film(encoded(film, "PNG")), kind)
    negative = service.guard().look(read_film(encoded(255 - film, "PNG")), kind)
    assert service.guard().admits(upright.score)
    assert service.guard().admits(negative.score)
    assert (upright.inverted, negative.inverted) == (False, True)
