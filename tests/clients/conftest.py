"""A Space that sleeps, for the clients to wake; and Node with the client that front ends use."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import second_look

from tests.clients.callers import Clock
from tests.clients.npm import copied, install, run
from tests.clients.sleeping import SleepingSpace, sleeping_space
from tests.running import ROOT

NODE = Path(__file__).parent / "node"


@pytest.fixture(scope="session")
def stand_in() -> Iterator[SleepingSpace]:
    """The stand-in with an app of its own, which tests may restart."""
    if not (ROOT / "weights" / "scope" / "spec.json").is_file():
        pytest.skip("weights/ is not here, and these tests ask the shipped models")
    with sleeping_space() as space:
        yield space


@pytest.fixture
def asleep(stand_in: SleepingSpace) -> SleepingSpace:
    """A Space that sleeps, will be built, and starts; nothing has happened yet."""
    stand_in.tell(sleep=True, build=True)
    return stand_in


@pytest.fixture
def awake(stand_in: SleepingSpace) -> SleepingSpace:
    """A Space that runs; nothing has happened yet."""
    stand_in.tell(sleep=True, late=0)
    stand_in.tell(stage="RUNNING")
    return stand_in


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``ask.mjs`` and the pinned ``@gradio/client``."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node or npm is not installed, and this test asks through @gradio/client")
    folder = tmp_path_factory.mktemp("node")
    for name in ("ask.mjs", "package.json", "package-lock.json"):
        shutil.copy(NODE / name, folder)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    if installed.returncode:
        pytest.skip(f"npm could not install @gradio/client: {installed.stderr.strip()[-300:]}")
    return folder


@pytest.fixture(scope="session")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The TypeScript client with its dependencies, its sources and tests compiled under ``build``, and packed."""
    folder = copied("typescript", tmp_path_factory.mktemp("npm"))
    run("npx", "tsc", cwd=folder)
    run("npm", "run", "build", cwd=folder)
    run("npm", "pack", "--ignore-scripts", cwd=folder)
    return folder


@pytest.fixture(scope="session")
def packed(typescript: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder into which the packed client was installed."""
    folder = tmp_path_factory.mktemp("packed")
    (folder / "package.json").write_text('{"type": "module"}')
    (tarball,) = typescript.glob("*.tgz")
    install("install", str(tarball), cwd=folder)
    return folder


@pytest.fixture
def clock() -> Clock:
    """Fake time, which stands still but for the client's pauses."""
    return Clock()


@pytest.fixture
def client(awake: SleepingSpace, clock: Clock) -> Iterator[second_look.SecondLook]:
    """The Python client of a Space that runs, connected."""
    with second_look.connect(awake.id, hub=awake.hub, pace=clock.pace()) as connected:
        yield connected
