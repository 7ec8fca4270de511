"""The ways to ask a Space for one film: each is connected once, and asks again and again."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.films import jpeg
from benchmarks.servers import ROOT
from benchmarks.wire import Body, Wire

Ask = Callable[[], Any]
"""Asks once, and returns the answer's JSON."""


def by_form(url: str, path: str, field: str) -> Ask:
    """One POST of a form."""
    wire, form = Wire(url), Body.form(field, jpeg())
    return lambda: wire.post(path, form)


def by_call(url: str, route: str) -> Ask:
    """The three requests of whoever has no client: upload, ask, read the event stream."""
    wire, form = Wire(url), Body.form("files", jpeg())

    def ask() -> Any:
        (path,) = wire.post("/gradio_api/upload", form)
        film = {"path": path, "orig_name": "film.jpg", "meta": {"_type": "gradio.FileData"}}
        joined = wire.post(f"/gradio_api/call/{route}", Body.json({"data": [film]}))
        *_, event, data = wire.text(f"/gradio_api/call/{route}/{joined['event_id']}").strip().splitlines()
        if event != "event: complete":
            raise RuntimeError(data)
        return json.loads(data.removeprefix("data: "))[0]

    return ask


def by_gradio_client(url: str, route: str, film: Path) -> Ask:
    """Gradio's own client for Python; its telemetry is off."""
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
    from gradio_client import Client, handle_file

    client = Client(url, verbose=False, analytics_enabled=False)
    return lambda: client.predict(handle_file(film), api_name=route)


def node_client(folder: Path) -> Path | None:
    """``ask.mjs`` and the ``@gradio/client`` that the tests pin, in ``folder``; None without Node."""
    if not (shutil.which("node") and shutil.which("npm")):
        print("node or npm is not installed: @gradio/client is left out")
        return None
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "tests" / "clients" / "node" / name, folder)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return Path(shutil.copy(Path(__file__).parent / "ask.mjs", folder))


@contextmanager
def by_node(script: Path, url: str, route: str, film: Path) -> Iterator[Ask]:
    """Gradio's own client for JavaScript, in a Node process that stays."""
    command = ["node", str(script), url, route, str(film)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as node:
        asked, answers = node.stdin, node.stdout
        assert asked  # both are pipes
        assert answers

        def ask() -> Any:
            asked.write("\n")
            return json.loads(answers.readline())

        json.loads(answers.readline())  # it is connected
        try:
            yield ask
        finally:
            asked.close()
