"""What the service counts and times, as Prometheus reads it, and the line that is logged of every film and refusal.

No label holds anything of a film or of its sender: their values are models, doors, stages, codes and versions, all
from our own code. ``docs/operations.md`` says what each is for.
"""

import logging
import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from predictors.errors import Busy, InternalError, SecondLookError
from predictors.registry import Service
from predictors.stages import STAGES, Stopwatch, watched
from space.log import Event
from space.tracing import GONE, Trace, current

CONTENT_TYPE = CONTENT_TYPE_LATEST
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside each, for the time at which it began

log = logging.getLogger(__name__)

DOORS = ("page", "gradio", "rest", "mcp")
ANSWERED = "answered"
WAITING = "waiting"

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Buckets: from a quick film to what a full queue or a film of 64 megapixels takes."""

ENGINES = ("gradio", "openvino", "pillow", "pydicom")
"""Packages on which the answers depend."""


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
        self._refused = Counter(
            "second_look_refused_requests",
            "Requests that were refused before a network was asked, by code",
            ["door", "code"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "second_look_seconds",
            "Seconds from a film's turn to its answer, waiting not included",
            ["model"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "second_look_stage_seconds",
            "Seconds that a film spent in one stage, or that its request waited for its turn",
            ["model", "stage"],
            buckets=(0.001, 0.0025, 0.005, *SECONDS),
            registry=self.registry,
        )
        self._open = self._gauge("second_look_open_requests", "HTTP requests that are open, those of open pages too")
        self._in_flight = self._gauge("second_look_films_in_flight", "Films that are being answered")
        self._watch("second_look_ready", "1 once every model has answered a warm-up image", lambda: service.ready)
        self.registry.register(_Models(service))
        Info("second_look_build", "The versions of what runs", registry=self.registry).info(versions())
        ProcessCollector(registry=self.registry)
        # A series that starts at its first event has lost that event to any rate.
        for door in DOORS:
            for code in codes():
                self._refused.labels(door, code)
            for predictor in service.predictors:
                self._films.labels(predictor.name, door, ANSWERED)
                self._repeated.labels(predictor.name, door)

    # Films

    @contextmanager
    def film(self, model: str, door: str) -> Iterator[None]:
        """Count one film that a network is asked about, with its outcome and its time, and log it."""
        outcome, status = InternalError.code, InternalError.status
        with self._in_flight.track_inprogress(), watched() as watch:
            try:
                yield
                outcome, status = ANSWERED, 200
            except SecondLookError as error:
                outcome, status = error.code, error.status
                raise
            finally:
                self._seconds.labels(model).observe(watch.stop())
                for stage, seconds in watch.seconds.items():
                    self._stages.labels(model, stage).observe(seconds)
                self._films.labels(model, door, outcome).inc()
                _log("film", model, door, outcome, status, **_figures(watch))

    def waited(self, model: str, seconds: float) -> None:
        """A request's turn has come after so many ``seconds``."""
        self._stages.labels(model, WAITING).observe(seconds)
        if trace := current():
            trace.waited = seconds

    def turned_away(self, model: str, door: str) -> None:
        """Count one request for which there was no place in the queue."""
        self._films.labels(model, door, Busy.code).inc()
        _log("refused", model, door, Busy.code, Busy.status)

    def repeated(self, model: str, door: str) -> None:
        """Count one answer that was given again."""
        self._repeated.labels(model, door).inc()
        _log("repeated", model, door, ANSWERED, 200)

    # Requests

    def request(self) -> AbstractContextManager[None]:
        """One HTTP request is open while this lasts."""
        return self._open.track_inprogress()

    def refused(self, trace: Trace, status: int) -> None:
        """Count one request that ended with ``status`` before a network was asked, and log it."""
        outcome = trace.outcome(status)
        self._refused.labels(trace.door, outcome).inc()
        figures = {"ms": {"total": _ms(trace.seconds)}, "megabytes": _millions(trace.received)}
        log.info(Event("refused", door=trace.door, route=trace.route, outcome=outcome, status=status, **figures))

    # Read when somebody asks

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Ask ``length`` for the number of requests that wait for a network, whenever someone reads the metrics."""
        self._watch("second_look_queue_length", "Requests that wait for a network, at all doors together", length)

    def watch_uploads(self, size: Callable[[], int]) -> None:
        """Ask ``size`` for the bytes that uploads take on the disk, whenever someone reads the metrics."""
        self._watch("second_look_upload_bytes", "Bytes that uploads take on the disk", size)

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, means: str) -> Gauge:
        return Gauge(name, means, registry=self.registry)

    def _watch(self, name: str, means: str, value: Callable[[], float]) -> None:
        self._gauge(name, means).set_function(value)


class _Models(Collector):
    """Which weights answer, and whether they can: read anew, since a record can be mended while the service runs."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        info = InfoMetricFamily("second_look_model", "The weights that answer", labels=["model"])
        loaded = GaugeMetricFamily("second_look_model_loaded", "1 while the model can answer", labels=["model"])
        for name, about in models(self._service).items():
            info.add_metric([name], about)
        for name, status in self._service.statuses().items():
            loaded.add_metric([name], status == "loaded")
        yield from (info, loaded)


def models(service: Service) -> dict[str, dict[str, str]]:
    """Version and SHA-256 of every model's weights, by name."""
    return {
        each.name: {"version": each.spec.version, "sha256": each.spec.weights.sha256} for each in service.predictors
    }


def versions() -> dict[str, str]:
    """Of Python, and of the packages on which the answers depend."""
    return {"python": platform.python_version()} | {package: version(package) for package in ENGINES}


def started(service: Service) -> Event:
    """What is logged first: what runs, and whose weights answer."""
    return Event("started", versions=versions(), models=models(service))


def codes() -> list[str]:
    """Every code that a refusal can have, and how a request ends that is not refused by us."""

    def below(kind: type[SecondLookError]) -> Iterator[str]:
        yield kind.code
        for each in kind.__subclasses__():
            yield from below(each)

    return sorted({*below(SecondLookError), GONE})


# Lines


def _log(event: str, model: str, door: str, outcome: str, status: int, **figures: Any) -> None:
    trace = current()
    if trace:
        trace.counted = True
        figures.setdefault("ms", {"total": _ms(trace.seconds)})
    route = trace.route if trace else ""
    log.info(Event(event, door=door, route=route, model=model, outcome=outcome, status=status, **figures))


def _figures(watch: Stopwatch) -> dict[str, Any]:
    trace = current()
    seconds = {WAITING: trace.waited if trace else 0.0}
    seconds |= {stage: watch.seconds[stage] for stage in STAGES if stage in watch.seconds}
    seconds["total"] = sum(seconds.values())
    milliseconds = {stage: _ms(each) for stage, each in seconds.items()}
    return {"ms": milliseconds, "megabytes": _millions(watch.size), "megapixels": _millions(watch.pixels)}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def _millions(count: int) -> float:
    """Too coarse to tell which film it was, and fine enough to explain why it took long."""
    return round(count / 1e6, 1)
