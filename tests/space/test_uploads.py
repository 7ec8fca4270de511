"""Uploads: named by their sender, read only where Gradio put them, and gone from the disk soon."""

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file

from predictors.errors import MissingFile
from space.uploads import private_folder, received, received_all, remove_leftovers, sweep, swept
from tests.running import ROOT, running_space, until_ready

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


def test_sweep_leaves_what_is_in_use_and_finds_what_lies_deeper(tmp_path: Path) -> None:
    film = tmp_path / "made" / "hash" / "map.png"
    film.parent.mkdir(parents=True)
    film.touch()
    (tmp_path / "just-made").mkdir()
    sweep(tmp_path, age=60)
    assert film.is_file()
    assert (tmp_path / "just-made").is_dir()
    time.sleep(0.05)
    sweep(tmp_path, age=0.01)
    assert not film.exists()
    sweep(tmp_path, age=0)  # a folder is as old as what left it last
    assert list(tmp_path.iterdir()) == []


def test_a_clock_that_was_set_back_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "film").touch()
    yesterday = time.time() - 86400
    monkeypatch.setattr("space.uploads.time.time", lambda: yesterday)
    sweep(tmp_path, age=60)
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_that_fails_is_not_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("space.uploads.CHECK_EVERY", 0.01)
    asked: list[float] = []

    def forget(age: float) -> None:
        asked.append(age)
        raise OSError(f"{tmp_path}/patient.dcm")

    async def run() -> None:
        async with swept(tmp_path, forget):
            while len(asked) < 3:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 5))
    assert not tmp_path.exists()


# What others left behind


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of all users of this machine."""
    folder = tmp_path / "shared"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    return folder


def left_behind(folder: Path, mode: int = 0o700) -> Path:
    (folder / "hash").mkdir(parents=True)
    (folder / "hash" / "patient.dcm").touch()
    folder.chmod(mode)
    return folder


def test_a_private_folder_is_its_users_alone(shared: Path) -> None:
    first, second = private_folder(), private_folder()
    assert first.stat().st_mode & 0o777 == 0o700
    assert os.environ["GRADIO_TEMP_DIR"] == str(second)
    assert sorted(shared.iterdir()) == sorted([first, second])  # neither has taken the other for a leftover


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_has_stays(shared: Path) -> None:
    program = (
        "import space.uploads, sys, tempfile\n"
        f"tempfile.tempdir = {str(shared)!r}\n"
        "folder = space.uploads.private_folder()\n"
        "(folder / 'hash').mkdir(); (folder / 'hash' / 'patient.dcm').touch()\n"
        "print(folder, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout
        folder = Path(process.stdout.readline().strip())
        remove_leftovers()
        assert (folder / "hash" / "patient.dcm").is_file()
        process.send_signal(signal.SIGKILL)
    assert folder.is_dir()
    remove_leftovers()
    assert list(shared.iterdir()) == []


def test_what_only_has_the_name_of_a_leftover_is_left_alone(shared: Path, tmp_path: Path) -> None:
    elsewhere = left_behind(tmp_path / "elsewhere")
    (shared / "second-look-link").symlink_to(elsewhere)
    (shared / "second-look-file").touch()
    left_behind(shared / "second-look-open", 0o755)
    left_behind(shared / "another-app")
    left_behind(shared / "second-look-left")
    (shared / "second-look-left" / "hash" / "link").symlink_to(elsewhere)
    remove_leftovers()
    assert sorted(each.name for each in shared.iterdir()) == [
        "another-app",
        "second-look-file",
        "second-look-link",
        "second-look-open",
    ]
    assert (elsewhere / "hash" / "patient.dcm").is_file()


def test_another_users_folder_is_left_alone(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = left_behind(shared / "second-look-theirs")
    somebody = theirs.stat().st_uid + 1
    monkeypatch.setattr("os.geteuid", lambda: somebody)
    remove_leftovers()
    assert theirs.is_dir()


def test_where_there_are_no_locks_nothing_is_taken_for_a_leftover(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    first, second = private_folder(), private_folder()
    assert first.is_dir()
    assert second.is_dir()


# In the running app


def test_nothing_is_left_on_the_disk_and_no_framework_is_loaded(tmp_path: Path, drawn: dict[str, Path]) -> None:
    if not (ROOT / "weights" / "scope" / "spec.json").is_file():
        pytest.skip("weights/ is not here, and this test asks the shipped models")
    with running_space(tmp_path, BRIEFLY + SAY_FRAMEWORKS) as space:
        until_ready(space)  # two seconds after it came an upload goes, whether it was read or not
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
