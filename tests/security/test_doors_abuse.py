"""Requests that no client sends: a refusal of the contract for each, nothing of ours in it, and the app goes on."""

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from predictors.errors import SecondLookError
from space.http.addresses import MethodNotAllowed, NotFound
from tests.drawings import encoded
from tests.films import chest, mammogram
from tests.running import ROOT, Space
from tests.security.doors import MODEL, file_data, heard, joined, page_events, predict, refused, uploaded

FILM = encoded(chest(), "PNG")
BREAST = encoded(mammogram(), "PNG")


@pytest.fixture(scope="module")
def http(space: Space) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=space.url, timeout=60) as client:
        yield client


@pytest.fixture(autouse=True)
def healthy_afterwards(space: Space, http: httpx.Client) -> Iterator[None]:
    """Whatever a test sends, the next caller is answered, and the log has no traceback."""
    yield
    assert predict(http, FILM).answer["prediction"]
    assert "Traceback" not in space.log.read_text()


def leaves(kind: type[SecondLookError]) -> set[str]:
    return {kind.code}.union(*(leaves(below) for below in kind.__subclasses__()))


CODES = leaves(SecondLookError) | {NotFound.code, MethodNotAllowed.code}
OURS = re.compile(r"Traceback|File \"|site-packages|gradio\.|starlette|pydantic|errors\.pydantic|line \d+")


def contract(reply: httpx.Response) -> str:
    """The code of a refusal, which is not our fault and holds nothing of ours."""
    assert 400 <= reply.status_code < 500, reply.text
    assert not OURS.search(reply.text), reply.text
    code = refused(reply).code
    assert code in CODES
    return str(code)


# JSON


def film_with(**more: Any) -> bytes:
    return json.dumps({"data": [{**file_data("x"), **more}]}).encode()


JSON = {
    "nothing": b"",
    "no JSON": b"film",
    "not UTF-8": b'{"data": ["\xff\xfe"]}',
    "half": b'{"data": [',
    "a list": b"[1]",
    "a string": b'"x"',
    "null": b"null",
    "no data": b"{}",
    "data null": b'{"data": null}',
    "data a string": b'{"data": "x"}',
    "data empty": b'{"data": []}',
    "a number": b'{"data": [5]}',
    "a path": b'{"data": ["/etc/passwd"]}',
    "a list of lists": b'{"data": [[[]]]}',
    "NaN": b'{"data": [NaN]}',
    "infinity": b'{"data": [1e999]}',
    "9,000 digits": b'{"data": [' + b"9" * 9000 + b"]}",
    "a surrogate": b'{"data": ["\\ud800"]}',
    "a NUL": b'{"data": ["\\u0000"]}',
    "deep": b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"data": [' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"]}",
    "twice the same key": b'{"data": [], "data": ["/etc/passwd"]}',
    "100,000 films": json.dumps({"data": [[file_data("x")] * 10_000]}).encode(),
    "a path that is a number": film_with(path=5),
    "a path that is a list": film_with(path=["/etc/passwd"]),
    "a path of 100 kB": film_with(path="x" * 100_000),
    "a path with NUL": film_with(path="/etc/passwd\0.png"),
    "a size": film_with(size=-1, orig_name=7),
    "another type": b'{"data": [{"path": "/etc/passwd", "meta": {"_type": "gradio.Other"}}]}',
    "a prototype": b'{"data": [null], "__proto__": {"x": 1}, "constructor": 1}',
    "the wrong session": b'{"data": [null], "session_hash": 5, "fn_index": 0}',
    "the wrong number": b'{"data": [null], "session_hash": "s", "fn_index": 99999}',
    "a negative number": b'{"data": [null], "session_hash": "s", "fn_index": -1}',
    "a number that is none": b'{"data": [null], "session_hash": "s", "fn_index": "0; DROP TABLE"}',
}


@pytest.mark.parametrize("body", JSON.values(), ids=JSON)
def test_json_that_is_no_question(http: httpx.Client, body: bytes) -> None:
    kind = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    for address in (f"call/{MODEL}", f"call/v2/{MODEL}", "call/breast_cancer_batch", "queue/join", f"run/{MODEL}"):
        reply = http.post(f"/gradio_api/{address}", content=body, headers=kind)
        if reply.is_success:  # taken into the queue, and refused there
            last = heard(http, f"/gradio_api/{address}/{reply.json()['event_id']}")[-1]
            assert last["title"] in CODES
            assert not OURS.search(last["error"])
        else:
            assert contract(reply) in ("missing_file", "not_found")
    for address in ("cancel", "reset"):
        reply = http.post(f"/gradio_api/{address}", content=body, headers=kind)
        assert reply.is_success or contract(reply) == "missing_file"
    agent = http.post("/gradio_api/mcp/", content=body, headers=kind)
    assert agent.status_code == 400
    assert agent.json()["error"]["data"]["code"] == "missing_file"
    assert not OURS.search(agent.text)


@pytest.mark.parametrize(
    "name", ["nothing", "x" * 5000, "..%2F..%2Fetc", "%00", "examine", "clear", "unload", "lambda"]
)
def test_routes_that_are_not_there(http: httpx.Client, name: str) -> None:
    body = {"data": [file_data("/etc/passwd")], "image": file_data("/etc/passwd")}
    for address in ("call", "call/v2", "run", "api"):
        reply = http.post(f"/gradio_api/{address}/{name}", json=body)
        if reply.is_success and address != "run":  # the page's own, by the name of its function
            last = heard(http, f"/gradio_api/call/{name}/{reply.json()['event_id']}")[-1]
            assert "passwd" not in json.dumps(last)
        elif not reply.is_success:
            assert contract(reply) in ("not_found", "missing_file")


# Forms


def part(head: bytes, content: bytes = b"film") -> bytes:
    return b"--x\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


FILE = b'Content-Disposition: form-data; name="%s"; filename="f"'
END = b"--x--\r\n"
NESTED = b"Content-Type: multipart/mixed; boundary=y"
FORMS = {
    "no end": part(FILE % b"files") + part(FILE % b"file"),
    "no parts": END,
    "nothing": b"",
    "10,000 files": part(FILE % b"files", b"") * 10_000 + END,
    "10,000 fields": part(b'Content-Disposition: form-data; name="a"') * 10_000 + END,
    "nested": part(FILE % b"other" + b"\r\n" + NESTED, b"--y\r\n" + FILE % b"files" + b"\r\n\r\nfilm\r\n--y--") + END,
    "a part without a name": part(b"Content-Disposition: form-data") + END,
    "a part without a head": b"--x\r\n\r\nfilm\r\n" + END,
    "a huge part head": part(b"X-Long: " + b"x" * 200_000 + b"\r\n" + FILE % b"files") + END,
    "many part heads": part(b"X-Many: x\r\n" * 20_000 + FILE % b"files") + END,
    "a field of 2 MB": part(b'Content-Disposition: form-data; name="a"', bytes(2_000_000)) + END,
    "a text in place of a file": part(b'Content-Disposition: form-data; name="files"') + END,
    "base64": part(FILE % b"other" + b"\r\nContent-Transfer-Encoding: base64", b"AAAA") + END,
    "bytes after the end": END + b"x" * 1000,
}


KINDS = {
    "an empty boundary": "; boundary=",
    "no boundary": "",
    "a boundary of 5 kB": "; boundary=" + "x" * 5000,
    "a character set of its own": '; boundary="x"; charset=\\x',
}
SENT = {
    **{name: (body, "; boundary=x") for name, body in FORMS.items()},
    **{name: (part(FILE % b"files") + part(FILE % b"file") + END, kind) for name, kind in KINDS.items()},
}


@pytest.mark.parametrize(("body", "kind"), SENT.values(), ids=SENT)
def test_forms_that_no_browser_sends(http: httpx.Client, body: bytes, kind: str) -> None:
    headers = {"Content-Type": f"multipart/form-data{kind}"}
    for address in ("api/pneumonia/predict", "api/pneumonia/batch-predict", "run/predict"):
        reply = http.post(f"/{address}", content=body, headers=headers)
        if reply.is_success:  # a batch of what came before the missing end
            assert reply.json()["failed"] >= 1
        else:
            assert contract(reply) in ("missing_file", "too_many_files", "unsupported_image")
    reply = http.post("/gradio_api/upload", content=body, headers=headers)
    assert reply.is_success or contract(reply) in ("missing_file", "file_too_large")


# Names


NAMES = {
    "a path": "../../../../etc/cron.d/evil",
    "a path of Windows": "..\\..\\evil.png",
    "a script": "<script>alert(1)</script>.png",
    "a picture that fails": '"><img src=x onerror=alert(1)>.png',
    "an entity": "&lt;script&gt;.png",
    "a formula": "=HYPERLINK(1).png",
    "a line": "a\r\nX-Evil: 1\r\n\r\n.png",
    "a NUL": "a\x00b.png",
    "turned round": "\u202egnp.exe",
    "invisible": "a\u200b\u2066b\x1b[31m.png",
    "10 kB": "n" * 10_000 + ".png",
    "dots": "..",
    "a dot": ".htaccess",
    "nothing": "",
    "a surrogate": "a\ud800b.png",
    "a percent": "%2e%2e%2fevil%00.png",
}


def shown(name: str) -> None:
    """What may come back of a name: the name alone, to be seen as it is."""
    assert len(name) <= 255
    assert name.isprintable()
    assert "/" not in name
    assert "\\" not in name


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_files_name_is_nothing_but_a_name(space: Space, http: httpx.Client, name: str) -> None:
    # Over REST, as it stands between the quotes
    raw = name.encode("utf-8", "surrogatepass").replace(b'"', b"%22")
    head = b'Content-Disposition: form-data; name="FIELD"; filename="' + raw + b'"'
    kind = {"Content-Type": "multipart/form-data; boundary=x"}

    def sent(address: str, field: bytes, content: bytes) -> httpx.Response:
        body = part(head.replace(b"FIELD", field), content) + END
        reply = http.post(address, content=body, headers=kind)
        assert "X-Evil" not in reply.headers
        assert reply.is_success or contract(reply) in ("missing_file", "unsupported_image", "file_too_large")
        return reply

    if (one := sent("/api/breast_cancer/predict", b"file", BREAST)).is_success:
        shown(one.json()["image_info"]["filename"])
    if (many := sent("/api/breast_cancer/batch-predict", b"files", b"")).is_success:
        shown(many.json()["results"][0]["filename"])

    # As an upload, and as what its sender calls it afterwards
    if (reply := sent("/gradio_api/upload", b"files", BREAST)).is_success:
        (path,) = reply.json()
        assert Path(path).resolve().is_relative_to(space.temporary.resolve())
        assert Path(path).is_file()
    film = {**file_data(uploaded(http, BREAST)), "orig_name": name}
    *_, one_film, several_films, _ = page_events(http)  # the mammograms' tab
    for event, data in ((one_film, film), (several_films, [film])):
        output = joined(http, event["id"], [data])["output"]
        if "data" not in output:
            assert output["title"] in CODES
            continue
        html, answer, _ = output["data"]
        assert "<script" not in html
        assert "<img src=x" not in html
        shown(answer["results"][0]["filename"] if "results" in answer else answer["image_info"]["filename"])


# Heads


def test_no_caller_decides_what_another_is_told(http: httpx.Client) -> None:
    lies = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Gradio-Server": "http://evil.example"}
    for path in ("/gradio_api/info", "/gradio_api/openapi.json", "/config", "/", "/gradio_api/mcp/schema"):
        http.get(path, headers=lies)
        assert "evil" not in http.get(path).text
    assert "evil" not in http.get("/config", headers={"X-Gradio-Server": "http://evil.example"}).text


LIARS = ("Host", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For", "Origin", "Range")


@pytest.mark.parametrize(
    "value", ['"><script>alert(1)</script>', "][", "a b", "http://[", "a" * 9000, "é", "javascript:1"]
)
def test_headers_that_lie_are_believed_by_nobody(http: httpx.Client, value: str) -> None:
    for name in LIARS:
        for path in ("/", "/config", "/gradio_api/info", "/gradio_api/mcp/", "/docs", "/health"):
            reply = http.get(path, headers={name: value.encode()})
            assert reply.is_success, (name, path)
            assert "<script>alert" not in reply.text


def reply_to(space: Space, request: bytes) -> bytes:
    """All that comes back on a line of its own, until it is closed or nothing more comes."""
    address = httpx.URL(space.url)
    said = b""
    with socket.create_connection((address.host, address.port), timeout=8) as line:
        line.sendall(request)
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_WR)
            while more := line.recv(65536):
                said += more
    return said


HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /gradio_api/cancel HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
REQUESTS = {
    "two lengths": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HEALTH,
    "two other lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}   " + HEALTH,
    "a negative length": POST + b"Content-Length: -5\r\n\r\n" + HEALTH,
    "a length in words": POST + b"Content-Length: five\r\n\r\n" + HEALTH,
    "a long length": POST + b"Content-Length: " + b"9" * 50 + b"\r\n\r\n" + HEALTH,
    "an encoding of its own": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HEALTH,
    "two encodings": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + HEALTH,
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HEALTH,
    "a folded line": POST + b"X: a\r\n b\r\nTransfer-Encoding:\r\n chunked\r\n\r\nfilm" + HEALTH,
    "a chunk of no size": POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + HEALTH,
    "a chunk of all sizes": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n" + HEALTH,
    "a head of 200 kB": b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 200_000 + b"\r\n\r\n",
    "an address of 200 kB": b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "no method": b"\r\n\r\n\x00\x01\x02 / HTTP/1.1\r\n\r\n",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "a proxy's method": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a proxy's address": b"GET http://127.0.0.1:22/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "a WebSocket": b"GET /gradio_api/queue/join HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "no host": b"GET /config HTTP/1.0\r\nOrigin: http://evil.example\r\n\r\n",
    "an address that is no text": b"GET /%ff%fe%00%0d%0aX-Evil:1 HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_requests_that_are_not_http(space: Space, request_: bytes) -> None:
    said = reply_to(space, request_)
    assert said == b"" or re.match(rb"HTTP/1\.1 (200|4\d\d)", said), said[:200]
    assert b"healthy" not in said  # nothing hidden behind the first request is taken for a second
    assert b"101 Switching" not in said
    assert b"X-Evil" not in said
    assert not OURS.search(said.decode("latin-1").partition("<!doctype")[0])
    assert str(ROOT).encode() not in said


def test_a_request_smuggled_behind_two_lengths_is_not_answered(space: Space) -> None:
    said = reply_to(space, REQUESTS["two lengths"])
    assert said.count(b"HTTP/1.1") == 1
    assert b"missing_file" in said
    assert b"connection: close" in said.lower()
