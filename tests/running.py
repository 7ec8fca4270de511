"""The real app, running in a process of its own, for tests to talk to."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parent.parent
START_SECONDS = 90


@dataclass(frozen=True)
class Space:
    """A running app: its address, everything it said, and the folder where its uploads lie."""

    url: str
    log: Path
    temporary: Path
    pid: int

    def ended(self, within: float) -> int:
        """Wait until the process has ended, at most so many seconds; its exit status, negative for a signal."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            if found := os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
                return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
            time.sleep(0.02)
        raise AssertionError(f"the app is still there after {within} s")

    def uploads(self) -> list[Path]:
        """Every file that a request left on the disk."""
        return [path for path in self.temporary.rglob("*") if path.is_file()]


@contextmanager
def running_space(folder: Path, prelude: str = "", port: int = 0, **settings: str) -> Iterator[Space]:
    """Start the app with ``folder`` for its files, and environment variables of one's own.

    ``prelude`` is Python that runs before it. A ``port`` and folder may have been another's, which died.
    """
    port, log, temporary = port or free_port(), folder / "log.txt", folder / "tmp"
    temporary.mkdir(exist_ok=True)
    environment = {**os.environ, "PORT": str(port), "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1", **settings}
    program = f"{prelude}\nimport app\napp.main()"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", program], cwd=ROOT, env=environment, stdout=stream, stderr=stream
        )
        space = Space(f"http://127.0.0.1:{port}", log, temporary, process.pid)
        try:
            _wait(space, process)
            yield space
        finally:
            process.send_signal(signal.SIGINT)  # not SIGTERM, which would end it before its atexit handlers run
            process.wait(timeout=20)


def until_ready(space: Space) -> None:
    """Wait until every model has answered: callers who come at once, on a busy machine, would be told to wait."""
    end = time.monotonic() + START_SECONDS
    while not httpx.get(f"{space.url}/ready").is_success:
        assert time.monotonic() < end, f"the models were not loaded:\n{space.log.read_text()}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait(space: Space, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{space.url}/gradio_api/info").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"the app did not start:\n{space.log.read_text()}")
