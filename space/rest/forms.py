"""The films of a multipart request: counted while they stream in, and never on the disk under a name."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from predictors.errors import FileTooLarge, MissingFile, TooManyFiles
from predictors.image import MAX_BYTES
from predictors.predictor import MAX_BATCH
from space.desk import Film
from space.uploads import base_name

FIELDS = ("file", "image", "data")
"""The names under which one film is taken: every service that this one replaces had its own."""

BATCH_FIELD = "files"

ENVELOPE = 1024 * 1024
"""Bytes of a request that are not film: boundaries, part headers, other fields."""

_UNREADABLE = "The form could not be read; send the radiograph as a file in multipart/form-data."

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


@contextlib.asynccontextmanager
async def films_of(request: Request, fields: tuple[str, ...], most: int) -> AsyncIterator[list[Film]]:
    """The files in ``fields``, at least one and at most ``most``, in the order sent; closed at the end.

    A large file lies in a temporary file that has no name (``tempfile.SpooledTemporaryFile``). Raises MissingFile,
    TooManyFiles, and FileTooLarge as soon as more has come in than ``most`` films can have.
    """
    form = await _form(request, ENVELOPE + most * MAX_BYTES)
    try:
        files = [(name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)]
        # A browser's form sends a field in which nothing was picked as a nameless file without content.
        sent = [file for name, file in files if name in fields and (file.filename or file.size)]
        if not sent:
            raise MissingFile
        yield [Film(upload.file, base_name(upload.filename or "")) for upload in sent[:most]]
    finally:
        await form.close()


async def _form(request: Request, limit: int) -> FormData:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise MissingFile
    if int(request.headers.get("content-length", 0)) > limit:
        raise FileTooLarge
    try:
        return await Request(request.scope, _at_most(limit, request.receive)).form(max_files=MAX_BATCH)
    except HTTPException as error:  # how Starlette refuses a form; its words are not ours
        if error.detail.startswith("Too many files"):
            raise TooManyFiles from None
        raise MissingFile(_UNREADABLE) from None


def _at_most(limit: int, receive: Receive) -> Receive:
    """``receive`` until more than ``limit`` bytes have come, whatever length was declared."""
    so_far = 0

    async def counted() -> MutableMapping[str, Any]:
        nonlocal so_far
        message = await receive()
        so_far += len(message.get("body", b""))
        if so_far > limit:
            raise FileTooLarge
        return message

    return counted
