"""Fissure (hairline) or complete fracture, or neither is sure enough."""

from predictors.finding import Answer, Finding
from predictors.predictor import Model

UNKNOWN = "La imagen no corresponde a ninguna de las clases conocidas (fisura o fractura)."


def is_sure(finding: Finding) -> bool:
    """Whether the film is of the right kind and the larger probability reaches the threshold."""
    confidence = round(finding.probabilities[finding.likeliest], 4)
    return finding.in_scope and confidence >= finding.spec.threshold


def _answer(finding: Finding) -> Answer:
    first, second = finding.spec.labels
    percent = {first: round(100 * finding.probabilities[first], 2)}
    percent[second] = round(100 - percent[first], 2)
    shared = {
        "confidence": max(percent.values()),
        "allProbabilities": [{"class": label, "probability": value} for label, value in percent.items()],
    }
    if is_sure(finding):
        return {"success": 1, "predictedClass": finding.label, **shared}
    return {"success": 0, "message": UNKNOWN, **shared}


MODEL = Model(
    name="fracture_type",
    order=3,
    question="Fissure or complete fracture? / ¿Fisura o fractura?",
    answer=_answer,
    answers_out_of_scope=True,
)
