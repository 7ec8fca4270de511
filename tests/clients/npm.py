"""The packages for Node and browsers, copied to where tests may write, and installed there."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.running import ROOT

CLIENTS = ROOT / "clients"
_QUIETLY = ("--no-audit", "--no-fund", "--ignore-scripts")
_MADE = shutil.ignore_patterns("node_modules", "dist", "build")


def copied(name: str, folder: Path) -> Path:
    """``clients/<name>`` under ``folder``, beside the OpenAPI document, with what its lock file names."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node or npm is not installed, and these tests run a package for them")
    shutil.copy(CLIENTS / "openapi.json", folder)
    shutil.copytree(CLIENTS / name, folder / name, ignore=_MADE)
    install("ci", cwd=folder / name)
    return folder / name


def install(*command: str, cwd: Path) -> None:
    """``npm`` with ``command``; skips where the registry cannot be reached."""
    done = subprocess.run(["npm", *command, *_QUIETLY], cwd=cwd, capture_output=True, text=True, timeout=240)
    if any(code in done.stderr for code in ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH")):
        pytest.skip(f"npm could not reach its registry: {done.stderr.strip()[-300:]}")
    assert done.returncode == 0, done.stderr


def run(*command: str, cwd: Path, **environment: str) -> str:
    """What ``command`` printed; it must not fail."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
