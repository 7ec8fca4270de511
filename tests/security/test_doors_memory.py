"""What Gradio remembers for callers who never come back: bounded, and told to nobody else."""

import contextvars
from typing import Any

import gradio as gr
import gradio.processing_utils
import gradio.queueing
import gradio.routes
import gradio.state_holder
import pytest

from space.gradio.narrow import SESSIONS, narrow_gradio


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A page that was made narrow, and Gradio as it was afterwards."""
    progress: Any = gradio.routes.file_upload_statuses
    monkeypatch.setattr(progress, "_statuses", progress._statuses)
    monkeypatch.setattr(progress, "_signals", progress._signals)
    monkeypatch.setattr(gradio.processing_utils, "hash_seed", gradio.processing_utils.hash_seed)
    monkeypatch.setattr(gradio.queueing, "error_payload", gradio.queueing.error_payload)
    monkeypatch.setattr(gradio.routes.App, "api_info", None, raising=False)
    monkeypatch.setattr(gradio.state_holder, "SessionState", gradio.state_holder.SessionState)
    with gr.Blocks(analytics_enabled=False) as blocks:
        gr.Button(visible=False)
    blocks.queue()
    narrow_gradio(blocks)
    return blocks


def test_answers_and_progress_that_nobody_fetches_are_forgotten(page: Any) -> None:
    progress: Any = gradio.routes.file_upload_statuses
    kept = (page._queue.pending_messages_per_session, page._queue.pending_event_ids_session)
    for number in range(5 * SESSIONS):
        for memory in kept:
            memory[f"session {number}"] = object()
        progress.track(f"upload {number}")
        progress._signals[f"asked for {number}"].clear()
    assert len(kept[0]) == len(progress._statuses) == len(progress._signals) == SESSIONS
    assert len(kept[1]) == 4 * SESSIONS
    newest = f"{5 * SESSIONS - 1}"
    assert f"session {newest}" in kept[0]
    assert f"upload {newest}" in progress._statuses


def test_uploads_are_named_by_a_number_that_no_one_else_has(page: Any) -> None:
    first = gradio.processing_utils.hash_seed
    narrow_gradio(page)
    assert first != gradio.processing_utils.hash_seed
    assert len(first) == 32


def test_what_is_told_of_the_routes_is_remembered_for_its_caller_only(page: Any) -> None:
    app: Any = gradio.routes.App()

    def remember(info: str) -> Any:
        app.api_info = info
        return app.api_info

    assert contextvars.copy_context().run(remember, "mine") == "mine"
    assert app.api_info is None


def test_a_session_keeps_no_copy_of_the_page_nor_of_what_it_showed(page: Any) -> None:
    with page:
        box = gr.Textbox("as it was")
    holder = gradio.state_holder.StateHolder()
    holder.set_blocks(page)
    session = holder["a caller"]
    assert session[box._id] is box
    session._update_value_in_config(box._id, "a name")
    session[box._id] = gr.Textbox("a name", render=False)
    session._update_config(box._id)
    assert "a name" not in str(list(session.components))
    assert holder["a caller"] is session
    assert holder["another caller"][box._id].value == "as it was"
