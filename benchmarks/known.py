"""What each service has to answer, worked out without it: one that is fast and wrong has not answered."""

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from benchmarks.servers import MODELS, WEIGHTS, film

NAME = "film.jpg"
TOLERANCE = 1e-3
"""In probability, between a peer's engine and ours on the same input."""

Asked = tuple[str, int]
"""A model and the side of the film that it is asked about."""


class Known:
    """The right answers about films of the given sides: ours to the last digit, and the peers' probabilities."""

    def __init__(self, sides: Iterable[int] = (1024,)) -> None:
        asked = [(model, side) for model in MODELS for side in sides]
        # In a process that ends: this one, which times how others start, must not keep their files in memory.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
            self._ours, self._peers = apart.submit(_answers, asked).result()

    def demand(self, name: str, model: str, side: int, answer: Any) -> None:
        """Raise AssertionError unless this is the contestant's right answer."""
        if name == "second_look":
            right = _comparable(answer) == self._ours[model, side]
        else:
            right = abs(answer["probability"] - self._peers[model, side]) < TOLERANCE
        if not right:
            raise AssertionError(f"{name} answered {answer} about a film of {side} pixels for {model}")


def _comparable(answer: Any) -> Any:
    """Our answer without the time that it took."""
    return {**answer, "meta": {name: said for name, said in answer["meta"].items() if name != "elapsed_ms"}}


def _answers(asked: list[Asked]) -> tuple[dict[Asked, Any], dict[Asked, float]]:
    from benchmarks.peers.engines import positive
    from benchmarks.peers.pictures import network_input
    from predictors.registry import Service

    service = Service.open(WEIGHTS)
    ours, peers = {}, {}
    for model, side in asked:
        predictor, content = service[model], film(model, side)
        ours[model, side] = _comparable(predictor.predict(content, NAME))
        logits = predictor.load()(network_input(content, predictor.spec.input)).logits
        peers[model, side] = positive(logits[None], predictor.spec)
    return ours, peers
