"""Who a client is, and how many films one may send."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from predictors.registry import Service
from space import limits
from space.http.gate import Gate
from space.limits import Rate, RateLimit, client_of, seconds_to_wait, trusted_proxies
from space.metrics import Metrics
from tests.running import ROOT, Space

PROXY = "10.16.3.80"
CALLER = "203.0.113.9"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def says_who(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the client, and with what is handed on for it."""
    noted = dict(scope["headers"]).get(b"x-second-look-request", b"").decode()
    await PlainTextResponse(client_of(scope), headers={"Noted": noted})(scope, receive, send)


def ask(app: ASGIApp, path: str = "/api/pneumonia/predict", peer: str = CALLER, **more: Any) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(peer, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://space") as client:
            return await client.request(more.pop("method", "POST"), path, **more)

    return asyncio.run(asked())


# Who a client is


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], list[str]]:
    def named(value: str | None) -> list[str]:
        monkeypatch.delenv("SPACE_ID", raising=False)
        if value is None:
            monkeypatch.delenv("SECOND_LOOK_TRUSTED_PROXIES", raising=False)
        else:
            monkeypatch.setenv("SECOND_LOOK_TRUSTED_PROXIES", value)
        return trusted_proxies()

    return named


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        (None, CALLER, "198.51.100.1", CALLER),  # nobody is believed unless named
        (None, "127.0.0.1", "198.51.100.1", "127.0.0.1"),
        (PROXY, CALLER, "198.51.100.1", CALLER),  # past the proxy: not believed
        (PROXY, PROXY, CALLER, CALLER),
        (PROXY, PROXY, f"198.51.100.1, 127.0.0.1, {CALLER}", CALLER),  # what the caller sent along stands on the left
        ("10.0.0.0/8", PROXY, f"198.51.100.1, {CALLER}, 10.1.1.1", CALLER),  # two proxies, one behind the other
        (f"{PROXY}, 192.0.2.0/24", PROXY, f"{CALLER}, 192.0.2.7", CALLER),
        (PROXY, PROXY, f"{CALLER}:51234", CALLER),
        (PROXY, PROXY, "", PROXY),
        (PROXY, PROXY, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (None, "2001:db8:1:2:ffff::1", "", "2001:db8:1:2::/64"),
        (None, "::ffff:203.0.113.9", "", CALLER),
        (None, "::1", "", "::1"),
    ],
)
def test_who_is_believed(proxies: Any, trusted: str | None, peer: str, forwarded: str, client: str) -> None:
    app = ProxyHeadersMiddleware(says_who, proxies(trusted))  # type: ignore[arg-type]  # as uvicorn puts it round the app
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    assert ask(app, peer=peer, headers=headers).text == client


def test_on_a_space_its_proxy_is_believed_and_configuration_comes_first(
    proxies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert proxies(None) == []
    monkeypatch.setenv("SPACE_ID", "owner/space")
    app = ProxyHeadersMiddleware(says_who, trusted_proxies())  # type: ignore[arg-type]
    assert ask(app, peer=PROXY, headers={"X-Forwarded-For": f"198.51.100.1, {CALLER}"}).text == CALLER
    monkeypatch.setenv("SECOND_LOOK_TRUSTED_PROXIES", "")
    assert trusted_proxies() == []


@pytest.mark.parametrize("value", ["*", "0.0.0.0/0", "::/0", "proxy.example", "10.0.0.1/8", "10.0.0.0/8, *"])
def test_trusting_everybody_or_nobody_in_particular_is_refused_at_the_start(proxies: Any, value: str) -> None:
    with pytest.raises(ValueError, match="SECOND_LOOK_TRUSTED_PROXIES takes addresses"):
        proxies(value)


# How many films


def test_a_client_may_send_a_minutes_films_at_once_and_then_at_the_rate() -> None:
    clock = Clock()
    rate = Rate(60, clock)
    assert [rate.wait("a") for _ in range(60)] == [0.0] * 60
    assert rate.wait("a") == pytest.approx(1)
    assert rate.wait("a") == pytest.approx(1)  # a refused film costs nothing
    assert rate.wait("b") == 0
    clock.now += 1
    assert rate.wait("a") == 0
    assert rate.wait("a") == pytest.approx(1)
    clock.now += 3600
    assert sum(rate.wait("a") == 0 for _ in range(100)) == 60


def test_a_batch_costs_what_its_films_cost() -> None:
    clock = Clock()
    rate = Rate(60, clock)
    assert rate.wait("a") == 0
    rate.spend("a", 69)
    assert rate.wait("a") == pytest.approx(11)
    clock.now += 11
    assert rate.wait("a") == 0


def test_without_a_rate_and_on_this_machine_there_is_no_limit() -> None:
    for rate, client in ((Rate(0), "a"), (Rate(1), "127.0.0.1"), (Rate(1), "::1")):
        rate.spend(client, 100)
        assert rate.wait(client) == 0


def test_many_addresses_fill_no_memory_and_set_no_one_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_CLIENTS", 100)
    clock = Clock()
    rate = Rate(60, clock)
    while rate.wait("heavy") == 0:
        pass
    for number in range(1000):
        rate.wait(f"2001:db8:{number:x}::/64")
        assert len(rate._full_at) <= 100
    assert rate.wait("heavy") > 0


def test_the_rate_is_set_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECOND_LOOK_RATE", raising=False)
    assert Rate.from_environment().a_minute == limits.A_MINUTE
    for value, rate in (("", limits.A_MINUTE), ("0", 0), ("12.5", 12.5)):
        monkeypatch.setenv("SECOND_LOOK_RATE", value)
        assert Rate.from_environment().a_minute == rate
    for value in ("many", "-1", "nan", "inf"):
        monkeypatch.setenv("SECOND_LOOK_RATE", value)
        with pytest.raises(ValueError, match="SECOND_LOOK_RATE"):
            Rate.from_environment()


@pytest.mark.parametrize(("seconds", "told"), [(0, 1), (0.2, 1), (1.2, 2), (59.5, 60), (3600, 60)])
def test_what_retry_after_says(seconds: float, told: int) -> None:
    assert seconds_to_wait(seconds) == told


def test_who_sends_more_is_busy_and_only_who_asks_or_uploads_is_counted() -> None:
    app = RateLimit(says_who, Rate(2, Clock()))
    for _ in range(2):
        assert ask(app, "/api/pneumonia/predict").status_code == 200
        assert ask(app, "/gradio_api/upload").status_code == 200  # counted apart: it comes with a question
        assert ask(app, "/ready", method="GET").status_code == 200
    for path in ("/api/pneumonia/heatmap", "/run/predict", "/gradio_api/call/pneumonia", "/gradio_api/queue/join"):
        refused = ask(app, path, headers={"Origin": "https://front.example"})
        assert refused.status_code == 503
        assert refused.json()["code"] == "busy"
        assert refused.json()["detail"] == "One caller may send 2 films a minute; wait a little and send the rest."
        assert refused.headers["Retry-After"] == "30"
        assert refused.headers["Access-Control-Allow-Origin"] == "https://front.example"
        assert "Retry-After" in refused.headers["Access-Control-Expose-Headers"]
        assert CALLER not in refused.text
    assert ask(app, "/gradio_api/upload").status_code == 503
    assert ask(app, "/gradio_api/mcp/").status_code == 503
    assert ask(app, "/api/pneumonia/predict", method="OPTIONS").status_code == 200
    assert ask(app, "/metrics", method="GET").status_code == 200
    assert ask(app, peer="203.0.113.10").status_code == 200


# Agents, whom Gradio's MCP server asks for


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Service.open(ROOT / "weights"))


def test_an_agents_question_is_its_own_and_counted_once(metrics: Metrics) -> None:
    app = Gate(RateLimit(says_who, Rate(1, Clock())), metrics)
    noted = ask(app, "/gradio_api/mcp/").headers["Noted"]
    for _ in range(2):  # it may fetch and ask, or ask again
        asked = ask(app, "/gradio_api/queue/join", peer="127.0.0.1", headers={"X-Second-Look-Request": noted})
        assert (asked.status_code, asked.text, asked.headers["Noted"]) == (200, CALLER, "")
    assert ask(app, "/gradio_api/mcp/").status_code == 503


def test_nobody_else_can_ask_for_another(metrics: Metrics) -> None:
    app = Gate(RateLimit(says_who, Rate(0)), metrics)
    for forged in ("", "198.51.100.1", f"{'0' * 96}198.51.100.1"):
        asked = ask(app, "/api/pneumonia/predict", headers={"X-Second-Look-Request": forged})
        assert (asked.text, asked.headers["Noted"]) == (CALLER, "")
        assert ask(app, "/gradio_api/mcp/", headers={"X-Second-Look-Request": forged}).headers["Noted"].endswith(CALLER)


def test_whoever_is_believed_https_is(space: Space) -> None:
    """The scheme changes addresses in the caller's own answer and nothing else, so no proxy need be named for it."""
    moved = httpx.get(f"{space.url}/gradio_api/mcp", headers={"X-Forwarded-Proto": "https"})
    assert moved.headers["Location"] == f"{space.url}/gradio_api/mcp/".replace("http:", "https:")
    config = httpx.get(f"{space.url}/config", headers={"X-Forwarded-Proto": "https"}).json()
    assert config["root"] == space.url.replace("http:", "https:")
