"""What a Space that sleeps goes through until its app answers: the stages that the Hub tells of it."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Coroutine
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.running import Space, running_space

HELD = 5.0
"""Seconds for which a drill's status poll is held while the app itself starts, so that a client whose time is
fake waits in earnest and does not use up its deadline in a blink."""


class Stages:
    """A Space's stage, and the app behind it, a process of its own.

    Something must knock on a sleeping Space to wake it. In a drill, the app runs all the time, and the stages go on
    with every ``after`` asks; in ``real`` time the app starts when the Space wakes, and the clock moves them.
    """

    def __init__(self, real: bool = False) -> None:
        self.real = real
        self.up = asyncio.Event()
        self.stage = "SLEEPING"
        self.log = [self.stage]
        self.late = 0  # requests that the proxy still refuses although the Space is said to run
        self._after, self._to_come, self._asks = 1, [""], 0
        self._hub_was_asked = False
        self._app, self._space = ExitStack(), None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def app(self) -> Space | None:
        """The app, while it runs."""
        return self._space if self.up.is_set() else None

    def sleep(self, after: int = 1, build: bool = False, late: int = 1) -> None:
        """Fall asleep. The app goes on running unless time is real: what sleeps is the door."""
        self._after, self.late, self._asks, self._hub_was_asked = after, late, 0, False
        self._to_come = [*(["BUILDING"] if build else []), "APP_STARTING", "RUNNING"]
        self.stage, self.log = "SLEEPING", ["SLEEPING"]

    def be(self, stage: str) -> None:
        """Go to ``stage`` at once and stay there, until someone says otherwise."""
        self.stage, self._to_come = stage, []
        self.log.append(stage)

    async def knock(self) -> bool:
        """A request for the app itself: says whether it may pass, and wakes a sleeping Space."""
        if self.stage == "SLEEPING":
            self._next()
            if self.real:
                self._in_background(self._wake_in_real_time())
            return False
        if self.stage not in ("RUNNING", "RUNNING_BUILDING") or not self.up.is_set():
            await self.asked(hub=False)
            return False
        self.late -= 1
        return self.late < 0

    async def asked(self, hub: bool) -> str:
        """Someone asks how it stands, through the Hub or (``hub`` false) by knocking: tells the stage.

        A caller without a Hub to ask moves a drill on by knocking; one who asks the Hub, by asking only.
        """
        self._hub_was_asked |= hub
        told = self.stage
        if not self.real and told != "SLEEPING" and self._to_come and (hub or not self._hub_was_asked):
            self._asks += 1
            if self._asks >= self._after:
                self._asks = 0
                with suppress(asyncio.TimeoutError):
                    if self._to_come == ["RUNNING"]:
                        await asyncio.wait_for(self.up.wait(), HELD)
                    self._next()
        return told

    def _next(self) -> None:
        if self._to_come:
            self.stage = self._to_come.pop(0)
            self.log.append(self.stage)

    async def _wake_in_real_time(self) -> None:
        while self.stage == "BUILDING":
            await asyncio.sleep(1)
            self._next()
        await self.start()
        self._next()

    # The app

    async def start(self) -> None:
        """Start the app and wait until it answers."""
        folder = Path(self._app.enter_context(tempfile.TemporaryDirectory()))
        self._space = await asyncio.to_thread(self._app.enter_context, running_space(folder))
        self.up.set()

    async def stop(self, harshly: bool = False) -> None:
        """End the app; ``harshly`` as a machine that fails does, which tells nobody."""
        self.up.clear()
        if harshly and self._space:
            os.kill(self._space.pid, signal.SIGKILL)
        await asyncio.to_thread(self._app.close)

    def restart(self) -> None:
        """Kill the app, and start another in the background: it knows nothing of sessions, uploads and answers."""
        self.stage, self._to_come = "APP_STARTING", ["RUNNING"]
        self.log.append(self.stage)
        self.up.clear()

        async def again() -> None:
            await self.stop(harshly=True)
            await self.start()
            if self.real:
                self._next()

        self._in_background(again())

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
