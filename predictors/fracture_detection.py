"""Is there a fracture? The second reader: an independent network, asked the same."""

from predictors.finding import Answer, Finding
from predictors.predictor import Model


def _answer(finding: Finding) -> Answer:
    fractured = round(finding.probabilities["fractured"], 4)
    probabilities = {"fractured": fractured, "not fractured": round(1 - fractured, 4)}
    return {
        "prediction": finding.label,
        "confidence": probabilities[finding.label],
        "probabilities": probabilities,
    }


MODEL = Model(
    name="fracture_detection",
    order=2,
    question="Is there a fracture, in the view of a second, independent reader?",
    answer=_answer,
    second_reader="bone_fracture",
)
