"""What the evaluation knows of a film, and where two readers are compared."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictors.preprocess import network_input
from predictors.probability import probabilities
from predictors.registry import Service
from predictors.spec import ModelSpec
from tests.predictors.conftest import WEIGHTS
from tests.training.conftest import draw_collection
from training import agreement, figures
from training.collections import Example
from training.evaluate import Outputs, decisions, facts_of, measure_scope, positive_probability, run
from training.films import film_of
from training.recipes import RECIPES


def example(**more: Any) -> Example:
    return Example(Path("film.jpg"), "normal", "g", "nih", **more)


@pytest.mark.parametrize(
    ("subtype", "view", "age"),
    [
        ("No Finding|PA|36", "PA", "18 to 39"),
        ("Effusion|Pneumonia|AP|60", "AP", "60 and over"),
        ("Pneumonia|AP|17", "AP", "under 18"),
    ],
)
def test_findings_view_and_age_are_told_apart(subtype: str, view: str, age: str) -> None:
    facts = facts_of(example(facts={"subtype": subtype}))
    assert (facts["subtype"], facts["view"], facts["age"]) == ("", view, age)


@pytest.mark.parametrize("subtype", ["bacteria", "", "hairline"])
def test_a_plain_subtype_is_left_alone(subtype: str) -> None:
    plain = example(facts={"subtype": subtype, "view": "CC"})
    assert facts_of(plain) == plain.facts


def test_films_are_judged_on_the_probability_that_the_space_prints(tmp_path: Path) -> None:
    draw_collection(tmp_path, ("fracture", "normal"), ("fracatlas",), 2)
    service = Service.open(WEIGHTS, tmp_path / "cache")
    predictor = service["bone_fracture"]
    films = [Example(path, "normal", path.stem, "") for path in sorted(tmp_path.glob("*/*.jpg"))]
    outputs = run(predictor.load(), predictor.spec, films)
    printed = positive_probability(predictor.spec, outputs)
    for film, probability in zip(films, printed, strict=True):
        logits = predictor.load()(network_input(film_of(film), predictor.spec.input)).logits
        assert round(probabilities(logits, predictor.spec)["fracture"], 4) == probability
    assert decisions(predictor.spec, np.array([predictor.spec.threshold])).all()
    assert not decisions(predictor.spec, np.array([predictor.spec.threshold - 1e-4])).any()


def test_a_negative_is_read_turned_round(tmp_path: Path) -> None:
    draw_collection(tmp_path, ("fracture", "normal"), ("fracatlas",), 1)
    path = next(tmp_path.glob("*/*.jpg"))
    upright, negative = (film_of(Example(path, "limb", "g", "", inverted=i)) for i in (False, True))
    assert np.array_equal(upright.grey, 255 - negative.grey)


def test_the_guards_figures_of_a_case_done_by_hand() -> None:
    spec = replace(ModelSpec.read(WEIGHTS / "scope"), labels=RECIPES["scope"].labels, threshold=0.5, temperature=1.0)
    said = {
        "limb": ["limb", "limb inverted", "out", "limb"],  # one taken for a negative, one refused
        "limb inverted": ["limb inverted", "limb"],
        "chest": ["chest", "limb"],
        "mammogram": ["mammogram"],
        "out": ["out", "out", "out", "chest"],
    }
    rows = [(truth, label) for truth, labels in said.items() for label in labels]
    films = [replace(example(facts={"kind": "photo"}), label=truth) for truth, _ in rows]
    logits = np.array([[20.0 * (name == label) for name in spec.labels] for _, label in rows], np.float32)
    outputs = Outputs(logits, np.zeros((len(rows), 1, 1, len(spec.labels)), np.float32), [], [])
    result = measure_scope(spec, films, outputs)
    assert (result["limb_refused"], result["limb_taken_for_negative"]) == (0.25, 0.25)
    assert result["limb_negative_recognised"] == 0.5
    assert (result["chest_refused"], result["mammogram_refused"]) == (0.5, 0.0)
    assert (result["out_refused_by_all"], result["out_refused_as_chest"]) == (0.75, 0.75)
    assert result["out_refused_by_kind"] == {"photo": 0.75}


def test_two_readers_are_compared_on_films_that_neither_was_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "RESAMPLES", 50)
    draw_collection(tmp_path / "bone_fracture", ("fracture", "normal"), ("fracatlas",), 25)
    readers = RECIPES["bone_fracture"], RECIPES["fracture_detection"]
    films = agreement.held_back_from_both(*readers, tmp_path)
    held = [{e.path for e in agreement.held_back_from_both(r, r, tmp_path)} for r in readers]
    assert {e.path for e in films} == held[0] & held[1]
    assert 0 < len(films) < len(held[0])
    result = agreement.compared(*readers, WEIGHTS, films)
    assert result["bone_fracture"]["with"] == "fracture_detection"
    for figure in ("films", "kappa", "disagree", "right_where_they_agree", "mean_auroc"):
        assert result["bone_fracture"][figure] == result["fracture_detection"][figure]
    assert result["bone_fracture"]["auroc"] == result["fracture_detection"]["other_auroc"]
