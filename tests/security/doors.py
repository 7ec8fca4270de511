"""Every door by which a film comes in, as a stranger with nothing but HTTP uses it."""

import base64
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from typing import Any

import httpx

MODEL = "pneumonia"
SECONDS = 60
UNHEARD = 14
"""Seconds without a word, less than between two of Gradio's heartbeats, which a lost question would get for ever."""

_SESSIONS = (f"stranger{number}" for number in itertools.count())


@dataclass(frozen=True)
class Told:
    """What a door says to a film: the answer's JSON, or why there is none."""

    sentence: str = ""
    code: str | None = ""  # None at the page, which shows people the sentence alone
    answer: Any = None


def file_data(path: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def refused(reply: httpx.Response) -> Told:
    """A refusal over HTTP: the contract's two keys, and no more than a request id beside them."""
    told = reply.json()
    assert set(told) - {"request_id"} == {"detail", "code"}, told
    return Told(told["detail"], told["code"])


# REST


def rest(http: httpx.Client, film: bytes, path: str, field: str = "file") -> httpx.Response:
    return http.post(path, files={field: ("film", film)}, timeout=SECONDS)


def predict(http: httpx.Client, film: bytes) -> Told:
    reply = rest(http, film, f"/api/{MODEL}/predict")
    return Told(answer=reply.json()) if reply.is_success else refused(reply)


def heatmap(http: httpx.Client, film: bytes) -> Told:
    reply = rest(http, film, f"/api/{MODEL}/heatmap")
    return Told(answer=reply.content) if reply.is_success else refused(reply)


def batch(http: httpx.Client, film: bytes) -> Told:
    """A batch says of each film what is wrong with it, and has no code there."""
    reply = rest(http, film, f"/api/{MODEL}/batch-predict", "files")
    if not reply.is_success:
        return refused(reply)
    row = reply.json()["results"][0]
    return Told(row["error"], None) if "error" in row else Told(answer=row)


# Gradio


def uploaded(http: httpx.Client, film: bytes, name: str = "film") -> str:
    reply = http.post("/gradio_api/upload", files={"files": (name, film)}, timeout=SECONDS)
    return str(reply.raise_for_status().json()[0])


def heard(http: httpx.Client, path: str, **query: str) -> list[Any]:
    """Every piece of data in an event stream."""
    stream = http.get(path, params=query, timeout=UNHEARD).text
    return [json.loads(line.removeprefix("data: ")) for line in stream.splitlines() if line.startswith("data: ")]


def _by_gradio(last: Any) -> Told:
    if isinstance(last, list):
        return Told(answer=last[0])
    return Told(last["error"], last["title"])


def asked(http: httpx.Client, address: str, body: Any) -> Told:
    """POST to one of the two ``call`` addresses, then read the events."""
    posted = http.post(f"/gradio_api/{address}", json=body, timeout=SECONDS)
    if not posted.is_success:
        return refused(posted)
    return _by_gradio(heard(http, f"/gradio_api/{address}/{posted.json()['event_id']}")[-1])


def call(http: httpx.Client, film: bytes) -> Told:
    return asked(http, f"call/{MODEL}", {"data": [file_data(uploaded(http, film))]})


def call_v2(http: httpx.Client, film: bytes) -> Told:
    return asked(http, f"call/v2/{MODEL}", {"image": file_data(uploaded(http, film))})


def joined(http: httpx.Client, index: int, data: list[Any]) -> dict[str, Any]:
    """The outcome of an event that is asked for by its number, as the page asks."""
    session = next(_SESSIONS)
    body = json.dumps({"data": data, "fn_index": index, "session_hash": session})  # half a character as its escape
    kind = {"Content-Type": "application/json"}
    posted = http.post("/gradio_api/queue/join", content=body, headers=kind, timeout=SECONDS)
    posted.raise_for_status()
    messages = heard(http, "/gradio_api/queue/data", session_hash=session)
    return next(message for message in messages if message["msg"] == "process_completed")


def events(http: httpx.Client) -> list[dict[str, Any]]:
    return list(http.get("/config").json()["dependencies"])


def numbered(http: httpx.Client, film: bytes) -> Told:
    """The named route, by its number."""
    index = next(event["id"] for event in events(http) if event["api_name"] == MODEL)
    done = joined(http, index, [file_data(uploaded(http, film))])
    return _by_gradio(done["output"].get("data", done["output"]))


def page_events(http: httpx.Client) -> list[dict[str, Any]]:
    """What the page asks by itself when a film was picked: no routes, but there for who knows their number."""
    return [event for event in events(http) if event["targets"] and event["targets"][0][1] == "upload"]


def page(http: httpx.Client, film: bytes) -> Told:
    """The last tab's event: its answer is HTML for people."""
    done = joined(http, page_events(http)[-1]["id"], [file_data(uploaded(http, film))])
    html, answer, _ = done["output"]["data"]
    if answer is not None:
        return Told(answer=answer)
    return Told(unescape(html.partition("<h3>No answer for this file</h3><p>")[2].partition("</p>")[0]), None)


# Agents


def agent(http: httpx.Client, film: bytes) -> Told:
    return agent_with(http, "data:image/png;base64," + base64.b64encode(film).decode())


def agent_with(http: httpx.Client, image: Any) -> Told:
    """One tool call without a session, as the protocol allows."""
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": MODEL, "arguments": {"image": image}},
    }
    accepted = {"Accept": "application/json, text/event-stream"}
    reply = http.post("/gradio_api/mcp/", json=message, headers=accepted, timeout=SECONDS)
    if not reply.is_success:
        return refused(reply)
    result = json.loads(reply.text.partition("data: ")[2])["result"]
    said = result["content"][0]["text"]
    return Told(said, None) if result["isError"] else Told(answer=json.loads(said))


DOORS: dict[str, Callable[[httpx.Client, bytes], Told]] = {
    "predict": predict,
    "heatmap": heatmap,
    "batch-predict": batch,
    "call": call,
    "call/v2": call_v2,
    "queue/join": numbered,
    "page": page,
    "mcp": agent,
}
