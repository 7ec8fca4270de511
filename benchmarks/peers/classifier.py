"""One film to one answer, which all the peers' services share, and how they are started."""

import argparse
from collections.abc import Callable

from benchmarks.peers.engines import Engine, read_spec
from benchmarks.peers.pictures import network_input

Answer = dict[str, str | float]


class Classifier:
    """A network in an engine: a film's file to ``{"prediction", "probability"}``, of the positive label."""

    def __init__(self, engine: Callable[[str], Engine], model: str) -> None:
        self._spec = read_spec(model)
        self._engine = engine(model)

    def __call__(self, file: bytes) -> Answer:
        """Read, squeeze, ask."""
        probability = self._engine(network_input(file, self._spec.input))
        (other,) = (label for label in self._spec.labels if label != self._spec.positive)
        return {"prediction": self._spec.positive if probability >= 0.5 else other, "probability": probability}


def port_and_model() -> tuple[int, str]:
    """What the service was told on its command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True, help="a folder of weights/")
    told = parser.parse_args()
    return told.port, told.model
