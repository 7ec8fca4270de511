"""What the service says of itself: every request can be followed, and nobody's words are repeated."""

import json
import logging
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from predictors.registry import Service
from space.desk import Desk
from space.http.gate import Gate
from space.log import Event, Lines
from space.metrics import Metrics
from space.rest.api import create_rest
from tests.drawings import dicom, drawn_film
from tests.running import ROOT, Space
from tests.security.doors import DOORS, MODEL, file_data, uploaded

SECRET = "Doe^John 1970-01-01"
FORGED = '\n{"event": "forged"}\r\n\x1b[31m\u2028'

Line = dict[str, Any]


def lines(text: str) -> list[Line]:
    """Every line is one JSON object."""
    return [json.loads(line) for line in text.splitlines()]


class Listening:
    """A client of a running app that remembers the id of every answer, and finds what was logged of it."""

    def __init__(self, space: Space) -> None:
        self.ids: list[str] = []
        self._space, self._from = space, space.log.stat().st_size
        self.http = httpx.Client(base_url=space.url, event_hooks={"response": [self._remember]})

    def _remember(self, reply: httpx.Response) -> None:
        self.ids.append(reply.headers["X-Request-Id"])

    def said(self) -> str:
        """Every whole line; the last may still be on its way to the file."""
        with self._space.log.open() as log:
            log.seek(self._from)
            written = log.read()
        return written[: written.rfind("\n") + 1]

    def of(self, *ids: str) -> list[Line]:
        """The lines of these requests: at least one, for which we wait, since an answer is sent before its line."""
        end = time.monotonic() + 5
        while not (found := [line for line in lines(self.said()) if line.get("request_id") in ids]):
            assert time.monotonic() < end, (ids, self.said())
            time.sleep(0.02)
        return found


@pytest.fixture
def listening(space: Space) -> Iterator[Listening]:
    one = Listening(space)
    with one.http:
        yield one


# One request, one id, one line


@pytest.mark.parametrize("name", DOORS)
def test_a_film_at_any_door_has_one_line_under_the_id_that_its_caller_was_given(
    listening: Listening, drawn: dict[str, Path], name: str
) -> None:
    assert DOORS[name](listening.http, drawn["chest"].read_bytes()).answer
    assert len(set(listening.ids)) == len(listening.ids)
    (line,) = listening.of(*listening.ids)
    door = {"page": "page", "mcp": "mcp"}.get(name, "gradio" if "/" in name or name == "call" else "rest")
    assert (line["event"], line["door"], line["model"]) == ("film", door, MODEL)
    assert (line["outcome"], line["status"]) == ("answered", 200)
    route = {"page": r"/examine(_\d+)?", "rest": f"/api/{MODEL}/{name}"}.get(door, f"/{MODEL}")
    assert re.fullmatch(route, line["route"])
    assert {"waiting", "read", "scope", "preprocess", "infer", "calibrate", "other", "total"} <= set(line["ms"])
    assert sum(line["ms"].values()) == pytest.approx(2 * line["ms"]["total"], abs=0.1)
    assert line["megapixels"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


@pytest.mark.parametrize("name", DOORS)
def test_so_has_a_film_that_is_refused(listening: Listening, name: str) -> None:
    DOORS[name](listening.http, b"GIF89a" + bytes(99))
    (line,) = listening.of(*listening.ids)
    assert (line["event"], line["outcome"], line["status"]) == ("film", "unsupported_image", 400)


def test_so_has_what_is_refused_before_a_network_is_asked(listening: Listening) -> None:
    http = listening.http
    for ask, status, outcome, route in (
        (lambda: http.get(f"/{SECRET}?{SECRET}"), 404, "not_found", ""),
        (lambda: http.get(f"/api/{SECRET}/predict"), 404, "unknown_model", ""),
        (lambda: http.get("/api/pneumonia/predict"), 405, "method_not_allowed", ""),
        (lambda: http.post("/api/pneumonia/predict"), 400, "missing_file", "/api/pneumonia/predict"),
        (lambda: http.post("/run/predict", files={"no": b"x"}), 400, "missing_file", "/run/predict"),
        (lambda: http.get(f"/gradio_api/file={SECRET}"), 404, "not_found", "/gradio_api/file"),
        (lambda: http.post(f"/gradio_api/call/{SECRET}", json={"data": []}), 404, "not_found", "/gradio_api/call"),
        (lambda: http.post("/gradio_api/cancel", content=bytes(2**21)), 413, "file_too_large", "/gradio_api"),
    ):
        reply = ask()
        (line,) = listening.of(listening.ids[-1])
        assert (reply.status_code, line["event"], line["status"], line["route"]) == (status, "refused", status, route)
        assert line["outcome"] == reply.json()["code"] == outcome


@pytest.mark.parametrize("film", [None, file_data("/etc/passwd"), {"path": "http://127.0.0.1/SECRET"}])
def test_so_has_a_question_that_came_without_a_film(listening: Listening, film: Any) -> None:
    listening.http.post(f"/gradio_api/call/{MODEL}", json={"data": [film]})
    end = time.monotonic() + 5
    while (line := listening.of(*listening.ids)[-1])["event"] != "refused":  # Gradio's own fault may come before it
        assert time.monotonic() < end
    assert (line["door"], line["route"], line["outcome"]) == ("gradio", f"/{MODEL}", "missing_file")


def test_what_is_read_or_watched_is_not_logged(listening: Listening) -> None:
    for path in ("/", "/health", "/ready", "/metrics", "/models", "/config", "/api/pneumonia/health", "/docs"):
        assert listening.http.get(path).is_success
    uploaded(listening.http, b"x")
    assert len(set(listening.ids)) == 9
    listening.http.get("/none")
    assert len(listening.of(*listening.ids)) == 1


def test_callers_beside_each_other_are_not_mixed_up(space: Space, drawn: dict[str, Path]) -> None:
    doors = [name for name in ("predict", "call", "queue/join", "page", "mcp") for _ in range(3)]
    everyone = [Listening(space) for _ in doors]

    def ask(name: str, one: Listening) -> Line:
        with one.http:
            DOORS[name](one.http, drawn["chest"].read_bytes())
            (line,) = one.of(*one.ids)
            return line

    with ThreadPoolExecutor(len(doors)) as callers:
        said = list(callers.map(ask, doors, everyone))
    assert len({line["request_id"] for line in said}) == len(doors)
    assert [line["door"] for line in said[::3]] == ["rest", "gradio", "gradio", "page", "mcp"]


def test_an_id_is_never_the_callers(listening: Listening) -> None:
    for name in ("X-Request-Id", "X-Second-Look-Request"):
        for value in ("0" * 32, "0" * 96, SECRET):
            reply = listening.http.get("/models", headers={name: value})
            assert re.fullmatch("[0-9a-f]{32}", reply.headers["X-Request-Id"])
            assert reply.headers["X-Request-Id"] not in value
    assert len(set(listening.ids)) == 6


@pytest.mark.parametrize("path", ["/models", "/gradio_api/info", "/api/none"])
def test_a_page_elsewhere_can_read_it(space: Space, path: str) -> None:
    reply = httpx.get(f"{space.url}{path}", headers={"Origin": "https://example.org", "Host": "space.example"})
    assert "X-Request-Id" in reply.headers["access-control-expose-headers"]
    assert reply.headers["access-control-allow-origin"]


def test_who_goes_away_is_told_from_who_is_refused(listening: Listening) -> None:
    route = "/api/pneumonia/predict"  # an answer is sent before its line: the last test's may still come
    head = f"POST {route} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n".encode()
    with socket.create_connection((listening.http.base_url.host, listening.http.base_url.port)) as line:
        line.sendall(head + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n")
    end = time.monotonic() + 5
    while not (said := [line for line in lines(listening.said()) if line.get("route") == route]):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert [(line["event"], line["outcome"]) for line in said] == [("refused", "gone")]


# What is not in it


def test_no_line_repeats_what_a_caller_sent(listening: Listening, drawn: dict[str, Path]) -> None:
    http, telling = listening.http, "Doe^John\r\nforged"
    film = dicom(drawn_film(), PatientName="Doe^John", PatientID="SECRET-1970", InstitutionName="SECRET")
    http.headers["User-Agent"] = http.headers["Referer"] = "SECRET"
    for content in (film, drawn["chest"].read_bytes()):
        for path in ("predict", "heatmap", "none"):
            http.post(f"/api/pneumonia/{path}?name=SECRET", files={"file": (telling, content)})
        http.post("/api/pneumonia/batch-predict", files=[("files", (telling, content))] * 2)
        path = uploaded(http, content, "SECRET.dcm")
        http.post("/gradio_api/call/pneumonia", json={"data": [{"path": path, "orig_name": telling, "SECRET": 1}]})
    http.post("/gradio_api/call/SECRET", json={"SECRET": "SECRET"})
    http.post("/gradio_api/call/pneumonia", content=b"SECRET")
    http.get("/gradio_api/file=/SECRET/Doe^John.png")
    with httpx.Client(base_url=http.base_url) as raw, pytest.raises(httpx.HTTPError):
        raw.get("/", headers={"X-Bad": "SECRET"}, extensions={"target": b"/ SECRET\x00"}).raise_for_status()
    listening.of(listening.ids[-1])
    said = listening.said()
    assert [word for word in ("Doe", "SECRET", "forged", "1970", "SEC", "127.0.0.1", "Traceback") if word in said] == []
    known = {
        "time", "level", "logger", "event", "request_id", "door", "route", "model", "outcome", "status", "ms",
        "megabytes", "megapixels", "place", "message", "error", "through",
    }  # fmt: skip
    assert {key for line in lines(said) for key in line} <= known


TELLS_ALL = f"""
import asyncio, gc, logging, sys, threading, traceback, warnings
from space.log import Event, logged
SECRET = {SECRET!r} + {FORGED!r}

async def lost():
    async def fail(): raise KeyError(SECRET)
    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    del task
    gc.collect()

def fail(): raise OSError(2, SECRET, SECRET)

def lose():
    class Bad:
        def __del__(self): raise ValueError(SECRET)
    Bad()

@logged()
def main():
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.error").error("Exception in %s", SECRET)
    logging.getLogger("h11").error("illegal request line " + SECRET)
    logging.getLogger().error(SECRET)
    try: fail()
    except OSError:
        logging.getLogger("httpx").exception(SECRET)
        traceback.print_exc()
    logging.getLogger("httpx").info(SECRET)
    print(SECRET)
    print(SECRET, file=sys.stderr)
    warnings.warn(SECRET)
    thread = threading.Thread(target=fail)
    thread.start(); thread.join()
    asyncio.run(lost())
    lose()
    logging.getLogger("space").error("A sentence of ours, %s.", "filled in")
    logging.getLogger("space").info(Event("film", model="pneumonia", odd={FORGED!r}, ms={{"total": 1.5}}))
    sys.stderr.flush()

main()
"""


def run(program: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, **options)


def test_whatever_libraries_say_and_however_only_kind_and_place_are_told() -> None:
    done = run(TELLS_ALL)
    assert (done.returncode, done.stdout) == (0, "")
    said = lines(done.stderr)
    for word in ("Doe", "forged", "1970", "Traceback", "\x1b"):
        assert word not in json.dumps([line for line in said if line["event"] != "film"])
    told = [(line["event"], line["logger"], line.get("error")) for line in said]
    assert told == [
        ("library", "uvicorn.error", None),
        ("library", "uvicorn.error", None),
        ("library", "h11", None),
        ("library", "root", None),
        ("library", "httpx", "FileNotFoundError ENOENT"),
        ("fault", "space.log", "FileNotFoundError ENOENT"),
        ("print", "space.log", None),
        ("print", "space.log", None),
        ("warning", "space.log", "UserWarning"),
        ("fault", "space.log", "FileNotFoundError ENOENT"),
        ("library", "asyncio", "KeyError"),
        ("fault", "space.log", "ValueError"),
        ("message", "space", None),
        ("film", "space", None),
    ]
    assert [line["message"] for line in said if "message" in line] == [
        "Invalid HTTP request received.",
        "Exception in %s",
        "A sentence of ours, filled in.",
    ]
    assert said[5]["place"].startswith("__main__:")


def test_at_a_terminal_the_same_is_plain_text() -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb") as screen:
        subprocess.run([sys.executable, "-c", TELLS_ALL], cwd=ROOT, stderr=theirs, check=True)
        os.close(theirs)
        shown = _all(screen).decode()
    rows = shown.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z (info|warning|error) ", row) for row in rows)
    assert rows[-1].partition("film ")[2].startswith('model=pneumonia odd="')
    assert rows[-1].endswith("ms=total:1.5")
    assert "Doe" not in shown


def _all(screen: Any) -> bytes:
    said = b""
    try:
        while piece := os.read(screen.fileno(), 65536):
            said += piece
    except OSError:  # how a terminal says that the other end is closed
        pass
    return said


def test_what_ends_the_service_is_told_with_its_words_only_if_they_are_ours() -> None:
    ended = "from space.log import logged\nwith logged(): "
    ours, theirs = run(f"{ended}raise ValueError('A sentence.')"), run(f"{ended}open({SECRET!r})")
    assert ours.returncode == theirs.returncode == 1
    (told,), (hidden,) = lines(ours.stderr), lines(theirs.stderr)
    assert (told["level"], told["event"], told["error"], told["message"]) == (
        "critical",
        "fault",
        "ValueError",
        "A sentence.",
    )
    assert hidden["error"] == "FileNotFoundError ENOENT"
    assert "Doe" not in theirs.stderr


@pytest.mark.parametrize("plain", [True, False])
def test_no_value_can_begin_a_line(plain: bool) -> None:
    for said in (Event("film", odd=FORGED, several={"odd": FORGED}), f"ours {FORGED}"):
        record = logging.LogRecord("space", logging.INFO, "", 1, said, (), None)
        line = Lines(plain).format(record)
        assert line.isprintable()
        assert "\u2028" not in line


# Faults


@pytest.fixture(scope="module")
def service() -> Service:
    return Service.open(ROOT / "weights")


def in_process(service: Service, metrics: Metrics) -> TestClient:
    return TestClient(Gate(create_rest(service, Desk(metrics)), metrics=metrics), raise_server_exceptions=False)


def test_a_fault_has_the_same_id_in_body_header_and_log(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(f"cannot open {SECRET}")

    monkeypatch.setattr(service[MODEL], "predict", fail)
    with caplog.at_level(logging.INFO):
        reply = in_process(service, Metrics(service)).post(f"/api/{MODEL}/predict", files={"file": b"x"})
    assert reply.status_code == 500
    id_ = reply.json()["request_id"]
    assert reply.headers.get_list("X-Request-Id") == [id_]
    film, fault = (record.msg for record in caplog.records if isinstance(record.msg, Event))
    assert (fault.name, fault.fields["request_id"], fault.fields["error"]) == ("fault", id_, "OSError")
    assert fault.fields["place"].startswith("tests.space.test_log:")
    assert (film.name, film.fields["outcome"], film.fields["status"]) == ("film", "internal_error", 500)
    assert "Doe" not in caplog.text


@pytest.mark.parametrize("begun", [False, True])
def test_what_fails_outside_of_every_route_is_told_in_our_words(
    service: Service, caplog: pytest.LogCaptureFixture, begun: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Callable[..., Any]) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError(SECRET)

    with caplog.at_level(logging.ERROR):
        reply = TestClient(Gate(Starlette() and app, metrics=Metrics(service)), raise_server_exceptions=False).get("/")
    id_ = reply.headers["X-Request-Id"]
    if not begun:
        assert (reply.status_code, reply.json()["request_id"]) == (500, id_)
    assert caplog.records[0].msg.fields["request_id"] == id_
    assert "Doe" not in caplog.text
