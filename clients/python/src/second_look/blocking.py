"""The same client in plain calls: each runs on an event loop of its own thread, and is waited for."""

import asyncio
import threading
import weakref
from collections.abc import Coroutine, Sequence
from concurrent.futures import CancelledError, Future, TimeoutError  # the built-in one from Python 3.11 on
from typing import Any, TypeVar

from typing_extensions import Self, Unpack

from second_look.answers import (
    BoneFractureAnswer,
    BreastCancerAnswer,
    BreastCancerBatch,
    FractureDetectionAnswer,
    FractureTypeAnswer,
    PneumoniaAnswer,
)
from second_look.client import AsyncSecondLook, Call, HeatMap, Options
from second_look.connection import ModelName
from second_look.errors import Cancelled
from second_look.films import FilmSource

T = TypeVar("T")

CLOSE_SECONDS = 5
"""How long ``close`` waits for a status callback that does not return."""


class BlockingCall(Call, total=False):
    """What may differ from call to call; with ``cancel``, an event that another thread sets to end the call."""

    cancel: threading.Event


class SecondLook:
    """The models of one Space, to be asked from any thread. ``with`` closes it in the end.

    See ``AsyncSecondLook``. A call raises Cancelled once its ``cancel`` event is set, or the client is closed.
    Statuses are told on another thread than the call's.
    """

    def __init__(self, space: str, **options: Unpack[Options]) -> None:
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_run, args=[self._loop], name="second-look", daemon=True)
        thread.start()
        self._client = AsyncSecondLook(space, **options)
        self._calls: set[Future[Any]] = set()
        self._close = weakref.finalize(self, _close, self._loop, self._client, self._calls, thread)
        self._handing_over = threading.RLock()  # work for the loop: none comes after the last

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel what is going on, and close the connections."""
        with self._handing_over:
            self._close()

    def wake(self, **call: Unpack[BlockingCall]) -> None:
        """Wake the Space if it sleeps, and wait until it answers."""
        self._wait(call, self._client.wake(**_without_cancel(call)))

    def bone_fracture(self, film: FilmSource, **call: Unpack[BlockingCall]) -> BoneFractureAnswer:
        """Is there a fracture?"""
        return self._wait(call, self._client.bone_fracture(film, **_without_cancel(call)))

    def fracture_detection(self, film: FilmSource, **call: Unpack[BlockingCall]) -> FractureDetectionAnswer:
        """Is there a fracture? Asked of an independent second reader."""
        return self._wait(call, self._client.fracture_detection(film, **_without_cancel(call)))

    def fracture_type(self, film: FilmSource, **call: Unpack[BlockingCall]) -> FractureTypeAnswer:
        """Fissure or complete fracture? ``success`` is 0 where neither is sure enough."""
        return self._wait(call, self._client.fracture_type(film, **_without_cancel(call)))

    def breast_cancer(self, film: FilmSource, **call: Unpack[BlockingCall]) -> BreastCancerAnswer:
        """How likely is a malignant lesion on this mammogram?"""
        return self._wait(call, self._client.breast_cancer(film, **_without_cancel(call)))

    def breast_cancer_batch(self, batch: Sequence[FilmSource], **call: Unpack[BlockingCall]) -> BreastCancerBatch:
        """The same of up to ten mammograms, in the order sent; a bad film never fails the others."""
        return self._wait(call, self._client.breast_cancer_batch(batch, **_without_cancel(call)))

    def pneumonia(self, film: FilmSource, **call: Unpack[BlockingCall]) -> PneumoniaAnswer:
        """Does this chest film show pneumonia?"""
        return self._wait(call, self._client.pneumonia(film, **_without_cancel(call)))

    def heatmap(self, name: ModelName, film: FilmSource, **call: Unpack[BlockingCall]) -> HeatMap:
        """Where on the film did this model see its evidence? Nothing of it is written to the disk."""
        return self._wait(call, self._client.heatmap(name, film, **_without_cancel(call)))

    def _wait(self, call: BlockingCall, work: Coroutine[Any, Any, T]) -> T:
        with self._handing_over:
            if not self._close.alive:
                work.close()
                raise Cancelled
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
            self._calls.add(future)
        cancel = call.get("cancel")
        try:
            while True:
                try:
                    return future.result(timeout=0.05 if cancel else None)
                except TimeoutError:
                    if future.done():
                        raise
                    if cancel and cancel.is_set():
                        raise Cancelled from None
        except CancelledError:
            raise Cancelled from None
        finally:
            future.cancel()  # whatever ended the wait, a keyboard interrupt too; no effect on one that is done
            self._calls.discard(future)


def _without_cancel(call: BlockingCall) -> Call:
    rest = dict(call)
    rest.pop("cancel", None)
    return rest  # type: ignore[return-value]


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def _close(
    loop: asyncio.AbstractEventLoop, client: AsyncSecondLook, calls: set[Future[Any]], thread: threading.Thread
) -> None:
    async def finish() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
        await client.close()

    for call in calls.copy():
        call.cancel()  # it ends what it has begun, which nobody else may: anyio's tasks must have been started first
    finished = asyncio.run_coroutine_threadsafe(finish(), loop)
    finished.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
    if threading.current_thread() is not thread:  # the garbage collector may call from anywhere
        thread.join(CLOSE_SECONDS)


def connect(space: str, **options: Unpack[Options]) -> SecondLook:
    """Wake the Space if it sleeps, and wait until it answers; takes what ``AsyncSecondLook`` takes."""
    second_look = SecondLook(space, **options)
    try:
        second_look.wake()
    except BaseException:
        second_look.close()
        raise
    return second_look
