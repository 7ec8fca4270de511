"""What goes wrong under a request: no room, no memory, a network that hangs, a caller who leaves. The app goes on."""

import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from predictors.errors import InternalError
from tests.drawings import encoded
from tests.running import Space, running_space

PRELUDE = """
import os, pathlib, time
import numpy, space.desk
from predictors import runtime, scope

folder = pathlib.Path({folder!r})
space.desk.AT_ONCE = 1
network, look = runtime.Network.__call__, scope.ScopeGuard.look

def trouble(name):
    return (folder / name).exists()

def asked(self, batch):
    (folder / "asked").open("a").write("x")
    space.desk.LONGEST_TURN = 1.5 if trouble("short turns") else 60  # from the next one on
    if trouble("hangs"):
        while trouble("hangs"):
            time.sleep(0.02)
    if trouble("no memory"):
        raise MemoryError("of Doe^John")
    if trouble("breaks"):
        raise RuntimeError("Exception from src/inference: Doe^John")
    return network(self, batch)

def looked(self, *given):
    if trouble("guard breaks"):
        raise RuntimeError("Doe^John")
    return look(self, *given)

runtime.Network.__call__, scope.ScopeGuard.look = asked, looked
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("requests")


@pytest.fixture(scope="module")
def space(folder: Path) -> Iterator[Space]:
    with running_space(folder, PRELUDE.format(folder=str(folder))) as space:
        until(lambda: httpx.get(f"{space.url}/ready").is_success)
        yield space


@pytest.fixture
def trouble(folder: Path) -> Callable[[str], Any]:
    @contextmanager
    def trouble(name: str) -> Iterator[None]:
        (folder / name).touch()
        try:
            yield
        finally:
            (folder / name).unlink()

    return trouble


def predict(space: Space, film: bytes, **more: Any) -> httpx.Response:
    return httpx.post(f"{space.url}/api/pneumonia/predict", files={"file": film}, timeout=30, **more)


def upload(space: Space, film: bytes) -> httpx.Response:
    return httpx.post(f"{space.url}/gradio_api/upload", files={"files": ("film.png", film)}, timeout=30)


def join(space: Space, film: bytes) -> str:
    [path] = upload(space, film).raise_for_status().json()
    data = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}
    return str(httpx.post(f"{space.url}/gradio_api/call/pneumonia", json=data).json()["event_id"])


def answer(space: Space, event: str) -> str:
    return httpx.get(f"{space.url}/gradio_api/call/pneumonia/{event}", timeout=30).text


def until(true: Callable[[], bool], within: float = 40) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


# In the network


@pytest.mark.parametrize("name", ["no memory", "breaks", "guard breaks"])
def test_a_fault_in_a_network_is_a_500_with_an_id_and_the_next_film_is_answered(
    space: Space, drawn: dict[str, Path], trouble: Callable[[str], Any], name: str
) -> None:
    film = drawn["chest"].read_bytes()
    with trouble(name):
        refused = predict(space, film)
        by_gradio = answer(space, join(space, film))
    assert (refused.status_code, refused.json()["code"]) == (500, "internal_error")
    assert refused.json()["detail"] == InternalError.sentence
    assert refused.json()["request_id"] in space.log.read_text()
    assert InternalError.sentence in by_gradio
    assert predict(space, film).status_code == 200
    assert httpx.get(f"{space.url}/ready").is_success
    assert "Doe" not in space.log.read_text()


def test_a_network_that_hangs_does_not_keep_its_turn(
    space: Space, drawn: dict[str, Path], trouble: Callable[[str], Any]
) -> None:
    film = drawn["chest"].read_bytes()
    with trouble("short turns"):
        assert predict(space, film).status_code == 200
    with trouble("hangs"):
        refused = predict(space, film)
        assert (refused.status_code, refused.json()["code"]) == (500, "internal_error")
        assert _at_the_desk(space) == 0
    assert predict(space, film).status_code == 200  # the one turn there is came back
    assert predict(space, film).status_code == 200


# On the disk

LARGEST = 300_000


@pytest.fixture(scope="module")
def large() -> bytes:
    """A picture of some megabytes, as noise does not compress."""
    noise = np.random.default_rng(0).integers(0, 255, (1500, 1500), np.uint8)
    return encoded(Image.fromarray(noise), "PNG")


@contextmanager
def no_room(space: Space) -> Iterator[None]:
    """The system lets the app write no file beyond ``LARGEST`` bytes: to Python an OSError, as a full disk is."""
    before = resource.prlimit(space.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(space.pid, resource.RLIMIT_FSIZE, (LARGEST, before[1]))
    try:
        yield
    finally:
        resource.prlimit(space.pid, resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="prlimit is Linux's")
def test_while_the_disk_is_full_every_door_says_so_and_then_answers(
    space: Space, drawn: dict[str, Path], large: bytes
) -> None:
    assert len(large) > 2 * LARGEST
    with no_room(space):
        for refused in (predict(space, large), upload(space, large)):
            assert (refused.status_code, refused.json()["code"]) == (503, "busy"), refused.text
            assert refused.json()["detail"].startswith("There is no room for another film just now;")
            assert int(refused.headers["Retry-After"]) > 0
        assert httpx.get(f"{space.url}/health").is_success
    assert [path for path in space.uploads() if path.stat().st_size >= LARGEST] == []
    assert predict(space, large).json()["code"] == "out_of_scope"
    assert upload(space, large).is_success
    assert predict(space, drawn["chest"].read_bytes()).status_code == 200


# Callers who leave


def test_who_leaves_is_not_predicted_and_leaves_nothing(
    space: Space, folder: Path, drawn: dict[str, Path], trouble: Callable[[str], Any]
) -> None:
    """Before their turn: in the middle of the upload, at the desk by REST, and at the desk by Gradio."""
    film = drawn["chest"].read_bytes()
    (folder / "asked").unlink(missing_ok=True)
    said, before = len(space.log.read_text()), set(space.uploads())
    held = folder / "hangs"
    held.touch()
    with socket.create_connection(("127.0.0.1", int(space.url.rpartition(":")[2]))) as first:
        first.sendall(_request(film))
        until((folder / "asked").exists)  # it has the one turn there is

        _leave_after(space, _request(film)[:-9999])
        _leave_after(space, _request(film, "/gradio_api/upload", "files")[:-9999])
        _leave_after(space, _request(film))
        gone = join(space, film)
        with httpx.stream("GET", f"{space.url}/gradio_api/call/pneumonia/{gone}"):
            until(lambda: _at_the_desk(space) >= 1)
        held.unlink()
        assert b"200 OK" in first.recv(4096)
    # Whoever asks now comes after them: once this one is answered, they have been passed over.
    assert predict(space, film).status_code == 200
    assert len((folder / "asked").read_text()) == 2 * 2  # twice the scope guard and the network
    until(lambda: _at_the_desk(space) == 0)
    later = space.log.read_text()[said:]
    assert '"level": "error"' not in later
    assert "Traceback" not in later
    assert {path.stat().st_size for path in set(space.uploads()) - before} <= {len(film)}  # no half of one


def test_an_answer_that_nobody_fetches_holds_up_nobody(space: Space, drawn: dict[str, Path]) -> None:
    film = drawn["chest"].read_bytes()
    for _ in range(3):
        join(space, film)
    until(lambda: _at_the_desk(space) == 0)
    assert '"prediction"' in answer(space, join(space, film))


def _request(film: bytes, path: str = "/api/pneumonia/predict", field: str = "file") -> bytes:
    part = f'--x\r\nContent-Disposition: form-data; name="{field}"; filename="f"\r\n\r\n'
    body = part.encode() + film + b"\r\n--x--\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _leave_after(space: Space, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", int(space.url.rpartition(":")[2]))) as line:
        line.sendall(sent)
        time.sleep(0.2)  # for the app to read it; nothing outside tells


def _at_the_desk(space: Space) -> float:
    text = httpx.get(f"{space.url}/metrics").text
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith("second_look_queue_length"))
