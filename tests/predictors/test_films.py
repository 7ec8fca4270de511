"""The shipped networks on real films that training held back, through the whole life cycle, scope guard included."""

import os
import random
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from predictors.errors import OutOfScope
from predictors.registry import Service
from training.collections import split
from training.evaluate import examples_of, truth_of
from training.recipes import RECIPES

FILMS = os.environ.get("SECOND_LOOK_FILMS")
pytestmark = pytest.mark.skipif(not FILMS, reason="SECOND_LOOK_FILMS is not set: no real films to read")

SAMPLE = 150
SLACK = 0.06
LEVEL = {
    "bone_fracture": 0.82,
    "fracture_detection": 0.82,
    "fracture_type": 0.66,
    "breast_cancer": 0.72,
    "pneumonia": 0.95,
}
"""The least AUROC of the cards; a sample of 150 films may fall ``SLACK`` below, and no further."""


@pytest.mark.parametrize("name", LEVEL)
def test_held_back_films_are_read_and_told_apart(service: Service, name: str) -> None:
    recipe, predictor = RECIPES[name], service[name]
    _, held = split(examples_of(recipe, Path(str(FILMS))), recipe.seed)
    films = random.Random(0).sample(held, min(SAMPLE, len(held)))
    scores, read = [], []
    for example in films:
        try:
            finding = predictor.examine(example.path)
        except OutOfScope:
            continue
        if finding.in_scope:
            scores.append(finding.positive)
            read.append(example)
    assert len(read) >= 0.95 * len(films)
    assert roc_auc_score(truth_of(read, recipe), scores) >= LEVEL[name] - SLACK


@pytest.mark.parametrize("kind", ["photo", "screenshot", "document", "ct", "fundus", "drawing"])
def test_pictures_of_other_kinds_are_refused(service: Service, kind: str) -> None:
    folder = Path(str(FILMS)) / "scope" / "out" / kind
    pictures = random.Random(0).sample(sorted(folder.iterdir()), 25)
    refused = 0
    for path in pictures:
        try:
            service["pneumonia"].examine(path)
        except OutOfScope:
            refused += 1
    assert refused >= 24


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("bone_fracture/normal", "pneumonia"),
        ("pneumonia/fullsize/NORMAL", "bone_fracture"),
        ("breast_cancer/benign", "fracture_detection"),
        ("bone_fracture/fracture", "breast_cancer"),
    ],
)
def test_films_of_another_body_part_are_refused(service: Service, folder: str, name: str) -> None:
    for path in sorted((Path(str(FILMS)) / folder).iterdir())[:12]:
        with pytest.raises(OutOfScope):
            service[name].examine(path)
