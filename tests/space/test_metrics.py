"""What is counted and timed, in Prometheus' own words."""

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from predictors import stages
from predictors.errors import OutOfScope
from predictors.image import read_film
from predictors.registry import Service
from predictors.stages import Stopwatch, stage, watched
from space.desk import Desk
from space.metrics import DOORS, Metrics, codes
from space.rest.api import create_rest
from tests.running import ROOT, Space
from tests.security import doors

Values = dict[str, dict[tuple[str, ...], float]]


def values_of(text: str) -> Values:
    """Values by name, then by the values of their labels."""
    values: Values = {}
    for sample in (sample for family in text_string_to_metric_families(text) for sample in family.samples):
        values.setdefault(sample.name, {})[tuple(sample.labels[key] for key in sorted(sample.labels))] = sample.value
    return values


def read(metrics: Metrics) -> Values:
    return values_of(metrics.text().decode())


@pytest.fixture(scope="module")
def service() -> Service:
    return Service.open(ROOT / "weights")


def test_a_film_is_counted_once_with_how_it_ended_and_how_long_it_took(service: Service) -> None:
    metrics, others = Metrics(service), Metrics(service)
    for error in (None, OutOfScope(), OSError("Doe^John.dcm")):
        with suppress(OutOfScope, OSError), metrics.film("pneumonia", "rest"):
            assert read(metrics)["second_look_films_in_flight"] == {(): 1}
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
    assert values["second_look_films_in_flight"] == {(): 0}
    assert not any(read(others)["second_look_predictions_total"].values())
    assert b"Doe" not in metrics.text()


def test_every_series_is_there_before_its_first_event(service: Service) -> None:
    values = read(Metrics(service))
    for door in DOORS:
        for predictor in service.predictors:
            assert values["second_look_predictions_total"][door, predictor.name, "answered"] == 0
            assert values["second_look_repeated_answers_total"][door, predictor.name] == 0
        for code in ("busy", "file_too_large", "not_found", "method_not_allowed", "internal_error", "gone"):
            assert values["second_look_refused_requests_total"][code, door] == 0
    for predictor in service.predictors:
        about = (predictor.name, predictor.spec.weights.sha256, predictor.spec.version)
        assert values["second_look_model_info"][about] == 1


def test_queue_uploads_and_readiness_are_read_when_asked(service: Service) -> None:
    metrics, waiting = Metrics(service), [3]
    metrics.watch_queue(lambda: waiting[0])
    metrics.watch_uploads(lambda: 10 * waiting[0])
    assert read(metrics)["second_look_queue_length"] == {(): 3}
    waiting[0] = 0
    values = read(metrics)
    assert values["second_look_queue_length"] == values["second_look_upload_bytes"] == {(): 0}
    assert values["second_look_ready"] == {(): 0}
    assert set(values["second_look_model_loaded"].values()) == {0}


# Over a session


@pytest.fixture
def http(space: Space) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=space.url) as client:
        yield client


def test_answered_and_refused_are_all_that_was_asked(http: httpx.Client, drawn: dict[str, Path]) -> None:
    film, no_film = drawn["chest"].read_bytes(), b"no film"
    before = values_of(http.get("/metrics").text)
    with ThreadPoolExecutor(4) as callers:
        asked = [(name, content) for name in doors.DOORS for content in (film, no_film)]
        list(callers.map(lambda each: doors.DOORS[each[0]](http, each[1]), asked))
    refused = [
        http.post("/api/pneumonia/predict"),
        http.post("/api/none/predict"),
        http.get("/none"),
        http.get("/run/predict"),
        http.post("/api/pneumonia/batch-predict", files=[("files", film)] * 11),
        http.post("/gradio_api/upload", content=b"no form"),
    ]
    key = {"Idempotency-Key": "sent twice"}
    repeated = [http.post("/api/pneumonia/predict", files={"file": film}, headers=key) for _ in "ab"]
    assert repeated[0].json() == repeated[1].json()
    after = values_of(http.get("/metrics").text)

    def more(name: str) -> Counter[tuple[str, ...]]:
        return Counter({key: int(count - before.get(name, {}).get(key, 0)) for key, count in after[name].items()})

    films = +more("second_look_predictions_total")
    at = {"rest": 3, "gradio": 3, "page": 1, "mcp": 1}
    both = ("answered", "unsupported_image")
    expected = {(door, "pneumonia", outcome): count for door, count in at.items() for outcome in both}
    expected["rest", "pneumonia", "answered"] += 1  # of the two that were the same
    assert films == expected
    assert +more("second_look_repeated_answers_total") == {("rest", "pneumonia"): 1}
    assert (+more("second_look_refused_requests_total")).total() == len(refused)
    told = Counter((reply.json()["code"], "gradio" if "gradio" in str(reply.url) else "rest") for reply in refused)
    told["not_found", "page"] = told.pop(("not_found", "rest"))
    assert +more("second_look_refused_requests_total") == told
    assert films.total() + len(refused) + 1 == len(asked) + len(refused) + len(repeated)
    assert more("second_look_seconds_count")["pneumonia",] == films.total()
    waited = more("second_look_stage_seconds_count")["pneumonia", "waiting"]
    assert waited == films.total()


def test_the_stages_add_up_to_the_whole(http: httpx.Client, drawn: dict[str, Path]) -> None:
    before = values_of(http.get("/metrics").text)
    doors.DOORS["heatmap"](http, drawn["chest"].read_bytes())
    after = values_of(http.get("/metrics").text)

    def seconds(name: str, *labels: str) -> float:
        return after[name][labels] - before.get(name, {}).get(labels, 0.0)

    each = {name: seconds("second_look_stage_seconds_sum", "pneumonia", name) for name in stages.STAGES if name in USED}
    assert all(each.values())
    assert sum(each.values()) == pytest.approx(seconds("second_look_seconds_sum", "pneumonia"), rel=1e-6)
    assert each["other"] < 0.2 * sum(each.values())


USED = {"read", "scope", "preprocess", "infer", "calibrate", "heatmap", "encode", "other"}


def test_nothing_that_a_caller_chooses_makes_a_series(http: httpx.Client) -> None:
    for odd in ("a", "b" * 500, "%00", "..%2f"):
        for path in (f"/{odd}", f"/api/{odd}/predict", f"/gradio_api/call/{odd}", f"/gradio_api/file={odd}"):
            http.request(odd[:1].upper() * 9, path, headers={"Host": odd, "User-Agent": odd})
            http.post(path, json={"data": [odd]})
            http.post("/api/pneumonia/predict", files={odd: (odd, b"x", odd)})
    known = {
        "door": set(DOORS),
        "model": {model.name for model in Service.open(ROOT / "weights").predictors} | {"scope"},
        "stage": {"waiting", *stages.STAGES},
        "outcome": {"answered", *codes()},
        "code": {*codes(), *(status.phrase.lower().replace(" ", "_") for status in HTTPStatus)},  # not ours: agents'
    }
    for family in text_string_to_metric_families(http.get("/metrics").text):
        for sample in family.samples:
            for label, value in sample.labels.items():
                assert value in known.get(label, {value}), sample
            assert set(sample.labels) <= known.keys() | {"le", "version", "sha256", *BUILD}, sample


BUILD = {"python", "gradio", "openvino", "pillow", "pydicom"}


def test_the_operations_page_lists_every_metric_and_no_other(http: httpx.Client) -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    def listed(section: str) -> list[str]:
        return re.findall(r"^\| `(\w+)` \|", page.partition(f"\n## {section}\n")[2].partition("\n## ")[0], re.MULTILINE)

    named = re.findall(r"^# TYPE (\S+)", http.get("/metrics").text, re.MULTILINE)
    assert sorted(listed("Metrics")) == sorted(named)
    assert listed("Stages") == ["waiting", *stages.STAGES]


# The stopwatch


def test_a_stage_inside_another_is_charged_to_the_inner_one() -> None:
    with watched() as watch:
        with stage("read"):
            time.sleep(0.02)
            with stage("infer"):
                time.sleep(0.05)
            time.sleep(0.02)
        total = watch.stop()
    assert 0.05 <= watch.seconds["infer"] < watch.seconds["infer"] + watch.seconds["read"] <= total
    assert watch.seconds["read"] >= 0.04
    assert watch.seconds["other"] < 0.02
    assert sum(watch.seconds.values()) == pytest.approx(total)


def test_a_stage_that_fails_is_charged_and_left() -> None:
    with watched() as watch:
        with suppress(ValueError), stage("read"):
            raise ValueError
        assert watch.enter("other") == "other"
    with watched() as inner:
        assert isinstance(inner, Stopwatch)
        assert inner.seconds == {}


def test_nobody_pays_who_does_not_watch() -> None:
    """Two microseconds a stage, of the best of some runs: the machine may be busy."""

    def once() -> float:
        began = time.perf_counter()
        for _ in range(1000):
            with stage("read"):
                pass
        return (time.perf_counter() - began) / 1000

    assert min(once() for _ in range(20)) < 2e-6


# Alive and ready


def test_ready_is_what_every_model_has_answered_through_the_whole_path() -> None:
    reads: list[Any] = []

    def reader(source: Any) -> Any:
        reads.append(source)
        if len(reads) == 1:
            raise MemoryError
        return read_film(source)

    service = Service.open(ROOT / "weights", reader=reader)
    rest = TestClient(create_rest(service, Desk(Metrics(service))))
    assert rest.get("/ready").status_code == 503
    assert set(rest.get("/ready").json()["models"].values()) == {"loading"}
    service.warm_up()
    first = service.predictors[0].name
    models = rest.get("/ready").json()["models"]
    assert rest.get("/ready").status_code == 503
    assert models.pop(first) == "error"
    assert set(models.values()) == {"loaded"}
    assert len(reads) >= len(service.predictors)
    service.warm_up()
    assert rest.get("/ready").json()["status"] == "ready"


def test_who_watches_is_answered_while_a_network_takes_long_to_load(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service.open(ROOT / "weights")
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Any:
        begun.set()
        go_on.wait(30)
        raise OSError

    for predictor in service.predictors:
        monkeypatch.setattr(predictor.network, "_load", slow)
    loading = threading.Thread(target=service.warm_up)
    loading.start()
    try:
        assert begun.wait(30)
        rest, began = TestClient(create_rest(service, Desk(Metrics(service)))), time.monotonic()
        health = rest.get("/health").json()
        assert (health["status"], health["model_status"]) == ("healthy", "loading")
        assert rest.get("/api/pneumonia/health").json()["model_status"] == "loading"
        assert rest.get("/ready").status_code == 503
        assert rest.get("/models").is_success
        assert "second_look_ready 0.0" in rest.get("/metrics").text
        assert time.monotonic() - began < 3
        assert not go_on.is_set()
        assert loading.is_alive()
    finally:
        go_on.set()
        loading.join(30)
