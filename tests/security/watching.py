"""What a process reaches for: every connection, name that is looked up, program that it starts and file that it opens
to write, noted as it happens by Python itself (``sys.addaudithook``).

Imports nothing but the standard library, since it runs before anything else of the process does.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

_ROOT = Path(__file__).parent.parent.parent

_WHERE_TO = {
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
}
"""Which argument says where to."""

_PROGRAMS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system")
_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Note(NamedTuple):
    """One thing that a process did."""

    pid: int
    kind: str  # "network", "program" or "file"
    what: Any


def watched(folder: Path) -> dict[str, str]:
    """The environment in which a Python process and all of its children are watched."""
    customize = f"from pathlib import Path\nfrom tests.security.watching import watch\nwatch(Path({str(folder)!r}))\n"
    (folder / "sitecustomize.py").write_text(customize)  # Python imports it first of all
    return {"PYTHONPATH": f"{folder}{os.pathsep}{_ROOT}"}


def notes(folder: Path) -> list[Note]:
    """All that was noted so far."""
    return [Note(*json.loads(line)) for line in (folder / "notes.jsonl").read_text().splitlines()]


def watch(folder: Path) -> None:
    """From now on, note."""
    file = os.open(folder / "notes.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def note(kind: str, what: Any) -> None:
        os.write(file, json.dumps(Note(os.getpid(), kind, what), default=os.fsdecode).encode() + b"\n")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _WHERE_TO:
            note("network", arguments[_WHERE_TO[event]])
        elif event in _PROGRAMS:
            note("program", arguments[1])
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & _TO_WRITE:
            note("file", arguments[0])
        elif event in ("os.rename", "os.link", "os.symlink"):
            note("file", arguments[1])

    sys.addaudithook(hook)


def connected(pid: int) -> list[str]:
    """Where the sockets of a process lead, as the kernel has it: addresses other than of this machine."""
    inodes = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(file.readlink()).removeprefix("socket:[").removesuffix("]"))
        except FileNotFoundError:
            continue
    away = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            remote = columns[2].partition(":")[0]
            if columns[9] in inodes and remote.strip("0") and not _loopback(remote):
                away.append(remote)
    return away


def _loopback(remote: str) -> bool:
    """Addresses there are words of 32 bits, each in the machine's own order."""
    words = [
        bytes.fromhex(remote[at : at + 8])[:: -1 if sys.byteorder == "little" else 1] for at in range(0, len(remote), 8)
    ]
    address = b"".join(words)
    mapped = address[:12] == bytes(10) + b"\xff\xff"
    return address[0] == 127 if len(address) == 4 else address == bytes(15) + b"\1" or (mapped and address[12] == 127)
