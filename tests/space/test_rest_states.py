"""REST in states that the running app is not in: still loading, a model that cannot be loaded, a fault of ours."""

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from predictors.errors import InternalError
from predictors.registry import Service
from space.desk import Desk
from space.metrics import Metrics
from space.rest import schema
from space.rest.api import create_rest
from tests.drawings import encoded
from tests.films import chest
from tests.running import ROOT

WEIGHTS = ROOT / "weights"


def client(service: Service) -> TestClient:
    return TestClient(create_rest(service, Desk(Metrics(service))), raise_server_exceptions=False)


def test_not_ready_until_every_model_has_answered() -> None:
    service = Service.open(WEIGHTS)
    rest = client(service)
    reply = rest.get("/ready")
    assert (reply.status_code, reply.json()["code"]) == (503, "model_loading")
    assert int(reply.headers["Retry-After"]) > 0
    assert set(schema.NotReady.model_validate(reply.json(), strict=True).models.values()) == {"loading"}
    assert rest.get("/health").json()["model_status"] == "loading"
    service.guard()
    for predictor in service.predictors[:-1]:
        predictor.warm_up()
    assert rest.get("/ready").json()["detail"] == "Still loading: pneumonia; try again in a few seconds."
    assert rest.get("/api/pneumonia/health").json()["model_status"] == "loading"
    assert rest.get("/api/bone_fracture/health").json()["model_status"] == "loaded"
    service.predictors[-1].warm_up()
    assert rest.get("/ready").json()["status"] == "ready"


@pytest.mark.parametrize("broken", ["pneumonia", "scope"])
def test_a_model_that_cannot_be_loaded_keeps_the_service_unready_and_is_named(tmp_path: Path, broken: str) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    for folder in WEIGHTS.iterdir():
        if folder.name == broken:
            (weights / broken).mkdir()
            shutil.copy(folder / "spec.json", weights / broken)
        else:
            (weights / folder.name).symlink_to(folder)
    service = Service.open(weights, tmp_path / "cache")
    service.warm_up()
    reply = client(service).get("/ready")
    assert reply.status_code == 503
    assert reply.json()["detail"].startswith(f"Could not be loaded: {broken};")
    others = "loading" if broken == "scope" else "loaded"  # without the guard none of them has answered a film
    assert reply.json()["models"] == {
        name: "error" if name == broken else others for name in schema.NotReady(**reply.json()).models
    }
    assert client(service).get("/health").json()["model_status"] == "error"
    refused = client(service).post("/api/pneumonia/predict", files={"file": encoded(chest(), "PNG")})
    assert (refused.status_code, refused.json()["code"]) == (503, "model_loading")
    assert "Retry-After" in refused.headers


def test_a_fault_of_ours_is_an_id_and_nothing_more(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service.open(WEIGHTS)

    def fail(*_: Any) -> None:
        raise OSError("cannot open Doe^John.dcm")

    for name in ("predict", "predict_batch", "heatmap"):
        monkeypatch.setattr(service["pneumonia"], name, fail)
    monkeypatch.setattr(service, "statuses", fail)
    rest = client(service)
    for path, field in (("predict", "file"), ("heatmap", "file"), ("batch-predict", "files"), (None, "")):
        with caplog.at_level(logging.ERROR):
            reply = rest.post(f"/api/pneumonia/{path}", files={field: b"x"}) if path else rest.get("/health")
        assert reply.status_code == 500
        fault = schema.InternalFault.model_validate(reply.json(), strict=True)
        assert (fault.detail, fault.code) == (InternalError.sentence, "internal_error")
        assert reply.headers["X-Request-Id"] == fault.request_id
        assert fault.request_id in caplog.text
    assert "error=OSError place=tests.space.test_rest_states:" in caplog.text
    assert "Doe" not in caplog.text


def test_who_has_hung_up_is_not_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service.open(WEIGHTS)
    asked: list[Any] = []
    monkeypatch.setattr(service["pneumonia"], "predict", lambda *film: asked.append(film))
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nbytes\r\n--x--\r\n'
    hung_up = {"type": "http.disconnect"}

    async def ask(*messages: dict[str, Any]) -> None:
        coming = iter(messages)

        async def receive() -> dict[str, Any]:
            return next(coming, hung_up)

        async def send(_: Any) -> None:
            pass

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/pneumonia/predict",
            "query_string": b"",
            "headers": [(b"content-type", b"multipart/form-data; boundary=x")],
        }
        await create_rest(service, Desk(Metrics(service)))(scope, receive, send)

    asyncio.run(ask({"type": "http.request", "body": form, "more_body": False}))  # before their turn
    asyncio.run(ask({"type": "http.request", "body": form[:50], "more_body": True}))  # in the middle of the film
    assert asked == []
