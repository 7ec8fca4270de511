"""SECURITY.md names tests that are there, and figures that are the code's."""

import re

from predictors.header import MAX_PIXELS
from predictors.image import MAX_BYTES
from predictors.predictor import MAX_BATCH
from space import fetch, room
from space.gradio import narrow
from space.http import bodies, heads
from tests.running import ROOT

TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def test_every_test_that_it_names_is_there() -> None:
    named = set(re.findall(r"`(tests/[\w/.]+)`", TEXT))
    assert len(named) > 10
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


def test_every_test_of_security_is_named() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests" / "security").glob("test_*.py")}
    assert sorted(path for path in found - {"tests/security/test_security_md.py"} if path not in TEXT) == []


def test_its_limits_are_the_codes() -> None:
    mib = 1 << 20
    upload, agent = bodies.largest("/gradio_api/upload"), bodies.largest("/gradio_api/mcp")
    for said in (
        f"20 MB ({MAX_BYTES // mib} MiB are let pass), {MAX_PIXELS // 1_000_000} megapixels",
        f"{MAX_BATCH} films",
        f"{upload // mib} MiB (ten films and {bodies.ENVELOPE // mib} MiB); "
        f"one film's route {(MAX_BYTES + bodies.ENVELOPE) // mib} MiB",
        f"{agent / mib:.1f} MiB, a film in base64",
        f"{bodies.largest('/gradio_api/call/x') // mib} MiB; {bodies.largest('/') // 1024} KiB",
        f"{bodies.STALL:.0f} s without a byte, {bodies.SLOWEST // 1024} KiB/s on average after {bodies.GRACE:.0f} s, "
        f"{bodies.LONGEST / 60:.0f} minutes in all",
        f"64 KiB, {heads.PATIENCE:.0f} s",
        f"thrown away for {bodies.LINGER:.0f} s",
        f"{bodies.MOST_OPEN}; `/health`, `/ready`, `/metrics` always",
        f"{room.MOST_IN_FLIGHT // mib} MiB",
        f"{room.MOST_ON_DISK // mib // 1024} GiB, at most half of that disk",
        f"20 MB, {fetch.PATIENCE:.0f} s, {fetch.REDIRECTS} redirects, public IPv4",
        f"{narrow.SESSIONS} callers",
    ):
        assert f"| {said} |" in TEXT or said in TEXT, said
