"""What is counted, in Prometheus' own words."""

from contextlib import suppress

from prometheus_client.parser import text_string_to_metric_families

from predictors.errors import OutOfScope
from predictors.registry import Service
from space.metrics import Metrics
from tests.running import ROOT


def read(metrics: Metrics) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by name, then by the values of their labels."""
    families = text_string_to_metric_families(metrics.text().decode())
    values: dict[str, dict[tuple[str, ...], float]] = {}
    for sample in (sample for family in families for sample in family.samples):
        values.setdefault(sample.name, {})[tuple(sample.labels[key] for key in sorted(sample.labels))] = sample.value
    return values


def test_a_film_is_counted_once_with_how_it_ended_and_how_long_it_took() -> None:
    service = Service.open(ROOT / "weights")
    metrics, others = Metrics(service), Metrics(service)
    for error in (None, OutOfScope(), OSError("Doe^John.dcm")):
        with suppress(OutOfScope, OSError), metrics.film("pneumonia", "rest"):
            if error:
                raise error
    metrics.repeated("pneumonia", "mcp")
    values = read(metrics)
    films = {key: count for key, count in values["second_look_predictions_total"].items() if count}
    assert films == {
        ("rest", "pneumonia", "answered"): 1,
        ("rest", "pneumonia", "out_of_scope"): 1,
        ("rest", "pneumonia", "internal_error"): 1,
    }
    assert values["second_look_seconds_count"] == {("pneumonia",): 3}
    assert values["second_look_repeated_answers_total"]["mcp", "pneumonia"] == 1
    assert not any(read(others)["second_look_predictions_total"].values())
    assert b"Doe" not in metrics.text()


def test_every_series_is_there_before_its_first_event() -> None:
    service = Service.open(ROOT / "weights")
    values = read(Metrics(service))
    for predictor in service.predictors:
        for door in ("page", "gradio", "rest", "mcp"):
            assert values["second_look_predictions_total"][door, predictor.name, "answered"] == 0
            assert values["second_look_repeated_answers_total"][door, predictor.name] == 0
        about = (predictor.name, predictor.spec.weights.sha256, predictor.spec.version)
        assert values["second_look_model_info"][about] == 1


def test_queue_and_readiness_are_read_when_asked() -> None:
    service = Service.open(ROOT / "weights")
    metrics, waiting = Metrics(service), [3]
    metrics.watch_queue(lambda: waiting[0])
    assert read(metrics)["second_look_queue_length"] == {(): 3}
    waiting[0] = 0
    assert read(metrics)["second_look_queue_length"] == {(): 0}
    assert read(metrics)["second_look_ready"] == {(): 0}
