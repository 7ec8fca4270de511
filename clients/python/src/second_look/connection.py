"""One call to a Space that runs, through ``gradio_client``."""

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal, get_args

import httpx
from gradio_client import Client
from gradio_client.exceptions import AppError
from gradio_client.utils import Status, encode_file_path

from second_look.errors import NotSecondLook, Refused, SecondLookError, SpaceUnavailable
from second_look.films import Film
from second_look.waking import BROKE_OFF, PASSING, NotYet, Reply, Teller, judge

TIMEOUT = httpx.Timeout(30, read=60)
"""Seconds. An event stream says something every quarter of a minute, so one that is silent for longer is dead."""

ModelName = Literal["bone_fracture", "fracture_detection", "fracture_type", "breast_cancer", "pneumonia"]

GONE = "The Space no longer has the film; it must be sent again."


class Unexplained(Refused):
    """An error of Gradio's own, of which it says nothing: among others, that it does not know an upload."""


def judged(response: httpx.Response) -> httpx.Response:
    """The response, if its status is a success; raises as ``judge`` does."""
    said = _json(response) if response.is_error else None
    said = said if isinstance(said, dict) else {}  # the proxy's own words are a page
    judge(response.status_code, _retry_after(response), str(said.get("code", "")), str(said.get("detail", "")))
    return response


def as_reply(response: httpx.Response) -> Reply:
    """The response as ``waking`` reads it."""
    return Reply(response.status_code, _json(response), _retry_after(response))


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _retry_after(response: httpx.Response) -> float:
    """Seconds; 0 if it says nothing. HTTP allows a number or a date."""
    said = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(said) if said.isdecimal() else parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return 0


class _Judging(httpx.Auth):
    """Puts every answer that ``gradio_client`` gets before ``judged``.

    By itself it drops Retry-After, and takes a page of the proxy's for a queue that is full.
    """

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        response = yield request
        if response.is_error:
            response.read()  # an event stream is left alone
        judged(response)


class _Daemons(Executor):
    """A thread a task, none of which keeps the caller's program from ending, as those of a pool do."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()

        def run() -> None:
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, name="second-look", daemon=True).start()
        return future


@dataclass(frozen=True, eq=False)
class App:
    """An app that answers: its address, and what it said to GET ``/config``."""

    address: str
    config: httpx.Response


class Connection(Client):  # type: ignore[misc]  # gradio_client brings no types
    """``gradio_client``, less what a library must not do to its caller: phone home, print, and write to the disk.

    Each call has one of its own, and with it a session and an event stream that break for nobody else. Nothing is
    sent until it is used. Raises NotSecondLook if the app is another.
    """

    def __init__(self, app: App, headers: dict[str, str], web: httpx.AsyncClient) -> None:
        try:
            self._answered = dict(app.config.json())
            super().__init__(
                app.address,
                token=False,  # else it would send the token that lies on this machine to any address
                headers=headers,
                verbose=False,
                download_files=False,
                httpx_kwargs={"timeout": TIMEOUT, "auth": _Judging(), "cookies": dict(app.config.cookies)},
            )
            routes = {each.get("api_name") for each in self.config["dependencies"]}
        except (ValueError, KeyError, TypeError):
            raise NotSecondLook from None
        if not routes >= set(get_args(ModelName)):
            raise NotSecondLook
        self.executor = self.helper_executor = self.stream_executor = _Daemons()
        for endpoint in self.endpoints.values():
            endpoint.process_input_files = lambda *films: films  # they are uploaded already, and from memory
        self._web = web

    def _get_config(self) -> dict[str, Any]:
        # The heartbeat is for pages: it would be one more connection a call, which only a thread of its own could end.
        return {**self._answered, "connect_heartbeat": False}

    def _get_api_info(self) -> dict[str, Any]:
        return {"named_endpoints": {}, "unnamed_endpoints": {}}  # only for the names of arguments, which we know

    def _telemetry_thread(self) -> None:
        pass

    def stream_messages(self, protocol: str, session_hash: str) -> None:
        """Hand the messages of this session's event stream to those who wait for them, until it ends or breaks.

        The original prints a traceback for most ways in which a connection can break. In either, whoever still waits
        when this returns gets a CancelledError.
        """
        stream = httpx.stream(
            "GET",
            self.sse_url,
            params={"session_hash": session_hash},
            headers=self.headers,
            cookies=self.cookies,
            **self.httpx_kwargs,
        )
        with suppress(httpx.HTTPError, NotYet, SecondLookError, ValueError), stream as response:
            for line in response.iter_lines():
                if not line.startswith("data:"):
                    continue
                message = json.loads(line[len("data:") :])
                if message["msg"] in ("close_stream", "unexpected_error"):
                    return
                if event := message.get("event_id"):
                    with self.pending_lock:
                        self.pending_messages_per_event.setdefault(event, deque()).append(message)

    # One call

    async def upload(self, films: Sequence[Film]) -> list[dict[str, Any]]:
        """Send films to the app, and say what an event calls them by. Raises as ``judge`` does."""
        if not films:
            return []
        files = [("files", (film.name, film.content)) for film in films]
        response = judged(await self._web.post(self.upload_url, files=files, headers=self.headers))
        pairs = zip(response.json(), films, strict=True)
        meta = {"_type": "gradio.FileData"}
        return [{"path": path, "orig_name": film.name, "meta": meta} for path, film in pairs]

    async def ask(self, route: str, argument: Any, key: str, tell: Teller) -> Any:
        """Queue one event, tell how it stands and wait for its output.

        Raises NotYet for what will pass, Refused for what will not. ``key`` makes it safe to ask again: within two
        minutes, the app answers the same key and film from memory.
        """
        job = self.submit(argument, api_name=route, headers={"Idempotency-Key": key})
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def finished(_: object) -> None:
            with suppress(RuntimeError):  # nobody waits any more, and the loop is closed
                loop.call_soon_threadsafe(done.set_result, None)

        job.future.add_done_callback(finished)
        try:
            while not done.done():
                await asyncio.wait({done}, timeout=0.1)
                _tell_all(job.communicator.updates, tell)
        except asyncio.CancelledError:
            _Daemons().submit(job.cancel)  # takes it out of the app's queue, and waits for the app to say so
            raise
        error = job.future.exception()
        if error is not None:
            raise _translated(error) from error
        return job.future.result()

    async def download(self, file: dict[str, Any]) -> bytes:
        """A file that an event has put out; raises NotYet if it can not be had, since asking again makes another."""
        address = f"{self.src_prefixed}file={encode_file_path(file['path'])}"
        try:
            return judged(await self._web.get(address, headers=self.headers)).content
        except (SpaceUnavailable, Refused):
            raise NotYet("starting", GONE) from None


def _tell_all(updates: "asyncio.Queue[Any]", tell: Teller) -> None:
    while not updates.empty():
        update = updates.get_nowait()
        if update.type != "status":
            continue
        if update.code is Status.IN_QUEUE and update.rank is not None:
            tell("queued", update.rank + 1, update.queue_size)
        elif update.code is Status.PROCESSING:
            tell("running")


def _translated(error: BaseException) -> BaseException:
    if isinstance(error, AppError):
        if error.title in PASSING:
            return NotYet(PASSING[error.title], str(error))
        if error.title == "Error":  # Gradio's default
            return Unexplained("internal_error", "Something went wrong on the Space's side; please try again.")
        return Refused(error.title, str(error))
    if isinstance(error, (CancelledError, httpx.HTTPError)):
        return NotYet("starting", BROKE_OFF)
    if isinstance(error, (NotYet, SecondLookError)):
        return error
    return Refused("internal_error", "The Space answered in a way that this client does not understand.")
