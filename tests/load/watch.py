"""What the app takes of the machine, with its child processes, as Linux' ``/proc`` tells it."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MIB = 1024**2


@dataclass(frozen=True)
class Taken:
    """``rss`` adds up what the processes have in memory; ``pss`` counts once what they share. MiB."""

    rss: float
    pss: float
    processes: int
    threads: int
    open_files: int
    files_on_disk: int


def taken(pid: int, folder: Path | None = None) -> Taken:
    """By process ``pid`` and all that it started, and the files under ``folder``."""
    rss = pss = threads = open_files = 0
    family = _family(pid)
    for each in family:
        with suppress(OSError):  # it ended while we looked
            memory = _fields(Path(f"/proc/{each}/smaps_rollup").read_text())
            rss, pss = rss + memory["Rss"], pss + memory["Pss"]
            threads += _fields(Path(f"/proc/{each}/status").read_text())["Threads"]
            open_files += len(list(Path(f"/proc/{each}/fd").iterdir()))
    files = sum(path.is_file() for path in folder.rglob("*")) if folder else 0
    return Taken(rss / 1024, pss / 1024, len(family), threads, open_files, files)


def _family(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(folder.name))
    family = [pid]
    for member in family:
        family += parents.get(member, [])
    return family


def _fields(text: str) -> dict[str, int]:
    """Every ``Name:   number kB`` line."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0].rstrip(":"): int(pair[1]) for pair in pairs if len(pair) > 1 and pair[1].isdigit()}
