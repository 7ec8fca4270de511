"""Assembles Second Look and serves it: ``python app.py``."""

import logging
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

# Nothing phones home: said before Gradio and the Hub's client are imported, which read it once.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# Nor is kept who asked when: after every event Gradio would make a table, with pandas, of the last ten thousand.
os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"
os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(sys.maxsize)

from space.gradio.lean import lean

with lean():
    import gradio as gr
import uvicorn
from fastapi import FastAPI

from predictors.decoder import Decoder
from predictors.registry import Service
from space.desk import AT_ONCE, Desk
from space.gradio.doors import Doors
from space.gradio.forgetting import Memory
from space.gradio.mcp import one_tool_a_model
from space.gradio.narrow import narrow_gradio
from space.gradio.quiet import keep_to_ourselves
from space.http.addresses import RestFirst
from space.http.bodies import Bodies
from space.http.gate import Gate
from space.http.headers import SecurityHeaders
from space.http.heads import PatientForAWhile
from space.http.leaving import CUT, InFlight, Leaving, Server
from space.limits import Rate, RateLimit, trusted_proxies
from space.log import Event, logged
from space.memory import give_back
from space.metrics import Metrics, started
from space.page.ui import STYLE, build, head, theme
from space.rest.api import create_rest
from space.room import Room
from space.tracing import follow_into
from space.uploads import LARGEST_UPLOAD, private_folder, swept

log = logging.getLogger(__name__)

WEIGHTS = Path(os.environ.get("SECOND_LOOK_WEIGHTS") or Path(__file__).parent / "weights")


def create_app(weights: Path = WEIGHTS) -> FastAPI:
    """The whole service: the page at ``/``, its routes under ``/gradio_api``, REST beside them."""
    folder = private_folder()
    decoder = Decoder(AT_ONCE)
    service = Service.open(weights, reader=decoder.read)
    rate = Rate.from_environment()
    desk = Desk(Metrics(service), rate)
    page = build(service, desk)
    desk.metrics.watch_queue(lambda: desk.waiting)
    room = Room(folder)
    desk.metrics.watch_uploads(lambda: room.on_disk)
    follow_into(page._queue, desk.metrics.refused)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        decoder.start()
        service.start()
        log.info(started(service))
        try:
            async with swept(folder, Memory(page).forget):
                yield
        finally:
            service.close()
            decoder.close()
            log.info(Event("stopped"))

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    app.add_middleware(Doors)
    app.add_middleware(RestFirst, rest=create_rest(service, desk))
    app.add_middleware(RateLimit, rate=rate)
    app.add_middleware(Bodies, room=room)
    app.state.in_flight = InFlight(page)
    app.add_middleware(Leaving, in_flight=app.state.in_flight)
    app.add_middleware(Gate, metrics=desk.metrics)
    app.add_middleware(SecurityHeaders, head=head())  # the last added is the outermost
    narrow_gradio(page)
    one_tool_a_model()
    keep_to_ourselves()
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=["api"],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=True,
        show_error=False,
        max_file_size=LARGEST_UPLOAD,
        theme=theme(),
        css_paths=STYLE,
        head=head(),
    )
    return app


@logged()
def main() -> None:
    """Serve on all interfaces, on ``PORT`` or ``GRADIO_SERVER_PORT``, by default 7860."""
    give_back()
    # Until it serves, there is nothing to finish. Process 1 of a container would not hear the signal by itself.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # under nohup it is ignored
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash would write the films in memory to the disk
    port = int(os.environ.get("PORT") or os.environ.get("GRADIO_SERVER_PORT") or 7860)
    # No access log: Gradio's file addresses end in the sender's file names. The Space's proxy is the only caller.
    app = create_app()
    config = uvicorn.Config(
        app,
        host="0.0.0.0",  # noqa: S104  # a Space is reached from outside its container
        port=port,
        http=PatientForAWhile,
        ws="none",  # nothing here speaks it
        access_log=False,
        log_config=None,
        forwarded_allow_ips=trusted_proxies(),
        timeout_graceful_shutdown=CUT,
    )
    log.info(Event("serving", port=port))
    Server(config, app.state.in_flight).run()


if __name__ == "__main__":
    main()
