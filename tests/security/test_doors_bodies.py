"""Bodies that are too large, too slow or too many, and heads that never end: cut off, and the others are answered."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from predictors.image import MAX_BYTES
from predictors.predictor import MAX_BATCH
from space import room
from space.http import bodies
from space.http.bodies import ENVELOPE, Bodies, CutOff, largest
from space.room import Room
from tests.drawings import encoded
from tests.films import chest
from tests.running import Space, running_space, until_ready
from tests.security.doors import call, predict, refused, uploaded

FILM = encoded(chest(), "PNG")


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/gradio_api/upload", MAX_BATCH * MAX_BYTES + ENVELOPE),
        ("/api/pneumonia/batch-predict", MAX_BATCH * MAX_BYTES + ENVELOPE),
        ("/run/predict", MAX_BATCH * MAX_BYTES + ENVELOPE),
        ("/gradio_api/mcp/", MAX_BYTES * 4 // 3 + ENVELOPE),
        ("/gradio_api/mcp/messages/", MAX_BYTES * 4 // 3 + ENVELOPE),
        ("/gradio_api/call/pneumonia", ENVELOPE),
        ("/gradio_api/call/v2/pneumonia", ENVELOPE),
        ("/gradio_api/queue/join", ENVELOPE),
        ("/gradio_api/run/x", ENVELOPE),
        ("/gradio_api/cancel", ENVELOPE),
        ("/gradio_api/whatever/comes", ENVELOPE),
        ("/", 64 * 1024),
        ("/config", 64 * 1024),
    ],
)
def test_every_address_has_a_limit(path: str, limit: int) -> None:
    assert largest(path) == limit


# One request, in its own time


class Line:
    """A connection whose other end sends ``pieces``, an exception to its reader in place of one, or nothing more."""

    def __init__(self, pieces: AsyncIterator[bytes], path: str = "/gradio_api/cancel", **headers: str) -> None:
        names = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        self.scope = {"type": "http", "method": "POST", "path": path, "headers": names}
        self.sent: list[Any] = []
        self.read = 0
        self._pieces = pieces

    async def receive(self) -> dict[str, Any]:
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            return {"type": "http.request", "body": b"", "more_body": False}
        self.read += len(piece)
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def told(self) -> tuple[int, str]:
        return self.sent[0]["status"], json.loads(self.sent[1]["body"])["code"]

    @property
    def closes(self) -> bool:
        return (b"connection", b"close") in self.sent[0]["headers"] and not self.sent[-1].get("more_body", False)


async def reads(scope: Any, receive: Any, send: Any) -> None:
    """An app that reads all and says how much it was."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message["body"]), message["more_body"]
    await says(scope, receive, send, str(size).encode())


async def says(scope: Any, receive: Any, send: Any, body: bytes = b"said") -> None:
    """One that answers without reading."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"vary", b"Origin")]})
    await send({"type": "http.response.body", "body": body})


async def pieces(*sizes: int, pause: float = 0) -> AsyncIterator[bytes]:
    for size in sizes:
        yield bytes(size)
        await asyncio.sleep(pause)


async def endless(size: int, pause: float = 0) -> AsyncIterator[bytes]:
    while True:
        yield bytes(size)
        await asyncio.sleep(pause)


def through(line: Line, folder: Path, app: Any = reads) -> Line:
    async def in_time() -> None:
        async with asyncio.timeout(10):
            await Bodies(app, Room(folder))(line.scope, line.receive, line.send)

    asyncio.run(in_time())
    return line


def test_a_body_within_its_limits_passes_as_it_is(tmp_path: Path) -> None:
    line = through(Line(pieces(1000, 2000), content_length="3000"), tmp_path)
    assert (line.sent[0]["status"], line.sent[1]["body"]) == (200, b"3000")
    assert not line.closes


def test_a_body_that_says_it_is_too_large_is_not_read(tmp_path: Path) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise CutOff("read")
        yield b""

    line = Line(never(), content_length=str(ENVELOPE + 1))
    with pytest.raises(CutOff, match="read"):  # by us alone, and after the refusal
        through(line, tmp_path)
    assert line.told == (413, "file_too_large")


def test_a_body_that_does_not_say_so_is_cut_off_where_it_gets_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "LINGER", 0.05)
    sizes: list[int] = []

    async def counts(scope: Any, receive: Any, send: Any) -> None:
        while True:
            sizes.append(len((await receive())["body"]))

    line = through(Line(endless(1 << 16), transfer_encoding="chunked"), tmp_path, counts)
    assert line.told == (413, "file_too_large")
    assert sum(sizes) <= ENVELOPE
    assert line.closes


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("STALL", 0.05, lambda: pieces(10, 10, pause=60)),
        ("LONGEST", 0.1, lambda: endless(1 << 10, pause=0.01)),
        ("GRACE", 0.1, lambda: endless(1, pause=0.01)),
    ],
)
def test_a_body_that_is_too_slow_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: float, sent: Callable[[], AsyncIterator[bytes]]
) -> None:
    monkeypatch.setattr(bodies, "LINGER", 0.05)
    monkeypatch.setattr(bodies, name, value)
    line = through(Line(sent(), transfer_encoding="chunked"), tmp_path)
    assert line.told == (400, "missing_file")
    assert json.loads(line.sent[1]["body"])["detail"].startswith("The upload stopped or came too slowly")
    assert line.closes


def test_an_answer_before_the_end_of_the_body_closes_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "LINGER", 0.05)
    line = through(Line(endless(1 << 10, pause=0.001), content_length="999999"), tmp_path, says)
    assert line.sent[1] == {"type": "http.response.body", "body": b"said", "more_body": True}
    assert line.closes
    patient = through(Line(pieces(10, 10), content_length="20"), tmp_path, says)
    assert patient.read == 20  # then its sender is heard out, and reads the answer


def test_two_lengths_are_one_too_many(tmp_path: Path) -> None:
    line = through(Line(pieces(5), content_length="5", transfer_encoding="chunked"), tmp_path)
    assert line.told == (400, "missing_file")
    assert line.closes


def test_more_requests_than_there_are_places_are_busy_and_monitors_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MOST_OPEN", 1)
    gate = asyncio.Event()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await gate.wait()
        await says(scope, receive, send)

    async def together() -> list[int]:
        app = Bodies(waits, Room(tmp_path))
        slow, other, monitor, later = (Line(pieces(), path) for path in ("/slow", "/", "/ready", "/"))
        other.scope["headers"].append((b"origin", b"https://front.example"))
        waiting = asyncio.create_task(app(slow.scope, slow.receive, slow.send))
        await asyncio.sleep(0)
        for line in (other, monitor):
            await app(line.scope, line.receive, line.send)
        gate.set()
        await waiting
        await app(later.scope, later.receive, later.send)
        told = dict(other.sent[0]["headers"])
        assert told[b"retry-after"]
        assert told[b"access-control-allow-origin"] == b"https://front.example"  # a front end gets to read it
        return [line.sent[0]["status"] for line in (slow, other, monitor, later)]

    assert asyncio.run(together()) == [200, 503, 200, 200]


def test_films_in_flight_and_on_the_disk_have_a_bound_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hash").mkdir()
    (tmp_path / "hash" / "film").write_bytes(bytes(3_000_000))
    (tmp_path / "small").touch()
    assert room.taken(tmp_path) == 3_000_000 + room.SMALLEST
    upload = ("/gradio_api/upload", "/api/pneumonia/predict", "/gradio_api/mcp/")
    assert room.most_on_disk(tmp_path) <= room.MOST_ON_DISK
    for name, limit in (("MOST_ON_DISK", 2_000_000), ("MOST_IN_FLIGHT", 1000)):
        monkeypatch.undo()
        monkeypatch.setattr(room, name, limit)
        for path in upload:
            assert through(Line(pieces(1001), path, content_length="1001"), tmp_path).told == (503, "busy")
        small = through(Line(pieces(1001), content_length="1001"), tmp_path)
        assert small.sent[0]["status"] == 200  # a question about a film that is here needs no room


def test_what_was_in_flight_is_forgotten_with_its_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_IN_FLIGHT", 1500)

    async def one_after_another() -> set[int]:
        app, statuses = Bodies(reads, Room(tmp_path)), set()
        for _ in range(3):
            line = Line(pieces(1000), "/gradio_api/upload", content_length="1000")
            await app(line.scope, line.receive, line.send)
            statuses.add(line.sent[0]["status"])
        return statuses

    assert asyncio.run(one_after_another()) == {200}


# The running app, with little patience

STRICT = f"""
import space.http.bodies, space.http.heads, space.room
space.http.bodies.STALL, space.http.bodies.LINGER, space.http.heads.PATIENCE = 0.5, 1.0, 0.5
space.http.bodies.LARGEST = ((("/gradio_api/upload",), {3 << 20}), *space.http.bodies.LARGEST)
space.room.MOST_ON_DISK, space.room.LOOK_EVERY = {6 << 20}, 0
"""


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    with running_space(tmp_path_factory.mktemp("strict"), STRICT) as space:
        until_ready(space)
        yield space


@pytest.fixture(scope="module")
def http(strict: Space) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=strict.url, timeout=30) as client:
        yield client


def line_to(space: Space, start: bytes) -> socket.socket:
    address = httpx.URL(space.url)
    line = socket.create_connection((address.host, address.port), timeout=10)
    line.sendall(start)
    return line


def answer_on(line: socket.socket) -> bytes:
    """An answer in JSON, on a line that stays open."""
    said = b""
    while not said.endswith(b"}"):
        said += line.recv(65536)
    return said


def reply_on(line: socket.socket) -> bytes:
    """All that comes until the other end closes."""
    said = b""
    while more := line.recv(65536):
        said += more
    return said


def test_json_that_is_too_large_is_cut_off(http: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"data": ["'
        for _ in range(40):
            yield b"x" * (1 << 16)

    kind = {"Content-Type": "application/json"}
    for path in ("call/pneumonia", "call/v2/pneumonia", "queue/join", "run/x", "cancel", "reset"):
        for body in (chunks(), b"".join(chunks())):
            reply = http.post(f"/gradio_api/{path}", content=body, headers=kind)
            assert (reply.status_code, refused(reply).code) == (413, "file_too_large")
    agent = b"".join(chunks()) * 12
    assert refused(http.post("/gradio_api/mcp/", content=agent, headers=kind)).code == "file_too_large"


def test_an_upload_that_is_too_large_leaves_nothing_on_the_disk(strict: Space, http: httpx.Client) -> None:
    before = set(strict.uploads())
    origin = {"Origin": strict.url}
    for size in (3 << 20, 30 << 20):
        reply = http.post("/gradio_api/upload", files={"files": ("f", bytes(size))}, headers=origin)
        assert (reply.status_code, refused(reply).code) == (413, "file_too_large")
        assert reply.headers["access-control-allow-origin"] == strict.url
    assert set(strict.uploads()) == before


def test_a_full_disk_is_busy_until_it_is_swept(strict: Space, http: httpx.Client) -> None:
    assert call(http, FILM).answer
    films = [bytes([number]) * ((2 << 20) + 1) for number in range(5)]  # three are too many, whatever else lies there
    replies = [http.post("/gradio_api/upload", files={"files": ("f", film)}) for film in films]
    assert [reply.status_code for reply in replies] == [200, 200, 503, 503, 503]
    assert refused(replies[-1]).code == "busy"
    assert int(replies[-1].headers["Retry-After"]) > 0
    assert sum(path.stat().st_size for path in strict.uploads()) < 6 << 20
    for path in strict.uploads():
        path.unlink()
    time.sleep(2 * room.LOOK_EVERY)  # the disk is looked at so often, not at every request
    assert predict(http, FILM).answer
    assert uploaded(http, FILM)


def test_an_upload_that_stops_is_given_up(strict: Space, http: httpx.Client) -> None:
    head = b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n"
    kind = b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="f"\r\n\r\nfilm'
    with line_to(strict, head + kind + part) as line:
        began = time.monotonic()
        said = reply_on(line)
        assert time.monotonic() - began < 5
    assert said.startswith(b"HTTP/1.1 400")
    assert b"missing_file" in said
    assert predict(http, FILM).answer


@pytest.mark.parametrize(
    "start", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"GET /health HTTP/1.1\r\nHost: x\r\n"]
)
def test_a_head_that_never_ends_is_given_up(strict: Space, start: bytes) -> None:
    with line_to(strict, start) as line:
        assert reply_on(line) == b""


def test_a_head_that_drips_is_given_up(strict: Space) -> None:
    end = time.monotonic() + 5
    with line_to(strict, b"GET /health HTTP/1.1\r\nHost: x\r\n") as line:
        line.settimeout(0.02)
        while time.monotonic() < end:
            line.sendall(b"X-Drop: 1\r\n")
            with contextlib.suppress(TimeoutError):
                assert line.recv(1) == b""  # closed
                return
    raise AssertionError("still listened to")


def test_a_second_head_has_as_long_as_the_first(strict: Space) -> None:
    asked = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with line_to(strict, asked) as line:
        assert b"healthy" in answer_on(line)
        line.sendall(asked[:-2])
        time.sleep(0.2)
        line.sendall(asked[-2:])
        assert b"healthy" in answer_on(line)
