"""Gradio's queue, made fair between clients. Its callers are told their place in it, so its order is the true one."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, SupportsIndex

import fastapi
import gradio as gr
from fastapi import HTTPException
from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Event, EventQueue, Queue

from predictors.errors import Busy
from space.desk import AT_ONCE, PLACES_OF_ONE, QUEUE_SIZE, Desk
from space.limits import JOINED, client_of, is_local

LINE = "models"
"""Gradio's ``concurrency_id`` of all events that run a network. By itself it counts each kind of event apart, so that
five tabs would run five networks at once on a Space's two cores."""

AT_THE_DESK = 2 * AT_ONCE
"""How many of these events have left Gradio's queue: those that run, and the next ones, which wait for their turn
among the callers of all doors. Were there none of these, a free turn would always go to another door."""


class FairQueue(Queue):
    """Gradio's queue, in which a client has a bounded number of places, and takes turns with the others."""

    def __init__(self, page: gr.Blocks, desk: Desk) -> None:
        super().__init__(
            live_updates=True, concurrency_count=page.max_threads, update_intervals=1, max_size=None, blocks=page
        )
        self._desk = desk
        self._line = FairLine(self._running)
        self.event_queue_per_concurrency_id[LINE] = EventQueue(LINE, AT_THE_DESK)
        self.event_queue_per_concurrency_id[LINE].queue = self._line
        desk.before = self.__len__

    async def push(self, body: PredictBodyInternal, request: fastapi.Request, username: str | None) -> Any:
        """Gradio's: adds an event. Refuses it (503) if the queue is full, or all of the client's places are taken."""
        client = client_of(request.scope)
        taken = sum(client_of(event.request.scope) == client for event in self._line)
        if len(self) >= QUEUE_SIZE or (taken >= PLACES_OF_ONE and not is_local(client)):
            raise HTTPException(Busy.status, headers={"Retry-After": str(self._desk.retry_after())})
        return await super().push(body, request, username)

    def broadcast_estimations(self, concurrency_id: str, after: int | None = None) -> None:
        """Gradio's: tells callers their places. All of them: who joins may come before others."""
        super().broadcast_estimations(concurrency_id)

    def _running(self) -> Iterable[Event]:
        return (event for job in self.active_jobs for event in job or () if event.concurrency_id == LINE)


class FairLine(list[Event]):
    """Events in the order of their turns: everyone's first, then everyone's second. What runs counts as had."""

    def __init__(self, running: Callable[[], Iterable[Event]]) -> None:
        super().__init__()
        self._running = running

    def append(self, event: Event) -> None:
        """Join: behind all of one's own, and before those of which others have had, or are to have, more."""
        event.request.scope[JOINED] = event.enqueue_time
        client = client_of(event.request.scope)
        turns = Counter(client_of(each.request.scope) for each in self._running())
        own = turns[client] + sum(client_of(each.request.scope) == client for each in self)
        place: SupportsIndex | None = None
        for index, other in enumerate(self):
            theirs = client_of(other.request.scope)
            if theirs == client:
                place = None
            elif place is None and turns[theirs] > own:
                place = index
            turns[theirs] += 1
        self.insert(len(self) if place is None else place, event)
