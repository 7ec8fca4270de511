"""A network that reads what lies beside the body is found out."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image

from predictors.preprocess import placement
from predictors.runtime import Network, Output
from predictors.spec import ModelSpec
from tests.predictors.conftest import WEIGHTS
from training import figures
from training.collections import Example
from training.shortcuts import auroc_by_part, placed

LETTER, LIMB = "what lies beside the body alone", "the body alone"


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Example]:
    """Limbs down the middle; every other one has a bright letter beside it, every fourth a bright bone."""
    monkeypatch.setattr(figures, "RESAMPLES", 20)
    examples = []
    for number in range(24):
        grey = np.full((320, 320), 4, np.uint8)
        grey[:, 100:220] = 120
        grey[280:, 100:220] = 250  # on every film, so that all have one window
        grey[20:60, 20:60] = 250 if number % 2 else 4
        grey[140:180, 140:180] = 250 if number % 4 < 2 else 120
        Image.fromarray(grey).save(tmp_path / f"{number}.png")
        examples.append(Example(tmp_path / f"{number}.png", "fracture", str(number), "drawn"))
    return examples


def reads(rows: slice, columns: slice) -> Network:
    """A network whose log-odds are the brightness of one place of its input."""

    def network(batch: np.ndarray) -> Output:
        seen = batch[0, rows, columns].mean()
        return Output(np.array([seen], np.float32), np.zeros((1, 1, 1), np.float32))

    return cast(Network, network)


def test_what_each_part_alone_says(films: list[Example]) -> None:
    spec = ModelSpec.read(WEIGHTS / "bone_fracture")
    truth = np.array([number % 2 == 1 for number in range(24)])  # as the letter says
    by_letter = auroc_by_part(reads(slice(30, 50), slice(30, 50)), spec, films, truth)
    assert (by_letter[LETTER]["auroc"], by_letter[LIMB]["auroc"]) == (1.0, 0.5)
    truth = np.array([number % 4 < 2 for number in range(24)])  # as the bone says
    by_bone = auroc_by_part(reads(slice(150, 170), slice(150, 170)), spec, films, truth)
    assert (by_bone[LETTER]["auroc"], by_bone[LIMB]["auroc"]) == (0.5, 1.0)


def test_all_but_what_is_shown_is_black() -> None:
    spec = ModelSpec.read(WEIGHTS / "bone_fracture").input
    shown = np.zeros((64, 64), np.bool_)
    shown[:32] = True
    left = placed(shown, placement(200, 400, spec), spec.size)
    columns = left[:, spec.size // 4 : -spec.size // 4]  # where a film twice as high as wide lies
    assert left.sum() == pytest.approx(columns.sum()) == pytest.approx(spec.size**2 / 4, rel=0.01)
    assert (columns[: spec.size // 2 - 8] == 1).all()
    assert not columns[spec.size // 2 + 8 :].any()
