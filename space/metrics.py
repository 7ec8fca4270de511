"""What the service counts, as Prometheus reads it. No label holds anything of a film or of its sender."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from predictors.errors import Busy, InternalError, SecondLookError
from predictors.registry import Service

CONTENT_TYPE = CONTENT_TYPE_LATEST
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside each, for the time at which it began

DOORS = ("page", "gradio", "rest", "mcp")
ANSWERED = "answered"


class Metrics:
    """The counters of one service, in a registry of their own: two services in one process do not add up."""

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        self._films = Counter(
            "second_look_predictions",
            "Films that a network was asked about, by outcome: answered, or the code of the refusal",
            ["model", "door", "outcome"],
            registry=self.registry,
        )
        self._repeated = Counter(
            "second_look_repeated_answers",
            "Answers given again for an Idempotency-Key, without asking a network",
            ["model", "door"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "second_look_seconds",
            "Seconds from a film's turn to its answer, waiting not included",
            ["model"],
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=self.registry,
        )
        self._gauge("second_look_ready", "1 once every model has answered a warm-up image", lambda: service.ready)
        info = Info("second_look_model", "The weights that answer", ["model"], registry=self.registry)
        for predictor in service.predictors:
            info.labels(predictor.name).info(
                {"version": predictor.spec.version, "sha256": predictor.spec.weights.sha256}
            )
            for door in DOORS:  # a series that starts at its first event has lost that event to any rate
                self._films.labels(predictor.name, door, ANSWERED)
                self._repeated.labels(predictor.name, door)

    @contextmanager
    def film(self, model: str, door: str) -> Iterator[None]:
        """Count one film that a network is asked about, with its outcome and its time."""
        outcome, began = InternalError.code, time.perf_counter()
        try:
            yield
            outcome = ANSWERED
        except SecondLookError as error:
            outcome = error.code
            raise
        finally:
            self._seconds.labels(model).observe(time.perf_counter() - began)
            self._films.labels(model, door, outcome).inc()

    def turned_away(self, model: str, door: str) -> None:
        """Count one request for which there was no place in the queue."""
        self._films.labels(model, door, Busy.code).inc()

    def repeated(self, model: str, door: str) -> None:
        """Count one answer that was given again."""
        self._repeated.labels(model, door).inc()

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Ask ``length`` for the number of requests that wait for a network, whenever someone reads the metrics."""
        self._gauge("second_look_queue_length", "Requests that wait for a network, at all doors together", length)

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, means: str, value: Callable[[], float]) -> None:
        Gauge(name, means, registry=self.registry).set_function(value)
