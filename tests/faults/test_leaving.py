"""A signal to stop: what was asked is answered, what is new is refused, and the process ends with 0 and in time."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from gradio_client import Client, handle_file
from gradio_client.utils import Status

from space.http import leaving
from space.http.leaving import InFlight, Server
from tests.running import ROOT, Space, free_port, running_space

HELD = """
import pathlib, time
from predictors import runtime

network = runtime.Network.__call__
folder = pathlib.Path({folder!r})

def held(self, batch):
    # While a file says so, films wait for the test.
    if (folder / "hold").exists():
        (folder / "held").touch()
        while not (folder / "go").exists():
            time.sleep(0.02)
    return network(self, batch)

runtime.Network.__call__ = held
"""
BRIEF = """
import space.http.leaving
space.http.leaving.DRAIN, space.http.leaving.BOUND = 1.0, 4.0
"""


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


class Page:
    """Stands in for Gradio's: a queue of so many events, and so many that run."""

    def __init__(self) -> None:
        self._queue, self.queued, self.running = self, 0, 0

    def __len__(self) -> int:
        return self.queued

    def get_active_worker_count(self) -> int:
        return self.running


def test_nothing_is_over_while_somebody_waits_or_might_fetch_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    now, page = [100.0], Page()
    monkeypatch.setattr(leaving.time, "monotonic", lambda: now[0])
    in_flight = InFlight(page)  # type: ignore[arg-type]
    now[0] += 10
    assert not in_flight.over  # nobody has told it to leave
    in_flight.leaving_since = now[0]
    assert in_flight.over  # nobody was asking, so nothing is waited for
    for begin, end in (
        (in_flight.enter, in_flight.leave),
        (lambda: setattr(page, "queued", 1), lambda: setattr(page, "queued", 0)),
        (lambda: setattr(page, "running", 1), lambda: setattr(page, "running", 0)),
    ):
        begin()
        now[0] += 1
        assert not in_flight.over
        end()
        assert not in_flight.over
        now[0] += leaving.LINGER
        assert in_flight.over
    in_flight.enter()
    assert not in_flight.over
    now[0] = in_flight.leaving_since + leaving.DRAIN
    assert in_flight.over


def asked(space: Space, film: Path, call: str, pool: ThreadPoolExecutor) -> Any:
    """A REST call, in the background."""
    field = "files" if call == "batch-predict" else "file"
    files = [(field, ("film.png", film.read_bytes()))] * (10 if call == "batch-predict" else 1)
    return pool.submit(httpx.post, f"{space.url}/api/pneumonia/{call}", files=files, timeout=60)


def test_what_is_in_flight_is_answered_and_what_is_new_refused(
    tmp_path: Path, drawn: dict[str, Path], pool: ThreadPoolExecutor
) -> None:
    film = drawn["chest"]
    with running_space(tmp_path, HELD.format(folder=str(tmp_path))) as space:
        _until(lambda: httpx.get(f"{space.url}/ready").is_success)
        client = Client(space.url, verbose=False)
        page = pool.submit(_listen, space)  # as every open page does
        kept_alive = httpx.Client(base_url=space.url)
        assert kept_alive.get("/health").is_success
        joined = _join(space, film)  # and will listen for its answer only later

        (tmp_path / "hold").touch()
        calls = [asked(space, film, "predict", pool), asked(space, film, "batch-predict", pool)]
        by_gradio = client.submit(handle_file(film), api_name="/pneumonia_heatmap")
        _until((tmp_path / "held").exists)
        _until(lambda: by_gradio.status().code in (Status.IN_QUEUE, Status.PROCESSING))  # it has joined
        _until(lambda: _counted(space, "second_look_queue_length") >= 1)
        os.kill(space.pid, signal.SIGTERM)
        _until(lambda: httpx.get(f"{space.url}/ready").status_code == 503)

        ready = httpx.get(f"{space.url}/ready")
        assert (ready.json()["code"], ready.headers["Connection"]) == ("busy", "close")
        for path in ("/api/pneumonia/predict", "/gradio_api/upload", "/gradio_api/call/pneumonia", "/run/predict"):
            refused = kept_alive.post(path, files={"file": b"x"}, headers={"Origin": "https://front.example"})
            assert (refused.status_code, refused.json()["code"]) == (503, "busy")
            assert refused.json()["detail"] == "The service is restarting; try again in a few seconds."
            assert (refused.headers["Connection"], int(refused.headers["Retry-After"]) > 0) == ("close", True)
            assert refused.headers["Access-Control-Allow-Origin"] == "https://front.example"
        assert httpx.get(f"{space.url}/health").is_success  # it is alive

        (tmp_path / "go").touch()
        predicted, batch = (call.result(timeout=30) for call in calls)
        assert (predicted.status_code, predicted.json()["meta"]["model"]) == (200, "pneumonia")
        assert batch.json()["successful"] == 10
        picture, about = by_gradio.result(timeout=30)
        assert Path(picture).stat().st_size > 10_000
        assert about["meta"]["model"] == "pneumonia"
        stream = httpx.get(f"{space.url}/gradio_api/call/pneumonia/{joined}", timeout=30).text
        assert json.loads(stream.partition("data: ")[2].splitlines()[0])[0]["prediction"] in {"Pneumonia", "Normal"}

        last = time.monotonic()
        assert space.ended(within=8) == 0
        assert time.monotonic() - last < 5  # mostly the half second in which somebody might still fetch a picture
        page.result(timeout=5)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{space.url}/health")
        client.close()
    assert "Traceback" not in space.log.read_text()
    assert not list(space.temporary.glob("second-look-*"))


def test_what_takes_too_long_is_told_so(tmp_path: Path, drawn: dict[str, Path], pool: ThreadPoolExecutor) -> None:
    """A network that hangs holds nobody up: its caller is told, and the process ends wherever it is."""
    with running_space(tmp_path, HELD.format(folder=str(tmp_path)) + BRIEF) as space:
        _until(lambda: httpx.get(f"{space.url}/ready").is_success)
        (tmp_path / "hold").touch()
        call = asked(space, drawn["chest"], "predict", pool)
        _until((tmp_path / "held").exists)
        began = time.monotonic()
        os.kill(space.pid, signal.SIGTERM)
        refused = call.result(timeout=20)
        assert (refused.status_code, refused.json()["code"]) == (503, "busy")
        assert "Retry-After" in refused.headers
        assert space.ended(within=10) == 1
        assert 1 <= time.monotonic() - began < 8
    assert "held" in space.log.read_text()  # where it hung: the thread's functions, and nothing of the film


def test_a_second_signal_waits_for_no_answer_and_a_third_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving.faulthandler, "dump_traceback_later", lambda *_, **__: None)
    in_flight = InFlight(Page())  # type: ignore[arg-type]
    server = Server(uvicorn.Config(app=""), in_flight)
    found = []
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        server.handle_exit(sign, None)
        found.append((in_flight.leaving_since is not None, server.should_exit, server.force_exit))
    assert found == [(True, False, False), (True, True, False), (True, True, True)]


@pytest.mark.parametrize("moment", ["space.page.ui.build", "predictors.registry.load_network"])
def test_a_signal_during_the_start_ends_it(tmp_path: Path, moment: str) -> None:
    """While the page is built, and while the first network loads."""
    module, _, name = moment.rpartition(".")
    program = f"""
import os, signal, {module} as module
def signalled(*given, then=module.{name}):
    os.kill(os.getpid(), signal.SIGTERM)
    return then(*given)
module.{name} = signalled
import app
app.main()
"""
    settings = {**os.environ, "PORT": str(free_port()), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=settings, capture_output=True, timeout=40)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Traceback" not in done.stderr


def _listen(space: Space) -> None:
    """Hold a page's heartbeat until the server lets go of it."""
    with httpx.stream("GET", f"{space.url}/gradio_api/heartbeat/{threading.get_ident()}", timeout=60) as heart:
        for _ in heart.iter_raw():
            pass


def _join(space: Space, film: Path) -> str:
    [path] = httpx.post(f"{space.url}/gradio_api/upload", files={"files": film.read_bytes()}).json()
    data = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}
    return str(httpx.post(f"{space.url}/gradio_api/call/pneumonia", json=data).json()["event_id"])


def _counted(space: Space, name: str) -> float:
    text = httpx.get(f"{space.url}/metrics").text
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def _until(true: Callable[[], bool], within: float = 40) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
