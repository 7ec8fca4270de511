"""Is there a fracture? The first reader."""

from predictors.finding import Answer, Finding
from predictors.predictor import Model


def _answer(finding: Finding) -> Answer:
    fracture = round(finding.probabilities["fracture"], 4)
    return {
        "predicted_label": finding.label,
        "fracture_probability": fracture,
        "normal_probability": round(1 - fracture, 4),  # so that the two printed figures sum to 1
    }


MODEL = Model(
    name="bone_fracture",
    order=1,
    question="Is there a fracture?",
    answer=_answer,
    second_reader="fracture_detection",
)
