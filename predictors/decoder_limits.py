"""What a process that decodes a stranger's film may still do: next to nothing. Linux only.

Its memory and its files are bounded, it dies with whoever started it, and where the kernel has Landlock (5.13 and
later) it can open no file but Python's own, connect to no TCP address, and signal or trace no process outside.
"""

import contextlib
import ctypes
import os
import resource
import signal
import struct
import sys
from pathlib import Path

MEMORY = 2 << 30
"""Bytes of address space. The film within the contract that needs the most, 64 megapixels of JPEG 2000 in colour,
comes to 1.3 GiB, of which 0.14 are code and libraries."""

LARGEST_ANSWER = 64_000_000 * (2 + 3)
"""Bytes of 64 megapixels, grey at 16 bits and colour at three times 8."""

OPEN_FILES = 32

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # Landlock's system calls, the same on every machine
_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3


def confine() -> None:
    """Bind this process for good to what decoding takes."""
    _limit(resource.RLIMIT_AS, MEMORY)
    _limit(resource.RLIMIT_FSIZE, LARGEST_ANSWER)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NPROC, 0)  # no processes of its own; root is exempt
    with contextlib.suppress(OSError):  # if memory runs out, this process goes first, and not the service
        Path("/proc/self/oom_score_adj").write_text("1000")
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _close_the_files(libc.syscall)


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def _close_the_files(call: "ctypes._NamedFuncPointer") -> None:
    """Landlock: files under Python's own folders can be read, and nothing else. A kernel without it leaves all open."""
    call.restype = ctypes.c_long
    version = call(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        return
    every_way = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1  # rights that this version knows
    binding_and_connecting, signals_and_sockets = 3, 3
    rules = struct.pack("=QQQ", every_way, binding_and_connecting, signals_and_sockets)
    rules = rules[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = call(_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
    for folder in {sys.prefix, sys.base_prefix}:
        file = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", _READ_FILE | _READ_FOLDER, file), 0)
        os.close(file)
    call(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
