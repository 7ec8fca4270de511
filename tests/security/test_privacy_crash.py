"""An app that was killed leaves nothing behind for long; one that is asked to go takes everything along."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.running import ROOT, Space, running_space
from tests.security import doors, patient


@pytest.fixture
def hung_up() -> Iterator[None]:
    """SIGHUP reaches the app also where the tests run under nohup, which has it ignored by all that it starts."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if not (ROOT / "weights" / "scope" / "spec.json").is_file():
        pytest.skip("weights/ is not here, and these tests ask the shipped models")
    return tmp_path


@pytest.mark.usefixtures("hung_up")
def test_what_a_killed_app_left_is_gone_at_the_next_start_and_nothing_is_left_by_that(folder: Path) -> None:
    with running_space(folder) as killed, httpx.Client(base_url=killed.url) as http:
        doors.uploaded(http, patient.film(), patient.FILE_NAME)
        with half_an_upload(killed):
            os.kill(killed.pid, signal.SIGKILL)
            assert killed.ended(within=10) == -signal.SIGKILL
    left = killed.uploads()
    assert {path.name for path in left} >= {patient.FILE_NAME}
    assert len(left) > 1  # the half one too
    with running_space(folder) as another, httpx.Client(base_url=another.url) as http:
        assert another.uploads() == []
        doors.uploaded(http, patient.film(), patient.FILE_NAME)
        assert len(another.uploads()) == 1
        os.kill(another.pid, signal.SIGHUP)  # a terminal was closed; the app makes a SIGTERM of it
        another.ended(within=15)
        assert ours(another) == []


def ours(space: Space) -> list[Path]:
    return [path for path in space.temporary.iterdir() if "second-look-" in path.name]


def half_an_upload(space: Space) -> socket.socket:
    """An upload that is under way: its first bytes are on the disk."""
    before, address = len(space.uploads()), httpx.URL(space.url)
    line = socket.create_connection((address.host, address.port))
    line.sendall(
        b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="half.dcm"\r\n\r\n' + patient.film()[:99999]
    )
    end = time.monotonic() + 10
    while len(space.uploads()) == before:
        assert time.monotonic() < end, "the upload never began"
        time.sleep(0.02)
    return line
