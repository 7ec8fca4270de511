from dataclasses import replace

import numpy as np
import pytest

from predictors.probability import log_odds, probabilities
from predictors.spec import ModelSpec
from tests.predictors.conftest import WEIGHTS


def spec(**changes: object) -> ModelSpec:
    return replace(ModelSpec.read(WEIGHTS / "fracture_detection"), **changes)


def test_temperature_divides_and_bias_shifts_the_positive_label() -> None:
    calibrated = spec(temperature=2.0, bias=-0.5)
    logits = np.array([3.0, 1.0], np.float32)
    assert log_odds(logits, calibrated) == pytest.approx(2.0 / 2 - 0.5)
    result = probabilities(logits, calibrated)
    assert result["fractured"] == pytest.approx(1 / (1 + np.exp(-0.5)))
    assert sum(result.values()) == 1
    assert list(result) == ["fractured", "not fractured"]


def test_without_calibration_two_logits_are_softmax_and_one_is_sigmoid() -> None:
    plain = spec(temperature=1.0, bias=0.0)
    logits = np.array([0.3, 1.7], np.float32)
    softmax = np.exp(logits) / np.exp(logits).sum()
    assert list(probabilities(logits, plain).values()) == pytest.approx(softmax.tolist())
    single = replace(ModelSpec.read(WEIGHTS / "pneumonia"), temperature=1.0, bias=0.0)
    assert probabilities(np.array([0.8], np.float32), single)["Pneumonia"] == pytest.approx(1 / (1 + np.exp(-0.8)))


def test_a_single_logit_may_speak_for_the_other_label() -> None:
    plain = replace(ModelSpec.read(WEIGHTS / "bone_fracture"), temperature=1.0, bias=0.0)
    logits = np.array([1.2], np.float32)
    fracture = probabilities(logits, plain)["fracture"]
    assert probabilities(logits, replace(plain, logit_of="fracture"))["fracture"] == fracture
    assert probabilities(logits, replace(plain, logit_of="normal"))["normal"] == pytest.approx(fracture)


def test_four_labels_are_softmax_at_a_temperature() -> None:
    labels = ("chest", "limb", "mammogram", "out")
    guard = replace(ModelSpec.read(WEIGHTS / "scope"), labels=labels, temperature=2.0)
    logits = np.array([1.0, -2.0, 0.5, 800.0], np.float32)
    result = probabilities(logits, guard)
    assert sum(result.values()) == pytest.approx(1)
    assert result["out"] == pytest.approx(1)
    small = np.exp(logits[:3] / 2)
    several = probabilities(np.array([1.0, -2.0, 0.5, -800.0], np.float32), guard)
    assert [several[k] for k in ("chest", "limb", "mammogram")] == pytest.approx((small / small.sum()).tolist())


def test_log_odds_of_a_map_keep_its_shape() -> None:
    assert log_odds(np.zeros((7, 5, 2), np.float32), spec()).shape == (7, 5)
