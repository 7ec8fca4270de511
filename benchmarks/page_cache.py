"""A cold disk: what a service reads when it starts is put out of the kernel's page cache.

By ``posix_fadvise``, which needs no root and leaves everybody else's files where they are. Pages that a process has
mapped stay, so nobody who measures may run what is measured; ``forget`` says how much stayed. What the machine's host
keeps of the disk is out of reach.
"""

import ctypes
import mmap
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from benchmarks.servers import ROOT

MIB = 1024**2

READ_AT_START = (Path(sys.prefix), Path(sys.base_prefix) / "lib", *(ROOT / part for part in ("predictors", "space")))
"""Where Python and its packages are, and our own modules; beside them the networks."""

NETWORKS = (ROOT / "weights", ROOT / "benchmarks" / ".cache")


def forget(folders: Iterable[Path] = (*READ_AT_START, *NETWORKS)) -> float:
    """Put every file under ``folders`` out of the page cache; returns how many MiB stayed all the same."""
    os.sync()  # pages that are not on the disk yet could not be put out
    files = list(_files(folders))
    for path in files:
        with suppress(OSError), path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return sum(_cached(path) for path in files) / MIB


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        for place, _, names in os.walk(folder):
            yield from (path for path in (Path(place, name) for name in names) if not path.is_symlink())


def _cached(path: Path) -> int:
    """How many bytes of the file the page cache holds, as mincore(2) says."""
    try:
        size = path.stat().st_size
        if not size:
            return 0
        with path.open("rb") as file, mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE) as mapped:
            pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
            start = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
            if _LIBC.mincore(ctypes.c_void_p(start), ctypes.c_size_t(size), pages):
                return 0
            return sum(page & 1 for page in pages) * mmap.PAGESIZE
    except (OSError, ValueError):
        return 0


_LIBC = ctypes.CDLL(None, use_errno=True)
