"""Assembles Second Look and serves it: ``python app.py``."""

import logging
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

# Nothing phones home: said before Gradio and the Hub's client are imported, which read it once.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import gradio as gr
import uvicorn
from fastapi import FastAPI

from predictors.registry import Service
from space.addresses import RestFirst
from space.desk import Desk
from space.mcp import one_tool_a_model
from space.metrics import Metrics
from space.refusals import InOurWords
from space.rest import create_rest
from space.ui import STYLE, build, head, theme
from space.uploads import LARGEST_UPLOAD, private_folder, swept

WEIGHTS = Path(__file__).parent / "weights"


def create_app(weights: Path = WEIGHTS) -> FastAPI:
    """The whole service: the page at ``/``, its routes under ``/gradio_api``, REST beside them."""
    folder = private_folder()
    service = Service.open(weights)
    desk = Desk(Metrics(service))
    page = build(service, desk)
    desk.metrics.watch_queue(lambda: desk.waiting + len(page._queue))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=service.warm_up, name="warm-up", daemon=True).start()
        async with swept(folder):
            yield

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    app.add_middleware(InOurWords)
    app.add_middleware(RestFirst, rest=create_rest(service, desk))
    one_tool_a_model()
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


def main() -> None:
    """Serve on all interfaces, on ``PORT`` or ``GRADIO_SERVER_PORT``, by default 7860."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    port = int(os.environ.get("PORT") or os.environ.get("GRADIO_SERVER_PORT") or 7860)
    # No access log: Gradio's file addresses end in the sender's file names. The Space's proxy is the only caller.
    uvicorn.run(
        create_app(),
        host="0.0.0.0",  # noqa: S104  # a Space is reached from outside its container
        port=port,
        access_log=False,
        forwarded_allow_ips="*",
        timeout_graceful_shutdown=3,  # open pages hold a connection for as long as they are open
    )


if __name__ == "__main__":
    main()
