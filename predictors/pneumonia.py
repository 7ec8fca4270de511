"""Chest radiograph: pneumonia or not."""

from predictors.predictor import Answer, Finding, Model


def _answer(finding: Finding) -> Answer:
    pneumonia = round(finding.probabilities["Pneumonia"], 4)
    probabilities = {"Normal": round(1 - pneumonia, 4), "Pneumonia": pneumonia}
    return {
        "prediction": finding.label,
        "confidence": probabilities[finding.label],
        "probabilities": probabilities,
    }


MODEL = Model(name="pneumonia", order=5, question="Does this chest film show pneumonia?", answer=_answer)
