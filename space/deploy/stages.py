"""After a commit: the Hub builds the Space and starts it. Wait for that, and say why if it fails."""

import time
from dataclasses import dataclass

import httpx
import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from space.deploy.errors import NotRunning, one_line

_FINAL = {
    "BUILD_ERROR": "The Space could not be built",
    "CONFIG_ERROR": "The Hub does not accept the settings at the top of README.md",
    "DELETING": "The Space is being deleted",
    "NO_APP_FILE": "The Space has no app.py",
    "PAUSED": "The Space is paused; restart it in its settings",
    "RUNTIME_ERROR": "The Space was built, but stopped as it started",
    "STOPPED": "The Space is stopped; restart it in its settings",
}
"""Stages that do not pass by themselves, in plain words."""

_SETTLED = 6
"""Looks after which the Hub has surely noticed the commit. A stage that it reports before then without saying of
which commit may still be the former one's."""


@dataclass(frozen=True)
class Patience:
    """How long to wait in all, and from one look to the next, in seconds."""

    deadline: float
    pause: float

    @classmethod
    def of(cls, seconds: float, pause: float) -> "Patience":
        """From now on."""
        return cls(time.monotonic() + seconds, pause)

    def wait(self) -> bool:
        """Sleep until the next look; False if the time is up."""
        time.sleep(self.pause)
        return time.monotonic() < self.deadline


def wait_until_running(api: HfApi, space: str, commit: str, patience: Patience) -> str:
    """Wait until ``commit`` runs; returns the app's address. Raises NotRunning if it fails, or in the end."""
    looks, seen, page = 0, "nothing", f"{api.endpoint}/spaces/{space}"
    while True:
        looks += 1
        try:
            info = api.space_info(space)
        except httpx2.TransportError:
            info = None  # the connection may come back
        except HfHubHTTPError as error:
            if error.response.status_code < 500 and error.response.status_code != 429:
                raise NotRunning(f"The Hub no longer shows this Space to us; see {page}.") from None
            info = None
        if info and info.runtime:
            stage, of = str(info.runtime.raw["stage"]), info.runtime.raw.get("sha")
            address = info.host or f"https://{info.subdomain}.hf.space"
            told = of == commit or looks > _SETTLED
            if stage != seen and (told or stage not in (*_FINAL, "RUNNING")):
                print(f"  {stage.lower().replace('_', ' ')}", flush=True)
            seen = stage
            if stage == "RUNNING" and (of == commit or (of is None and told)):
                return address
            if stage in _FINAL and told:
                reason = one_line(info.runtime.raw.get("errorMessage") or "")
                why = f" The Hub says: {reason}" if reason else ""
                raise NotRunning(f"{_FINAL[stage]} ({stage}); see {page}?logs=build.{why}")
            if stage == "SLEEPING":
                _poke(address)
        if not patience.wait():
            raise NotRunning(f"The Space does not run yet (last seen: {seen}); see {page}.")


def _poke(address: str) -> None:
    """Any request wakes a Space that sleeps, whatever it is answered."""
    try:
        httpx.get(address, timeout=10)
    except httpx.TransportError:
        return
