"""A film as its caller has it, in whatever form, made into bytes and a name."""

import asyncio
from collections.abc import Awaitable, Callable
from io import BytesIO, TextIOBase
from os import PathLike, fspath
from pathlib import Path, PurePath
from typing import Any, BinaryIO, NamedTuple, Protocol, Union
from urllib.parse import unquote, urlsplit


class Picture(Protocol):
    """An image of Pillow's."""

    def save(self, fp: Any, format: str | None = None, **options: Any) -> None:
        """Write it to a file."""


FilmSource = Union[str, "PathLike[str]", bytes, bytearray, memoryview, BinaryIO, Picture]
"""A path, an ``http(s)`` address, bytes, a file opened in binary mode, or an image of Pillow's."""

ENOUGH = 20 * 2**20 + 1
"""Bytes: one more than a film may have. No more is read or sent; the service then refuses it in its own words."""


class Film(NamedTuple):
    """A film's bytes, and the name that the service will call it by."""

    name: str
    content: bytes


Download = Callable[[str, int], Awaitable[bytes]]
"""The bytes at an address, at most as many as asked for. Raises FilmUnreadable."""


async def read(source: FilmSource, download: Download) -> Film:
    """The film of any kind of source; raises OSError for a path that cannot be read, FilmUnreadable for an address.

    An address is fetched here and not by the service: it may be one that only the caller can reach or may see.
    """
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        name = PurePath(unquote(urlsplit(source).path)).name
        film = Film(name, await download(source, ENOUGH))
    elif isinstance(source, (str, PathLike)):
        film = await asyncio.to_thread(_from_path, Path(fspath(source)))
    elif isinstance(source, (bytes, bytearray, memoryview)):
        film = Film("", bytes(source))
    elif hasattr(source, "save"):
        film = Film("", await asyncio.to_thread(_as_png, source))
    else:
        film = _from_file(source)
    return Film(film.name or "film", film.content[:ENOUGH])


def _from_path(path: Path) -> Film:
    with path.open("rb") as file:
        return Film(path.name, file.read(ENOUGH))


def _from_file(file: Any) -> Film:
    readable = hasattr(file, "read") and not isinstance(file, TextIOBase)
    content = file.read(ENOUGH) if readable else None
    if not isinstance(content, bytes):
        raise TypeError("A film is a path, an http(s) address, bytes, a file opened in binary mode, or a Pillow image.")
    name = getattr(file, "name", "")
    return Film(PurePath(name).name if isinstance(name, str) else "", content)


def _as_png(picture: Picture) -> bytes:
    stream = BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
