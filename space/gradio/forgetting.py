"""What Gradio keeps in memory of callers and their films, and for how long."""

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr


class Memory:
    """The answers that nobody has fetched, the last values of each session, films on the page among them, and the
    names of files that have been swept."""

    def __init__(self, page: gr.Blocks) -> None:
        self._page = page
        self._newest: dict[str, tuple[Any, float]] = {}  # of each session's unfetched messages, and when it was seen
        self._forget_questions()

    def _forget_questions(self) -> None:
        """Gradio's queue holds on to its last event until the next one comes, and timers to the request it came by."""
        queue: Any = self._page._queue
        process: Callable[..., Awaitable[None]] = queue.process_events

        async def process_events(events: Sequence[Any], *more: Any) -> None:
            try:
                await process(events, *more)
            finally:
                for event in events:
                    event.data = None
                    for body in ("_body", "_json"):
                        vars(event.request).pop(body, None)

        queue.process_events = process_events

    def forget(self, age: float) -> None:
        """Drop what nobody has asked for in ``age`` seconds. Called on the event loop, which Gradio's queue is on."""
        self._forget_answers(age)
        self._forget_files()
        sessions, used = self._page.state_holder.session_data, self._page.state_holder.time_last_used
        now = time.time()
        for session in [each for each, last in used.items() if abs(now - last.timestamp()) >= age]:
            sessions.pop(session, None)  # an open page gets a new one with its next film
            del used[session]

    def _forget_files(self) -> None:
        """The names of files that are gone, which Gradio drops only if it deletes the files itself."""
        for names in self._page.temp_file_sets:
            names.difference_update([name for name in names.copy() if not Path(name).exists()])

    def _forget_answers(self, age: float) -> None:
        queue = self._page._queue
        now, before, self._newest = time.monotonic(), self._newest, {}
        awaited = {event.session_hash for event in queue.event_ids_to_events.values()}
        for session, messages in list(queue.pending_messages_per_session.items()):
            if session in awaited or messages.empty():
                continue
            newest = messages._queue[-1]  # asyncio's queues have no name for it
            known, since = before.get(session, (None, now))
            if known is not newest:
                since = now
            elif now - since >= age:
                del queue.pending_messages_per_session[session]
                queue.pending_event_ids_session.pop(session, None)
                continue
            self._newest[session] = newest, since
