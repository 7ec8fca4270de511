"""Films are decoded in child processes: what a codec does with a stranger's bytes can end one of those, and no more.

A codec in C that hangs cannot be stopped from within its own process, one that crashes takes the process along, and
nothing bounds its memory. So the service keeps a template (``predictors.decoder_child``), a process that has imported
what decoding needs and nothing else; it forks a child in milliseconds whenever one is missing. A child is confined
(``predictors.decoder_limits``), gets a film as an open file and answers with the pixels in memory that both share, or
with a refusal. One that dies, or that takes longer than ``LIMIT``, is replaced.

Only Linux has what this needs. Elsewhere, and wherever ``read_film`` is called directly, a film is decoded in process:
the same code and the same numbers, without the limits.
"""

import fcntl
import json
import logging
import mmap
import os
import select
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np

from predictors import errors
from predictors.decoder_child import seals
from predictors.header import FORMATS, MAX_PIXELS
from predictors.image import Radiograph, check_size, read_film

LIMIT = 20.0
"""Seconds that one film may take. The slowest that is within the contract, 64 megapixels of JPEG 2000 in colour in a
file of 16 MB, takes 6 on one core of the machine that this was measured on; every common film takes less than 1."""

START_LIMIT = 30.0
"""Seconds after which a template that has not forked is given up."""

TOOK_TOO_LONG = "The image takes too long to decode; send a smaller export of the film."

OVERLOADED = "This machine is overloaded; try again in a few seconds."

SUPPORTED = sys.platform == "linux" and hasattr(os, "memfd_create")

log = logging.getLogger(__name__)

_ROOT = Path(__file__).parent.parent
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
"""What the template learns of our environment, in which a Space keeps its secrets."""

_SETTINGS = {
    "OPENBLAS_NUM_THREADS": "1",  # a process that forks has one thread
    # Keep up to 32 MiB of heap from film to film: a 1024 x 1024 JPEG then causes no page faults instead of 850.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
}


class Decoder:
    """Reads films as ``read_film`` does, each in a child process. Safe to call from several threads."""

    def __init__(self, at_once: int) -> None:
        """At most ``at_once`` films are decoded at the same time; whoever comes on top of them waits."""
        self.failures: Counter[Literal["crash", "time"]] = Counter()
        self.peak = 0
        """The most memory that a child has had, in bytes."""
        self._turns = threading.Semaphore(at_once)
        self._lock = threading.Lock()
        self._template: _Template | None = None
        self._idle: list[_Child] = []

    def start(self) -> None:
        """Start the template, and do not wait for it: the first film will, if it comes that early."""
        if not SUPPORTED:
            log.warning("films are decoded in this process, without limits of their own: child processes need Linux")
            return
        with self._lock:
            self._template = self._template or _Template()

    def close(self) -> None:
        """End every child, and the template."""
        with self._lock:
            while self._idle:
                self._idle.pop().channel.close()
            if self._template:
                self._template.close()
            self._template = None

    def read(self, source: bytes | os.PathLike[str] | str) -> Radiograph:
        """Read one film from its bytes or from a local path (never a URL).

        Raises what ``read_film`` raises; also CorruptImage if the child died over it, ImageTooLarge after ``LIMIT``
        seconds, and Busy if no child can be had.
        """
        if not SUPPORTED:
            return read_film(source)
        with _opened(source) as film, self._turns:
            child = self._child()
            try:
                return child.decode(film)
            finally:
                self._give_back(child)

    # The children

    def _child(self) -> "_Child":
        """One that has answered before and still lives, or a new one."""
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.waits():
                    return child
                self._end(child)
            if self._template:
                try:
                    return self._template.fork()
                except OSError:
                    self._template.close()  # it was killed, and its children went with it
            try:
                self._template = _Template()
                return self._template.fork()
            except OSError:  # no process, no open file or not a moment to spare on this machine
                raise errors.Busy(OVERLOADED) from None

    def _give_back(self, child: "_Child") -> None:
        with self._lock:
            self.peak = max(self.peak, child.peak)
            if not child.done:
                self._idle.append(child)
                return
            self._end(child)
        if child.failure:
            self.failures[child.failure] += 1
            log.warning("a child that decoded a film was ended (%s, exit code %s)", child.failure, child.exit_code)

    def _end(self, child: "_Child") -> None:
        child.channel.close()
        with suppress(OSError):  # its template is gone as well; whoever needs a child next will find out
            child.exit_code, peak = child.template.end(child.pid)
            self.peak = max(self.peak, peak)


class _Template:
    """The process that children are forked from, and our side of the socket that tells it to."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(START_LIMIT)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # ourselves
                [sys.executable, "-m", "predictors.decoder_child", str(theirs.fileno())],
                cwd=_ROOT,
                env=_SETTINGS | {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,  # nothing that a codec says reaches a log
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the app, which finishes what it has begun
            )

    def fork(self) -> "_Child":
        """A new child; raises OSError if the template is gone."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(self._control, [b"fork"], [theirs.fileno()])
        return _Child(self, int(self._answer()), ours)

    def end(self, pid: int) -> tuple[int, int]:
        """End a child, dead or alive: its exit code (a signal is negative), and its peak memory in bytes."""
        self._control.send(str(pid).encode())
        exit_code, kilobytes = self._answer().split()
        return int(exit_code), int(kilobytes) * 1024

    def close(self) -> None:
        """End the template; its children follow it."""
        self._control.close()
        self._process.kill()
        self._process.wait()

    def _answer(self) -> bytes:
        answer = self._control.recv(64)
        if not answer:
            raise ConnectionError
        return answer


class _Child:
    """A process that decodes one film at a time, and our side of the socket that it gets them by."""

    def __init__(self, template: _Template, pid: int, channel: socket.socket) -> None:
        self.template, self.pid, self.channel = template, pid, channel
        self.done = False  # whether it must not be used again
        self.failure: Literal["crash", "time"] | None = None
        self.exit_code: int | None = None
        self.peak = 0
        channel.settimeout(LIMIT)

    def waits(self) -> bool:
        """Whether it lives, and has nothing to say: one that the system killed meanwhile has hung up."""
        poll = select.poll()
        poll.register(self.channel, select.POLLIN)
        return not poll.poll(0)

    def decode(self, film: int) -> Radiograph:
        """Have the open file ``film`` decoded; raises the errors of ``predictors.errors``."""
        self.done = True  # unless it says otherwise
        shared: list[int] = []
        try:
            socket.send_fds(self.channel, [b"film"], [film])
            message, shared, *_ = socket.recv_fds(self.channel, 4096, 1)
            answer = json.loads(message)
            radiograph = _refused(answer) if "error" in answer else _mapped(answer, *shared)
            self.peak, self.done = int(answer["peak"]) * 1024, bool(answer["last"])
        except TimeoutError:
            self.failure = "time"
            raise errors.ImageTooLarge(TOOK_TOO_LONG) from None
        except (OSError, ValueError, TypeError, LookupError, AttributeError):  # it is gone, or it talks nonsense
            self.failure = "crash"
            raise errors.CorruptImage from None
        finally:
            for memory in shared:
                os.close(memory)
        if isinstance(radiograph, errors.SecondLookError):
            raise radiograph
        return radiograph


@contextmanager
def _opened(source: bytes | os.PathLike[str] | str) -> Iterator[int]:
    """The film as an open file, be it in memory only; raises EmptyFile or FileTooLarge."""
    film = os.memfd_create("film") if isinstance(source, bytes) else os.open(source, os.O_RDONLY)
    try:
        check_size(len(source) if isinstance(source, bytes) else os.fstat(film).st_size)
        if isinstance(source, bytes):
            with open(film, "wb", closefd=False) as file:
                file.write(source)
        yield film
    finally:
        os.close(film)


def _refused(answer: dict[str, Any]) -> errors.SecondLookError:
    """The refusal that a child gave, as the class of its name."""
    kind = getattr(errors, answer["error"])
    if not issubclass(kind, errors.SecondLookError):
        raise TypeError
    refusal: errors.SecondLookError = kind(str(answer["sentence"]))
    return refusal


def _mapped(answer: dict[str, Any], memory: int) -> Radiograph:
    """The film that a child answered with, its pixels where the child has put them.

    The child is not trusted: memory of another size, or that it could still take back, would end us in its place.
    """
    height, width = (int(side) for side in answer["shape"])
    pixels, depth = height * width, {1: np.uint8, 2: np.uint16}[answer["depth"]]
    grey_bytes, colour_bytes = pixels * np.dtype(depth).itemsize, 3 * pixels if answer["colour"] else 0
    across, down = (int(side) for side in answer["size"])  # in the file, of which they may be a fraction
    sides = ((across, width), (down, height))
    plausible = all(whole >= part >= 1 and -(-whole // round(whole / part)) == part for whole, part in sides)
    sealed = fcntl.fcntl(memory, fcntl.F_GET_SEALS) & seals() == seals()
    sized = os.fstat(memory).st_size == grey_bytes + colour_bytes
    if not (plausible and across * down <= MAX_PIXELS and sealed and sized) or answer["format"] not in FORMATS:
        raise ValueError
    shared = mmap.mmap(memory, grey_bytes + colour_bytes, mmap.MAP_PRIVATE | mmap.MAP_POPULATE, mmap.PROT_READ)
    grey = np.frombuffer(shared, depth, pixels).reshape(height, width)
    colour = np.frombuffer(shared, np.uint8, colour_bytes, grey_bytes) if colour_bytes else None
    rgb = None if colour is None else colour.reshape(height, width, 3)
    return Radiograph(grey, rgb, answer["format"], (across, down))
