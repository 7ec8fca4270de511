"""Is this a chest film, a limb film, a mammogram, or none of them? Asked before any model answers.

And is it a negative? MONOCHROME1 films that were saved as plain pictures show bone dark on a bright ground; no model
has learnt to read those, but they can be turned round.
"""

from typing import NamedTuple

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

RARITY = 50
"""How many times rarer a negative is among the films that are sent than among those that the guard learnt from, where
every third was one: turning an upright film round is worse than refusing or misreading a negative."""


def inverted(kind: str) -> str:
    """The guard's label for a film of this ``kind`` whose grey levels are turned round."""
    return f"{kind} inverted"


class Sight(NamedTuple):
    """What the guard sees in a film."""

    score: float  # probability, 0..1, that it is of the kind asked for, in either polarity
    inverted: bool  # whether its grey levels are turned round


def sight(every: dict[str, float], kind: str) -> Sight:
    """What the probabilities of all the guard's labels say of one ``kind``."""
    upright, negative = every[kind], every.get(inverted(kind), 0.0)
    return Sight(upright + negative, negative > RARITY * upright)


class ScopeGuard:
    """The small network that tells the kinds of film apart."""

    def __init__(self, spec: ModelSpec, network: Network) -> None:
        self.spec = spec
        self._network = network

    def look(self, film: Radiograph, kind: Scope) -> Sight:
        """Whether ``film`` is of this ``kind``, and which way round."""
        return sight(probabilities(self._network(network_input(film, self.spec.input)).logits, self.spec), kind)

    def admits(self, score: float) -> bool:
        """Whether a film of this score is answered."""
        return score >= self.spec.threshold
