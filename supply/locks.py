"""The lock files: every package that an installation brings, with its version and the SHA-256 of each of its files."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent

RUN, SERVING, TESTS = "requirements.lock", "requirements-serving.lock", "requirements-dev.lock"
"""What README's run command, the Docker image without frameworks, and README's test command install."""

_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_FRAMEWORKS = "# Imported only"
"""The heading in requirements.txt from which on nothing is needed to serve. A Space's builder sees that one file
alone, so that the frameworks cannot have a file of their own."""


class Pin(NamedTuple):
    """One package of a lock or a requirements file."""

    name: str  # as PyPI normalises it
    version: str
    hashes: tuple[str, ...]  # SHA-256, one a file of that release; none in a requirements file


def pins(file: Path) -> list[Pin]:
    """Every package that ``file`` pins, in its order; ``-r`` is not followed."""
    found: list[Pin] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if pinned := _PIN.match(line):
            found.append(Pin(normalised(pinned[1]), pinned[2], ()))
        elif hashed := _HASH.search(line):
            found[-1] = found[-1]._replace(hashes=(*found[-1].hashes, hashed[1]))
    return found


def normalised(name: str) -> str:
    """A package's name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def serving_requirements() -> str:
    """The part of requirements.txt that serving needs."""
    return (ROOT / "requirements.txt").read_text(encoding="utf-8").partition(_FRAMEWORKS)[0]
