"""The processes behind ``predictors.decoder``: a template (``python -m predictors.decoder_child``), and its forks.

The template never sees a film. It is told "fork", with the socket of the new child beside it, or the number of a child
to end. It ends when its own socket closes, and its children with it.
"""

import fcntl
import gc
import json
import os
import resource
import signal
import socket
import sys
from typing import Any

from PIL import Image

from predictors.decoder_limits import confine
from predictors.errors import ImageTooLarge, SecondLookError
from predictors.image import MAX_BYTES, Radiograph, read_film

KEPT = 192 * 1024
"""Kilobytes. A child that has needed more is not used again: the heap would keep some of it for good."""


def seals() -> int:
    """What makes shared memory safe to read: nobody can change it any more, or take it away (``fcntl(2)``)."""
    return fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def template(control: socket.socket) -> None:
    """Fork a child, or end one, as often as told."""
    import predictors.dicom  # noqa: F401  # every import before the first fork

    Image.init()
    gc.freeze()  # so that the collector of a child touches, and thereby copies, none of what is shared
    while True:
        order, sockets, *_ = socket.recv_fds(control, 64, 1)
        if not order:
            return
        control.send((_forked(sockets[0], control) if sockets else _ended(int(order))).encode())


def _forked(channel: int, control: socket.socket) -> str:
    """The number of a new child that serves ``channel``."""
    pid = os.fork()
    if pid == 0:
        try:
            control.close()
            confine()
            _serve(socket.socket(fileno=channel))
        finally:
            os._exit(0)
    os.close(channel)
    return str(pid)


def _ended(pid: int) -> str:
    """End a child: with what it exited (a signal is negative), and the most memory that it had, in kilobytes."""
    os.kill(pid, signal.SIGKILL)
    _, status, used = os.wait4(pid, 0)
    return f"{os.waitstatus_to_exitcode(status)} {used.ru_maxrss}"


# In a child


def _serve(channel: socket.socket) -> None:
    """Answer one film after another, each an open file, until the app hangs up or too much memory was needed."""
    while True:
        _, films, *_ = socket.recv_fds(channel, 64, 1)
        if not films:
            return
        answer, memory = _answer(films[0])
        answer["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer["last"] = answer["peak"] > KEPT
        socket.send_fds(channel, [json.dumps(answer).encode()], memory)
        for file in memory:
            os.close(file)
        if answer["last"]:
            return


def _answer(film: int) -> tuple[dict[str, Any], list[int]]:
    """What the film is, and its pixels in shared memory; or a refusal, and nothing."""
    try:
        with open(film, "rb") as file:
            file.seek(0)
            data = file.read(MAX_BYTES + 1)
        return _shared(read_film(data))
    except SecondLookError as error:
        return {"error": type(error).__name__, "sentence": str(error)}, []
    except MemoryError:
        return {"error": ImageTooLarge.__name__, "sentence": ImageTooLarge.sentence}, []


def _shared(film: Radiograph) -> tuple[dict[str, Any], list[int]]:
    memory = os.memfd_create("film", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(memory, "wb", closefd=False) as file:
        file.write(film.grey.data)
        if film.colour is not None:
            file.write(film.colour.data)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, seals())
    about = {"format": film.format, "size": (film.width, film.height), "colour": film.colour is not None}
    return {**about, "shape": film.grey.shape, "depth": film.grey.itemsize}, [memory]


if __name__ == "__main__":
    template(socket.socket(fileno=int(sys.argv[1])))
