"""One's own weights in place of ours, from a file and from the Hub (a stand-in for it on this machine)."""

import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from predictors.spec import ModelSpec
from tests.predictors.conftest import WEIGHTS

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    shutil.copytree(WEIGHTS / "scope", tmp_path / "weights" / "scope")
    return tmp_path / "weights"


def adopt(weights: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "predictors.adopt", "scope", *arguments, "--weights", str(weights)]
    home = weights.parent
    place = {"SECOND_LOOK_CACHE": str(home / "cache"), "HF_HOME": str(home / "hub"), "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | place | environment, timeout=120)


def test_a_file_is_adopted_and_the_old_figures_go(weights: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.pth"
    shutil.copyfile(WEIGHTS / "scope" / "model.pth", mine)
    done = adopt(weights, str(mine), "--mean", "0", "0", "0")
    assert done.returncode == 0, done.stderr
    spec = ModelSpec.read(weights / "scope")
    assert (spec.input.mean, spec.metrics, spec.twin, spec.threshold) == ((0, 0, 0), {}, None, 0.5)
    assert spec.input.size == 224  # what networks are trained at, unless one says so; not our own network's size
    assert "No figures were measured" in (weights / "scope" / "card.md").read_text(encoding="utf-8")


def test_a_file_that_cannot_be_used_changes_nothing(weights: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.pth"
    mine.write_bytes(b"not weights")
    before = {p.name: p.read_bytes() for p in (weights / "scope").iterdir()}
    done = adopt(weights, str(mine))
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == "The weights file of scope is damaged or of another format."
    assert {p.name: p.read_bytes() for p in (weights / "scope").iterdir()} == before


class _Hub(http.server.BaseHTTPRequestHandler):
    """What the Hub answers for one file of one model repository."""

    data = (WEIGHTS / "scope" / "model.pth").read_bytes()

    def do_HEAD(self) -> None:
        self._head()

    def do_GET(self) -> None:
        if self._head():
            self.wfile.write(self.data)

    def _head(self) -> bool:
        found = self.path == f"/someone/films/resolve/{COMMIT}/guard.pth"
        self.send_response(200 if found else 404)
        if found:
            self.send_header("ETag", f'"{hashlib.sha256(self.data).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
        else:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(len(self.data) if found else 0))
        self.end_headers()
        return found

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_weights_on_the_hub_are_fetched_checked_and_answer(weights: Path, hub: str) -> None:
    digest = hashlib.sha256(_Hub.data).hexdigest()
    named = ("guard.pth", "--hub", f"someone/films@{COMMIT}", "--size", "160", "--sha256")
    done = adopt(weights, *named, digest, HF_ENDPOINT=hub)
    assert done.returncode == 0, done.stderr
    spec = ModelSpec.read(weights / "scope")
    assert spec.hub is not None
    assert (spec.hub.repo, spec.hub.revision, spec.weights.sha256) == ("someone/films", COMMIT, digest)
    assert spec.input.size == 160
    # The revision is pinned and the file is cached: with the Hub out of reach it still loads.
    again = adopt(weights, *named, digest, HF_ENDPOINT="http://127.0.0.1:9")
    assert again.returncode == 0, again.stderr


def test_weights_on_the_hub_with_another_hash_are_refused(weights: Path, hub: str) -> None:
    before = ModelSpec.read(weights / "scope")
    done = adopt(weights, "guard.pth", "--hub", f"someone/films@{COMMIT}", "--sha256", "0" * 64, HF_ENDPOINT=hub)
    assert done.returncode == 1
    assert "SHA-256 differs" in done.stderr
    assert ModelSpec.read(weights / "scope") == before


def test_a_file_that_the_hub_does_not_have(weights: Path, hub: str) -> None:
    done = adopt(weights, "other.pth", "--hub", f"someone/films@{COMMIT}", "--sha256", "0" * 64, HF_ENDPOINT=hub)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == f"The weights of scope could not be fetched from someone/films@{COMMIT} on the Hub."
