"""Chest radiograph: pneumonia or not."""

from predictors.finding import Answer, Finding
from predictors.predictor import Model


def _answer(finding: Finding) -> Answer:
    pneumonia = round(finding.probabilities["Pneumonia"], 4)
    probabilities = {"Normal": round(1 - pneumonia, 4), "Pneumonia": pneumonia}
    return {
        "prediction": finding.label,
        "confidence": probabilities[finding.label],
        "probabilities": probabilities,
    }


MODEL = Model(name="pneumonia", order=5, question="Does this chest film show pneumonia?", answer=_answer)
