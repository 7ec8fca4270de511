"""What Gradio has no setting for, and a public service needs: smaller memories, names nobody can guess, our words."""

import asyncio
import contextlib
import secrets
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import gradio.processing_utils
import gradio.queueing
import gradio.route_utils
import gradio.routes
import gradio.state_holder
from gradio.state_holder import SessionState
from gradio.utils import LRUCache, error_payload
from starlette.datastructures import FormData

from space.gradio.doors import told
from space.tracing import refused

SESSIONS = 500
"""Callers whose answers are kept until they fetch them; beyond, the oldest are forgotten."""

_gradios_parse = gradio.route_utils.GradioMultiPartParser.parse
_API_INFO: ContextVar[Any] = ContextVar("api_info", default=None)


def narrow_gradio(page: gr.Blocks) -> None:
    """Change Gradio in this process, and ``page`` before it is mounted."""
    # Files are named by their content and this number. Gradio keeps one for good beside its code.
    vars(gradio.processing_utils)["hash_seed"] = secrets.token_bytes(32)
    # What it says of its routes names the address by which a caller says to have come: kept for that caller only.
    app: Any = gradio.routes.App
    app.api_info = property(lambda _: _API_INFO.get(), lambda _, info: _API_INFO.set(info) and None)
    # An answer that nobody fetches is kept, and the page's answers hold the film.
    page._queue.pending_messages_per_session.max_size = SESSIONS
    page._queue.pending_event_ids_session = LRUCache(4 * SESSIONS)
    # So is every upload's progress, and whatever progress anybody asked for.
    progress: Any = gradio.routes.file_upload_statuses
    progress._statuses, progress._signals = LRUCache(SESSIONS), _Events(SESSIONS)
    # A session keeps what it saw, for links to it that nobody can make here.
    vars(gradio.state_holder)["SessionState"] = _Session
    # An upload that broke off, or found the disk full, would stay there.
    forms: Any = gradio.route_utils.GradioMultiPartParser
    forms.parse = _parse
    # What fails before a function of ours is asked would reach its caller as "null".
    vars(gradio.queueing)["error_payload"] = _payload


async def _parse(parser: gradio.route_utils.GradioMultiPartParser) -> FormData:
    try:
        return await _gradios_parse(parser)
    except BaseException:
        for file in parser._files_to_close_on_error:
            with contextlib.suppress(OSError):  # what is left to write finds no room either
                file.close()
            Path(file.name).unlink(missing_ok=True)
        raise


class _Session(SessionState):
    """A caller's session without a copy of the page and all that it shows: 9 ms for each new caller, and films."""

    def __init__(self, page: gr.Blocks) -> None:
        super().__init__(cast(gr.Blocks, SimpleNamespace(default_config=page.default_config, blocks=())))

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass


class _Events(LRUCache[str, asyncio.Event]):
    def __missing__(self, key: str) -> asyncio.Event:
        event = self[key] = asyncio.Event()
        return event


def _payload(error: BaseException | None, show_error: bool) -> dict[str, Any]:
    """The sentence, and its code as the title: as ``told_by_gradio`` has them."""
    if isinstance(error, Exception) and not isinstance(error, gr.Error):
        refusal = told(error)
        refused(refusal.code)
        error = gr.Error(str(refusal), title=refusal.code)
    payload: dict[str, Any] = error_payload(error, show_error)
    return payload
