"""A patient's films go through every door, whole and broken: afterwards nothing of them is anywhere."""

import base64
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from shutil import which
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from tests.browser.page import CHROMIUM_FLAGS, OpenPage
from tests.running import ROOT, Space, running_space
from tests.security import doors, patient
from tests.security.remembering import remembered
from tests.security.watching import Note, connected, notes, watched

BRIEFLY = """
import sys
sys.modules["matplotlib"] = None  # which Gradio would use, and only tests have
import logging, space.desk, space.uploads
from pathlib import Path
from tests.security.remembering import remember_on_signal
space.uploads.CHECK_EVERY, space.uploads.KEEP_FOR, space.desk.KEPT_FOR = 1, 2, 2
logging.INFO = logging.DEBUG  # what the app sets its own loggers to
logging.getLogger().setLevel(logging.DEBUG)
remember_on_signal(Path({folder!r}))
"""
FORGOTTEN_WITHIN = 20
"""Seconds, with the times above."""

HOST = "patient-second-look.hf.space"
"""A Space's address, at which Gradio's page has more to say to others than elsewhere."""

ITS_OWN_NAME = ("/gradio_api/upload", "/api/breast_cancer/predict", "/batch-predict", "/queue/data", "/call/breast_")
"""Answers that may hold the name of the caller's file, for that caller."""


@dataclass
class Visit:
    """Everything that was seen of one session, from outside and from inside."""

    space: Space
    folder: Path
    replies: list[httpx.Response]
    told: dict[str, doors.Told]  # by door and film
    asked_by_the_page: list[str]
    held_back: list[str]  # what the browser was told not to let the page do
    not_collected: list[str]  # what was remembered while an answer waited for its caller
    left_over: list[str]  # what was remembered at the end
    files: list[Path]  # on the disk while the films were fresh
    sockets: list[str]


class Visitor(httpx.Client):
    """A caller who gives every file the patient's name, and keeps every reply."""

    def __init__(self, url: str) -> None:
        self.replies: list[httpx.Response] = []
        super().__init__(base_url=url, timeout=60, event_hooks={"response": [self._keep]})

    def request(self, method: str, url: Any, *, files: Any = None, **more: Any) -> httpx.Response:
        """httpx's, with the file's name."""
        if files:
            more["files"] = {field: (patient.FILE_NAME, content) for field, (_, content) in files.items()}
        return super().request(method, url, **more)

    def _keep(self, reply: httpx.Response) -> None:
        reply.read()
        self.replies.append(reply)


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    if not (ROOT / "weights" / "scope" / "spec.json").is_file():
        pytest.skip("weights/ is not here, and these tests ask the shipped models")
    folder = tmp_path_factory.mktemp("privacy")
    (folder / "home").mkdir()
    settings = {
        **watched(folder),
        "HOME": str(folder / "home"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SPACE_ID": "patient/second-look",
        "SPACE_HOST": HOST,
    }
    before = set(Path("/dev/shm").iterdir())
    with running_space(folder, BRIEFLY.format(folder=str(folder)), **settings) as space, Visitor(space.url) as http:
        told = _through_every_door(http)
        _by_gradios_client(space, folder)
        files = space.uploads()
        asked_by_the_page, held_back = _through_the_page(space, folder)
        not_collected = _not_collected(http, space, folder)
        for path in ("/metrics", "/config", "/openapi.json", "/models", "/health", "/ready", "/", "/gradio_api/info"):
            http.get(path)
        sockets = connected(space.pid)
        left_over = _forgotten(space, folder)
        seen = Visit(
            space, folder, http.replies, told, asked_by_the_page, held_back, not_collected, left_over, files, sockets
        )
        yield seen
    assert set(Path("/dev/shm").iterdir()) <= before
    assert [each for each in space.temporary.iterdir() if each.name.startswith("second-look-")] == []


def _through_every_door(http: Visitor) -> dict[str, doors.Told]:
    told = {}
    films = {"whole": patient.film(), "JPEG": patient.photograph(), **patient.broken()}
    for door, ask in doors.DOORS.items():
        for kind, film in films.items():
            told[f"{door}: {kind}"] = ask(http, film)
    for film in films.values():
        doors.rest(http, film, "/run/predict", "data")
        doors.rest(http, film, "/api/bone_fracture/predict", "image")
    mammogram = patient.mammogram_film()
    doors.rest(http, mammogram, "/api/breast_cancer/predict")
    doors.rest(http, mammogram, "/api/breast_cancer/batch-predict", "files")
    key = {"Idempotency-Key": "a-key"}
    http.post("/api/breast_cancer/predict", files={"file": ("film", mammogram)}, headers=key).raise_for_status()
    uploaded = doors.uploaded(http, films["whole"])
    told["mcp: an upload"] = doors.agent_with(http, f"{http.base_url}/gradio_api/file={uploaded}")
    return told


def _by_gradios_client(space: Space, folder: Path) -> None:
    film = folder / patient.FILE_NAME
    film.write_bytes(patient.film())
    client = Client(space.url, verbose=False, download_files=False)
    client.predict(handle_file(film), api_name="/pneumonia")
    client.predict(handle_file(film), api_name="/pneumonia_heatmap")
    client.predict([handle_file(film)] * 2, api_name="/breast_cancer_batch")
    with pytest.raises(Exception, match="limb"):
        client.predict(handle_file(film), api_name="/predict")
    client.close()


def _through_the_page(space: Space, folder: Path) -> tuple[list[str], list[str]]:
    """Every address that the page asked for, at the address of a Space, and what it was kept from."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = which("chromium") or which("chromium-browser")
    if chromium is None:
        return [], []
    with sync_api.sync_playwright() as playwright:
        flags = [*CHROMIUM_FLAGS, f"--host-resolver-rules=MAP {HOST} 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        opened = OpenPage(browser, space.url.replace("127.0.0.1", HOST), 1280)
        asked: list[str] = []
        opened.page.on("request", lambda request: asked.append(request.url))
        # ReDoc would show its maker's logo. It has no setting for that; the browser was told not to ask.
        opened.page.on("requestfailed", lambda request: request.failure == "csp" and asked.remove(request.url))
        opened.page.reload()
        opened.page.locator(".sl-upload").first.wait_for()
        opened.open("Pneumonia")
        opened.pick(folder / patient.FILE_NAME)
        opened.answer()
        with opened.page.expect_response("**/gradio_api/info"):
            opened.page.get_by_text("Use via API").click()
        for path in ("/docs", "/redoc"):
            opened.page.goto(space.url.replace("127.0.0.1", HOST) + path)
            opened.page.get_by_text("Five radiograph classifiers").first.wait_for()
        held_back = [each for each in opened.errors if "Content Security Policy" in each]
        browser.close()
    return asked, held_back


def _not_collected(http: Visitor, space: Space, folder: Path) -> list[str]:
    """Ask, and never come back for the answer."""
    film = doors.file_data(doors.uploaded(http, patient.mammogram_film()))
    film["orig_name"] = patient.FILE_NAME
    http.post("/gradio_api/call/breast_cancer", json={"data": [film]}).raise_for_status()
    end = time.monotonic() + 10
    while not (found := _remembered(space, folder)):
        assert time.monotonic() < end, "an answer was never there"
    return found


def _forgotten(space: Space, folder: Path) -> list[str]:
    """What is remembered when all should have been forgotten."""
    end = time.monotonic() + FORGOTTEN_WITHIN
    while (found := _remembered(space, folder) + [str(path) for path in space.uploads()]) and time.monotonic() < end:
        time.sleep(1)
    return found


def _remembered(space: Space, folder: Path) -> list[str]:
    return remembered(space.pid, folder, patient.WORDS, patient.pixels())


# The tests


def test_the_films_did_go_through_the_doors(visit: Visit) -> None:
    assert len(visit.told) == len(doors.DOORS) * (2 + len(patient.broken())) + 1
    for seen, told in visit.told.items():
        good = seen.endswith((": whole", ": JPEG", "not text", "an upload"))
        assert (told.answer is not None) == good, (seen, told)
    assert {path.name for path in visit.files} >= {patient.FILE_NAME}


def test_no_answer_holds_a_tag(visit: Visit) -> None:
    name, pixels = patient.FILE_NAME.lower().encode(), patient.pixels()
    assert len(visit.replies) > 120
    for reply in visit.replies:
        address = str(reply.url)
        said = repr(sorted(reply.headers.items())).encode() + b"\n" + reply.content
        for each in (said, *_in_base64(said)):
            text = each.lower()
            if any(part in address for part in ITS_OWN_NAME):
                text = text.replace(name, b"")
            assert [word for word in patient.WORDS if word in text] == [], address
            assert not any(run in each for run in pixels) or "/queue/data" in address, (
                address
            )  # the page shows the film


def test_no_picture_holds_more_than_its_pixels(visit: Visit) -> None:
    pictures = [reply.content for reply in visit.replies if reply.headers["content-type"].startswith("image/")]
    pictures += [each for reply in visit.replies for each in _in_base64(reply.content) if each[:4] != b"\xef\xbb\xbff"]
    assert len(pictures) > 5
    for picture in pictures:
        with Image.open(BytesIO(picture)) as image:
            image.load()
            assert len(image.getexif()) == 0
            assert {key for key, value in image.info.items() if isinstance(value, (str, bytes))} == set()


def test_nothing_is_said_of_it(visit: Visit) -> None:
    said = visit.space.log.read_bytes()
    assert b'"debug"' in said  # or the log would be silent for another reason
    assert [word for word in patient.WORDS if word in said.lower()] == []
    assert not any(run in said for run in patient.pixels())
    assert str(visit.folder).encode() not in said


def test_nothing_stays_on_the_disk(visit: Visit) -> None:
    home, temporary = visit.folder / "home", visit.space.temporary
    assert [path for path in temporary.rglob("*") if path.is_file()] == []
    for path in [path for path in home.rglob("*") if path.is_file()]:
        assert [word for word in patient.WORDS if word in path.read_bytes().lower()] == []
    written = {Path(note.what) for note in notes(visit.folder) if note.kind == "file" and isinstance(note.what, str)}
    elsewhere = {
        path for path in written if not path.is_relative_to(visit.folder) and path.parts[1] not in ("dev", "proc")
    }
    assert elsewhere == set()


def test_nothing_stays_in_memory(visit: Visit) -> None:
    assert any(patient.FILE_NAME in found for found in visit.not_collected)  # it would be found
    assert visit.left_over == []


def test_the_app_speaks_to_nobody(visit: Visit) -> None:
    reached = [note for note in notes(visit.folder) if note.kind == "network"]
    assert any(_port(note) == httpx.URL(visit.space.url).port for note in reached)  # agents' films, to itself
    assert [note for note in reached if not _here(note)] == []
    assert visit.sockets == []


def test_no_program_is_started_but_the_decoder(visit: Visit) -> None:
    programs = [note.what for note in notes(visit.folder) if note.kind == "program"]
    assert {tuple(program[1:3]) for program in programs} == {("-m", "predictors.decoder_child")}


def test_the_page_speaks_to_its_own_server_alone(visit: Visit) -> None:
    if not visit.asked_by_the_page:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    assert any("/queue/join" in address for address in visit.asked_by_the_page)
    assert any("/redoc" in address for address in visit.asked_by_the_page)
    own = f"{visit.space.url.replace('127.0.0.1', HOST)}/"
    assert [address for address in visit.asked_by_the_page if not address.startswith((own, "data:", "blob:"))] == []
    assert [each for each in visit.held_back if "cdn.redoc.ly" not in each] == []


def _in_base64(said: bytes) -> list[bytes]:
    """What is inside of the data: addresses."""
    return [base64.b64decode(found) for found in re.findall(rb"base64,([A-Za-z0-9+/=]+)", said)]


def _port(note: Note) -> Any:
    return note.what[1] if isinstance(note.what, list) else None


def _here(note: Note) -> bool:
    host = note.what[0] if isinstance(note.what, list) else note.what
    return host in ("127.0.0.1", "0.0.0.0", "::1", None)
