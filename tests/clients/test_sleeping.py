"""The stand-in behaves as the Hub and its proxy do, so that what the clients survive here they survive there."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.sleeping import SleepingSpace
from tests.running import ROOT, START_SECONDS, Space

PATIENT = httpx.Timeout(60)


def stage(space: SleepingSpace) -> str:
    return str(httpx.get(f"{space.hub}/api/spaces/{space.id}", timeout=PATIENT).json()["runtime"]["stage"])


def get(space: SleepingSpace, path: str = "/config") -> int:
    return httpx.get(space.space + path, timeout=PATIENT).status_code


def predicts(space: SleepingSpace, film: Path, session: str = "a") -> list[dict[str, Any]]:
    """One event as Gradio's clients ask for it: the messages of its stream."""
    with httpx.Client(base_url=f"{space.space}/gradio_api", timeout=PATIENT) as web:
        path = web.post("/upload", files={"files": film.read_bytes()}).raise_for_status().json()[0]
        config = web.get(f"{space.space}/config").json()
        event = {
            "fn_index": next(each["id"] for each in config["dependencies"] if each["api_name"] == "pneumonia"),
            "data": [{"path": path, "meta": {"_type": "gradio.FileData"}}],
            "session_hash": session,
        }
        web.post("/queue/join", json=event).raise_for_status()
        messages = []
        with web.stream("GET", "/queue/data", params={"session_hash": session}) as stream:
            for line in stream.iter_lines():
                if line:
                    messages.append(json.loads(line.removeprefix("data:")))
        return messages


def test_it_sleeps_until_someone_knocks_and_then_goes_through_the_stages(asleep: SleepingSpace) -> None:
    assert [stage(asleep) for _ in range(3)] == ["SLEEPING"] * 3
    refused = httpx.get(asleep.space)
    assert (refused.status_code, refused.headers["content-type"]) == (503, "text/html")
    assert [stage(asleep) for _ in range(4)] == ["BUILDING", "APP_STARTING", "RUNNING", "RUNNING"]
    assert [get(asleep), get(asleep)] == [503, 200]  # said to run a moment before it is let through
    host = httpx.get(f"{asleep.hub}/api/spaces/{asleep.id}/host").json()["host"]
    assert host == asleep.space


def test_who_has_no_hub_to_ask_moves_it_on_by_knocking(asleep: SleepingSpace) -> None:
    assert [get(asleep) for _ in range(5)] == [503, 503, 503, 503, 200]
    assert asleep.told()["stages"] == ["SLEEPING", "BUILDING", "APP_STARTING", "RUNNING"]


def test_the_hub_does_not_tell_a_private_space_from_none(awake: SleepingSpace) -> None:
    assert httpx.get(f"{awake.hub}/api/spaces/some/other").status_code == 401


def test_it_forwards_uploads_events_queries_and_errors(awake: SleepingSpace, drawn: dict[str, Path]) -> None:
    messages = predicts(awake, drawn["chest"])
    assert [each["msg"] for each in messages][-2:] == ["process_completed", "close_stream"]
    assert messages[-2]["output"]["data"][0]["prediction"] in ("Normal", "Pneumonia")
    config = httpx.get(f"{awake.space}/config").json()
    assert config["root"] == awake.space  # the app believes to be where its proxy is
    assert get(awake, "/gradio_api/file=/etc/passwd") == 404
    with httpx.stream("GET", f"{awake.space}/gradio_api/heartbeat/a") as beating:
        assert next(beating.iter_lines()) == "data: ALIVE"  # handed on while the answer goes on


@pytest.mark.parametrize("place", ["upload", "join", "answer", "joined", "stream"])
def test_it_cuts_a_connection(awake: SleepingSpace, drawn: dict[str, Path], place: str) -> None:
    before = awake.counted("pneumonia")[0]
    awake.tell(cut=place)
    with pytest.raises(httpx.TransportError):
        predicts(awake, drawn["chest"], session=f"cut at {place}")
    if place == "answer":
        assert awake.counted("pneumonia")[0] == before + 1
    if place in ("upload", "join"):
        assert awake.counted("pneumonia")[0] == before
    assert predicts(awake, drawn["chest"], session="whole again")[-1]["msg"] == "close_stream"


def test_it_refuses_as_it_is_told(awake: SleepingSpace, drawn: dict[str, Path]) -> None:
    awake.tell(status=429, retry_after=2, times=2)
    answers = [httpx.get(awake.space) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "2"
    awake.tell(queue_full=1)
    with pytest.raises(httpx.HTTPStatusError) as full:
        predicts(awake, drawn["chest"])
    assert full.value.response.json()["code"] == "busy"
    awake.tell(stage="PAUSED")
    assert (stage(awake), get(awake)) == ("PAUSED", 503)


def test_a_restart_kills_the_app_and_starts_another(awake: SleepingSpace) -> None:
    before = awake.told()["app"]
    awake.tell(restart=True)
    assert get(awake) == 503
    while stage(awake) == "APP_STARTING":
        pass  # each of these asks is held until the app is up
    assert get(awake) == 200
    assert awake.told()["app"] not in (before, None)
    with pytest.raises(httpx.ConnectError):
        httpx.get(before)


def test_rest_is_forwarded_and_cut_too(awake: SleepingSpace, space: Space, drawn: dict[str, Path]) -> None:
    def ask(base: str) -> httpx.Response:
        return httpx.post(f"{base}/api/pneumonia/predict", files={"file": drawn["chest"].read_bytes()}, timeout=PATIENT)

    assert ask(awake.space).json()["probabilities"] == ask(space.url).json()["probabilities"]
    for place in ("join", "answer"):
        awake.tell(cut=place)
        with pytest.raises(httpx.TransportError):
            ask(awake.space)


def test_as_a_command_it_says_where_it_is_and_ends_with_its_input() -> None:
    command = [sys.executable, "-m", "tests.clients.sleeping", "--real", "--build"]  # real: no app until it is woken
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        space = SleepingSpace(**json.loads(running.stdout.readline()))
        assert stage(space) == "SLEEPING"
        assert space.told()["app"] is None
        running.communicate(timeout=START_SECONDS)
    assert running.returncode == 0
