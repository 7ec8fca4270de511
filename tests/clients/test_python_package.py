"""The Python client as a package: its types are the service's, and its wheel works where nothing else of ours is."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.running import ROOT, Space

PACKAGE = ROOT / "clients" / "python"


def run(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_types_are_those_of_the_openapi_document(tmp_path: Path) -> None:
    made = tmp_path / "answers.py"
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it formats with ruff
    run(sys.executable, "-m", "datamodel_code_generator", "--output", str(made), cwd=PACKAGE, PATH=tools)
    assert made.read_text() == (PACKAGE / "src" / "second_look" / "answers.py").read_text()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's contents and nothing else."""
    folder = tmp_path_factory.mktemp("package")
    source, wheels, target = folder / "source", folder / "wheels", folder / "target"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(source), cwd=folder)
    (wheel,) = wheels.glob("second_look_client-*.whl")
    run(*pip, "install", "--no-deps", "--target", str(target), str(wheel), cwd=folder)
    return target


PROGRAM = """
import sys
import second_look
with second_look.connect(sys.argv[1]) as space:
    print(second_look.__file__)
    print(space.pneumonia(sys.argv[2])["meta"]["model"])
"""


def test_its_wheel_works_in_an_empty_folder(
    installed: Path, space: Space, drawn: dict[str, Path], tmp_path: Path
) -> None:
    told = run(sys.executable, "-c", PROGRAM, space.url, str(drawn["chest"]), cwd=tmp_path, PYTHONPATH=str(installed))
    assert told.split() == [str(installed / "second_look" / "__init__.py"), "pneumonia"]


def test_what_its_readme_shows_works(
    space: Space, drawn: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("film.png", "1.dcm", "2.dcm", "3.dcm"):
        shutil.copy(drawn["limb" if name == "film.png" else "chest"], tmp_path / name)
    text = (PACKAGE / "README.md").read_text(encoding="utf-8").replace("owner/space", space.url)
    plain, asynchronous = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(plain, {})
    assert (tmp_path / "heat.png").read_bytes().startswith(b"\x89PNG")
    said: dict[str, Any] = {}
    body = textwrap.indent(asynchronous, "    ")
    exec(
        f"import asyncio, second_look\nasync def main():\n{body}    return answers\nanswers = asyncio.run(main())", said
    )
    assert len(said["answers"]) == 3


TYPED = """
import second_look
space = second_look.SecondLook("owner/space")
answer = space.pneumonia(b"")
reveal_type(answer["probabilities"]["Pneumonia"])
reveal_type(answer["prediction"])
answer["predicted"]
space.pneumonia(7)
"""


def test_its_callers_are_told_what_they_get(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "caller.py").write_text(TYPED)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "caller.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    told = [line.removeprefix("caller.py:") for line in done.stdout.splitlines() if line.startswith("caller.py:")]
    assert [line[0] for line in told] == ["5", "6", "7", "8"], done.stdout
    assert "float" in told[0]
    assert "'Normal'" in told[1]
    assert "'Pneumonia'" in told[1]
    assert 'no key "predicted"' in told[2]
    assert "incompatible type" in told[3]
