"""Every snippet under "Call it" in the README is run as printed, but for the address, against the running Space."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from predictors.registry import models
from tests.running import ROOT, Space

ADDRESS = "http://127.0.0.1:7860"
FILM = 'import { openAsBlob } from "node:fs";\nconst film = await openAsBlob("film.png"), file = film;\n'
END = "process.exit(0);\n"  # @gradio/client keeps a heartbeat open, which a page ends by being closed

Place = Callable[[str], Path]


def snippets() -> list[tuple[str, str]]:
    """Language and text of each block, in their order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("\n## Call it\n")[1].split("\n## ")[0]
    return re.findall(r"^```(\w+)\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def place(tmp_path: Path, drawn: dict[str, Path], request: pytest.FixtureRequest) -> Place:
    """A folder with ``film.png`` and what a language's snippets need beside it."""

    def made(language: str) -> Path:
        folder = tmp_path
        if language in ("js", "ts"):
            installed: Path = request.getfixturevalue("node" if language == "js" else "packed")
            folder = tmp_path / "front-end"
            folder.mkdir()
            (folder / "node_modules").symlink_to(installed / "node_modules")
        shutil.copy(drawn["limb"], folder / "film.png")
        return folder

    return made


def ran(command: list[str], folder: Path) -> str:
    paths = [str(ROOT / "clients" / "python" / "src"), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_snippet(language: str, text: str, folder: Path) -> str:
    if language == "python":
        return ran([sys.executable, "-c", text], folder)
    if language == "sh":
        return ran(["bash", "-euo", "pipefail", "-c", text], folder)
    (folder / "snippet.mjs").write_text(FILM + text + END)
    return ran(["node", "snippet.mjs"], folder)


def snippet(language: str, mark: str) -> str:
    """The one block of a language that holds ``mark``."""
    (text,) = [text for each, text in snippets() if each == language and mark in text]
    return text


CASES = {
    "curl": ("sh", "/api/", ['"predicted_label"', '"total_images":2', "x-heatmap-peak: "]),
    "TypeScript": ("ts", "second-look-client", ["fracture", "normal", "running"]),
    "Python": ("python", "second_look", ["fracture", "normal", "running"]),
    "gradio_client": ("python", "gradio_client", ["fracture", "normal", ".png"]),
    "@gradio/client": ("js", "@gradio/client", ["fracture", "normal"]),
    "three requests": ("sh", "/gradio_api/call/", ["event: complete", "fracture_probability"]),
}
EITHER = {"fracture", "normal"}  # of a drawn film's two labels, either will do


@pytest.mark.parametrize("name", CASES)
def test_a_snippet_does_what_it_says(name: str, place: Place, space: Space) -> None:
    language, mark, expected = CASES[name]
    text = snippet(language, mark)
    assert ADDRESS in text
    folder = place(language)
    said = run_snippet(language, text.replace(ADDRESS, space.url), folder)
    for words in expected:
        assert words in said or (words in EITHER and any(label in said for label in EITHER)), (words, said)
    if "-o map.png" in text:
        assert (folder / "map.png").read_bytes().startswith(b"\x89PNG")


def test_the_agents_snippet_names_a_server_with_a_tool_a_model(space: Space) -> None:
    config = json.loads(snippet("json", "mcpServers"))
    (address,) = [server["url"] for server in config["mcpServers"].values()]

    async def tools() -> list[str]:
        async with (
            streamable_http_client(address.replace(ADDRESS, space.url)) as (reading, writing, _),
            ClientSession(reading, writing) as session,
        ):
            await session.initialize()
            return [tool.name for tool in (await session.list_tools()).tools]

    assert len(asyncio.run(tools())) == len(models())


def test_no_snippet_is_left_out() -> None:
    assert len(snippets()) == len(CASES) + 1
