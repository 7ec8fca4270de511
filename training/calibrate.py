"""Log-odds become honest probabilities, and a threshold is chosen by a stated rule, on validation films."""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve

Scores = NDArray[np.float64]
Truth = NDArray[np.bool_]

RULES = {
    "sensitivity": "the highest threshold that keeps a sensitivity of 0.95 on the validation films",
    "balanced": "the threshold of the highest balanced accuracy on the validation films",
    "likelier": "0.5, so that the likelier label is named, in step with the risk scale",
    "confidence": "confidence: the least larger probability at which 85% of the validation films are named rightly",
    "admit": "the highest threshold at which at most 1% of any kind of validation film is refused",
}
SENSITIVITY, ACCURACY, REFUSED = 0.95, 0.85, 0.01


def platt(log_odds: Scores, truth: Truth) -> tuple[float, float]:
    """Temperature and bias (Platt 1999) that make ``sigmoid(log_odds / temperature + bias)`` calibrated."""
    fit = LogisticRegression(C=1e6).fit(log_odds[:, None], truth)
    slope = max(float(fit.coef_[0, 0]), 1e-3)
    return 1 / slope, float(fit.intercept_[0])


def temperature_of(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """The temperature of least cross-entropy for more than two labels (Guo et al. 2017)."""
    candidates = np.exp(np.linspace(np.log(0.2), np.log(5), 200))

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        peak = scaled.max(1)
        normaliser = peak + np.log(np.exp(scaled - peak[:, None]).sum(1))
        return float((normaliser - scaled[np.arange(len(targets)), targets]).mean())

    return float(min(candidates, key=loss))


def threshold(probability: Scores, truth: Truth, rule: str) -> float:
    """The threshold that ``RULES[rule]`` states, to the four decimals that every answer prints."""
    if rule == "sensitivity":
        return _printed(_highest_that_misses(probability[truth], 1 - SENSITIVITY))
    if rule == "likelier":
        return 0.5
    if rule == "balanced":
        false_alarms, sensitivity, cuts = roc_curve(truth, probability)
        return _printed(min(float(cuts[int(np.argmax(sensitivity - false_alarms))]), 1.0))
    confidence = np.maximum(probability, 1 - probability)
    right = (probability >= 0.5) == truth
    for cut in np.arange(0.5, 0.9, 0.01):
        if right[confidence >= cut].mean() >= ACCURACY:
            return _printed(float(cut))
    return 0.9


def admission(scores: dict[str, Scores]) -> float:
    """The scope guard's threshold from each kind's own probability on films of that kind."""
    return _printed(min(_highest_that_misses(kind, REFUSED) for kind in scores.values()))


def _highest_that_misses(scores: Scores, share: float) -> float:
    """The highest cut under which at most ``share`` of the scores lie."""
    return float(np.sort(scores)[int(len(scores) * share)])


def _printed(value: float) -> float:
    return float(np.floor(value * 1e4) / 1e4)
