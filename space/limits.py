"""Who a client is, and how many films one client may send in a minute.

A client is an address: the one that connects, or, behind a proxy that ``SECOND_LOOK_TRUSTED_PROXIES`` names, the last
one in ``X-Forwarded-For`` that is no such proxy. What stands before it there, anybody can invent. Addresses are used
in memory only and never logged.
"""

import ipaddress
import math
import os
import re
import time
from collections.abc import Callable
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from predictors.errors import Busy
from space.refusals import told_to_any_page
from space.tracing import current

PROXIES_OF_A_SPACE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"]
"""Private addresses (RFC 1918, 6598, 4193): on a Hugging Face Space every request comes from one, its proxy's."""

A_MINUTE = 1200
"""Films that one client may send in a minute unless ``SECOND_LOOK_RATE`` says otherwise; 0 is without limit.

Twenty a second: room for a class behind one address, and for whoever sends a collection film by film; about half of
what two cores can answer. That nobody waits for a client's many films is what turns are for; this keeps one from taking
every idle moment for good.
"""

MOST_CLIENTS = 10_000
"""Clients that are remembered; who sent least is forgotten first."""

LONGEST_WAIT = 60
"""Seconds: no ``Retry-After`` is longer."""

JOINED = "second_look.joined"
"""In the scope of a request that waited in Gradio's queue: the ``time.monotonic`` at which it began to."""

_LOCAL = "127.0.0.1"


def trusted_proxies() -> list[str]:
    """The addresses and networks whose ``X-Forwarded-For`` is believed; raises ValueError if one cannot be read."""
    named = os.environ.get("SECOND_LOOK_TRUSTED_PROXIES")
    if named is None:
        return PROXIES_OF_A_SPACE if os.environ.get("SPACE_ID") else []
    proxies = [each.strip() for each in named.split(",") if each.strip()]
    for each in proxies:
        try:
            everybody = ipaddress.ip_network(each).prefixlen == 0
        except ValueError:
            everybody = True
        if everybody:  # then the first address of the header would count, which anybody can invent
            raise ValueError(f"SECOND_LOOK_TRUSTED_PROXIES takes addresses and networks (10.0.0.0/8), not {each!r}.")
    return proxies


def client_of(scope: Scope) -> str:
    """Who sends this request: an IPv4 address, or the /64 of an IPv6 one, which is what one household is given.

    uvicorn has put the address there, from the connection or from a trusted proxy's header.
    """
    host: str = (scope.get("client") or (_LOCAL, 0))[0]
    return _household(host) if ":" in host else host


@lru_cache(1024)
def _household(host: str) -> str:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return host if address.is_loopback else str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


@lru_cache(1024)
def is_local(client: str) -> bool:
    """Whether the client is on this machine: whoever runs the service for themselves, or measures it, has no limits."""
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False


def seconds_to_wait(seconds: float) -> int:
    """As ``Retry-After`` says it."""
    return max(1, min(LONGEST_WAIT, math.ceil(seconds)))


class Rate:
    """A bucket of ``a_minute`` films for each client, which refills within a minute.

    All that is kept of one is the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371).
    """

    def __init__(self, a_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.a_minute = a_minute
        self._clock = clock
        self._full_at: dict[str, float] = {}

    @classmethod
    def from_environment(cls) -> "Rate":
        """As ``SECOND_LOOK_RATE`` says; raises ValueError if that is no rate."""
        named = os.environ.get("SECOND_LOOK_RATE") or str(A_MINUTE)
        if not re.fullmatch(r"\d+(\.\d+)?", named):
            raise ValueError(f"SECOND_LOOK_RATE takes films a minute, 0 for no limit, not {named!r}.")
        return cls(float(named))

    def wait(self, client: str) -> float:
        """Take one film out of the client's bucket: 0, or the seconds until there is one in it."""
        if self._boundless(client):
            return 0.0
        now = self._clock()
        over = max(self._full_at.get(client, now), now) + 60 / self.a_minute - (now + 60)
        if over > 1e-9:
            return over
        self.spend(client, 1)
        return 0.0

    def spend(self, client: str, films: int) -> None:
        """Take ``films`` out, and more than are in it if need be: they came with a request that was let in."""
        if self._boundless(client):
            return
        now = self._clock()
        self._full_at[client] = max(self._full_at.get(client, now), now) + films * 60 / self.a_minute
        if len(self._full_at) > MOST_CLIENTS:
            emptiest = sorted(self._full_at.items(), key=lambda each: each[1])[MOST_CLIENTS // 2 :]
            self._full_at = {client: at for client, at in emptiest if at > now}

    def _boundless(self, client: str) -> bool:
        return not self.a_minute or is_local(client)


class RateLimit:
    """Around every address that takes a film: refuses who sends more than ``rate`` allows.

    Those are the POSTs. A film sent by Gradio takes two, an upload and a question, which are counted apart.
    """

    def __init__(self, app: ASGIApp, rate: Rate) -> None:
        self._app, self._rate = app, rate
        self._uploads = Rate(rate.a_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            rate = self._uploads if scope["path"].startswith("/gradio_api/upload") else self._rate
            trace = current()
            if trace and trace.agent:  # counted when it asked Gradio's server for agents, which asks us now
                scope = {**scope, "client": (trace.agent, 0)}
            elif wait := rate.wait(client_of(scope)):
                await self._refuse(wait, scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _refuse(self, wait: float, scope: Scope, receive: Receive, send: Send) -> None:
        busy = Busy(f"One caller may send {self._rate.a_minute:g} films a minute; wait a little and send the rest.")
        busy.retry_after = seconds_to_wait(wait)
        await told_to_any_page(busy, scope)(scope, receive, send)
