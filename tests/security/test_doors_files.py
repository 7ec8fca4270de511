"""What is given in place of a film: paths of this machine, addresses inside its network, other people's uploads."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest

from space.fetch import NOT_FETCHED
from space.gradio.mcp import NO_ADDRESS
from tests.drawings import encoded
from tests.films import chest
from tests.running import ROOT, Space, running_space
from tests.security.doors import (
    MODEL,
    Told,
    agent_with,
    asked,
    events,
    file_data,
    heard,
    joined,
    page_events,
    refused,
    uploaded,
)
from tests.space.internet import HOST, Page, local_server

FILM = encoded(chest(), "PNG")
NOT_AN_UPLOAD = "Only a film that was uploaded here is read; send the radiograph itself."


class Recorded(dict[str, Page]):
    """Pages that remember who asked for them, and that lead inside."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def get(self, path: str, default: Page | None = None) -> Page | None:  # type: ignore[override]
        self.asked.append(path)
        return super().get(path, default)


@pytest.fixture(scope="module")
def inside() -> Recorded:
    return Recorded()


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory, inside: Recorded) -> Iterator[tuple[Space, int]]:
    """The app beside a server of this machine, which it must never ask but by the one public name that it has."""
    with local_server(inside) as port:
        prelude = f"from tests.space.internet import reach; reach({port})"
        with running_space(tmp_path_factory.mktemp("online"), prelude) as space:
            yield space, port


@pytest.fixture(scope="module")
def http(online: tuple[Space, int]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=online[0].url) as client:
        yield client


def by_call(http: httpx.Client, path: str) -> Told:
    return asked(http, f"call/{MODEL}", {"data": [file_data(path)]})


def by_call_v2(http: httpx.Client, path: str) -> Told:
    return asked(http, f"call/v2/{MODEL}", {"image": file_data(path)})


def by_number(http: httpx.Client, path: str) -> Told:
    """Of a page's event, which is private; refused before it is asked, it says so as every route does."""
    output = joined(http, page_events(http)[-1]["id"], [file_data(path)])["output"]
    return Told(output["error"], output["title"])


def by_list(http: httpx.Client, path: str) -> Told:
    return asked(http, "call/breast_cancer_batch", {"data": [[file_data(path)]]})


GRADIO: dict[str, Callable[[httpx.Client, str], Told]] = {
    "call": by_call,
    "call/v2": by_call_v2,
    "page": by_number,
    "batch": by_list,
}

PATHS = [
    "/etc/passwd",
    "//etc/passwd",
    "/proc/self/environ",
    "/dev/zero",
    str(ROOT / "app.py"),
    "app.py",
    "./weights/pneumonia/spec.json",
    "../../../../../../etc/passwd",
    "%2Fetc%2Fpasswd",
    "..%2f..%2fetc%2fpasswd",
    "~/.ssh/id_rsa",
    "file:///etc/passwd",
    "ftp://127.0.0.1/film.png",
    "gopher://127.0.0.1:6379/_INFO",
    "data:image/png;base64,AAAA",
    "{uploads}/../../etc/passwd",
    "{uploads}/..",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("door", GRADIO)
def test_no_file_of_this_machine_is_read(http: httpx.Client, door: str, path: str) -> None:
    folder = Path(uploaded(http, FILM)).parent.parent
    told = GRADIO[door](http, path.format(uploads=folder))
    assert told == Told(NOT_AN_UPLOAD, "missing_file")


def test_the_folder_of_uploads_is_no_film(http: httpx.Client) -> None:
    path = Path(uploaded(http, FILM))
    for folder in (path.parent, path.parent.parent):
        assert by_call(http, str(folder)).code == by_call_v2(http, str(folder)).code == "missing_file"


@pytest.mark.parametrize("path", PATHS)
def test_no_file_of_this_machine_is_read_for_an_agent(http: httpx.Client, path: str) -> None:
    if not path.startswith("data:"):
        assert agent_with(http, path) == Told(NO_ADDRESS, None)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("written", [str, quote, lambda path: quote(quote(path))], ids=["plain", "once", "twice"])
def test_no_file_of_this_machine_is_served(http: httpx.Client, path: str, written: Callable[[str], str]) -> None:
    folder = Path(uploaded(http, FILM)).parent.parent
    for address in (path, f"{folder}/made/../{path}", f"{HOST}/{path}"):
        reply = http.get(f"/gradio_api/file={written(address.format(uploads=folder))}")
        assert refused(reply).code == "not_found"
        assert refused(http.get(f"/gradio_api/file/{written(address)}")).code == "not_found"
        assert refused(http.get(f"/gradio_api/proxy={written(address)}")).code == "not_found"
    reply = http.get(f"/static/{written(path)}")
    assert refused(reply).code == "not_found"


def test_no_address_is_fetched_to_be_served(http: httpx.Client, inside: Recorded) -> None:
    inside["/film.png"] = FILM
    inside.asked.clear()
    for address in (f"{HOST}/film.png", "http://127.0.0.1/", "https://example.org/"):
        assert refused(http.get(f"/gradio_api/file={address}")).code == "not_found"
    assert inside.asked == []


# Addresses inside


INSIDE = [
    "http://127.0.0.1:{port}/inside",
    "http://localhost:{port}/inside",
    "http://0.0.0.0:{port}/inside",
    "http://127.1:{port}/inside",
    "http://2130706433:{port}/inside",
    "http://0x7f000001:{port}/inside",
    "http://0177.0.0.1:{port}/inside",
    "http://[::1]:{port}/inside",
    "http://[::ffff:127.0.0.1]:{port}/inside",
    "http://films.example@127.0.0.1:{port}/inside",
    "http://169.254.169.254/latest/meta-data/",
    "http://private.example:{port}/inside",
    "http://both.example:{port}/inside",
]


@pytest.mark.parametrize("address", INSIDE)
def test_no_address_inside_is_asked(
    http: httpx.Client, online: tuple[Space, int], inside: Recorded, address: str
) -> None:
    address = address.format(port=online[1])
    inside["/inside"], inside["/away"] = FILM, address
    inside.asked.clear()
    for ask in (*GRADIO.values(), agent_with):
        told = ask(http, address)
        assert told.sentence.endswith(NOT_FETCHED)
        assert ask(http, f"{HOST}/away").sentence.endswith(NOT_FETCHED)
    assert inside.asked == ["/away"] * 5


def test_a_public_address_is_read(http: httpx.Client, inside: Recorded) -> None:
    inside["/film.png"] = FILM
    assert by_call(http, f"{HOST}/film.png").answer["prediction"]
    assert agent_with(http, f"{HOST}/film.png").answer["prediction"]


# Other people's uploads, answers and questions


def test_an_upload_cannot_be_fetched_by_anybody(http: httpx.Client, online: tuple[Space, int]) -> None:
    path = uploaded(http, FILM, "Doe^John.png")
    assert Path(path).is_file()
    assert refused(http.get(f"/gradio_api/file={path}")).code == "not_found"
    assert http.head(f"/gradio_api/file={path}").status_code == 404
    assert refused(http.get(f"/gradio_api/file/{path}")).code == "not_found"
    folder = online[0].temporary / "second-look-guess"
    assert refused(http.get(f"/gradio_api/file={folder}/{'0' * 64}/film.png")).code == "not_found"


def test_who_knows_a_films_hash_does_not_know_where_it_lies(http: httpx.Client) -> None:
    path = Path(uploaded(http, FILM))
    assert path.parent.name != hashlib.sha256(FILM).hexdigest()
    assert len(path.parent.name) == 64
    seed = Path(httpx.__file__).parents[1] / "gradio" / "hash_seed.txt"
    if seed.is_file():  # what Gradio would go by, on this machine for good
        assert path.parent.name != hashlib.sha256(seed.read_text().strip().encode() + FILM).hexdigest()


def test_a_heat_map_can_be_fetched_and_its_folder_cannot(http: httpx.Client) -> None:
    picture = asked(http, f"call/{MODEL}_heatmap", {"data": [file_data(uploaded(http, FILM))]}).answer
    assert http.get(picture["url"]).headers["content-type"] == "image/png"
    assert http.get(f"/gradio_api/file={quote(picture['path'])}").is_success
    made = Path(picture["path"]).parent.parent
    for path in (made, made / "nothing.png", f"{made}/../made", f"{picture['path']}/..", f"{picture['path']}\0"):
        assert refused(http.get(f"/gradio_api/file={quote(str(path))}")).code == "not_found"


def test_an_answer_goes_to_who_knows_its_id_and_only_once(http: httpx.Client) -> None:
    data = {"data": [file_data(uploaded(http, FILM))]}
    event = http.post(f"/gradio_api/call/{MODEL}", json=data).json()["event_id"]
    assert UUID(event).version == 4  # 122 random bits
    for other in ("x", "0" * 32, event[:-1], event.upper()):
        assert heard(http, f"/gradio_api/call/{MODEL}/{other}") == ["404: Not Found"]
        assert heard(http, "/gradio_api/queue/data", session_hash=other)[0]["session_not_found"]
    assert heard(http, f"/gradio_api/call/{MODEL}/{event}")[-1][0]["prediction"]
    with pytest.raises(httpx.ReadTimeout):  # Gradio waits with whoever comes later, and has nothing for them
        http.get(f"/gradio_api/call/{MODEL}/{event}", timeout=0.5)


def test_a_stranger_cannot_take_a_question_back(http: httpx.Client) -> None:
    index = next(event["id"] for event in events(http) if event["api_name"] == MODEL)
    body = {"data": [file_data(uploaded(http, FILM))], "fn_index": index, "session_hash": "mine"}
    event = http.post("/gradio_api/queue/join", json=body).raise_for_status().json()["event_id"]
    for session, guess in (("theirs", "x"), ("Mine", event[:-1]), ("", "")):
        cancel = {"session_hash": session, "fn_index": index, "event_id": guess}
        assert http.post("/gradio_api/cancel", json=cancel).is_success
        assert http.post("/gradio_api/reset", json={"event_id": guess}).is_success
    messages = heard(http, "/gradio_api/queue/data", session_hash="mine")
    done = next(message for message in messages if message["msg"] == "process_completed")
    assert done["event_id"] == event
    assert done["output"]["data"][0]["prediction"]


def test_the_log_quotes_none_of_it(http: httpx.Client, online: tuple[Space, int]) -> None:
    by_call(http, "/home/Doe^John/film.png")
    http.get("/gradio_api/custom_component/Doe^John/client/component/style.css")
    http.get("/monitoring")
    said = online[0].log.read_text()
    assert "Doe" not in said
    assert "Traceback" not in said
    assert "passwd" not in said
    assert json.dumps(str(ROOT))[1:-1] not in said
