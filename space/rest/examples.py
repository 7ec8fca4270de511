"""One answer a model, as the OpenAPI document shows it. The figures are made up, the shapes are held by a test."""

from typing import Any

from predictors.errors import UnsupportedImage
from predictors.finding import DISCLAIMER, Answer


def _meta(model: str, threshold: float = 0.5) -> Answer:
    return {
        "model": model,
        "version": "1.0.0",
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "threshold": threshold,
        "in_scope": True,
        "scope_score": 0.9987,
        "elapsed_ms": 18.42,
        "disclaimer": DISCLAIMER,
    }


_MAMMOGRAM: Answer = {
    "prediction": "Benign",
    "confidence": 0.8234,
    "probabilities": {"benign": 82.34, "malignant": 17.66},
}

EXAMPLES: dict[str, Answer] = {
    "bone_fracture": {
        "predicted_label": "fracture",
        "fracture_probability": 0.9345,
        "normal_probability": 0.0655,
        "meta": _meta("bone_fracture"),
    },
    "fracture_detection": {
        "prediction": "fractured",
        "confidence": 0.9121,
        "probabilities": {"fractured": 0.9121, "not fractured": 0.0879},
        "meta": _meta("fracture_detection"),
    },
    "fracture_type": {
        "success": 1,
        "predictedClass": "fractura",
        "confidence": 99.5,
        "allProbabilities": [{"class": "fisura", "probability": 0.5}, {"class": "fractura", "probability": 99.5}],
        "meta": _meta("fracture_type", 0.7),
    },
    "breast_cancer": {
        **_MAMMOGRAM,
        "risk_assessment": {"level": "Low Risk", "icon": "🟢", "color": "#33cc33"},
        "image_statistics": {"brightness": 45.2, "contrast": 18.5, "mean_intensity": 115.3, "std_intensity": 47.2},
        "image_info": {"filename": "mammogram.jpg", "size": "1024x768", "format": "JPEG"},
        "disclaimer": DISCLAIMER,
        "meta": _meta("breast_cancer"),
    },
    "pneumonia": {
        "prediction": "Pneumonia",
        "confidence": 0.9712,
        "probabilities": {"Normal": 0.0288, "Pneumonia": 0.9712},
        "meta": _meta("pneumonia"),
    },
}
"""By the models' names."""

_ROWS: dict[str, Answer] = {"breast_cancer": _MAMMOGRAM}
_DECIDED = {
    "bone_fracture": "fracture",
    "fracture_detection": "fractured",
    "fracture_type": "fractura",
    "breast_cancer": "benign",
    "pneumonia": "Pneumonia",
}


def batch_example(name: str, labels: tuple[str, ...]) -> Answer | None:
    """Two files, one of them no film; None for a model without an example."""
    if name not in EXAMPLES:
        return None
    row: dict[str, Any] = {"filename": "film.png", **_ROWS.get(name, EXAMPLES[name])}
    failure = {"filename": "letter.pdf", "error": UnsupportedImage.sentence}
    return {
        "total_images": 2,
        "successful": 1,
        "failed": 1,
        "summary": {label: int(label == _DECIDED[name]) for label in labels},
        "results": [row, failure],
    }
