"""Films behind addresses: only public ones are read, not too much of them and not for too long."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest

from predictors.errors import FileTooLarge
from predictors.image import MAX_BYTES
from space import fetch
from tests.space.internet import HOST, Page, local_server, reach


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[int, dict[str, Page]]]:
    pages: dict[str, Page] = {}
    with local_server(pages) as port:
        yield port, pages


@pytest.fixture
def pages(server: tuple[int, dict[str, Page]], monkeypatch: pytest.MonkeyPatch) -> dict[str, Page]:
    port, pages = server
    pages.clear()
    reach(port, monkeypatch.setattr)
    return pages


def fetched(url: str, folder: Path) -> Path:
    return Path(asyncio.run(fetch.fetched(url, str(folder))))


def refusal(url: str, folder: Path) -> str:
    with pytest.raises(gr.Error) as caught:
        fetched(url, folder)
    assert list(folder.rglob("*")) == []
    return str(caught.value.message)


def test_a_file_is_named_by_its_content_and_keeps_its_own_name(pages: dict[str, Page], tmp_path: Path) -> None:
    pages["/a/limb%201.png"] = b"one"
    first = fetched(f"{HOST}/a/limb%201.png?signature=abc", tmp_path)
    assert (first.name, first.read_bytes()) == ("limb 1.png", b"one")
    assert fetched(f"{HOST}/a/limb%201.png", tmp_path) == first
    pages["/a/limb%201.png"] = b"two"
    assert fetched(f"{HOST}/a/limb%201.png", tmp_path).read_bytes() == b"two"
    assert first.read_bytes() == b"one"


def test_a_name_cannot_leave_the_folder(pages: dict[str, Page], tmp_path: Path) -> None:
    pages["/..%2F..%2Fevil"] = pages["/"] = b"film"
    for address in (f"{HOST}/..%2F..%2Fevil", f"{HOST}/"):
        assert fetched(address, tmp_path).parent.parent == tmp_path


def test_redirects_are_followed_on_the_same_host_and_to_another(pages: dict[str, Page], tmp_path: Path) -> None:
    pages |= {"/once": "/twice", "/twice": f"{HOST}/film.png", "/film.png": b"film"}
    assert fetched(f"{HOST}/once", tmp_path).read_bytes() == b"film"


def test_a_circle_of_redirects_ends(pages: dict[str, Page], tmp_path: Path) -> None:
    pages["/round"] = "/round"
    assert refusal(f"{HOST}/round", tmp_path) == fetch.NOT_FETCHED


PRIVATE = [
    "http://127.0.0.1/",
    "http://localhost:7860/",
    "http://0.0.0.0/",
    "http://10.0.0.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://192.168.1.1/",
    "http://224.0.0.1/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://private.example/",
    "http://both.example/",
]
"""This machine, its neighbours and the cloud's own addresses, in the ways in which they can be written."""


@pytest.mark.parametrize("address", PRIVATE)
def test_no_private_address_is_asked(pages: dict[str, Page], tmp_path: Path, address: str) -> None:
    assert refusal(address, tmp_path) == fetch.NOT_FETCHED
    pages["/away"] = address
    assert refusal(f"{HOST}/away", tmp_path) == fetch.NOT_FETCHED


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://films.example/", "http://", "http://a..b/", "//x"])
def test_only_http_addresses_are_read(pages: dict[str, Page], tmp_path: Path, address: str) -> None:
    assert refusal(address, tmp_path) == fetch.NOT_FETCHED
    pages["/away"] = address
    assert refusal(f"{HOST}/away", tmp_path) == fetch.NOT_FETCHED


def test_what_is_not_there_is_refused(pages: dict[str, Page], tmp_path: Path) -> None:
    assert refusal(f"{HOST}/nothing.png", tmp_path) == fetch.NOT_FETCHED


def test_a_file_that_is_too_large_is_not_read_to_its_end(pages: dict[str, Page], tmp_path: Path) -> None:
    pages["/large"] = bytes(MAX_BYTES)
    assert fetched(f"{HOST}/large", tmp_path / "kept").stat().st_size == MAX_BYTES
    (tmp_path / "refused").mkdir()
    assert refusal(f"{HOST}/endless", tmp_path / "refused") == FileTooLarge.sentence


def test_patience_ends(pages: dict[str, Page], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PATIENCE", 0.3)
    assert refusal(f"{HOST}/silent", tmp_path) == fetch.NOT_FETCHED
