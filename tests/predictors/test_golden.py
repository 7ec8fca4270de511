"""A stored film and the probabilities that the shipped networks give it: what must not change unnoticed.

``python -m tests.predictors.test_golden`` writes the figures anew, after a change of weights.
"""

import json
from pathlib import Path

import pytest

from predictors.image import read_film
from predictors.preprocess import network_input
from predictors.probability import probabilities
from predictors.registry import Service
from tests.predictors.conftest import WEIGHTS

HERE = Path(__file__).parent
FILM, FIGURES = HERE / "golden.png", HERE / "golden.json"


def figures(service: Service) -> dict[str, dict[str, float]]:
    film = read_film(FILM)
    guard = service.guard()
    every = {"scope": {kind: round(guard.look(film, kind).score, 5) for kind in ("chest", "limb", "mammogram")}}
    for predictor in service.predictors:
        output = predictor.load()(network_input(film, predictor.spec.input))
        named = probabilities(output.logits, predictor.spec)
        every[predictor.name] = {label: round(value, 5) for label, value in named.items()}
    return every


def test_a_stored_film_gives_the_stored_probabilities(service: Service) -> None:
    expected = json.loads(FIGURES.read_text(encoding="utf-8"))
    found = figures(service)
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, abs=1e-3), name


if __name__ == "__main__":
    FIGURES.write_text(json.dumps(figures(Service.open(WEIGHTS)), indent=2) + "\n", encoding="utf-8")
