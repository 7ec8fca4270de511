"""A stand-in for the Hub's API and for the proxy in front of a Space that sleeps, with the real app behind it.

``python -m tests.clients.sleeping [--after N] [--build] [--real]`` prints one line of JSON,
``{"hub", "space", "id", "control"}``, and runs until its standard input closes. What the Hub and the proxy do is
described in ``stages.py`` and ``proxy.py``. The rest is asked for at the address ``control``:

- ``GET`` tells ``requests`` to the Space (each with its method, path, Idempotency-Key, token and status), ``stages``
  (all so far), ``polls`` of the Hub (the token of each), and ``app``, where the app itself is (null while it is not).
- ``POST {"sleep": true, "after": N, "build": bool, "late": N}`` forgets all of that, and any fault that has not
  happened, and puts the Space to sleep: each stage lasts N asks of the Hub, and once it is said to run, the proxy
  still refuses ``late`` requests.
- ``POST {"stage": "PAUSED"}`` goes to a stage at once; ``"RUNNING"`` is awake.
- ``POST {"cut": PLACE, "times": N, "restart": bool}`` breaks a connection: at ``upload`` and ``join`` before the
  request reaches the app, at ``joined`` once the app has queued the event but has not said so, at ``stream`` after
  the first message of the event stream, at ``answer`` when the answer is there and before the caller has it (REST:
  ``join`` and ``answer``). With ``restart`` the app is killed at the cut, and another started.
- ``POST {"restart": true}`` does that now.
- ``POST {"status": 429, "retry_after": 2, "times": 2}`` answers so, as HTML, to the next requests.
- ``POST {"hold": SECONDS}`` keeps the next event stream silent for so long.
- ``POST {"queue_full": N}`` tells the next N events (or REST requests) that the queue is full, as the app does.
"""

import argparse
import asyncio
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import httpx
import uvicorn
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.clients.proxy import Faults, Proxy, Receive, Scope, Send, token
from tests.clients.stages import Stages
from tests.running import START_SECONDS

ID = "someone/second-look"


@dataclass(frozen=True)
class SleepingSpace:
    """Where a sleeping Space is: the Hub's address and its own, its id, and how to be told what to do."""

    hub: str
    space: str
    id: str
    control: str

    def tell(self, **order: Any) -> None:
        """``POST`` an order to the control address."""
        httpx.post(self.control, json=order, timeout=START_SECONDS).raise_for_status()

    def told(self) -> dict[str, Any]:
        """What the control address tells of everything so far."""
        return dict(httpx.get(self.control, timeout=START_SECONDS).raise_for_status().json())

    def counted(self, model: str, door: str = "gradio") -> tuple[int, int]:
        """What the app's own ``/metrics`` has counted: films that a network was asked about, answers given again."""
        text = httpx.get(f"{self.told()['app']}/metrics").raise_for_status().text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

        def total(name: str) -> int:
            here = [
                each
                for each in samples
                if each.name == name and (each.labels["model"], each.labels["door"]) == (model, door)
            ]
            return int(sum(each.value for each in here))

        return total("second_look_predictions_total"), total("second_look_repeated_answers_total")


class _House:
    """The Hub's API and the control address on one port, the Space's proxy on another."""

    def __init__(self, real: bool) -> None:
        self.stages = Stages(real)
        self.proxy = Proxy(self.stages)
        self.polls: list[str | None] = []
        self.hub_socket, self.space_socket = (_listening() for _ in range(2))
        hub, space = (f"http://127.0.0.1:{each.getsockname()[1]}" for each in (self.hub_socket, self.space_socket))
        self.addresses = SleepingSpace(hub, space, ID, f"{hub}/control")
        self._hub = Starlette(
            routes=[
                Route("/api/spaces/{owner}/{name}", self._about),
                Route("/api/spaces/{owner}/{name}/runtime", self._runtime_only),
                Route("/api/spaces/{owner}/{name}/host", self._host),
                Route("/control", self._tell, methods=["GET"]),
                Route("/control", self._obey, methods=["POST"]),
            ]
        )
        self._hub.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        here = scope["server"][1] == self.space_socket.getsockname()[1]
        await (self.proxy if here else self._hub)(scope, receive, send)

    # The Hub

    async def _about(self, request: Request) -> JSONResponse:
        if f"{request.path_params['owner']}/{request.path_params['name']}" != ID:
            return JSONResponse({"error": "Repository not found"}, 401)  # not 404: the Hub does not tell the two apart
        runtime = await self._runtime(request)
        if request.query_params.getlist("expand[]") or request.query_params.getlist("expand"):
            return JSONResponse({"_id": "0" * 24, "id": ID, "runtime": runtime})
        owner, name = ID.split("/")
        about = {"id": ID, "author": owner, "sdk": "gradio", "private": False, "disabled": False, "gated": False}
        names = {"subdomain": f"{owner}-{name}", "host": self.addresses.space}
        return JSONResponse({"_id": "0" * 24, **about, **names, "runtime": runtime})

    async def _runtime_only(self, request: Request) -> JSONResponse:
        return JSONResponse(await self._runtime(request))

    async def _runtime(self, request: Request) -> dict[str, Any]:
        self.polls.append(token(request.headers))
        hardware = {"current": "cpu-basic", "requested": "cpu-basic"}
        return {"stage": await self.stages.asked(hub=True), "hardware": hardware, "storage": None, "gcTimeout": 172800}

    async def _host(self, request: Request) -> JSONResponse:
        if f"{request.path_params['owner']}/{request.path_params['name']}" != ID:
            return JSONResponse({"error": "Repository not found"}, 401)
        return JSONResponse({"subdomain": ID.replace("/", "-"), "host": self.addresses.space})

    # Control

    async def _tell(self, _: Request) -> JSONResponse:
        app = self.stages.app
        said = {"requests": self.proxy.requests, "stages": self.stages.log, "polls": self.polls}
        return JSONResponse({**said, "app": app and app.url})

    async def _obey(self, request: Request) -> JSONResponse:
        order = await request.json()
        faults, times = self.proxy.faults, order.get("times", 1)
        if order.get("sleep"):
            self.proxy.faults, self.polls = Faults(), []
            self.proxy.requests.clear()
            if not self.stages.real:  # one that another test has restarted
                await asyncio.wait_for(self.stages.up.wait(), START_SECONDS)
            self.stages.sleep(**{key: order[key] for key in ("after", "build", "late") if key in order})
        if "stage" in order:
            self.stages.be(order["stage"])
        if "cut" in order:
            faults.cuts[order["cut"]] = times
            faults.restart_at_cut = bool(order.get("restart"))
        elif order.get("restart"):
            self.stages.restart()
        if "status" in order:
            faults.statuses += [(order["status"], order.get("retry_after"))] * times
        faults.queue_full += order.get("queue_full", 0)
        faults.hold = order.get("hold", faults.hold)
        return JSONResponse({"stage": self.stages.stage})


def _listening() -> socket.socket:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", 0))
    one.listen(128)
    return one


@contextmanager
def sleeping_space(
    *, after: int = 1, build: bool = False, late: int = 1, real: bool = False
) -> Iterator[SleepingSpace]:
    """A Space that sleeps. Unless time is ``real``, the app behind it is started first, and goes on running."""
    ready, done = threading.Event(), threading.Event()
    house: list[_House] = []
    trouble: list[BaseException] = []

    async def serve() -> None:
        house.append(_House(real))
        stages = house[0].stages
        stages.sleep(after, build, late)
        if not real:
            await stages.start()
        config = uvicorn.Config(house[0], log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve([house[0].hub_socket, house[0].space_socket]))
        ready.set()
        await asyncio.to_thread(done.wait)
        server.should_exit = True
        await serving
        await stages.stop()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            trouble.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="sleeping-space")
    thread.start()
    ready.wait()
    try:
        if trouble:
            raise trouble[0]
        yield house[0].addresses
    finally:
        done.set()
        thread.join()


def main() -> None:
    """Run until standard input closes."""
    parser = argparse.ArgumentParser(description="A Space that sleeps, for tests.")
    parser.add_argument("--after", type=int, default=1, help="asks of the Hub for which each stage lasts")
    parser.add_argument("--build", action="store_true", help="pass through BUILDING")
    parser.add_argument("--real", action="store_true", help="in real time: the app starts when the Space wakes")
    options = parser.parse_args()
    with sleeping_space(after=options.after, build=options.build, real=options.real) as space:
        print(json.dumps(asdict(space)), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
