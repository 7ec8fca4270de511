"""Each model's JSON, key by key, as the contract prints it."""

import json

import numpy as np
import pytest

from predictors import bone_fracture, breast_cancer, fracture_detection, fracture_type, pneumonia
from predictors.finding import Answer, Finding
from predictors.predictor import Model
from tests.predictors.conftest import made_finding

META = {"model", "version", "sha256", "threshold", "in_scope", "scope_score", "elapsed_ms", "disclaimer"}


def answer_of(model: Model, finding: Finding) -> Answer:
    return {**model.answer(finding), "meta": finding.meta()}


def test_meta_holds_all_that_is_ours_and_nothing_else() -> None:
    finding = made_finding("pneumonia", 0.7)
    meta = finding.meta()
    assert set(meta) == META
    assert meta["model"] == "pneumonia"
    assert meta["sha256"] == finding.spec.weights.sha256
    assert meta["in_scope"] is True
    assert (meta["scope_score"], meta["elapsed_ms"]) == (0.98, 12.35)
    json.dumps(meta)


def test_bone_fracture() -> None:
    answer = answer_of(bone_fracture.MODEL, made_finding("bone_fracture", 0.93451, threshold=0.4))
    assert list(answer) == ["predicted_label", "fracture_probability", "normal_probability", "meta"]
    assert answer["predicted_label"] == "fracture"
    assert (answer["fracture_probability"], answer["normal_probability"]) == (0.9345, 0.0655)


@pytest.mark.parametrize(("probability", "label"), [(0.4, "fracture"), (0.39994, "normal"), (0.39996, "fracture")])
def test_the_printed_probability_and_the_decision_agree_at_the_threshold(probability: float, label: str) -> None:
    answer = answer_of(bone_fracture.MODEL, made_finding("bone_fracture", probability, threshold=0.4))
    assert answer["predicted_label"] == label
    assert (answer["fracture_probability"] >= answer["meta"]["threshold"]) == (label == "fracture")


@pytest.mark.parametrize(("probability", "label"), [(0.9, "fractured"), (0.1, "not fractured")])
def test_fracture_detection(probability: float, label: str) -> None:
    answer = answer_of(fracture_detection.MODEL, made_finding("fracture_detection", probability, threshold=0.5))
    assert set(answer) == {"prediction", "confidence", "probabilities", "meta"}
    assert answer["prediction"] == label
    assert answer["confidence"] == 0.9
    assert answer["probabilities"] == {"fractured": probability, "not fractured": round(1 - probability, 4)}


def test_fracture_type_when_sure() -> None:
    answer = answer_of(fracture_type.MODEL, made_finding("fracture_type", 0.995, threshold=0.7))
    assert answer["success"] == 1
    assert answer["predictedClass"] == "fractura"
    assert answer["confidence"] == 99.5
    assert answer["allProbabilities"] == [
        {"class": "fisura", "probability": 0.5},
        {"class": "fractura", "probability": 99.5},
    ]
    assert set(answer) == {"success", "predictedClass", "confidence", "allProbabilities", "meta"}


@pytest.mark.parametrize(("probability", "in_scope"), [(0.45, True), (0.99, False)])
def test_fracture_type_when_unsure_or_out_of_scope(probability: float, in_scope: bool) -> None:
    finding = made_finding("fracture_type", probability, threshold=0.7, in_scope=in_scope)
    answer = answer_of(fracture_type.MODEL, finding)
    assert answer["success"] == 0
    assert answer["message"] == "La imagen no corresponde a ninguna de las clases conocidas (fisura o fractura)."
    assert "predictedClass" not in answer
    assert answer["confidence"] == max(p["probability"] for p in answer["allProbabilities"])
    assert answer["meta"]["in_scope"] is in_scope


def test_fracture_type_is_sure_from_the_threshold_on() -> None:
    assert fracture_type.is_sure(made_finding("fracture_type", 0.3, threshold=0.7))
    assert not fracture_type.is_sure(made_finding("fracture_type", 0.3002, threshold=0.7))


def test_pneumonia() -> None:
    answer = answer_of(pneumonia.MODEL, made_finding("pneumonia", 0.2, threshold=0.5))
    assert set(answer) == {"prediction", "confidence", "probabilities", "meta"}
    assert answer["prediction"] == "Normal"
    assert answer["confidence"] == 0.8
    assert answer["probabilities"] == {"Normal": 0.8, "Pneumonia": 0.2}


def test_breast_cancer() -> None:
    grey = np.full((768, 1024), 115, np.uint8)
    grey[:384] = 200
    answer = answer_of(breast_cancer.MODEL, made_finding("breast_cancer", 0.0766, threshold=0.5, grey=grey))
    assert answer["prediction"] == "Benign"
    assert answer["confidence"] == 0.9234
    assert answer["probabilities"] == {"benign": 92.34, "malignant": 7.66}
    assert set(answer["risk_assessment"]) == {"level", "icon", "color"}
    assert answer["image_info"] == {"filename": "mammogram.jpg", "size": "1024x768", "format": "JPEG"}
    assert answer["image_statistics"] == {
        "brightness": round(100 * 157.5 / 255, 1),
        "contrast": round(100 * 42.5 / 255, 1),
        "mean_intensity": 157.5,
        "std_intensity": 42.5,
    }
    assert "Not a medical device" in answer["disclaimer"]


@pytest.mark.parametrize(
    ("malignant", "level", "icon"),
    [
        (1.0, "Very High Risk", "🔴"),
        (0.90, "Very High Risk", "🔴"),
        (0.8999, "High Risk", "🟠"),
        (0.75, "High Risk", "🟠"),
        (0.7499, "Moderate-High Risk", "🟡"),
        (0.60, "Moderate-High Risk", "🟡"),
        (0.5999, "Moderate Risk", "🟡"),
        (0.5, "Moderate Risk", "🟡"),
        (0.4001, "Moderate Risk", "🟡"),
        (0.40, "Low-Moderate Risk", "🟢"),
        (0.2501, "Low-Moderate Risk", "🟢"),
        (0.25, "Low Risk", "🟢"),
        (0.1001, "Low Risk", "🟢"),
        (0.1, "Very Low Risk", "🟢"),
        (0.0, "Very Low Risk", "🟢"),
    ],
)
def test_risk_by_probability(malignant: float, level: str, icon: str) -> None:
    step = breast_cancer.risk(malignant)
    assert (step.level, step.icon) == (level, icon)


def test_low_risk_has_the_colour_that_its_seed_published() -> None:
    assert breast_cancer.risk(0.2).color == "#33cc33"
