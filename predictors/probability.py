"""Logits become calibrated probabilities: once, for training's evaluation and for serving alike."""

import numpy as np
from numpy.typing import NDArray

from predictors.spec import ModelSpec


def log_odds(values: NDArray[np.float32], spec: ModelSpec) -> NDArray[np.float64]:
    """Calibrated log-odds of the positive label of a two-label network: [..., K] to [...].

    Takes logits and evidence maps alike.
    """
    if spec.outputs == 1:
        margin = values[..., 0] if spec.logit_of in (None, spec.positive) else -values[..., 0]
    else:
        positive = spec.labels.index(spec.positive)
        margin = values[..., positive] - values[..., 1 - positive]
    return np.asarray(margin, np.float64) / spec.temperature + spec.bias


def probabilities(logits: NDArray[np.float32], spec: ModelSpec) -> dict[str, float]:
    """Calibrated probability of every label, from one film's logits [K]; they sum to 1."""
    if len(spec.labels) == 2:
        positive = float(1 / (1 + np.exp(-log_odds(logits, spec))))
        return {label: positive if label == spec.positive else 1 - positive for label in spec.labels}
    scaled = np.asarray(logits, np.float64) / spec.temperature
    weights = np.exp(scaled - scaled.max())
    return dict(zip(spec.labels, (weights / weights.sum()).tolist(), strict=True))
