"""Where uploads lie while they are answered, how they are named, and how they leave the disk again."""

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from predictors.errors import MissingFile
from predictors.image import MAX_BYTES
from predictors.predictor import Source

CHECK_EVERY = 30
KEEP_FOR = 120
"""Seconds. Files are named by their content, so two callers who send the same film share one file: to delete it
right after the first answer would take it from the second. Whoever sends it again makes it young again."""

LARGEST_UPLOAD = 2 * MAX_BYTES
"""What Gradio accepts at all. More than a film may have, so that a film that is too large is refused by the
predictor, in the contract's words; beyond this the upload itself is cut off, in Gradio's."""

_GONE = "This upload is no longer here; send the radiograph again."


def private_folder() -> Path:
    """A new folder for uploads that only this user can read; Gradio learns of it through its environment.

    Call it before the page is built. Gradio's default is one folder for all users and all apps of the machine.
    """
    folder = Path(tempfile.mkdtemp(prefix="second-look-"))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    return folder


def received(upload: Any) -> tuple[Path, str]:
    """Path and name of one upload, as Gradio's file component hands it over; raises MissingFile.

    Gradio has checked that the path lies in its upload folder. The name is the sender's: for people to recognise
    their film by, never to open anything.
    """
    if not isinstance(upload, dict) or not upload.get("path"):
        raise MissingFile
    path = Path(upload["path"])
    if not path.is_file():
        raise MissingFile(_GONE)
    return path, base_name(str(upload.get("orig_name") or path.name))


def base_name(name: str) -> str:
    """What a sender calls a file, without their folders."""
    return PurePosixPath(name.replace("\\", "/")).name[:255]


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
    """Delete every file under ``folder`` that has been there for ``age`` seconds, and the folder that held it.

    Gradio's own ``delete_cache`` knows finished uploads only; this also finds those that broke off half-way.
    """
    oldest = time.time() - age
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        with contextlib.suppress(FileNotFoundError):
            if file.lstat().st_ctime < oldest:
                file.unlink()
    for inner in folder.iterdir():
        with contextlib.suppress(OSError):  # not a folder, or not empty
            inner.rmdir()


@contextlib.asynccontextmanager
async def swept(folder: Path) -> AsyncIterator[None]:
    """While the service runs, sweep ``folder``; in the end, remove it."""

    async def forever() -> None:
        # On the event loop on purpose: Gradio makes a folder and moves an upload into it without a pause between,
        # on the same loop, so the sweep can never remove the folder in between.
        while True:
            await asyncio.sleep(CHECK_EVERY)
            sweep(folder, KEEP_FOR)

    task = asyncio.create_task(forever())
    try:
        yield
    finally:
        task.cancel()
        shutil.rmtree(folder, ignore_errors=True)
