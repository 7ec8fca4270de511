"""How much of the disk and of the memory films may take together."""

import contextlib
import os
import shutil
import time
from pathlib import Path

MOST_ON_DISK = 4 * 1024**3
"""Bytes that may lie in the folder of uploads, and no more than half of the disk that holds it."""

MOST_IN_FLIGHT = 512 * 1024**2
"""Bytes that may have come in with requests which are not answered yet, over all doors together."""

SMALLEST = 64 * 1024
"""Bytes as which a smaller file counts: a million empty files are a burden too."""

LOOK_EVERY = 1.0
"""Seconds between two looks at the folder, or twenty times as long as a look takes: a thousand uploads take 10 ms."""


class Room:
    """What is left of both, for one ``folder``. Used on the event loop only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._in_flight = 0
        self._next_look = 0.0
        self._on_disk = self._most = 0

    def enter(self, size: int) -> None:
        """So many bytes came in."""
        self._in_flight += size
        self._on_disk += size  # until the next look, it may be there

    def leave(self, size: int) -> None:
        """The request that brought so many bytes is over."""
        self._in_flight -= size

    @property
    def full(self) -> bool:
        """Whether nothing more may come in."""
        return self._in_flight > MOST_IN_FLIGHT or self.on_disk > self._most

    @property
    def on_disk(self) -> int:
        """Bytes that lie in the folder, as seen a moment ago."""
        began = time.monotonic()
        if began >= self._next_look:
            self._on_disk, self._most = taken(self._folder), most_on_disk(self._folder)
            ended = time.monotonic()
            self._next_look = ended + max(LOOK_EVERY, 20 * (ended - began))
        return self._on_disk


def most_on_disk(folder: Path) -> int:
    """Bytes that ``folder`` may take."""
    return min(MOST_ON_DISK, shutil.disk_usage(folder).total // 2)


def taken(folder: Path) -> int:
    """Bytes that the files under ``folder`` take."""
    total, folders = 0, [os.fspath(folder)]
    while folders:
        with contextlib.suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:  # swept while we looked
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    with contextlib.suppress(FileNotFoundError):
                        total += max(SMALLEST, entry.stat(follow_symlinks=False).st_size)
    return total
