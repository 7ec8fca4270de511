"""Mammogram: risk of malignancy, for one image or up to ten."""

from dataclasses import asdict, dataclass

from predictors.finding import DISCLAIMER, Answer, Finding
from predictors.predictor import Model


@dataclass(frozen=True)
class Risk:
    """A step of the risk scale."""

    level: str
    icon: str
    color: str


# Lower bounds of the larger probability, inclusive, highest first.
MALIGNANT_RISK = (
    (0.90, Risk("Very High Risk", "🔴", "#cc0000")),
    (0.75, Risk("High Risk", "🟠", "#ff6600")),
    (0.60, Risk("Moderate-High Risk", "🟡", "#ffcc00")),
)
BENIGN_RISK = (
    (0.90, Risk("Very Low Risk", "🟢", "#009933")),
    (0.75, Risk("Low Risk", "🟢", "#33cc33")),
    (0.60, Risk("Low-Moderate Risk", "🟢", "#99cc33")),
)
MODERATE_RISK = Risk("Moderate Risk", "🟡", "#ffcc00")


def risk(malignant: float) -> Risk:
    """The step of the scale for a probability of malignancy, 0..1."""
    scale = MALIGNANT_RISK if malignant >= 0.5 else BENIGN_RISK
    # Compared as printed (four decimals), so that 0.1 malignant is 0.9 benign and not 0.8999...
    larger = round(max(malignant, 1 - malignant), 4)
    return next((step for bound, step in scale if larger >= bound), MODERATE_RISK)


def _decision(finding: Finding) -> Answer:
    malignant = round(100 * finding.probabilities["malignant"], 2)
    return {
        "prediction": finding.label.capitalize(),
        "confidence": round(finding.probabilities[finding.label], 4),
        "probabilities": {"benign": round(100 - malignant, 2), "malignant": malignant},
    }


def _answer(finding: Finding) -> Answer:
    film = finding.film
    grey = film.grey8()
    mean, spread = float(grey.mean()), float(grey.std())
    return {
        **_decision(finding),
        "risk_assessment": asdict(risk(finding.probabilities["malignant"])),
        "image_statistics": {
            "brightness": round(100 * mean / 255, 1),
            "contrast": round(100 * spread / 255, 1),
            "mean_intensity": round(mean, 1),
            "std_intensity": round(spread, 1),
        },
        "image_info": {
            "filename": finding.filename,
            "size": f"{film.width}x{film.height}",
            "format": film.format,
        },
        "disclaimer": DISCLAIMER,
    }


MODEL = Model(
    name="breast_cancer",
    order=4,
    question="How likely is a malignant lesion on this mammogram?",
    answer=_answer,
    batch_row=_decision,
    batch=True,
)
