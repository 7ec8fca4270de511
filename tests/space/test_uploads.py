"""Uploads: named by their sender, read only where Gradio put them, and gone from the disk soon."""

import os
import socket
import time
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file

from predictors.errors import MissingFile
from space.uploads import received, received_all, sweep
from tests.running import ROOT, running_space

BRIEFLY = "import space.uploads\nspace.uploads.CHECK_EVERY, space.uploads.KEEP_FOR = 1, 2"
SAY_FRAMEWORKS = """
import atexit, sys
atexit.register(lambda: print("FRAMEWORKS", [n for n in ("tensorflow", "keras", "torch") if n in sys.modules]))
"""


def test_an_upload_keeps_its_senders_name_without_their_folders(tmp_path: Path) -> None:
    film = tmp_path / "on_disk.png"
    film.touch()
    for name in ("a b.png", "C:\\films\\a b.png", "/home/me/a b.png"):
        assert received({"path": str(film), "orig_name": name}) == (film, "a b.png")
    assert received({"path": str(film)}) == (film, "on_disk.png")
    assert len(received({"path": str(film), "orig_name": "x" * 999})[1]) == 255


@pytest.mark.parametrize("upload", [None, {}, {"path": ""}, "film.png", {"path": "/nowhere/film.png"}])
def test_no_upload_is_a_missing_file(upload: object) -> None:
    with pytest.raises(MissingFile):
        received(upload)
    assert received_all([upload]) == [(b"", "")]


def test_sweep_deletes_what_is_old_and_the_folders_that_it_empties(tmp_path: Path) -> None:
    film = tmp_path / "hash" / "film.png"
    film.parent.mkdir()
    film.touch()
    (tmp_path / "half-uploaded").touch()
    sweep(tmp_path, age=60)
    assert film.is_file()
    time.sleep(0.05)
    sweep(tmp_path, age=0.01)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_on_the_disk_and_no_framework_is_loaded(tmp_path: Path, drawn: dict[str, Path]) -> None:
    if not (ROOT / "weights" / "scope" / "spec.json").is_file():
        pytest.skip("weights/ is not here, and this test asks the shipped models")
    with running_space(tmp_path, BRIEFLY + SAY_FRAMEWORKS) as space:
        client = Client(space.url, verbose=False, download_files=False)
        client.predict(handle_file(drawn["limb"]), api_name="/bone_fracture_heatmap")
        client.predict(handle_file(drawn["chest"]), api_name="/pneumonia")
        client.predict([handle_file(drawn["mammogram"])] * 2, api_name="/breast_cancer_batch")
        client.close()
        _hang_up_halfway(space.url)
        assert space.uploads()
        end = time.monotonic() + 15
        while space.uploads() and time.monotonic() < end:
            time.sleep(0.25)
        assert space.uploads() == []
    assert [path for path in space.temporary.iterdir() if path.name.startswith("second-look-")] == []
    said = space.log.read_text()
    assert "FRAMEWORKS []" in said
    assert "limb" not in said.replace("a limb,", "")
    assert os.fspath(tmp_path) not in said


def _hang_up_halfway(url: str) -> None:
    """Start an upload and close the line."""
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port)) as line:
        line.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="broken-off"\r\n\r\n' + bytes(9999)
        )
        time.sleep(0.5)
