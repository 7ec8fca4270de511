"""Where uploads lie while they are answered, how they are named, and how they leave the disk again."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from predictors.errors import MissingFile, SecondLookError
from predictors.image import MAX_BYTES
from predictors.predictor import GONE, Source
from space.refusals import foreseen

CHECK_EVERY = 30
KEEP_FOR = 120
"""Seconds. Files are named by their content, so two callers who send the same film share one file: to delete it
right after the first answer would take it from the second. Whoever sends it again makes it young again."""

JUMP = 5
"""Seconds by which a clock is set, and not merely corrected."""

LARGEST_UPLOAD = 2 * MAX_BYTES
"""What Gradio accepts at all. More than a film may have, so that a film that is too large is refused by the
predictor, in the contract's words; beyond this the upload itself is cut off, in Gradio's."""

_PREFIX = "second-look-"


def private_folder() -> Path:
    """A new folder for uploads that only this user can read; Gradio learns of it through its environment.

    Call it before the page is built. Gradio's default is one folder for all users and all apps of the machine. The
    folder is locked for as long as this process lives, however it ends: what others left behind is removed here.
    """
    remove_leftovers()
    unlocked = Path(tempfile.mkdtemp(prefix=f"new-{_PREFIX}"))  # so named, nobody takes it for a leftover
    _locked(unlocked)
    folder = unlocked.rename(unlocked.with_name(unlocked.name.removeprefix("new-")))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    return folder


def remove_leftovers() -> None:
    """Delete the upload folders of this user whose processes have ended without doing so.

    Folders and links that merely have such a name, in a temporary folder that all users of a machine share, are left
    alone: they are not followed either.
    """
    with os.scandir(tempfile.gettempdir()) as entries:
        folders = [Path(entry.path) for entry in entries if entry.name.startswith(_PREFIX)]
    for folder in folders:
        lock = _locked(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _locked(folder: Path) -> int | None:
    """Lock ``folder`` until the result is closed or the process ends; None if it is not ours, locked or gone."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(lock)
        if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == stat.S_IRWXU:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(found, os.lstat(folder)):
                return lock
    except OSError:  # locked, gone meanwhile, or on a file system without locks
        pass
    os.close(lock)
    return None


def received(upload: Any) -> tuple[Path, str]:
    """Path and name of one upload, as Gradio's file component hands it over; raises MissingFile.

    Gradio has checked that the path lies in its upload folder. The name is the sender's: for people to recognise
    their film by, never to open anything.
    """
    if not isinstance(upload, dict) or not upload.get("path"):
        raise MissingFile
    path = Path(upload["path"])
    if not path.is_file():
        raise MissingFile(GONE)
    return path, base_name(str(upload.get("orig_name") or path.name))


def base_name(name: str) -> str:
    """What a sender calls a file, without their folders, and without what would not be seen or turns the line round."""
    return "".join(filter(str.isprintable, PurePosixPath(name.replace("\\", "/")).name))[:255]


def received_all(uploads: Iterable[Any] | None) -> list[tuple[Source, str]]:
    """``received`` for a list of uploads; none at all is an empty list.

    One that is missing is handed on as no bytes, so that its entry says so and the others are answered.
    """
    films: list[tuple[Source, str]] = []
    for upload in uploads or []:
        try:
            films.append(received(upload))
        except MissingFile:
            films.append((b"", ""))
    return films


def sweep(folder: Path, age: float) -> None:
    """Delete every file under ``folder`` that has been there for ``age`` seconds, and the folders that held them.

    Gradio's own ``delete_cache`` knows finished uploads only, and goes by the clock even if it is set meanwhile; this
    also finds those that broke off half-way. A file from the future is old.
    """
    now = time.time()

    def old(path: Path) -> bool:
        return abs(now - path.lstat().st_ctime) >= age

    for inner, _, names in os.walk(folder, topdown=False):
        where = Path(inner)
        with contextlib.suppress(FileNotFoundError):
            to_go = where != folder and old(where)
            for file in filter(old, [where / name for name in names]):
                file.unlink()
            if to_go:
                with contextlib.suppress(OSError):  # it is not empty
                    where.rmdir()


def _ahead() -> float:
    """Seconds by which the clock is ahead of the one that nobody can set."""
    return time.time() - time.monotonic()


def _make_young(folder: Path) -> None:
    """The clock was set: what lies here, and may be waiting for its answer, is as old as if it had just come."""
    for inner, folders, names in os.walk(folder):
        for name in (*folders, *names):
            with contextlib.suppress(FileNotFoundError):
                os.utime(Path(inner) / name)


@contextlib.asynccontextmanager
async def swept(folder: Path, *forget: Callable[[float], None]) -> AsyncIterator[None]:
    """While the service runs, sweep ``folder``; in the end, remove it.

    Each of ``forget`` is called as often, with the age in seconds, for what is kept in memory.
    """

    async def forever() -> None:
        # On the event loop on purpose: Gradio makes a folder and moves an upload into it without a pause between,
        # on the same loop, so the sweep can never remove the folder in between.
        ahead = _ahead()
        while True:
            await asyncio.sleep(CHECK_EVERY)
            if abs(_ahead() - ahead) > JUMP:
                _make_young(folder)
            ahead = _ahead()
            for each in (lambda age: sweep(folder, age), *forget):
                with contextlib.suppress(SecondLookError), foreseen():  # logged; the next round may fare better
                    each(KEEP_FOR)

    task = asyncio.create_task(forever())
    try:
        yield
    finally:
        task.cancel()
        shutil.rmtree(folder, ignore_errors=True)
