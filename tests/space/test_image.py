"""The Dockerfile, as far as it can be tried without an engine: what it copies, installs, starts and asks."""

import json
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import httpx
import pytest
from gradio_client import Client, handle_file

from space.deploy.files import FOLDERS, NOT_SERVED, SINGLE
from supply.locks import pins
from tests.running import ROOT, Space, running_space

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
FRAMEWORKS = {"h5py", "keras", "tensorflow", "torch", "torchvision"}

BLOCKED = f"""
import sys
for name in {sorted(FRAMEWORKS)}:
    sys.modules[name] = None  # to import it raises ModuleNotFoundError, as where it is not installed
"""


def test_a_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.is_file():
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_holds_what_serves_and_nothing_else() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    folders = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    planted = ["README.md", ".env", ".git/config", "space/.env", "tests/films.py", "training/train.py", "clients/x.ts"]
    paths = {path.relative_to(ROOT).as_posix() for path in folders if path.is_file()} | {
        *SINGLE,
        "requirements-serving.lock",
        *planted,
    }
    served = {path for path in paths if path.startswith(FOLDERS) and not path.startswith(NOT_SERVED)}
    served = {path for path in served if "/." not in path and "__pycache__" not in path}
    served |= {"LICENSE", "app.py", "pre-requirements.txt", "requirements.txt", "requirements-serving.lock"}
    assert {path for path in paths if not ignored(path, rules)} == served
    for copied in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE):
        assert copied == "." or set(copied.split()) <= served


def ignored(path: str, rules: list[str]) -> bool:
    """Docker's way: the last rule that matches the path, or a folder above it, decides; ``**/`` is any depth."""
    verdict = False
    places = [path, *map(str, PurePosixPath(path).parents)][:-1]
    for rule in (rule for rule in rules if rule and not rule.startswith("#")):
        pattern = rule.removeprefix("!")
        if pattern.startswith("**/"):
            matches = any(fnmatch(PurePosixPath(place).name, pattern[3:]) for place in places)
        else:
            matches = any(place.count("/") == pattern.count("/") and fnmatch(place, pattern) for place in places)
        if matches:
            verdict = not rule.startswith("!")
    return verdict


def test_the_frameworks_are_left_out_unless_asked_for() -> None:
    assert "pip install --no-cache-dir --require-hashes -r requirements-serving.lock && " in DOCKERFILE
    everything = {pin.name for pin in pins(ROOT / "requirements.txt")}
    serving = {pin.name for pin in pins(ROOT / "requirements-serving.lock")}
    assert {name.removesuffix("-cpu") for name in everything - serving} == FRAMEWORKS


def test_it_serves_without_the_frameworks(tmp_path: Path, drawn: dict[str, Path]) -> None:
    with running_space(tmp_path, BLOCKED) as image:
        client = Client(image.url, verbose=False, analytics_enabled=False)
        answer = client.predict(handle_file(drawn["chest"]), api_name="/pneumonia")
        client.close()
    assert answer["prediction"] in {"Normal", "Pneumonia"}


def test_its_health_is_asked_and_it_is_started_as_a_user_by_its_own_process(space: Space) -> None:
    (check,) = re.findall(r"^HEALTHCHECK .*CMD \\\n +(\[.*\])$", DOCKERFILE, re.MULTILINE)
    interpreter, *arguments = json.loads(check)
    assert interpreter == "python"

    def healthy(port: int) -> bool:
        environment = os.environ | {"PORT": str(port)}
        return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True).returncode == 0

    assert healthy(httpx.URL(space.url).port or 0)
    assert not healthy(9)
    assert json.loads(re.findall(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)[-1]) == ["python", "app.py"]
    assert "\nUSER 1000\n" in DOCKERFILE
    assert "\nEXPOSE 7860\n" in DOCKERFILE
