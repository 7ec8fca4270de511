"""The services that are compared, ours and the peers': each is started in a process of its own and ended whole.

Nothing here imports a network's runtime: whoever times a start must not keep its files in memory meanwhile.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import httpx
import psutil

from predictors.spec import ModelSpec
from space.deploy.films import FILMS
from tests.drawings import encoded
from tests.load.watch import taken
from tests.running import free_port

ROOT = Path(__file__).parent.parent
WEIGHTS = ROOT / "weights"

MODELS = ("bone_fracture", "fracture_detection", "fracture_type", "breast_cancer", "pneumonia")
KERAS_MODELS = tuple(name for name in MODELS if name != "fracture_detection")

START_SECONDS = 300.0
END_SECONDS = 20.0
PATIENCE = 120.0
"""Seconds to wait: for a service to answer its first film, for it to end when told to, and for one answer."""


@dataclass(frozen=True)
class Contestant:
    """A service: how it is started and asked, and which of the networks it can serve."""

    command: tuple[str, ...]  # with {port} and {model}
    models: tuple[str, ...] = MODELS  # the first unless another is asked for
    predict: str = "/predict"  # with {model} where it serves several
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def serves_all(self) -> bool:
        """Whether one process answers for all five networks."""
        return "{model}" in self.predict


@dataclass(frozen=True)
class Server:
    """A service that was started."""

    name: str
    url: str
    predict: str  # the path that answers one film, sent as the form's ``file``
    pid: int  # of the root of its processes
    log: Path


def ours(**environment: str) -> Contestant:
    """Second Look as it is served, without its limit on how often one client may ask."""
    return Contestant(
        # Without uvloop, which LitServe brings along: our own requirements do not install it.
        command=(sys.executable, "-c", "import sys; sys.modules['uvloop'] = None; import app; app.main()"),
        predict="/api/{model}/predict",
        environment={"SECOND_LOOK_RATE": "0", **environment},
    )


def _peer(module: str, models: tuple[str, ...] = MODELS, predict: str = "/predict") -> Contestant:
    command = (sys.executable, "-m", f"benchmarks.peers.{module}", "--port", "{port}", "--model", "{model}")
    return Contestant(command, models, predict)


PEERS: dict[str, Contestant] = {
    "flask_keras": _peer("flask_keras", KERAS_MODELS),
    "flask_torch": _peer("flask_torch", ("fracture_detection",)),
    "fastapi_keras": _peer("fastapi_keras", KERAS_MODELS),
    "onnxruntime": _peer("onnxruntime_fastapi"),
    "litserve": _peer("litserve_onnx"),
    "bentoml": _peer("bentoml_onnx"),
    "seeds": _peer("seeds", predict="/predict/{model}"),
}

CONTESTANTS: dict[str, Contestant] = {"second_look": ours(), **PEERS}


@cache
def film(model: str, side: int = 1024) -> bytes:
    """A drawn film of the kind that ``model`` reads, square, as a JPEG of quality 90."""
    kind = ModelSpec.read(WEIGHTS / model).scope or "limb"
    return encoded(FILMS[kind](side, side), "JPEG", quality=90)


@contextmanager
def running(name: str, model: str | None = None) -> Iterator[Server]:
    """A service that has answered a film of ``model``, by default of the first network that it serves."""
    model = model or CONTESTANTS[name].models[0]
    with started(name, model) as server:
        _wait(server, film(model))
        yield server


@contextmanager
def started(name: str, model: str | None = None) -> Iterator[Server]:
    """A service whose process has just begun; nothing is known of it yet."""
    contestant = CONTESTANTS[name]
    model = model or contestant.models[0]
    if model not in contestant.models:
        raise ValueError(f"{name} does not serve {model}; it serves {', '.join(contestant.models)}")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="benchmark_") as folder:
        log = Path(folder) / "log.txt"
        environment = {**os.environ, **contestant.environment, "PORT": str(port), "TMPDIR": folder}
        # Installed packages are compiled, once; who forbids Python to keep that pays for it at every start.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        with log.open("w") as stream:
            process = subprocess.Popen(
                [part.format(port=port, model=model) for part in contestant.command],
                cwd=ROOT,
                env=environment,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        predict = contestant.predict.format(model=model)
        try:
            yield Server(name, f"http://127.0.0.1:{port}", predict, process.pid, log)
        finally:
            _end(process)


def path_of(server: Server, model: str) -> str:
    """Where ``server`` answers for ``model``, if it serves several."""
    contestant = CONTESTANTS[server.name]
    return contestant.predict.format(model=model) if contestant.serves_all else server.predict


def has_ended(server: Server) -> bool:
    """Whether the service's process is no more."""
    return os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def memory_mib(pid: int) -> float:
    """What process ``pid`` and all that it started have in memory: the sum of their proportional set sizes.

    Pages that several of them share count once; resident set sizes added up would count them for each.
    """
    return taken(pid).pss


def _wait(server: Server, content: bytes) -> None:
    end = time.monotonic() + START_SECONDS
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as web:
        while time.monotonic() < end and not has_ended(server):
            try:
                if web.post(server.predict, files={"file": ("film.jpg", content)}).is_success:
                    return
            except httpx.TransportError:
                pass  # nobody listens yet
            time.sleep(0.1)
    raise RuntimeError(f"{server.name} did not answer a film:\n{server.log.read_text()[-4000:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask the service to end as a container's host would; what is left of it afterwards is killed."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, left = psutil.wait_procs(family, timeout=2)
    for child in left:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    with suppress(ProcessLookupError):  # children of a process that had died before we looked
        os.killpg(process.pid, signal.SIGKILL)
