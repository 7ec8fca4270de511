"""The models as an agent has them: through the official client of the Model Context Protocol."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from mcp import ClientSession
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, Tool

from predictors import errors
from predictors.registry import models
from space.fetch import NOT_FETCHED
from space.gradio.mcp import NO_ADDRESS
from tests.drawings import encoded
from tests.films import chest, limb, mammogram
from tests.running import ROOT, Space, running_space
from tests.space.internet import HOST, Page, local_server

FILMS = {
    "bone_fracture": encoded(limb(), "PNG"),
    "fracture_detection": encoded(limb(), "PNG"),
    "fracture_type": encoded(limb(), "PNG"),
    "breast_cancer": encoded(mammogram(), "PNG"),
    "pneumonia": encoded(chest(), "PNG"),
}
SECONDS = 120


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """The app, in a world where films.example is a host on the internet that has a film for every model."""
    if not (ROOT / "weights" / "scope" / "spec.json").is_file():
        pytest.skip("weights/ is not here, and these tests ask the shipped models")
    pages: dict[str, Page] = {f"/{name}.png": film for name, film in FILMS.items()}
    pages["/inside"] = "http://127.0.0.1:7860/gradio_api/info"
    with local_server(pages) as port:
        prelude = f"from tests.space.internet import reach; reach({port})"
        with running_space(tmp_path_factory.mktemp("online"), prelude) as space:
            yield space


@pytest.fixture(scope="module")
def client(online: Space) -> Iterator[Client]:
    connected = Client(online.url, verbose=False)
    yield connected
    connected.close()


def with_agent(space: Space, use: Callable[[ClientSession], Any], **headers: str) -> Any:
    """What ``use`` gives, of a session over the streamable HTTP transport."""

    async def connected() -> Any:
        async with httpx.AsyncClient(headers=headers, timeout=SECONDS) as http:
            address = f"{space.url}/gradio_api/mcp/"
            return await _session(streamable_http_client(address, http_client=http), use)

    return asyncio.run(connected())


async def _session(transport: AbstractAsyncContextManager[Any], use: Callable[[ClientSession], Any]) -> Any:
    async with transport as (read, write, *_), ClientSession(read, write) as session:
        await session.initialize()
        return await use(session)


def call(space: Space, tool: str, image: Any, **headers: str) -> CallToolResult:
    result = with_agent(space, lambda session: session.call_tool(tool, {"image": image}), **headers)
    assert isinstance(result, CallToolResult)
    return result


def answer(result: CallToolResult) -> dict[str, Any]:
    """A tool's answer, but for its time."""
    assert not result.isError, result.content
    read: dict[str, Any] = json.loads(result.content[0].text)  # type: ignore[union-attr]
    del read["meta"]["elapsed_ms"]
    return read


def refusal(result: CallToolResult) -> str:
    assert result.isError
    (content,) = result.content
    return str(content.text)  # type: ignore[union-attr]


def in_base64(film: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(film).decode()}"


def test_an_agent_cannot_name_the_host_that_the_space_asks(online: Space) -> None:
    elsewhere = {"Host": "nowhere.example", "X-Forwarded-Host": "nowhere.example"}
    assert "prediction" in answer(call(online, "pneumonia", in_base64(FILMS["pneumonia"]), **elsewhere))


def test_there_is_one_tool_a_model_and_no_other(online: Space) -> None:
    tools: list[Tool] = with_agent(online, lambda session: session.list_tools()).tools
    assert [tool.name for tool in tools] == [
        "bone_fracture",
        "fracture_detection",
        "fracture_type",
        "breast_cancer",
        "pneumonia",
    ]
    questions = {model.name: model.question for model in models()}
    keys = {name: list(answer(call(online, name, in_base64(FILMS[name])))) for name in questions}
    for tool in tools:
        assert tool.description
        assert questions[tool.name] in tool.description
        assert "not a medical device" in tool.description
        assert "Reads a " in tool.description
        assert all(key in tool.description for key in keys[tool.name])
        assert tool.inputSchema["required"] == ["image"]
        assert list(tool.inputSchema["properties"]) == ["image"]
        image = tool.inputSchema["properties"]["image"]
        assert image["type"] == "string"
        assert all(word in image["description"] for word in ("http(s) address", "20 MB", "DICOM", "data: URL"))


def test_other_routes_cannot_be_called_as_tools(online: Space) -> None:
    for name in ("predict", "pneumonia_heatmap", "examine", "forget"):
        assert "Unknown tool" in refusal(call(online, name, f"{HOST}/pneumonia.png"))


def test_there_is_nothing_but_tools(online: Space) -> None:
    async def rest(session: ClientSession) -> list[Any]:
        resources, prompts = await session.list_resources(), await session.list_prompts()
        return [*resources.resources, *prompts.prompts]

    assert with_agent(online, rest) == []


@pytest.mark.parametrize("name", FILMS)
def test_a_tool_answers_as_its_route_does(online: Space, client: Client, tmp_path: Path, name: str) -> None:
    film = tmp_path / f"{name}.png"
    film.write_bytes(FILMS[name])
    same = client.predict(image=handle_file(film), api_name=f"/{name}")
    del same["meta"]["elapsed_ms"]
    assert answer(call(online, name, f"{HOST}/{name}.png")) == same


def test_a_film_can_come_as_bytes_or_as_an_upload(online: Space) -> None:
    film = FILMS["bone_fracture"]
    uploaded = httpx.post(f"{online.url}/gradio_api/upload", files={"files": ("limb.png", film)}).json()[0]
    by_address = answer(call(online, "bone_fracture", f"{HOST}/bone_fracture.png"))
    assert answer(call(online, "bone_fracture", in_base64(film))) == by_address
    # What Gradio's own ``upload_file_to_gradio`` hands to an agent.
    assert answer(call(online, "bone_fracture", f"{online.url}/gradio_api/file={uploaded}")) == by_address


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ("/etc/passwd", NO_ADDRESS),
        ("file:///etc/passwd", NO_ADDRESS),
        ("data:image/png;base64,A", NO_ADDRESS),
        ("limb.png", NO_ADDRESS),
        ("", NO_ADDRESS),
        ("http:///etc/passwd", NOT_FETCHED),
        ("http://x/gradio_api/file=/etc/passwd", NOT_FETCHED),
        ("http://127.0.0.1/film.png", NOT_FETCHED),
        ("http://localhost:7860/gradio_api/info", NOT_FETCHED),
        ("http://169.254.169.254/latest/meta-data/", NOT_FETCHED),
        (f"{HOST}/inside", NOT_FETCHED),
        (f"{HOST}/nothing.png", NOT_FETCHED),
        (f"{HOST}/endless", errors.FileTooLarge.sentence),
        (in_base64(b""), errors.EmptyFile.sentence),
        (in_base64(b"a letter"), errors.UnsupportedImage.sentence),
        (f"{HOST}/bone_fracture.png", "This does not look like a chest radiograph; send a film of that kind."),
    ],
)
def test_a_refusal_is_one_sentence(online: Space, image: str, sentence: str) -> None:
    assert refusal(call(online, "pneumonia", image)) == sentence


@pytest.mark.parametrize(
    "image", [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, ["/etc/passwd"], None]
)
def test_only_a_string_is_a_film(online: Space, image: Any) -> None:
    assert "is not of type 'string'" in refusal(call(online, "pneumonia", image))


def test_an_agent_that_asks_for_progress_is_answered_and_refused_alike(online: Space) -> None:
    async def heard(progress: float, total: float | None, message: str | None) -> None:
        pass

    def asked(image: str) -> CallToolResult:
        arguments = {"image": image}
        result = with_agent(online, lambda agent: agent.call_tool("pneumonia", arguments, progress_callback=heard))
        assert isinstance(result, CallToolResult)
        return result

    assert answer(asked(f"{HOST}/pneumonia.png"))["prediction"] in ("Normal", "Pneumonia")
    assert refusal(asked(f"{HOST}/nothing.png")).endswith(NOT_FETCHED)


def test_the_older_transport_has_the_same_tools(online: Space) -> None:
    transport = sse_client(f"{online.url}/gradio_api/mcp/sse")
    tools = asyncio.run(_session(transport, lambda session: session.list_tools())).tools
    assert [tool.name for tool in tools] == list(FILMS)


def test_gradio_routes_take_addresses_by_the_same_rules(client: Client) -> None:
    assert client.predict(handle_file(f"{HOST}/pneumonia.png"), api_name="/pneumonia")["meta"]["in_scope"]
    for address, sentence in (
        (f"{HOST}/inside", NOT_FETCHED),
        ("http://127.0.0.1/film.png", NOT_FETCHED),
        (f"{HOST}/endless", errors.FileTooLarge.sentence),
    ):
        with pytest.raises(ValueError, match=sentence):
            client.predict(handle_file(address), api_name="/pneumonia")


def test_nothing_of_a_message_or_a_film_is_logged_or_left_outside_of_the_private_folder(online: Space) -> None:
    secret = in_base64(b"SECRET")
    for message in (
        {"id": 1, "method": "tools/call", "params": {"name": 7, "arguments": secret}},
        {"id": 1, "method": "tools/call", "params": {"name": secret, "arguments": {"image": secret}}},
        {"id": 1, "method": secret},
        {"method": f"notifications/{secret}", "params": {"image": secret}},
    ):
        accepted = {"Accept": "application/json, text/event-stream"}
        httpx.post(f"{online.url}/gradio_api/mcp/", json={"jsonrpc": "2.0", **message}, headers=accepted, timeout=60)
    refusal(call(online, "pneumonia", secret))
    refusal(call(online, "pneumonia", f"{HOST}/SECRET"))
    said = online.log.read_text()
    assert "SECRET" not in said
    assert secret.rpartition(",")[2] not in said
    assert "Traceback" not in said
    folders = {upload.relative_to(online.temporary).parts[0] for upload in online.uploads()}
    assert [folder for folder in folders if not folder.startswith("second-look-")] == []
