"""Is this a chest film, a limb film, a mammogram, or none of them? Asked before any model answers."""

from predictors.image import Radiograph
from predictors.preprocess import network_input
from predictors.probability import probabilities
from predictors.runtime import Network
from predictors.spec import ModelSpec, Scope

SEEN_AS: dict[str, str] = {
    "chest": "a chest radiograph",
    "limb": "a radiograph of a limb, hip or shoulder",
    "mammogram": "a mammogram",
}
"""How each kind of film is called in the sentences that people read."""


class ScopeGuard:
    """The small network that tells the kinds of film apart."""

    def __init__(self, spec: ModelSpec, network: Network) -> None:
        self.spec = spec
        self._network = network

    def score(self, film: Radiograph, kind: Scope) -> float:
        """Probability, 0..1, that ``film`` is of this ``kind``."""
        output = self._network(network_input(film, self.spec.input))
        return probabilities(output.logits, self.spec)[kind]

    def admits(self, score: float) -> bool:
        """Whether a film of this score is answered."""
        return score >= self.spec.threshold
