"""The Python client: what it answers, what it takes as a film, and whom it shows a token."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import gradio_client.client
import pytest
import second_look
from PIL import Image
from second_look import answers

from tests.clients.callers import Clock, connected, expected, timeless
from tests.clients.sleeping import SleepingSpace
from tests.running import Space

ASK: dict[str, tuple[str, type[Any]]] = {
    "bone_fracture": ("limb", answers.BoneFractureAnswer),
    "fracture_detection": ("limb", answers.FractureDetectionAnswer),
    "fracture_type": ("limb", answers.FractureTypeKnown),
    "breast_cancer": ("mammogram", answers.BreastCancerAnswer),
    "pneumonia": ("chest", answers.PneumoniaAnswer),
}


@pytest.mark.parametrize("model", ASK)
def test_each_model_answers_what_its_type_says(
    awake: SleepingSpace, client: second_look.SecondLook, drawn: dict[str, Path], model: Any
) -> None:
    kind, answer_type = ASK[model]
    answer = getattr(client, model)(drawn[kind])
    if answer.get("success") == 0:
        answer_type = answers.FractureTypeUnknown
    assert set(answer) == answer_type.__required_keys__
    assert set(answer["meta"]) == answers.Meta.__required_keys__
    told = expected(awake, model, drawn[kind])
    if "image_info" in told:
        told["image_info"]["filename"] = drawn[kind].name
    assert timeless(answer) == told


@pytest.mark.parametrize("model", ASK)
def test_each_model_says_where_it_looked(
    client: second_look.SecondLook, drawn: dict[str, Path], model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(gradio_client.client, "DEFAULT_TEMP_DIR", str(tmp_path / "gradio"))
    film = drawn[ASK[model][0]]
    heat = client.heatmap(model, film)
    assert heat.picture.startswith(b"\x89PNG")
    assert Image.open(BytesIO(heat.picture)).size == Image.open(film).size
    assert all(0 <= fraction <= 1 for fraction in (*heat.peak, heat.probability))
    assert heat.meta["model"] == model
    assert list(tmp_path.iterdir()) == []  # nothing of the film stays on the caller's disk


def test_a_batch_is_answered_in_its_order_whatever_is_in_it(
    client: second_look.SecondLook, drawn: dict[str, Path]
) -> None:
    answer = client.breast_cancer_batch([drawn["mammogram"], b"no film", b"", drawn["mammogram"].read_bytes()])
    assert set(answer) == answers.BreastCancerBatch.__required_keys__
    assert (answer["successful"], answer["failed"]) == (2, 2)
    assert ["prediction" in row for row in answer["results"]] == [True, False, False, True]
    assert [row["filename"] for row in answer["results"]] == ["mammogram.png", "film", "film", "film"]
    with pytest.raises(second_look.Refused) as refused:
        client.breast_cancer_batch([])
    assert refused.value.code == "missing_file"


def test_a_film_may_come_in_any_form(
    awake: SleepingSpace, client: second_look.SecondLook, drawn: dict[str, Path]
) -> None:
    path = drawn["chest"]
    with serving(path.read_bytes()) as (address, asked), path.open("rb") as file:
        forms: list[Any] = [
            path,
            str(path),
            path.read_bytes(),
            file,
            BytesIO(path.read_bytes()),
            Image.open(path),
            address,
        ]
        found = [client.pneumonia(each)["probabilities"] for each in forms]
        with pytest.raises(second_look.FilmUnreadable):
            client.pneumonia(f"{address}.missing")
    assert all(each == found[0] for each in found)
    assert asked == ["/film.png", "/film.png.missing"]  # by the client itself, once
    with pytest.raises(FileNotFoundError):
        client.pneumonia("no/such/film.png")
    with pytest.raises(TypeError, match="A film is a path"):
        client.pneumonia(path.open())


def test_a_token_goes_to_the_hub_and_to_the_space_and_nowhere_else(
    awake: SleepingSpace, clock: Clock, drawn: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_this_machine")
    monkeypatch.setattr(gradio_client.client, "send_telemetry", lambda **_: pytest.fail("it phones home"))
    for token, shown in ((None, {None}), ("hf_given", {"Bearer hf_given"})):
        awake.tell(sleep=True)
        with second_look.connect(awake.id, hub=awake.hub, pace=clock.pace(), token=token) as client:
            client.pneumonia(drawn["chest"])
        assert set(awake.told()["polls"]) == shown
        assert {each["token"] for each in awake.told()["requests"]} == shown


def test_one_client_serves_many_at_once(awake: SleepingSpace, clock: Clock, drawn: dict[str, Path]) -> None:
    predictions, repeated = awake.counted("fracture_detection")

    async def ask_all() -> list[Any]:
        async with connected(awake, clock) as client:
            return await asyncio.gather(*(client.fracture_detection(drawn["limb"]) for _ in range(8)))

    found = asyncio.run(ask_all())
    assert all(timeless(each) == timeless(found[0]) for each in found)
    assert awake.counted("fracture_detection") == (predictions + 8, repeated)


def test_a_client_made_without_a_block_works_until_it_is_closed(awake: SleepingSpace, drawn: dict[str, Path]) -> None:
    async def ask() -> Any:
        client = await second_look.connect_async(awake.id, hub=awake.hub)
        answer = await client.pneumonia(drawn["chest"])
        await client.close()
        return answer

    assert timeless(asyncio.run(ask())) == expected(awake, "pneumonia", drawn["chest"])


def test_the_app_itself_needs_no_hub_and_no_proxy(space: Space, drawn: dict[str, Path]) -> None:
    with second_look.connect(space.url) as client:
        assert client.bone_fracture(drawn["limb"])["meta"]["model"] == "bone_fracture"


@contextmanager
def serving(film: bytes) -> Iterator[tuple[str, list[str]]]:
    """The film at an address of this machine, and what was asked for there; it lets nobody in with a token."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            welcome = self.path == "/film.png" and "authorization" not in self.headers
            self.send_response(200 if welcome else 404)
            self.end_headers()
            self.wfile.write(film if welcome else b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/film.png", asked
        server.shutdown()
