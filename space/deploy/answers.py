"""Whether a Space answers: every route that it names, called once with a drawn film."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from space.deploy.errors import NotRunning, one_line
from space.deploy.films import FILMS, write
from space.deploy.stages import Patience

WILL_PASS = {"busy", "model_loading"}
"""The contract's codes of refusals after which one asks again. Gradio carries them as an error's title."""

_ATTEMPTS = 12
"""A Space that runs may need a minute until the proxy before it knows, or until its models are loaded."""

_LONGEST = 120
"""Seconds that one answer may take, with the network's first load in it."""

Result = TypeVar("Result")


def call_every_route(address: str, token: str | None, kinds: Mapping[str, str], patience: Patience) -> int:
    """Call every named route of the app at ``address``; returns how many there are.

    ``kinds`` says which kind of film a model reads. A refusal is no answer: the scope guard stands before the
    network, so that it would say nothing of the network's weights. Raises NotRunning and names the routes that
    did not answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        films = {kind: write(kind, Path(folder)) for kind in FILMS}
        with _connected(address, token, folder, patience) as client:
            routes: dict[str, Any] = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
            failed = []
            for route, about in routes.items():
                film = handle_file(films[_kind(route, kinds)])
                several = about["parameters"][0]["parameter_name"] == "images"
                began = time.monotonic()
                problem = _ask(client, route, [film] if several else film, patience)
                if problem:
                    failed.append(route)
                told = problem or f"answers in {time.monotonic() - began:.1f} s"
                print(f"  {route:<28} {told}", flush=True)
    if failed or not routes:
        raise NotRunning(f"The Space runs, but does not answer at {', '.join(failed) or 'any route'}.")
    return len(routes)


def _kind(route: str, kinds: Mapping[str, str]) -> str:
    """``/bone_fracture_heatmap`` takes what bone_fracture reads; ``/predict`` is an older name of that model."""
    return next((kind for name, kind in kinds.items() if route.startswith(f"/{name}")), kinds["bone_fracture"])


@contextmanager
def _connected(address: str, token: str | None, folder: str, patience: Patience) -> Iterator[Client]:
    def connect() -> Client:
        return Client(address, token=token, verbose=False, download_files=folder, analytics_enabled=False)

    try:
        client = _patiently(connect, patience)
    except Exception as error:
        raise NotRunning(f"The Space runs, but {address} does not answer ({type(error).__name__}).") from None
    try:
        yield client
    finally:
        client.close()


def _ask(client: Client, route: str, film: Any, patience: Patience) -> str:
    """Why the route did not answer, or nothing if it did."""
    try:
        answer = _patiently(lambda: client.submit(film, api_name=route).result(timeout=_LONGEST), patience)
    except AppError as error:
        return one_line(str(error))
    except Exception as error:  # whatever a broken app provokes in Gradio's client
        return f"no answer ({type(error).__name__})"
    parts = answer if isinstance(answer, (list, tuple)) else [answer]
    errors = [row["error"] for part in parts if isinstance(part, dict) for row in _rows(part) if "error" in row]
    return one_line(str(errors[0])) if errors else ""


def _rows(part: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of a batch, which carry their refusals instead of raising them."""
    rows: list[dict[str, Any]] = part.get("results", [])
    return rows


def _patiently(call: Callable[[], Result], patience: Patience) -> Result:
    """Call again while the reason will pass: a refusal that says so, or no connection to the app at all."""
    attempt = 1
    while True:
        try:
            return call()
        except Exception as error:
            refused = isinstance(error, AppError) and error.title not in WILL_PASS
            if refused or isinstance(error, TimeoutError) or attempt == _ATTEMPTS or not patience.wait():
                raise
        attempt += 1
