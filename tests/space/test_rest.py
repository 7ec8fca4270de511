"""The REST routes of the running app: answers, refusals, and what other doors share with them."""

import base64
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from predictors import errors
from predictors.image import MAX_BYTES
from predictors.registry import Service
from space.rest import schema
from space.rest.forms import ENVELOPE
from tests.drawings import encoded
from tests.films import limb
from tests.running import ROOT, Space, running_space

KIND = {
    "bone_fracture": "limb",
    "fracture_detection": "limb",
    "fracture_type": "limb",
    "breast_cancer": "mammogram",
    "pneumonia": "chest",
}
PNG = encoded(limb(240, 320), "PNG")


@pytest.fixture(scope="module")
def http(space: Space) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=space.url, timeout=60) as client:
        for _ in range(120):
            if client.get("/ready").is_success:
                break
            time.sleep(0.5)
        yield client


@pytest.fixture(scope="module")
def direct() -> Service:
    """The predictors, without any web around them."""
    return Service.open(ROOT / "weights")


def steady(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without the time it took."""
    return {**answer, "meta": {key: value for key, value in answer["meta"].items() if key != "elapsed_ms"}}


def refusal(reply: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal, which holds nothing but these and one sentence."""
    body = reply.json()
    assert set(body) == {"detail", "code"}
    assert body["detail"].endswith(".")
    return reply.status_code, body["code"]


def counted(http: httpx.Client, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(http.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return sum(s.value for s in samples if s.name == f"second_look_{name}_total" and labels.items() <= s.labels.items())


# Answers


@pytest.mark.parametrize("name", KIND)
def test_the_same_film_gives_the_same_answer_through_every_door(
    http: httpx.Client, space: Space, direct: Service, drawn: dict[str, Path], name: str
) -> None:
    film = drawn[KIND[name]]
    reply = http.post(f"/api/{name}/predict", files={"file": (film.name, film.read_bytes(), "image/png")})
    assert reply.status_code == 200
    schema.ANSWERS[name].model_validate(reply.json(), strict=True)
    client = Client(space.url, verbose=False)
    by_gradio = client.predict(handle_file(film), api_name=f"/{name}")
    _, about = client.predict(handle_file(film), api_name=f"/{name}_heatmap")
    client.close()
    assert steady(reply.json()) == steady(by_gradio) == steady(direct[name].predict(film, film.name))
    map_reply = http.post(f"/api/{name}/heatmap", files={"file": film.read_bytes()})
    picture, _ = direct[name].heatmap(film)
    assert map_reply.headers["content-type"] == "image/png"
    assert map_reply.headers["X-Heatmap-Peak"] == ",".join(str(each) for each in about["peak"])
    with Image.open(BytesIO(map_reply.content)) as image:
        assert image.tobytes() == picture.tobytes()


def test_a_film_of_another_kind_has_a_shape_of_its_own_in_fracture_type(
    http: httpx.Client, drawn: dict[str, Path]
) -> None:
    film = {"file": drawn["chest"].read_bytes()}
    answer = http.post("/api/fracture_type/predict", files=film).json()
    assert (answer["success"], answer["meta"]["in_scope"]) == (0, False)
    schema.FractureTypeAnswer.model_validate(answer, strict=True)
    assert refusal(http.post("/api/fracture_type/heatmap", files=film)) == (422, "out_of_scope")


@pytest.mark.parametrize("field", ["file", "image", "data"])
def test_every_services_own_field_name_is_taken(http: httpx.Client, field: str) -> None:
    assert http.post("/api/bone_fracture/predict", files={field: PNG}).status_code == 200


def test_run_predict_wraps_the_answer_as_its_callers_expect(http: httpx.Client) -> None:
    answer = http.post("/run/predict", files={"data": PNG}).json()
    schema.RunPredictAnswer.model_validate(answer, strict=True)
    alone = http.post("/api/bone_fracture/predict", files={"file": PNG}).json()
    assert steady(answer["data"][0]) == steady(alone)


def test_a_file_is_called_by_its_base_name(http: httpx.Client, drawn: dict[str, Path]) -> None:
    film = drawn["mammogram"].read_bytes()
    for name in ("/home/me/a b.png", "C:\\films\\a b.png"):
        answer = http.post("/api/breast_cancer/predict", files={"file": (name, film)}).json()
        assert answer["image_info"]["filename"] == "a b.png"


@pytest.mark.parametrize("name", KIND)
def test_every_model_takes_a_batch(http: httpx.Client, direct: Service, drawn: dict[str, Path], name: str) -> None:
    film = drawn[KIND[name]].read_bytes()
    sent = [("files", ("1.png", film)), ("files", ("dir/2.txt", b"a letter")), ("files", ("3.png", film))]
    answer = http.post(f"/api/{name}/batch-predict", files=sent).json()
    schema.batch_model(name, direct[name].spec.labels).model_validate(answer, strict=True)
    assert (answer["total_images"], answer["successful"], answer["failed"]) == (3, 2, 1)
    assert [row["filename"] for row in answer["results"]] == ["1.png", "2.txt", "3.png"]
    assert answer["results"][1] == {"filename": "2.txt", "error": errors.UnsupportedImage.sentence}
    assert next(iter(answer["summary"])) == direct[name].spec.positive


# Refusals


def wide() -> bytes:
    """A small file of 72 megapixels."""
    stream = BytesIO()
    Image.new("1", (9000, 8000)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", (400, "empty_file")),
        (b"a letter", (400, "unsupported_image")),
        (PNG[: len(PNG) // 2], (400, "corrupt_image")),
        (bytes(MAX_BYTES + 1), (413, "file_too_large")),
        (wide(), (413, "image_too_large")),
    ],
    ids=["empty", "letter", "half", "bytes", "pixels"],
)
@pytest.mark.parametrize("route", ["predict", "heatmap"])
def test_a_file_that_is_no_film(http: httpx.Client, route: str, content: bytes, expected: tuple[int, str]) -> None:
    assert refusal(http.post(f"/api/bone_fracture/{route}", files={"file": ("f", content)})) == expected


def test_a_film_of_another_kind(http: httpx.Client, drawn: dict[str, Path]) -> None:
    reply = http.post("/api/pneumonia/predict", files={"file": drawn["limb"].read_bytes()})
    assert refusal(reply) == (422, "out_of_scope")
    assert reply.json()["detail"] == "This does not look like a chest radiograph; send a film of that kind."


def form(*parts: bytes) -> bytes:
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + b"--x--\r\n"


FILE_PART = b'Content-Disposition: form-data; name="%s"; filename="f"\r\n\r\nbytes'
MULTIPART = "multipart/form-data; boundary=x"


@pytest.mark.parametrize("route", ["api/pneumonia/predict", "api/pneumonia/batch-predict", "run/predict"])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (MULTIPART, form()),
        (MULTIPART, form(FILE_PART % b"picture")),
        (MULTIPART, form(b'Content-Disposition: form-data; name="file"; filename=""\r\n\r\n')),
        (MULTIPART, form(b'Content-Disposition: form-data; name="file"\r\n\r\nfilm.png')),
        (MULTIPART, form(b"Content-Disposition: form-data\r\n\r\nnameless")),
        (MULTIPART, b"nothing of the kind"),
        ("multipart/form-data", form(FILE_PART % b"file")),
        ("application/json", b'{"file": "film.png"}'),
        ("application/x-www-form-urlencoded", b"file=film.png"),
        ("image/png", PNG),
    ],
    ids=[
        "none",
        "other field",
        "nothing picked",
        "text",
        "nameless",
        "no form",
        "no boundary",
        "json",
        "urlencoded",
        "bare",
    ],
)
def test_no_file(http: httpx.Client, route: str, kind: str, body: bytes) -> None:
    reply = http.post(route, content=body, headers={"Content-Type": kind})
    assert refusal(reply) == (400, "missing_file")


def test_eleven_files_are_refused_and_none_is_read(http: httpx.Client) -> None:
    before = counted(http, "predictions")
    reply = http.post("/api/pneumonia/batch-predict", files=[("files", ("f.png", PNG))] * 11)
    assert refusal(reply) == (400, "too_many_files")
    assert counted(http, "predictions") == before


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/pneumonia/predict", (405, "method_not_allowed")),
        ("DELETE", "/run/predict", (405, "method_not_allowed")),
        ("POST", "/health", (405, "method_not_allowed")),
        ("POST", "/api/spleen/predict", (404, "unknown_model")),
        ("GET", "/api/spleen/health", (404, "unknown_model")),
        ("GET", "/api/pneumonia/nothing", (404, "not_found")),
        ("GET", "/api", (404, "not_found")),
        ("GET", "/health/", (404, "not_found")),
    ],
)
def test_addresses_and_methods_that_are_not_there(
    http: httpx.Client, method: str, path: str, expected: tuple[int, str]
) -> None:
    reply = http.request(method, path)
    assert refusal(reply) == expected
    assert ("allow" in reply.headers) == (reply.status_code == 405)


def test_head_is_a_get_without_a_body(http: httpx.Client) -> None:
    assert http.head("/health").status_code == 200
    assert http.head("/health").content == b""
    assert http.head("/api/pneumonia/predict").status_code == 405


# Uploads


def talk(space: Space, head: str) -> socket.socket:
    """A line to the service on which a request has begun."""
    address = httpx.URL(space.url)
    line = socket.create_connection((address.host, address.port), timeout=60)
    start = f"POST /api/pneumonia/predict HTTP/1.1\r\nHost: x\r\nContent-Type: {MULTIPART}\r\n{head}\r\n\r\n"
    line.sendall(start.encode())
    return line


def heard(line: socket.socket) -> str:
    """A refusal, head and body."""
    reply = b""
    while b"}" not in reply and (more := line.recv(65536)):
        reply += more
    return reply.decode()


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(space: Space) -> None:
    with talk(space, f"Content-Length: {MAX_BYTES + ENVELOPE + 1}") as line:
        reply = heard(line)
    assert reply.startswith("HTTP/1.1 413")
    assert "file_too_large" in reply


def test_a_body_that_does_not_say_so_is_cut_off_where_it_gets_too_large(space: Space) -> None:
    chunk = b"%x\r\n%s\r\n" % (1 << 20, bytes(1 << 20))
    with talk(space, "Transfer-Encoding: chunked") as line:
        opening = b"--x\r\n" + FILE_PART % b"file"
        line.sendall(b"%x\r\n%s\r\n" % (len(opening), opening))
        for _ in range((MAX_BYTES + ENVELOPE) // len(chunk) + 2):
            line.sendall(chunk)
        reply = heard(line)  # although the body has no end yet
    assert reply.startswith("HTTP/1.1 413")
    assert "file_too_large" in reply


def test_an_upload_never_lies_on_the_disk_under_a_name(space: Space) -> None:
    before = set(space.uploads())
    with talk(space, f"Content-Length: {8 << 20}") as line:
        line.sendall(b"--x\r\n" + FILE_PART % b"file" + bytes(4 << 20))
        for _ in range(20):
            assert set(space.uploads()) <= before
            time.sleep(0.05)


# Every origin


def test_any_origin_may_ask(http: httpx.Client) -> None:
    asks = {
        "Origin": "https://example.org",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "idempotency-key",
    }
    preflight = http.options("/api/pneumonia/predict", headers=asks)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "idempotency-key" in preflight.headers["access-control-allow-headers"].lower()
    for reply in (
        http.post("/api/bone_fracture/heatmap", files={"file": PNG}, headers={"Origin": "https://example.org"}),
        http.post("/api/spleen/predict", headers={"Origin": "https://example.org"}),
    ):
        assert reply.headers["access-control-allow-origin"] == "*"
        assert "X-Heatmap-Peak" in reply.headers["access-control-expose-headers"]
    # Gradio keeps rules of its own, by which our header may pass too.
    by_gradio = http.options("/gradio_api/queue/join", headers=asks)
    assert "idempotency-key" in by_gradio.headers["access-control-allow-headers"].lower()


# The service itself


def test_health_ready_and_models(http: httpx.Client, direct: Service) -> None:
    assert http.get("/health").json() == {
        "status": "healthy",
        "service": "Second Look",
        "version": "1.0.0",
        "model_status": "loaded",
    }
    ready = schema.Ready.model_validate(http.get("/ready").json(), strict=True)
    assert set(ready.models) == {"scope", *KIND}
    assert {"second_look_ready 1.0", "second_look_queue_length 0.0"} <= set(http.get("/metrics").text.splitlines())
    entries = [schema.ModelEntry.model_validate(entry, strict=True) for entry in http.get("/models").json()]
    assert [entry.name for entry in entries] == list(KIND)
    for entry in entries:
        spec = direct[entry.name].spec
        assert (entry.classes, entry.sha256, entry.threshold) == ([*spec.labels], spec.weights.sha256, spec.threshold)
        health = http.get(f"/api/{entry.name}/health").json()
        schema.Health.model_validate(health, strict=True)
        assert (health["model_status"], health["version"]) == ("loaded", spec.version)


# Sent again


def test_a_request_sent_again_is_answered_again_and_predicted_once(http: httpx.Client) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    label = {"model": "fracture_detection", "door": "rest"}
    before = counted(http, "predictions", **label), counted(http, "repeated_answers", **label)

    def ask(_: int) -> bytes:
        return http.post("/api/fracture_detection/predict", files={"file": ("f.png", PNG)}, headers=key).content

    with ThreadPoolExecutor(4) as callers:
        answers = set(callers.map(ask, range(4)))
    assert len(answers) == 1  # to the last digit of elapsed_ms
    assert counted(http, "predictions", **label) == before[0] + 1
    assert counted(http, "repeated_answers", **label) == before[1] + 3


def test_gradio_honours_the_key_too(http: httpx.Client, space: Space, drawn: dict[str, Path]) -> None:
    client = Client(space.url, verbose=False)
    label = {"model": "pneumonia", "door": "gradio", "outcome": "answered"}
    before = counted(http, "predictions", **label)
    keys = [{"Idempotency-Key": each} for each in ("one", "one", "another")]
    jobs = [client.submit(handle_file(drawn["chest"]), api_name="/pneumonia", headers=key) for key in keys]
    answers = [job.result() for job in jobs]
    client.close()
    assert answers[0] == answers[1]
    assert steady(answers[1]) == steady(answers[2])
    assert counted(http, "predictions", **label) == before + 2


def test_an_agents_film_is_counted_as_such(http: httpx.Client, drawn: dict[str, Path]) -> None:
    label = {"model": "bone_fracture", "door": "mcp", "outcome": "answered"}
    before = counted(http, "predictions", **label)
    film = "data:image/png;base64," + base64.b64encode(drawn["limb"].read_bytes()).decode()
    asked = {"name": "bone_fracture", "arguments": {"image": film}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": asked}
    accepted = {"Accept": "application/json, text/event-stream"}
    assert "predicted_label" in http.post("/gradio_api/mcp/", json=call, headers=accepted).text
    assert counted(http, "predictions", **label) == before + 1


# What Gradio refuses, in the contract's words


def test_gradio_says_the_code_beside_the_sentence(http: httpx.Client, drawn: dict[str, Path]) -> None:
    path = http.post("/gradio_api/upload", files={"files": drawn["limb"].read_bytes()}).json()[0]
    data = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}
    event = http.post("/gradio_api/call/pneumonia", json=data).json()["event_id"]
    stream = http.get(f"/gradio_api/call/pneumonia/{event}").text
    assert '"title": "out_of_scope"' in stream


def test_an_upload_that_gradio_cuts_off(http: httpx.Client) -> None:
    reply = http.post("/gradio_api/upload", files={"files": bytes(2 * MAX_BYTES + 1)})
    assert refusal(reply) == (413, "file_too_large")


def test_a_full_queue_is_busy_at_every_door(tmp_path: Path, drawn: dict[str, Path]) -> None:
    with running_space(tmp_path, "import space.desk\nspace.desk.QUEUE_SIZE = 0") as full:
        origin = {"Origin": full.url}
        for path in ("/api/pneumonia/predict", "/api/pneumonia/batch-predict", "/api/pneumonia/heatmap"):
            reply = httpx.post(f"{full.url}{path}", files={"file": drawn["chest"].read_bytes()})
            assert refusal(reply) == (503, "busy")
            assert int(reply.headers["Retry-After"]) > 0
        for path in ("call/pneumonia", "queue/join"):
            asked = {"data": [None], "fn_index": 0, "session_hash": "s"}
            reply = httpx.post(f"{full.url}/gradio_api/{path}", json=asked, headers=origin)
            assert refusal(reply) == (503, "busy")
            assert int(reply.headers["Retry-After"]) > 0
            assert reply.headers["access-control-allow-origin"] == full.url
            assert "Retry-After" in reply.headers["access-control-expose-headers"]
