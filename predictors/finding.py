"""What a network found on one film, typed; every answer, page and heat map is made from it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors import heatmap
from predictors.image import Radiograph
from predictors.spec import ModelSpec
from predictors.stages import HEATMAP, stage

Answer = dict[str, Any]
"""The JSON object that a model's callers were promised."""

DISCLAIMER = (
    "For research and teaching only. Not a medical device; not for diagnosis or for any decision about a patient."
)


@dataclass(frozen=True)
class Finding:
    """What a network found on one film, typed; every answer, page and heat map is made from it."""

    spec: ModelSpec
    film: Radiograph
    filename: str
    probabilities: dict[str, float]  # calibrated, one a label, in the network's order, sum 1
    evidence: NDArray[np.float64]  # calibrated log-odds of the positive label at every position of the square
    scope_score: float
    in_scope: bool
    elapsed_ms: float
    inverted: bool = False  # the file held a negative; ``film`` is the right way round

    @property
    def positive(self) -> float:
        """Probability of the label that the threshold judges, as printed: the decision is made on that figure."""
        return round(self.probabilities[self.spec.positive], 4)

    @property
    def label(self) -> str:
        """The decision: the positive label from the threshold on, else the other one.

        Where the threshold judges the confidence, the likelier label, sure enough or not.
        """
        if self.spec.decides_by_confidence:
            return self.likeliest
        if self.positive >= self.spec.threshold:
            return self.spec.positive
        return next(label for label in self.spec.labels if label != self.spec.positive)

    @property
    def likeliest(self) -> str:
        """The label of the larger probability, whatever the threshold."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @cached_property
    def log_odds_over_film(self) -> NDArray[np.float32]:
        """``heatmap.log_odds_over_film`` of this film: made when first asked for, once for its peak and its heat."""
        with stage(HEATMAP):
            return heatmap.log_odds_over_film(self)

    @cached_property
    def heat(self) -> NDArray[np.float64]:
        """``heatmap.heat`` of this film: made when first asked for, once for all its pictures."""
        with stage(HEATMAP):
            return heatmap.heat(self)

    def meta(self) -> Answer:
        """The contract's ``meta`` object."""
        return {
            "model": self.spec.name,
            "version": self.spec.version,
            "sha256": self.spec.weights.sha256,
            "threshold": self.spec.threshold,
            "in_scope": self.in_scope,
            "scope_score": round(self.scope_score, 4),
            "elapsed_ms": round(self.elapsed_ms, 2),
            "disclaimer": DISCLAIMER,
        }
